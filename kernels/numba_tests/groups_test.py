"""Compiled steps of convolutions in groups, and of regressions, leave NumPy's bits."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from edgetrain import fixed, kernels
from edgetrain.compiled.block import BlockParams
from edgetrain.compiled.inference import infer, predict, program
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.inference import infer as specified
from edgetrain.model import FloatModel, Weights
from edgetrain.outputs import predict as specified_outputs
from edgetrain.outputs import targets_q10
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardGradient, MonoForward
from edgetrain.settings import Settings
from edgetrain.state import trace

STEPS = 35
"""Exponents are lowered after 32."""
SQUARE, WIDE = (1, 1, 1, 1), (2, 0, 1, 3)
LAYERS = {
    "2 groups of 3": (6, 2, 10, Window((3, 3), (1, 1), SQUARE, 2)),
    "2 groups of 5 with a stride": (10, 2, 6, Window((3, 2), (2, 2), WIDE, 2)),
    "3 groups of 3 with a stride": (9, 3, 15, Window((2, 3), (2, 1), WIDE, 3)),
    "3 groups of 7, one pixel": (21, 3, 3, Window((1, 1), (1, 1), (0, 0, 0, 0), 3)),
    "2 groups of 11, one pixel with a stride": (22, 2, 2, Window((1, 1), (2, 2), (0, 0, 0, 0), 2)),
    "depthwise, 2 filters a channel": (5, 5, 10, Window((3, 3), (1, 1), SQUARE, 5)),
    "depthwise, 3 filters a channel with a stride": (3, 3, 9, Window((3, 4), (2, 2), WIDE, 3)),
    "depthwise, 3 filters a channel, one pixel": (2, 2, 6, Window((1, 1), (1, 1), (0,) * 4, 2)),
}  # fmt: skip


def settings(**given):
    return Settings(**{"learning_rate": 2**-1, "batch": 5, **given})


BOTH = settings(weights="w16", momentum=0.75)
RULES = {
    "mono_forward": MonoForward(settings=settings(), blocks="layer", warmup=2, early_rate=1.0),
    "mono_forward w16": MonoForward(settings=BOTH, blocks=2, warmup=0, early_rate=1.0),
    "backprop": Backprop(settings=settings()),
    "backprop momentum": Backprop(settings=settings(momentum=0.875)),
    "activity": ForwardGradient(settings=settings()),
    "activity w16": ForwardGradient(settings=BOTH, head="same", estimate="sign", queries=3),
    "weight": ForwardGradient(settings=settings(learning_rate=2**-4), space="weight"),
    "weight w16": ForwardGradient(settings=BOTH, space="weight", head="same", queries=3),
    "weight value": ForwardGradient(settings=settings(momentum=0.5), space="weight",
                                    estimate="value", queries=2),
}  # fmt: skip
REGRESSION = settings(loss="squared_error", learning_rate=2**-5)
REGRESSION_BOTH = settings(loss="squared_error", learning_rate=2**-6, weights="w16", momentum=0.5)
REGRESSIONS = {
    "mono_forward": MonoForward(settings=REGRESSION, blocks="layer", warmup=1),
    "backprop": Backprop(settings=REGRESSION_BOTH),
    "activity": ForwardGradient(settings=REGRESSION, queries=3),
    "activity same": ForwardGradient(settings=REGRESSION_BOTH, head="same", queries=64),
    "weight": ForwardGradient(settings=REGRESSION, space="weight"),
    "weight same": ForwardGradient(settings=REGRESSION_BOTH, space="weight", head="same",
                                   queries=3),
    "weight value": ForwardGradient(settings=REGRESSION, space="weight", estimate="value",
                                    queries=2),
}  # fmt: skip


@pytest.fixture(scope="module")
def ops():
    return kernels.load("numba")


def network(channels, n_out, window, task="classify"):
    """Return an int8 network around one layer, inputs, and labels or targets."""
    rng, point = np.random.default_rng(7), Window((1, 1), (1, 1), (0, 0, 0, 0))
    graph = Graph((5, 6, 2), (
        Node("before", "conv2d", (INPUT,), channels, point, "relu"),
        Node("layer", "conv2d", ("before",), n_out, window, "relu6"),
        Node("mean", "global_average_pool", ("layer",)),
        Node("end", "dense", ("mean",), 4),
    ))  # fmt: skip
    params = {}
    for node in graph.trainable:
        shape = graph.weight_shape(node)
        params[node.name] = Weights(rng.normal(0, 2 / graph.fan_in(node) ** 0.5, shape),
                                    rng.normal(0, 0.1, node.n_out))  # fmt: skip
    x = rng.normal(size=(25, *graph.input_shape)).astype(np.float32)
    model = quantize(FloatModel(graph, params), x, headroom=2.0, task=task)
    if task == "classify":
        return model, model.quantize_input(x), rng.integers(0, 4, len(x))
    return model, model.quantize_input(x), targets_q10(model, rng.normal(size=(len(x), 4)))


def check_steps(rule, given, ops):
    """Take the same steps here and there, in batches of 1 and of odd sizes."""
    model, x, y = given
    here = there = start = model, rule.init(model)
    for step in range(STEPS):
        rows = np.arange(step, step + (5, 1, 3)[step % 3]) % len(x)
        *here, metrics = rule.step(*here, x[rows], y[rows], fixed, 11)
        *there, found = rule.step(*there, x[rows], y[rows], ops, 11)
        assert metrics == found, f"step {step}"
        assert trace(*here) == trace(*there), f"step {step}"
    assert isinstance(there[0].params, BlockParams)
    assert trace(*here) != trace(*start)
    return here


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("rule", RULES)
def test_steps_of_grouped_convolutions(layer, rule, ops):
    channels, _, n_out, window = LAYERS[layer]
    given = network(channels, n_out, window)

    model, state = check_steps(RULES[rule], given, ops)

    assert (model.params["layer"].w != given[0].params["layer"].w).any()
    np.testing.assert_array_equal(RULES[rule].predict(model, state, given[1], ops),
                                  RULES[rule].predict(model, state, given[1], fixed))  # fmt: skip


@pytest.mark.parametrize("rule", REGRESSIONS)
@pytest.mark.parametrize("layer", ["2 groups of 3", "depthwise, 3 filters a channel with a stride"])
def test_steps_of_regressions(layer, rule, ops):
    channels, _, n_out, window = LAYERS[layer]

    check_steps(REGRESSIONS[rule], network(channels, n_out, window, "reconstruct"), ops)


@pytest.mark.parametrize("layer", LAYERS)
def test_inference_of_grouped_convolutions(layer, ops):
    channels, _, n_out, window = LAYERS[layer]
    model, x, _ = network(channels, n_out, window)

    for batch in (x, x[:1], x[:3]):
        np.testing.assert_array_equal(infer(model, batch, ops), specified(model, batch, fixed))
        np.testing.assert_array_equal(
            predict(model, batch, ops), specified_outputs(model, batch, fixed)
        )
    assert program(model, len(x), ops) is not None
