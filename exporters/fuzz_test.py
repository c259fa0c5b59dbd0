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
SECONDS = 30
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


def numbers(rng):
    """Return a number that a careless reader believes."""
    return int(rng.choice(NUMBERS)) if rng.integers(0, 2) else int(rng.integers(-3, 12))


def size(rng):
    """Return such a number that fits where sizes stand."""
    return abs(numbers(rng)) & (2**31 - 1)


def restructured_onnx(content, rng):
    """Return a well-formed ONNX file with one to three fields exchanged."""
    import onnx

    model = onnx.ModelProto.FromString(content)
    graph = model.graph
    values = [name for node in graph.node for name in (*node.input, *node.output)]
    for _ in range(rng.integers(1, 4)):
        node = graph.node[rng.integers(0, len(graph.node))]
        other = graph.node[rng.integers(0, len(graph.node))]
        tensor = graph.initializer[rng.integers(0, len(graph.initializer))]
        kind = rng.integers(0, 9)
        if kind == 0 and node.input:
            node.input[rng.integers(0, len(node.input))] = str(rng.choice(values))
        elif kind == 1:
            node.op_type = other.op_type
        elif kind == 2 and node.attribute:
            attribute = node.attribute[rng.integers(0, len(node.attribute))]
            attribute.i, attribute.type = numbers(rng), int(rng.integers(1, 8))
            attribute.ints.extend([numbers(rng)] * int(rng.integers(0, 4)))
        elif kind == 3 and tensor.dims:
            tensor.dims[rng.integers(0, len(tensor.dims))] = size(rng)
        elif kind == 4:
            tensor.data_type = int(rng.integers(0, 20))
        elif kind == 5:
            tensor.raw_data = rng.bytes(len(tensor.raw_data))
        elif kind == 6:
            dims = graph.input[0].type.tensor_type.shape.dim
            dims[rng.integers(0, len(dims))].dim_value = size(rng)
        elif kind == 7 and len(graph.node) > 1:
            graph.node.remove(node)
        elif kind == 8 and node.output:
            node.output[0] = str(rng.choice(values))
    return model.SerializeToString()


def restructured_tflite(content, rng):
    """Return a well-formed TensorFlow Lite file with one to three fields exchanged."""
    from edgetrain.exporters.tflite_tests.surgery import File

    file = File(content)
    tensors, operators = file.graph.tensors, file.graph.operators
    for _ in range(rng.integers(1, 4)):
        tensor = tensors[rng.integers(0, len(tensors))]
        operator = operators[rng.integers(0, len(operators))]
        kind, index = rng.integers(0, 8), int(rng.integers(0, len(tensors)))
        if kind == 0 and len(operator.inputs):
            operator.inputs = [*operator.inputs[:-1], index]
        elif kind == 1:
            operator.outputs = [index]
        elif kind == 2:
            operator.opcodeIndex = int(rng.integers(0, len(file.model.operatorCodes)))
        elif kind == 3 and operator.builtinOptions:
            options = vars(operator.builtinOptions)
            names = [k for k, v in options.items() if type(v) is int]
            if names:
                setattr(operator.builtinOptions, str(rng.choice(names)), size(rng) % 128)
        elif kind == 4:
            tensor.shape = [size(rng) for _ in range(rng.integers(0, 6))]
            tensor.shapeSignature = None
        elif kind == 5:
            tensor.type = int(rng.integers(0, 18))
        elif kind == 6 and tensor.quantization:
            tensor.quantization.scale = [float(rng.choice([0, -1, 1e-38, 1e38, np.inf, np.nan]))]
        elif kind == 7:
            tensor.buffer = int(rng.integers(0, len(file.model.buffers)))
    return bytes(file)


RESTRUCTURED = {"tflite": restructured_tflite, "onnx": restructured_onnx}


@pytest.mark.slow
@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kind", ["bytes", "fields"])
def test_a_damaged_file_is_an_error_or_a_model(format_, kind):
    tool, options = FORMATS[format_]
    pytest.importorskip(tool)
    name = format_ if format_ == "tflite" else "onnx"
    reads, writes = load(f"from_{name}"), load(f"to_{name}")
    damage = damaged if kind == "bytes" else RESTRUCTURED[name]
    forms = ("int8", "float") if format_ == "tflite" else ("int8" if options else "float",)
    contents = [next(iter(writes(network(form), **options).values())) for form in forms]
    rng, refused, slowest = np.random.default_rng(0), 0, 0.0
    tracemalloc.start()
    started = time.monotonic()
    try:
        for i in range(FILES):
            content = damage(contents[i % len(contents)], rng)
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
    print(f"{format_}, {kind}: {i + 1} damaged files, {refused} refused, {slowest:.3f} s at most")
