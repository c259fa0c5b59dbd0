"""The forecast arena against the int8 arrays that really live at one time."""

import gc
import weakref
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from edgetrain import fixed, kernels
from edgetrain.architectures import autoencoder, cnn, ds_cnn, mlp, mobilenet_v1, resnet8
from edgetrain.arena import SUM_BYTES, block_arena, inference_arena, live_values, size
from edgetrain.blocks import is_convolutional, plan, select, split
from edgetrain.graph import INPUT
from edgetrain.inference import infer
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward
from edgetrain.settings import Settings


class Meter:
    """Counts the bytes of int8 arrays while they live."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def add(self, n: int) -> None:
        self.now += n
        self.peak = max(self.peak, self.now)


METER = Meter()


class Bytes:
    """Bytes that count while someone holds this."""

    def __init__(self, n: int) -> None:
        self.n = n
        METER.add(n)
        weakref.finalize(self, METER.add, -n)


class Metered(np.ndarray):
    """An array whose memory is counted, once however many views it has."""

    memory: Bytes | None = None

    def __array_finalize__(self, source):
        if self.base is not None:
            self.memory = getattr(source, "memory", None)

    def __mul__(self, mask):
        result = np.multiply(self, mask).view(Metered)
        if getattr(mask, "dtype", None) == np.bool_:  # a runtime masks in place
            spread = self.memory is None or result.nbytes > self.memory.n
            result.memory = Bytes(result.nbytes) if spread else self.memory
        return result


def metered(array):
    """Let an array's memory count."""
    counted = np.array(array).view(Metered)
    counted.memory = Bytes(array.nbytes)
    return counted


def wrap(function):
    """Count what an operation returns, not what it needs for a moment."""

    def call(*args):
        args = [np.asarray(a) if isinstance(a, Metered) else a for a in args]
        result = function(*args)
        first = result[0] if isinstance(result, tuple) else result
        if isinstance(first, np.ndarray) and first.dtype.itemsize == 1:
            first = metered(first)
        return (first, *result[1:]) if isinstance(result, tuple) else first

    return call


LEARN = ("update_int8", "update_int16")
OPS = SimpleNamespace(
    **{n: getattr(fixed, n) if n in LEARN else wrap(getattr(fixed, n)) for n in kernels.OPS}
)
NETWORKS = {
    "mlp": lambda: mlp((64,), 5),
    "cnn": lambda: cnn((8, 8, 2), 4),
    "ds_cnn": lambda: ds_cnn((20, 10, 1), 4, channels=16),
    "signal": lambda: ds_cnn((1, 64, 3), 4, channels=16),
    "resnet8": lambda: resnet8((16, 16, 3), 4, channels=8),
    "mobilenet_v1": lambda: mobilenet_v1((32, 32, 3), 2),
    "autoencoder": lambda: autoencoder((64,), hidden=32),
}
BATCH = 4


@cache
def network(name: str):
    real = NETWORKS[name]()
    x = np.random.default_rng(0).normal(size=(BATCH, *real.graph.input_shape)).astype(np.float32)
    model = quantize(real, x)
    return model, model.quantize_input(x), np.zeros(BATCH, np.int64)


@pytest.fixture
def meter(monkeypatch):
    """Count from nothing; masks and codes are counted where they are packed."""
    pack = np.packbits
    monkeypatch.setattr(np, "packbits", lambda *args, **options: metered(pack(*args, **options)))
    spread = np.broadcast_to

    def broadcast_to(array, shape):
        result = spread(array, shape).view(Metered)
        result.memory = getattr(array, "memory", None)
        return result

    monkeypatch.setattr(np, "broadcast_to", broadcast_to)
    gc.collect()
    METER.now = METER.peak = 0
    yield METER
    gc.collect()
    assert METER.now == 0  # nothing is kept from step to step


