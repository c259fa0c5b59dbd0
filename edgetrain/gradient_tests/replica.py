"""Integer gradients are true gradients, in true units.

A block is run again in floating point, without any rounding, and the derivatives of its local
loss are taken by finite differences. The sums that reach `Step.update`, times the units that it
is told, must be those derivatives: direction and length, weights and biases, heads too. Weights
are frozen for some steps before, so that the exponents of the errors have settled.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from edgetrain import fixed, heads
from edgetrain.architectures import cnn, ds_cnn, mlp, resnet8
from edgetrain.blocks import Block, split
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.inference import apply
from edgetrain.model import FloatModel, Model, Weights
from edgetrain.outputs import predict
from edgetrain.quantize import quantize
from edgetrain.reals import forward as real_forward

CLASSES, BATCH, SETTLE = 4, 24, 40
ENTRIES, DISTANCE = 40, 1e-2
"""How many entries of each tensor are checked, and how far the finite differences reach."""


def pool(name: str, op: str, source: str, kernel: int = 2, stride: int = 2, pad: int = 0) -> Node:
    return Node(name, op, (source,), 0, Window((kernel,) * 2, (stride,) * 2, (pad,) * 4))


def conv(name: str, source: str, n_out: int, activation: str = "", groups: int = 1) -> Node:
    return Node(
        name, "conv2d", (source,), n_out, Window((3, 3), (1, 1), (1,) * 4, groups), activation
    )


def chain(*activations: str) -> Graph:
    """Dense layers with a smooth activation behind each."""
    nodes, last = [], INPUT
    for i, function in enumerate(activations):
        nodes.append(Node(f"dense{i}", "dense", (last,), 10))
        last = f"{function}{i}"
        nodes.append(Node(last, "activation", (f"dense{i}",), activation=function))
    return Graph((8,), (*nodes, Node("classifier", "dense", (last,), CLASSES)))


EVERY_OPERATION = Graph((8, 8, 2), (
    conv("first", INPUT, 6, "relu6"),
    conv("second", "first", 6, "relu6"),
    pool("overlapping", "max_pool", "second", 3, 1, 1),
    conv("depthwise", "overlapping", 6, "relu", groups=6),
    pool("average", "average_pool", "depthwise", 3, 2, 1),
    conv("grouped", "average", 6, groups=2),
    Node("sum", "add", ("grouped", "average"), activation="relu"),
    Node("flat", "flatten", ("sum",)),
    Node("classifier", "dense", ("flat",), CLASSES),
))  # fmt: skip


def quantized(graph: Graph, **options) -> tuple[Model, np.ndarray, np.ndarray]:
    """Draw weights that give all layers results of one size; quantize; draw codes and labels."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (BATCH, *graph.input_shape)).astype(np.float32)
    zeros = {
        n.name: Weights(np.zeros(graph.weight_shape(n), np.float32), np.zeros(n.n_out, np.float32))
        for n in graph.trainable
    }
    params = dict(zeros)
    for node in graph.trainable:
        w = rng.normal(size=graph.weight_shape(node)).astype(np.float32)
        b = rng.normal(0, 0.2, node.n_out).astype(np.float32)
        trial = FloatModel(graph, params | {node.name: Weights(w, zeros[node.name].b)})
        params[node.name] = Weights(w / real_forward(trial, x)[node.name].std(), b)
    model = quantize(FloatModel(graph, params), x, headroom=1.5, **options)
    codes = model.quantize_input(x)
    surprise = predict(model, codes, fixed).sum(axis=0).argmin()
    y = np.where(rng.random(BATCH) < 0.7, surprise, rng.integers(0, CLASSES, BATCH))
    return model, codes, y  # were all classes as frequent, the samples' gradients would cancel


def with_heads(model: Model, blocks, size: float = 0.5) -> Model:
    """Give every block but the last a head from the host."""
    rng, found, scales = np.random.default_rng(5), {}, {}
    for block in split(model.graph, blocks)[:-1]:
        features = heads.feature_count(model, block.output)
        w = rng.integers(-100, 101, (model.graph.output_size, features)).astype(np.int8)
        b = rng.integers(-900, 900, len(w)).astype(np.int32)
        found[block.output], scales[block.output] = Weights(w, b), size / 100
    return replace(model, heads=found, head_scales=scales)


