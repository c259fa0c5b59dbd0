"""Thousands of damaged files: a clear error or a model, never a crash, a hang or much memory."""

import time
import tracemalloc

import numpy as np
import pytest

from edgetrain.arithmetic.layers import Window
from edgetrain.errors import EdgetrainError
from edgetrain.exporters import load
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Weights
from edgetrain.quantize import quantize

FILES = 10_000
SECONDS = 60
"""The first of both ends a run; at least LEAST files are tried."""
LEAST = 2_000
SLOWEST = 5.0
LARGEST = 64 << 20
NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**24, 255, 65536)
FORMATS = {"tflite": ("ai_edge_litert", {}), "onnx": ("onnx", {}), "qdq": ("onnx", {"form": "qdq"})}


def network(form):
    window = Window((3, 3), (2, 2), (1, 1, 1, 1))
    graph = Graph((6, 6, 2), (
        Node("conv", "conv2d", (INPUT,), 4, window, "relu"),
        Node("depthwise", "conv2d", ("conv",), 4, Window((3, 3), (1, 1), (1, 1, 1, 1), 4)),
        Node("sum", "add", ("depthwise", "conv"), activation="relu"),
        Node("pool", "average_pool", ("sum",), 0, Window((3, 3), (1, 1), (0, 0, 0, 0))),
        Node("flat", "flatten", ("pool",)),
        Node("classifier", "dense", ("flat",), 3),
    ))  # fmt: skip
    rng = np.random.default_rng(0)
    params = {
        n.name: Weights(
            rng.normal(0, 0.4, graph.weight_shape(n)).astype(np.float32),
            rng.normal(0, 0.1, n.n_out).astype(np.float32),
        )
        for n in graph.trainable
    }
    model = FloatModel(graph, params, softmax=True)
    x = rng.normal(0, 1, (16, 6, 6, 2)).astype(np.float32)
    return model if form == "float" else quantize(model, x)


def damaged(content, rng):
    """Return the file with one to four things wrong."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        if len(data) < 9:
            break
        at = int(rng.integers(0, len(data) - 8))
        kind = rng.integers(0, 6)
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            data[at] = int(rng.integers(0, 256))
        elif kind == 2:
            word = int(rng.choice(NUMBERS)) & 0xFFFFFFFF
            data[at : at + 4] = word.to_bytes(4, "little")
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 64))]
        elif kind == 4:
            other = int(rng.integers(0, len(data)))
            data[at:at] = data[other : other + int(rng.integers(1, 64))]
        elif rng.integers(0, 8) == 0:
            del data[at:]
    return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("format_", FORMATS)
def test_a_damaged_file_is_an_error_or_a_model(format_):
    tool, options = FORMATS[format_]
    pytest.importorskip(tool)
    name = format_ if format_ == "tflite" else "onnx"
    reads, writes = load(f"from_{name}"), load(f"to_{name}")
    forms = ("int8", "float") if format_ == "tflite" else ("int8" if options else "float",)
    contents = [next(iter(writes(network(form), **options).values())) for form in forms]
    rng, refused, slowest = np.random.default_rng(0), 0, 0.0
    tracemalloc.start()
    started = time.monotonic()
    try:
        for i in range(FILES):
            content = damaged(contents[i % len(contents)], rng)
            tracemalloc.reset_peak()
            begun = time.monotonic()
            try:
                reads(content)
            except EdgetrainError:
                refused += 1
            slowest = max(slowest, time.monotonic() - begun)
            assert tracemalloc.get_traced_memory()[1] < LARGEST
            if i >= LEAST and time.monotonic() - started > SECONDS:
                break
    finally:
        tracemalloc.stop()
    assert slowest < SLOWEST
    assert refused > (i + 1) / 4
    print(f"{format_}: {i + 1} damaged files, {refused} refused, slowest {slowest:.3f} s")
