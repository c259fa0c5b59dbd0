"""Compiled updates where they are hard: large and tiny rates, saturation, odd sizes, dead layers.

Steps of ordinary sizes take other ways through the kernels than those that may saturate.
"""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from edgetrain import fixed, kernels
from edgetrain.architectures import ds_cnn, mlp
from edgetrain.arithmetic.rounding import INT32_MAX, INT32_MIN
from edgetrain.compiled.block import BlockTensors
from edgetrain.compiled.forward import FUSED_SHIFT
from edgetrain.compiled.inference import infer
from edgetrain.inference import infer as specified
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardGradient, MonoForward, parity_test
from edgetrain.settings import Settings
from edgetrain.state import FINEST, State, trace

NETWORKS = {
    "mlp": lambda: mlp((70,), 5, hidden=(33, 130)),
    "ds_cnn": lambda: ds_cnn((9, 6, 1), 5, channels=24),
    "wide ds_cnn": lambda: ds_cnn((9, 6, 1), 5, channels=64),
}


def rules(settings):
    return {
        "mono_forward": MonoForward(settings=settings, warmup=0),
        "backprop": Backprop(settings=settings),
        "weight": ForwardGradient(settings=settings, space="weight"),
        "weight, value": ForwardGradient(settings=settings, space="weight", estimate="value"),
        "weight, far": ForwardGradient(settings=settings, space="weight", perturbation=8.0),
        "weight, 3 queries": ForwardGradient(settings=settings, space="weight", queries=3),
    }


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("rate", [2**-12, 2**-5, 1.0, 4.0])
@pytest.mark.parametrize("batch", [1, 6])
def test_steps_of_any_size_equal_the_specification(network, rate, batch):
    ops, rng = kernels.load("numba"), np.random.default_rng(6)
    real = NETWORKS[network]()
    x = rng.normal(size=(batch, *real.graph.input_shape)).astype(np.float32)
    model = quantize(real, np.repeat(x, 4, 0), headroom=2.0)
    codes, y = model.quantize_input(x), np.arange(batch) % 5

    saturated = 0
    for weights in ("w8", "w16"):
        settings = Settings(batch=batch, learning_rate=rate, weights=weights)
        for name, rule in rules(settings).items():
            here = there = model, rule.init(model)
            for _ in range(3):
                *here, metrics = rule.step(*here, codes, y, ops)
                *there, wanted = rule.step(*there, codes, y, fixed)
                assert metrics == wanted, name
                assert trace(*here) == trace(*there), name
                saturated += metrics["saturated"]
    assert rate < 4 or saturated


def hurled(state, unit, rng):
    """Return a state with velocities of every size, in units of 2**unit."""
    tensors = dict(state.tensors)
    for name, array in tensors.items():
        if name.startswith("velocity/"):
            drawn = rng.integers(INT32_MIN, INT32_MAX + 1, array.shape) >> rng.integers(
                0, 32, array.shape
            )
            drawn = np.where(rng.integers(0, 9, array.shape), drawn, INT32_MIN)
            is_unit = name.endswith("/exponent")
            tensors[name] = (np.full_like(array, unit) if is_unit else drawn).astype(np.int32)
    return State(state.step, tensors)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(("weights", "momentum"), [("w8", 0.96875), ("w16", 0.5)])
def test_momentum_of_any_unit_equals_the_specification(network, weights, momentum):
    ops, rng = kernels.load("numba"), np.random.default_rng(7)
    real = NETWORKS[network]()
    x = rng.normal(size=(4, *real.graph.input_shape)).astype(np.float32)
    model = quantize(real, x, headroom=2.0)
    codes, y = model.quantize_input(x), np.arange(4)
    settings = Settings(batch=4, learning_rate=2**-8, weights=weights, momentum=momentum)
    some = replace(settings, train=2)
    more = {
        "warming up": MonoForward(settings=settings, warmup=3),
        "last two": Backprop(settings=some),
        "activity": ForwardGradient(settings=settings),
    }
    for name, rule in (rules(settings) | more).items():
        here = there = model, rule.init(model)
        largest = smallest = 0
        for unit in (None, FINEST, -100, -30, -11, -9, -7, 9, 60):
            if unit is not None:  # the first steps are those of a new state
                there = here = here[0], hurled(here[1], unit, rng)
            for _ in range(2):
                *here, metrics = rule.step(*here, codes, y, ops)
                *there, wanted = rule.step(*there, codes, y, fixed)
                assert metrics == wanted, (name, unit)
                assert trace(*here) == trace(*there), (name, unit)
                velocities = [v for k, v in there[1].tensors.items() if k.startswith("velocity/")]
                largest = max(largest, *(int(v.max()) for v in velocities))
                smallest = min(smallest, *(int(v.min()) for v in velocities))
        assert isinstance(here[1].tensors, BlockTensors)
        assert (smallest, largest) == (INT32_MIN, INT32_MAX)


@pytest.mark.parametrize("network", ["mlp", "ds_cnn"])
def test_layers_of_large_scales_and_dead_channels_round_as_specified(network):
    real = NETWORKS[network]()
    x = np.random.default_rng(1).normal(size=(6, *real.graph.input_shape)).astype(np.float32)
    model = quantize(real, x)
    codes = model.quantize_input(x)
    scheme = model.scheme
    for node in model.graph.trainable[:-1]:
        for factor, dead in ((1, 2), (800, 1)):
            weights = {**scheme.weights, node.name: scheme.weights[node.name] * factor}
            weights[node.name][dead] = 1e-40
            changed = replace(model, scheme=replace(scheme, weights=weights))
            multiplier, shift = changed.scheme.requantize[node.name]

            assert multiplier[dead] == 0
            assert (shift[multiplier > 0].max() > FUSED_SHIFT) == (factor > 1)
            for batch in (codes, codes[:1]):
                got = infer(changed, batch, kernels.load("numba"))
                np.testing.assert_array_equal(got, specified(changed, batch, fixed))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_smooth_activations_equal_the_specification(bits):
    ops, (model, x, y) = kernels.load("numba"), parity_test.network("smooth")
    settings = Settings(batch=4, learning_rate=2**-2, bits=bits, momentum=0.5)
    more = {
        "layers": MonoForward(settings=settings, blocks="layer", warmup=0),
        "activity": ForwardGradient(settings=settings),
    }
    for name, rule in (rules(settings) | more).items():
        here = there = model, rule.init(model)
        for first in range(0, len(x), 4):
            given = x[first : first + 4], y[first : first + 4]
            *here, metrics = rule.step(*here, *given, ops)
            *there, wanted = rule.step(*there, *given, fixed)
            assert metrics == wanted, name
            assert trace(*here) == trace(*there), name
        assert isinstance(here[1].tensors, BlockTensors)