def settle(rule, model: Model, x, y, steps: int = SETTLE) -> None:
    state = rule.init(model)
    for _ in range(steps):
        model, state, _ = rule.step(model, state, x, y, fixed)


def values_of(model: Model, x) -> Mapping[str, np.ndarray]:
    """Return the int8 value of every node."""
    values = {INPUT: x}
    for node in model.graph.nodes:
        values[node.name] = apply(model, node, values, fixed)
    return values


def real(model: Model, name: str, codes) -> np.ndarray:
    scale, zero_point = model.scheme.activations[name]
    return (scale * (codes.astype(np.float64) - zero_point)).astype(np.float32)


def real_params(model: Model, block: Block) -> dict[str, Weights]:
    """Return the parameters of a block as float64, which can be changed in place."""
    found = {}
    for node in block.nodes:
        if node.has_weights:
            w, b = model.params[node.name]
            scale = model.scheme.weights[node.name].reshape(-1, *[1] * (w.ndim - 1))
            found[f"node/{node.name}"] = Weights(w * scale, b * model.scheme.acc_scale(node))
    if block.output in model.heads:
        w, b = model.heads[block.output]
        scale = model.head_scales[block.output]
        unit = scale * model.scheme.activations[block.output].scale
        found[f"head/{block.output}"] = Weights(w * scale, b * unit)
    return found


def replica(
    model: Model, block: Block
) -> Callable[[np.ndarray, Mapping[str, Weights]], np.ndarray]:
    """Return a block as a function of its real input and real parameters."""
    names = {block.source: INPUT}
    nodes = tuple(replace(n, inputs=tuple(names.get(i, i) for i in n.inputs)) for n in block.nodes)
    graph = Graph(model.graph.shapes[block.source], nodes)

    def run(x, params):
        mine = {n.name: params[f"node/{n.name}"] for n in graph.trainable}
        return real_forward(FloatModel(graph, mine), x)[block.output].astype(np.float64)

    return run


def cross_entropy(logits, y) -> float:
    logits = logits - logits.max(axis=1, keepdims=True)
    return float((np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]).sum())


def check(
    found: Mapping[str, Weights], params: dict[str, Weights], loss: Callable[[], float],
    cosine: float = 0.97, ratio: float = 0.1, factors: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Compare gradients with finite differences of a loss in some entries of every tensor."""
    rng = np.random.default_rng(6)
    assert params
    for key, tensors in params.items():
        for kind, tensor, integer in zip("wb", tensors, found[key], strict=True):
            count = min(ENTRIES, tensor.size)
            places = rng.permutation(tensor.size)[:count]
            slopes = np.zeros(count)
            for i, place in enumerate(places):
                old = tensor.flat[place]
                for sign in (1, -1):
                    tensor.flat[place] = old + sign * DISTANCE
                    slopes[i] += sign * loss() / (2 * DISTANCE)
                tensor.flat[place] = old
            slopes *= (factors or {}).get(key, 1.0)
            got = integer.ravel()[places]
            lengths = np.linalg.norm(got), np.linalg.norm(slopes)
            assert got @ slopes / (lengths[0] * lengths[1]) > cosine, (key, kind, got, slopes)
            assert abs(lengths[0] / lengths[1] - 1) < ratio, (key, kind, lengths)


NETWORKS = {
    "mlp": mlp((8,), CLASSES, hidden=(16, 12)).graph,
    "cnn": cnn((8, 8, 2), CLASSES, channels=(6, 8, 8)).graph,
    "ds_cnn": ds_cnn((10, 8, 1), CLASSES, channels=8, blocks=2).graph,
    "signal": ds_cnn((1, 32, 2), CLASSES, channels=8, blocks=2).graph,
    "resnet8": resnet8((8, 8, 3), CLASSES, channels=6).graph,
    "every operation": EVERY_OPERATION,
}
