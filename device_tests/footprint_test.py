"""The memory that is forecast is what an emulated board is seen to use."""

import numpy as np
import pytest

from edgetrain.architectures import ds_cnn, resnet8
from edgetrain.device_tests.boards import BOARDS
from edgetrain.device_tests.footprint import compiler_for, footprint
from edgetrain.device_tests.painted import built_by_gcc, seen
from edgetrain.exporters.c_sizes import inference_size, size
from edgetrain.exporters.c_writing.targets import TARGETS
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardGradient, MonoForward
from edgetrain.settings import Settings

TARGET = TARGETS["cortex-m4"]
TOLERANCE = 0.02
LINKED = 16
"""Bytes that a linker may add at the ends of sections."""
OTHER_CALLS = 768
"""By how much the deepest calls may lie below those that a network takes: a forecast knows the
calls, not the shapes on which they depend."""
STALE = 1.25
"""By how much a compiler may exceed the bounds of the table of targets, which is to be measured
anew after kernels have changed: python examples/measure_memory.py --targets"""
NETWORKS = {
    "ds_cnn": ds_cnn((25, 10, 1), 12, channels=32),
    "resnet8": resnet8((16, 16, 3), 10),
}
RULES = {
    "mono_forward": MonoForward(),
    "mono_forward, layer, w16": MonoForward(blocks="layer", settings=Settings(weights="w16")),
    "backprop, last two": Backprop(settings=Settings(train=2)),
    "forward_gradient": ForwardGradient(),
    "forward_gradient, weight": ForwardGradient(space="weight"),
}


def quantized(network):
    x = np.random.default_rng(0).normal(0, 1, (4, *network.graph.input_shape)).astype(np.float32)
    return quantize(network, x)


@pytest.fixture(params=["gcc", "zig"])
def compiled(request, need, monkeypatch):
    """A board that Unicorn runs, whichever compiler builds for it."""
    need("cortex-m4")
    need("qemu-cortex-m4")
    monkeypatch.setitem(BOARDS, "gcc", built_by_gcc())
    return {"gcc": "gcc", "zig": "cortex-m4"}[request.param]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("network", NETWORKS)
def test_the_forecast_is_within_two_percent(compiled, network, rule, objects):
    model, chosen = quantized(NETWORKS[network]), RULES[rule]
    forecast = size(model, TARGET, chosen)
    made = footprint(compiled, model, chosen, objects)
    found = seen(compiled, model, chosen, objects)
    exact = forecast.weights_ram + forecast.state_ram + forecast.arena
    assert exact == made.ram
    assert 0 <= found.variables - exact < LINKED
    assert made.stack["train"] <= STALE * forecast.stack or compiled != "gcc"
    in_all, used = exact + made.stack["train"], found.variables + found.stack
    assert -LINKED <= in_all - used <= max(TOLERANCE * used, OTHER_CALLS)


@pytest.mark.parametrize("rule", RULES)
def test_code_and_constants_are_what_the_compiler_makes(compiled, rule, objects):
    model, chosen = quantized(NETWORKS["resnet8"]), RULES[rule]
    forecast, made = size(model, TARGET, chosen), footprint(compiled, model, chosen, objects)
    constants = forecast.weights_flash + forecast.constants_flash
    assert abs(constants - made.constants) <= TOLERANCE * made.constants
    assert made.code <= STALE * forecast.code or compiled != "gcc"


def test_inference_alone(compiled, objects):
    model = quantized(NETWORKS["ds_cnn"])
    still = MonoForward(settings=Settings(train=0))
    forecast = inference_size(model, TARGET)
    made = footprint(compiled, model, still, objects, functions=("init", "infer"))
    everything = footprint(compiled, model, still, objects)
    assert made.code < everything.code
    assert set(made.stack) == {"init", "infer"}
    assert forecast.arena <= everything.ram
    assert forecast.weights_flash == sum(w.nbytes + b.nbytes for w, b in model.params.values())


def test_a_target_without_a_compiler_here(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert compiler_for(("qemu-cortex-m4",)) == ""
    assert compiler_for(TARGETS["esp32"].boards) == ""


def test_every_board_of_a_target_exists():
    assert {board for target in TARGETS.values() for board in target.boards} <= set(BOARDS)
