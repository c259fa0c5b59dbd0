"""Integer gradients are true gradients, in true units.

A block is run again in floating point, without any rounding, and the derivatives of its local
loss are taken by finite differences. The sums that reach `Step.update`, times the units that it
is told, must be those derivatives: direction and length, weights and biases, heads too. Weights
are frozen for some steps before, so that the exponents of the errors have settled.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest

from edgetrain import fixed, heads
from edgetrain.architectures import cnn, ds_cnn, mlp, resnet8
from edgetrain.arithmetic.activations import FUNCTIONS
from edgetrain.arithmetic.goodness import NORMAL_CODE
from edgetrain.backward import _input_error, forward, opened
from edgetrain.blocks import Block, plan, select, split
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.inference import apply
from edgetrain.model import FloatModel, Model, Weights
from edgetrain.outputs import predict, targets_q10
from edgetrain.quantize import quantize
from edgetrain.reals import forward as real_forward
from edgetrain.rules import Backprop, ForwardForward, MonoForward, channel_labels, input_labels
from edgetrain.rules import mono_forward as mono_forward_module
from edgetrain.settings import Settings
from edgetrain.state import output_span
from edgetrain.step import Step

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


@pytest.fixture
def gradients(monkeypatch):
    """Freeze the weights; collect the gradients of the newest step in real units, by key."""
    found: dict[str, Weights] = {}

    def update(step, key, old, acc_w, acc_b, exponent, limit, rate=256, batch=0):
        kind, name = key.split("/")
        source = step.model.graph.by_name[name].inputs[0] if kind == "node" else name
        unit = 2.0**exponent
        scale = step.model.scheme.activations[source].scale
        found[key] = Weights(acc_w * scale * unit, acc_b * unit)
        return old

    monkeypatch.setattr(Step, "update", update)
    return found


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


@pytest.mark.parametrize("name", NETWORKS)
def test_backpropagation_finds_the_gradient_of_the_cross_entropy(name, gradients):
    model, x, y = quantized(NETWORKS[name])
    settle(Backprop(), model, x, y)

    (block,) = split(model.graph, "network")
    params, run = real_params(model, block), replica(model, block)
    start = real(model, INPUT, x)
    check(gradients, params, lambda: cross_entropy(run(start, params), y))


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_few_bits_of_a_derivative_are_enough(function, bits, gradients):
    model, x, y = quantized(chain(function, function))
    settle(Backprop(settings=Settings(bits=bits)), model, x, y)

    (block,) = split(model.graph, "network")
    params, run = real_params(model, block), replica(model, block)
    start = real(model, INPUT, x)
    cosine, ratio = {3: (0.95, 0.15), 4: (0.98, 0.1), 8: (0.995, 0.05)}[bits]
    check(gradients, params, lambda: cross_entropy(run(start, params), y), cosine, ratio)


@pytest.mark.parametrize(
    ("name", "choice"),
    [("mlp", "layer"), ("cnn", 2), ("resnet8", "residual"), ("resnet8", 2), ("ds_cnn", "residual")],
)
def test_every_block_finds_the_gradient_of_its_own_loss(name, choice, gradients):
    model, x, y = quantized(NETWORKS[name])
    model = with_heads(model, choice)
    settle(MonoForward(settings=Settings(), blocks=choice, warmup=0), model, x, y)

    values, blocks = values_of(model, x), split(model.graph, choice)
    assert len(blocks) > 1
    for block in blocks:
        params, run = real_params(model, block), replica(model, block)
        start, head = real(model, block.source, values[block.source]), f"head/{block.output}"

        def loss(start=start, head=head, params=params, run=run) -> float:
            result = run(start, params)
            if head in params:
                result = result.mean(axis=tuple(range(1, result.ndim - 1)))
                result = result @ params[head].w.T + params[head].b
            return cross_entropy(result, y)

        check(gradients, params, loss)


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("choice", ["network", "layer"])
def test_a_regression_finds_the_gradient_of_its_squared_error(scale, choice, gradients):
    """The loss is half the sum of squares of (output - target) / span."""
    model, x, _ = quantized(NETWORKS["mlp"], task="regress")
    activations = model.scheme.activations
    wide = activations["classifier"]._replace(scale=activations["classifier"].scale * scale)
    scheme = replace(model.scheme, activations={**activations, "classifier": wide})
    model = with_heads(replace(model, scheme=scheme), choice)
    span = output_span(model, model.graph.output)
    assert (span > 1) == (scale > 0.1)
    target = np.random.default_rng(7).normal(1, 1, (BATCH, CLASSES)) * span
    settings = Settings(loss="squared_error")
    settle(MonoForward(settings=settings, blocks=choice, warmup=0), model, x,
           targets_q10(model, target))  # fmt: skip

    values = values_of(model, x)
    for block in split(model.graph, choice):
        params, run = real_params(model, block), replica(model, block)
        start, head = real(model, block.source, values[block.source]), f"head/{block.output}"
        top = head if head in params else "node/classifier"

        def loss(start=start, head=head, params=params, run=run) -> float:
            result = run(start, params)
            if head in params:
                result = result @ params[head].w.T + params[head].b
            return float((((result - target) / span) ** 2).sum() / 2)

        check(gradients, params, loss, factors={top: span})  # the last layer learns in spans


def logistic(value):
    return np.log1p(np.exp(-value))


def pair_loss(positive, negative, kind: str, threshold: float) -> float:
    if kind == "symmetric":
        return float(logistic(positive - negative).sum())
    return float((logistic(positive - threshold) + logistic(threshold - negative)).sum())


@pytest.fixture
def wrong(monkeypatch):
    """Fix the wrong labels of Forward-Forward."""
    labels = np.random.default_rng(8).integers(1, CLASSES, BATCH)
    for module in (input_labels, channel_labels):
        monkeypatch.setattr(module, "wrong_labels", lambda step, shares, y: (y + labels) % CLASSES)
    return labels


@pytest.mark.parametrize("kind", ["symmetric", "threshold"])
@pytest.mark.parametrize("sharpness", [1.0, 4.0])
def test_forward_forward_finds_the_gradient_of_the_goodness(kind, sharpness, gradients, wrong):
    model, x, y = quantized(mlp((10,), CLASSES, hidden=(16, 12)).graph)
    rule = ForwardForward(goodness_loss=kind, sharpness=sharpness)
    settle(rule, model, x, y)

    pair = np.concatenate([input_labels.embed(model, x, labels) for labels in (y, (y + wrong) % 4)])
    for node, source, _ in input_labels.layers(model, pair, fixed):
        block = Block((node,), node.inputs[0])
        params, run = real_params(model, block), replica(model, block)
        start = real(model, block.source, source)
        unit = NORMAL_CODE * model.scheme.activations[node.name].scale

        def loss(start=start, unit=unit, params=params, run=run) -> float:
            goodness = sharpness * ((run(start, params) / unit) ** 2).mean(axis=1)
            return pair_loss(goodness[:BATCH], goodness[BATCH:], kind, sharpness)

        check(gradients, params, loss)


@pytest.mark.parametrize("kind", ["symmetric", "threshold"])
@pytest.mark.parametrize(("name", "choice"), [("cnn", 2), ("resnet8", "residual")])
def test_a_channel_a_class_finds_the_gradient_of_the_goodness(
    kind, name, choice, gradients, wrong
):  # fmt: skip
    model, x, y = quantized(NETWORKS[name])
    model = with_heads(model, choice, size=1.5)
    rule = ForwardForward(goodness_loss=kind, blocks=choice)
    settle(rule, model, x, y)

    values, rows = values_of(model, x), np.arange(BATCH)
    for block in split(model.graph, choice)[:-1]:
        params, run = real_params(model, block), replica(model, block)
        start, head = real(model, block.source, values[block.source]), f"head/{block.output}"

        def loss(start=start, head=head, params=params, run=run) -> float:
            channels = np.maximum(run(start, params) @ params[head].w.T + params[head].b, 0)
            goodness = (channels**2).mean(axis=(1, 2))
            return pair_loss(goodness[rows, y], goodness[rows, (y + wrong) % CLASSES], kind, 1.0)

        check(gradients, params, loss)


@pytest.mark.parametrize("name", ["mlp", "ds_cnn"])
def test_an_update_is_the_learning_rate_times_the_mean_gradient(name, monkeypatch):
    """In real units, per channel: ``w - rate * gradient / batch``, to half a step of a master."""
    model, x, y = quantized(NETWORKS[name])
    rule = Backprop(settings=Settings(learning_rate=2**-3, weights="w16"))
    state, seen = rule.init(model), {}
    original = Step.update

    def update(step, key, old, acc_w, acc_b, exponent, *rest):
        seen[key] = acc_w * 2.0**exponent / BATCH, acc_b * 2.0**exponent / BATCH
        return original(step, key, old, acc_w, acc_b, exponent, *rest)

    monkeypatch.setattr(Step, "update", update)
    for _ in range(12):
        before, state_before = model, state
        model, state, _ = rule.step(model, state, x, y, fixed)
    for node in model.graph.trainable:
        key, scale = f"node/{node.name}", model.scheme.weights[node.name]
        gradient_w, gradient_b = seen[key]
        masters = (s.tensors[f"master/{key}"].astype(float) / 256 for s in (state_before, state))
        moved = np.subtract(*masters).reshape(node.n_out, -1) * scale[:, None]
        wanted = gradient_w.reshape(node.n_out, -1) * 2**-3
        wanted *= model.scheme.activations[node.inputs[0]].scale
        assert (abs(moved - wanted) <= 1.01 * scale[:, None] / 256 + 1e-3 * abs(wanted)).all()
        assert abs(wanted / scale[:, None]).max() > 4 / 256  # more than rounding
        biases = np.subtract(before.params[node.name].b, model.params[node.name].b)
        unit = model.scheme.acc_scale(node)
        assert (abs(biases * unit - gradient_b * 2**-3) <= unit * 0.51 + 1e-3 * unit).all()


def run(rule, model: Model, x, y, steps: int = 12) -> Model:
    state = rule.init(model)
    for _ in range(steps):
        model, state, _ = rule.step(model, state, x, y, fixed)
    return model


@pytest.mark.parametrize(
    ("name", "choice"), [("mlp", "layer"), ("cnn", 2), ("resnet8", "residual")]
)
def test_no_error_crosses_a_block(name, choice, monkeypatch):
    model, x, y = quantized(NETWORKS[name])
    model = with_heads(model, choice)
    rule = MonoForward(settings=Settings(learning_rate=0.25), blocks=choice, warmup=0)
    *early, last = split(model.graph, choice)
    others = {n.name: Weights(-w[0], w[1]) for n in last.nodes if (w := model.params.get(n.name))}
    plain, changed = run(rule, model, x, y), run(rule, model.replace_params(others), x, y)
    learn = mono_forward_module.learn_last_block
    monkeypatch.setattr(
        mono_forward_module, "learn_last_block",
        lambda step, plan, x, y: learn(step, plan, x, (y + 1) % CLASSES),
    )  # fmt: skip
    relabelled = run(rule, model, x, y)

    for node in model.graph.trainable:
        results = [m.params[node.name] for m in (plain, changed, relabelled)]
        same = [all((a == b).all() for a, b in zip(results[0], r, strict=True)) for r in results]
        is_early = any(node in block.nodes for block in early)
        assert same == [True, is_early, is_early], node.name
        assert (results[0].w != model.params[node.name].w).any(), node.name


def test_a_mask_is_the_same_whether_it_is_free_or_packed():
    model, x, _ = quantized(EVERY_OPERATION)
    (block,) = split(model.graph, "network")
    free = plan(block, select(model.graph, "all"), 3)
    packed = plan(block, frozenset({"first"}), 3)
    assert set(packed.masks) == {"first", "second", "depthwise", "sum"}
    assert set(packed.masks) - set(free.masks) == {"first"}

    _, kept = forward(model, packed, x, fixed)
    np.testing.assert_array_equal(forward(model, free, x, fixed)[1]["value/first"],
                                  values_of(model, x)["first"])  # fmt: skip
    values = values_of(model, x)
    for name in packed.masks:
        shape = values[name].shape
        mask = np.unpackbits(kept[f"mask/{name}"], count=values[name].size).reshape(shape)
        node = model.graph.by_name[name]
        np.testing.assert_array_equal(mask, opened(model, node, values[name]))
        low, high = model.scheme.output_limits[name]
        inside = (values[name] > low) & ((values[name] < high) | (node.activation != "relu6"))
        np.testing.assert_array_equal(mask, inside)
        assert 0 < mask.mean() < 1


@pytest.mark.parametrize("name", ["every operation", "mlp", "resnet8"])
def test_a_layer_learns_the_same_whether_later_ones_learn_or_not(name, gradients):
    """Alone, it finds its masks packed; with the others, in the values that they keep."""
    model, x, y = quantized(NETWORKS[name])
    first = model.graph.trainable[0].name
    settle(Backprop(settings=Settings(train="all")), model, x, y, 20)
    together = gradients[f"node/{first}"]
    gradients.clear()
    settle(Backprop(settings=Settings(train=(first,))), model, x, y, 20)

    assert set(gradients) == {f"node/{first}"}
    for a, b in zip(together, gradients[f"node/{first}"], strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.any()


@pytest.mark.parametrize("op", ["global_average_pool", "max_pool", "average_pool"])
def test_small_errors_pass_a_pool_exactly(op):
    """Rounded up by half a step each time, gradients behind three pools were a fifth too long."""
    end = pool("pool", op, "first") if op != "global_average_pool" else Node("pool", op, ("first",))
    flat = Node("flat", "flatten", ("pool",))
    graph = Graph(
        (4, 4, 2), (conv("first", INPUT, 3), end, flat, Node("last", "dense", ("flat",), 2))
    )
    model, x, _ = quantized(graph)
    (block,) = split(graph, "network")
    current = plan(block, select(graph, "all"), 3)
    _, kept = forward(model, current, x, fixed)
    step = Step(model, Backprop().init(model), Settings(), fixed, 0, x)
    shape = (BATCH, *graph.shapes["pool"])
    e = np.random.default_rng(9).integers(-3, 4, shape).astype(np.int8)
    for _ in range(4):  # the first ones saturate
        error, exponent = _input_error(step, current, end, kept, e, -7)

    spread = e if e.ndim == 4 else e[:, None, None, :]
    found = error.sum(axis=(1, 2)) * 2.0 ** (exponent + 7)
    np.testing.assert_array_equal(found, spread.sum(axis=(1, 2), dtype=float))
    assert set(abs(error).ravel()) - {0}
