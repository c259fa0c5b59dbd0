"""Every rule on every backend: the trace of model and state is equal after every step.

Each rule meets every kind of network that it does not refuse, and each option once at least.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import ModuleType

import numpy as np
import pytest

from edgetrain import fixed, kernels
from edgetrain.architectures import autoencoder, cnn, ds_cnn, mlp, mobilenet_v1, resnet8
from edgetrain.blocks import select
from edgetrain.errors import BackendError, RuleError
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Model, Weights
from edgetrain.outputs import targets_q10
from edgetrain.quantize import quantize
from edgetrain.reals import forward
from edgetrain.rules import RULES, Backprop, ForwardForward, ForwardGradient, MonoForward, Rule
from edgetrain.settings import Settings
from edgetrain.state import State, trace

CLASSES = 3


def window(kernel: int, stride: int = 1, pad: int = 0, groups: int = 1) -> Window:
    return Window((kernel, kernel), (stride, stride), (pad,) * 4, groups)


def smooth() -> Graph:
    """Smooth activations of every kind, an average pool, and a flatten instead of a mean."""
    nodes = [Node("first", "conv2d", (INPUT,), 4, window(3, pad=1))]
    for name in ("gelu", "silu", "tanh"):
        nodes.append(Node(name, "activation", (nodes[-1].name,), activation=name))
        nodes.append(Node(f"after_{name}", "conv2d", (name,), 4, window(3, pad=1)))
    nodes += [
        Node("swish", "activation", ("after_tanh",), activation="hard_swish"),
        Node("average", "average_pool", ("swish",), window=window(2, 2)),
        Node("flat", "flatten", ("average",)),
        Node("dense", "dense", ("flat",), 6),
        Node("sigmoid", "activation", ("dense",), activation="sigmoid"),
        Node("classifier", "dense", ("sigmoid",), CLASSES),
    ]
    return Graph((6, 6, 2), tuple(nodes))


def grouped() -> Graph:
    """Convolutions in groups: three filters a channel, groups of 3, 15 and 5, two filters."""
    nodes = (
        Node("triple", "conv2d", (INPUT,), 9, window(3, 1, 1, 3), "relu"),
        Node("threes", "conv2d", ("triple",), 30, window(3, 2, 1, 3), "relu6"),
        Node("fifteens", "conv2d", ("threes",), 10, window(1, 1, 0, 2), "relu"),
        Node("fives", "conv2d", ("fifteens",), 6, window(3, 1, 1, 2), "relu"),
        Node("double", "conv2d", ("fives",), 12, window(2, 2, 0, 6), "relu"),
        Node("mean", "global_average_pool", ("double",)),
        Node("classifier", "dense", ("mean",), CLASSES),
    )
    return Graph((7, 7, 3), nodes)


def balanced(graph: Graph, x) -> FloatModel:
    """Draw weights that give every layer results of about the same size."""
    rng = np.random.default_rng(1)
    zero = {n: Weights(np.zeros(graph.weight_shape(n)), np.zeros(n.n_out)) for n in graph.trainable}
    params = {node.name: weights for node, weights in zero.items()}
    for node in graph.trainable:
        w = rng.normal(size=graph.weight_shape(node)).astype(np.float32)
        b = np.zeros(node.n_out, np.float32)
        size = forward(FloatModel(graph, params | {node.name: Weights(w, b)}), x)[node.name].std()
        b += rng.normal(0, 0.1, len(b)).astype(np.float32)
        params[node.name] = Weights(w / size, b)
    return FloatModel(graph, params)


@cache
def network(name: str):
    """Return a tiny int8 network, 32 inputs and their labels or targets."""
    graph, rng = NETWORKS[name](), np.random.default_rng(2)
    x = rng.normal(size=(32, *graph.input_shape)).astype(np.float32)
    task = "reconstruct" if name == "autoencoder" else "classify"
    model = quantize(balanced(graph, x), x, headroom=2.0, task=task)
    y = targets_q10(model, x) if task == "reconstruct" else rng.integers(0, CLASSES, len(x))
    return model, model.quantize_input(x), y


NETWORKS: dict[str, Callable[[], Graph]] = {
    "mlp": lambda: mlp((8,), CLASSES, hidden=(10, 8)).graph,
    "cnn": lambda: cnn((6, 6, 2), CLASSES, channels=(4, 4, 4)).graph,
    "ds_cnn": lambda: ds_cnn((8, 6, 1), CLASSES, channels=4, blocks=2).graph,
    "signal": lambda: ds_cnn((1, 24, 2), CLASSES, channels=4, blocks=2).graph,
    "resnet8": lambda: resnet8((8, 8, 3), CLASSES, channels=4).graph,
    "mobilenet_v1": lambda: mobilenet_v1((16, 16, 3), CLASSES).graph,
    "autoencoder": lambda: autoencoder((12,), hidden=8, code=3).graph,
    "smooth": smooth,
    "grouped": grouped,
}


def options(**given) -> Settings:
    return Settings(**{"learning_rate": 2**-2, "batch": 4, **given})


REGRESSION = options(loss="squared_error", learning_rate=2**-4)
W16, MOMENTUM = {"weights": "w16"}, {"momentum": 0.875}
FAST, FAST_W16 = options(learning_rate=1.0), options(learning_rate=1.0, **W16)
ACTIVITY = {"head": "same", "estimate": "sign", "queries": 3}
CASES: list[tuple[str, Rule]] = [
    ("mlp", MonoForward(settings=options(**MOMENTUM), blocks="layer", warmup=0)),
    ("cnn", MonoForward(settings=options(**W16), blocks=2, warmup=1, early_rate=1.0)),
    ("ds_cnn", MonoForward(settings=options(**W16, **MOMENTUM), blocks="residual", warmup=0,
                           early_rate=1.0)),
    ("signal", MonoForward(settings=options(schedule="linear", steps=30), warmup=2,
                           early_rate=1.0)),
    ("resnet8", MonoForward(settings=options(error_clip=0.5), blocks="residual", warmup=2)),
    ("resnet8", MonoForward(settings=options(), blocks=("res2",), warmup=0, predict_with="last")),
    ("mobilenet_v1", MonoForward(settings=options(train=9), blocks=3, warmup=2)),
    ("autoencoder", MonoForward(settings=REGRESSION, blocks="layer", warmup=2)),
    ("smooth", MonoForward(settings=options(bits=2), blocks="network")),
    ("mlp", ForwardForward(settings=options(**W16))),
    ("mlp", ForwardForward(settings=options(**MOMENTUM), goodness_loss="threshold",
                           negatives="random", sharpness=1.0)),
    ("mlp", ForwardForward(settings=options(**W16, error_clip=2.0**-6), goodness_loss="threshold",
                           sharpness=1024.0)),
    ("mlp", ForwardForward(settings=options(train=("hidden1",), schedule="linear", steps=30),
                           sharpness=0.25)),
    ("mlp", ForwardForward(settings=options(train=1), negatives="random")),
    ("mlp", ForwardForward(settings=FAST, labels="channel", goodness_loss="threshold")),
    ("cnn", ForwardForward(settings=options(train=2, schedule="steps", steps=24), blocks="layer")),
    ("cnn", ForwardForward(settings=options(learning_rate=4.0), labels="channel",
                           blocks="layer")),
    ("ds_cnn", ForwardForward(settings=FAST_W16, blocks="residual", negatives="random")),
    ("signal", ForwardForward(settings=replace(FAST, **MOMENTUM), blocks=3,
                              goodness_loss="threshold")),
    ("resnet8", ForwardForward(settings=FAST, blocks=2, negatives="random")),
    ("mobilenet_v1", ForwardForward(settings=FAST_W16, blocks="residual")),
    ("grouped", MonoForward(settings=options(**W16, **MOMENTUM), blocks="layer", warmup=2,
                            early_rate=1.0)),
    ("smooth", ForwardForward(settings=FAST, blocks="network")),
    ("grouped", ForwardForward(settings=FAST, blocks=2, negatives="random")),
    ("smooth", ForwardForward(settings=replace(FAST, bits=2, error_clip=0.5), blocks=2)),
    ("mlp", ForwardGradient(settings=options(**W16))),
    ("mlp", ForwardGradient(settings=options(**MOMENTUM), **ACTIVITY)),
    ("mlp", ForwardGradient(settings=options(learning_rate=2**-5), space="weight")),
    ("cnn", ForwardGradient(settings=options(), **ACTIVITY)),
    ("cnn", ForwardGradient(settings=options(**W16, **MOMENTUM), space="weight", queries=3)),
    ("ds_cnn", ForwardGradient(settings=options(), queries=3, perturbation=2.0)),
    ("signal", ForwardGradient(settings=options(), space="weight", head="same", estimate="value")),
    ("resnet8", ForwardGradient(settings=options(**W16))),
    ("mobilenet_v1", ForwardGradient(settings=options(train=5), space="weight", queries=1)),
    ("autoencoder", ForwardGradient(settings=REGRESSION, queries=2)),
    ("autoencoder", ForwardGradient(settings=REGRESSION, head="same")),
    ("autoencoder", ForwardGradient(settings=REGRESSION, head="same", space="weight", queries=3)),
    ("smooth", ForwardGradient(settings=options(bits=8), queries=1)),
    ("grouped", ForwardGradient(settings=options(**MOMENTUM), queries=2)),
    ("grouped", ForwardGradient(settings=options(**W16), space="weight")),
    ("mlp", Backprop(settings=options())),
    ("cnn", Backprop(settings=options(schedule="steps", steps=24))),
    ("ds_cnn", Backprop(settings=options(**W16))),
    ("signal", Backprop(settings=options(train=("block1_pointwise", "classifier")))),
    ("resnet8", Backprop(settings=options(**MOMENTUM))),
    ("mobilenet_v1", Backprop(settings=options(learning_rate=2**-5, **W16))),
    ("autoencoder", Backprop(settings=replace(REGRESSION, **MOMENTUM))),
    ("smooth", Backprop(settings=options(bits=8))),
    ("grouped", Backprop(settings=options())),
]  # fmt: skip


def test_every_rule_meets_every_network_that_it_does_not_refuse():
    missing = {(name, kind) for name in NETWORKS for kind in RULES.values()} - {
        (name, type(rule)) for name, rule in CASES
    }
    assert missing == {("autoencoder", ForwardForward)}
    with pytest.raises(RuleError, match="'reconstruction'"):
        ForwardForward(settings=REGRESSION).init(network("autoencoder")[0])


def describe(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


@pytest.mark.parametrize(("name", "rule"), CASES, ids=describe)
def test_every_step_leaves_the_same_bits_on_every_backend(name, rule, other):
    model, x, y = network(name)
    batch, steps = (2, 40) if name == "mobilenet_v1" else (4, 24)
    start = model, rule.init(model)
    here, there = start, start
    for i in range(steps):
        rows = np.arange(i * batch, (i + 1) * batch) % len(x)
        *here, metrics = rule.step(*here, x[rows], y[rows], fixed, 3)
        *there, metrics_there = rule.step(*there, x[rows], y[rows], other, 3)
        assert metrics == metrics_there, f"step {i}"
        assert trace(*here) == trace(*there), f"step {i}"
    np.testing.assert_array_equal(
        rule.predict(*here, x[:4], fixed), rule.predict(*there, x[:4], other), strict=True
    )
    idle = select(model.graph, rule.settings.train) - learned(start, here)
    assert len(idle) <= len(model.params) // 10, idle  # else the comparison says little


def learned(before: tuple[Model, State], after: tuple[Model, State]) -> set[str]:
    """Names of the nodes whose weights or masters have moved."""
    moved = {n for n, p in after[0].params.items() if (p.w != before[0].params[n].w).any()}
    old, new = before[1].tensors, after[1].tensors
    masters = {name for name in new if name.startswith("master/node/")}
    return moved | {n.split("/")[2] for n in masters if (new[n] != old[n]).any()}


@pytest.fixture(scope="module", params=[name for name in kernels.BACKENDS if name != "numpy"])
def other(request: pytest.FixtureRequest) -> ModuleType:
    try:
        return kernels.load(request.param)
    except BackendError as error:
        pytest.skip(str(error))