@pytest.mark.parametrize("name", NETWORKS)
def test_inference_needs_what_is_forecast(name, meter):
    model, x, _ = network(name)
    infer(model, x, OPS)
    forecast = inference_arena(model.graph, BATCH)

    # The input is the caller's, so it is not metered, but the forecast has it while it is read.
    assert meter.peak <= forecast <= 1.25 * (meter.peak + x.nbytes)


def rules(name: str):
    settings = Settings(batch=BATCH)
    yield "backprop", Backprop(settings=settings)
    yield "last layers", Backprop(settings=replace(settings, train=2))
    for choice in ("layer", "residual", 2):
        yield f"mono_forward {choice}", MonoForward(settings=settings, blocks=choice, warmup=0)
    yield "forward_gradient", ForwardGradient(settings=settings)
    if name == "mlp":
        yield "forward_forward input", ForwardForward(settings=settings)
    elif name != "autoencoder":
        yield "forward_forward channel", ForwardForward(settings=settings, blocks="residual")


@pytest.mark.parametrize(
    ("name", "rule"),
    [pytest.param(n, rule, id=f"{n}-{label}") for n in NETWORKS for label, rule in rules(n)],
)
def test_a_training_step_needs_what_is_forecast(name, rule, meter):
    model, x, y = network(name)
    rule.step(model, rule.init(model), x, y, OPS)
    forecast = rule.cost(model, BATCH).arena_bytes

    graph = model.graph
    sums = SUM_BYTES * max(map(graph.fan_in, graph.trainable))  # int32, not metered
    # A head's features and the errors of its outputs are left out of the forecast.
    heads = 2 * BATCH * (max(shape[-1] for shape in graph.shapes.values()) + graph.output_size)
    assert meter.peak <= forecast + heads
    assert forecast <= 1.25 * (meter.peak + x.nbytes + sums)


def arena_of(graph, choice, train="all") -> int:
    trained = select(graph, train)
    return max(block_arena(graph, plan(b, trained, 3), 1) for b in split(graph, choice))


@pytest.mark.parametrize("name", NETWORKS)
def test_smaller_blocks_need_less(name):
    graph = network(name)[0].graph
    layer, residual, two, whole = (
        arena_of(graph, choice) for choice in ("layer", "residual", 2, "network")
    )

    assert layer <= residual
    assert max(residual, two) <= whole
    assert residual <= two or not is_convolutional(graph)
    assert inference_arena(graph) <= whole
    assert layer < whole


@pytest.mark.parametrize("name", NETWORKS)
def test_frozen_layers_need_less(name):
    graph = network(name)[0].graph
    arenas = [arena_of(graph, "network", k) for k in range(len(graph.trainable) + 1)]

    assert arenas == sorted(arenas)
    assert arenas[0] == inference_arena(graph)
    assert arenas[1] < arenas[-1]


def test_an_arena_is_what_a_hand_counts():
    """The values of a chain of 4, 10, 6 and 3 numbers."""
    graph = mlp((4,), 3, hidden=(10, 6)).graph
    whole = plan(split(graph, "network")[0], select(graph, "all"), 3)

    assert inference_arena(graph) == 10 + 6
    assert inference_arena(graph, 2) == 2 * (10 + 6)
    # Input and both hidden results are kept; at hidden2 its error and that of hidden1 exist,
    # and a row of sums, which is 10 wide.
    assert block_arena(graph, whole) == (4 + 10 + 6) + (6 + 10) + 4 * 10
    first, second, _ = (plan(b, select(graph, "all"), 3) for b in split(graph, "layer"))
    # A layer alone keeps its input and a bit a value; its result must outlive its error.
    assert block_arena(graph, first) == 4 + 2 + 10 + 10 + 4 * 4
    assert block_arena(graph, second) == 10 + 1 + 6 + 6 + 4 * 10
    assert size(graph, "hidden1", 3) == 30
    alive = live_values(graph, graph.nodes, INPUT, frozenset())
    assert alive == [{INPUT, "hidden1"}, {"hidden1", "hidden2"}, {"hidden2", "classifier"}]
