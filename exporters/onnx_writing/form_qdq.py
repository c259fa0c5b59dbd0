"""The form "qdq": float32 in and out, every operation between DequantizeLinear and QuantizeLinear.

This is the form that runtimes turn into their own integer kernels. Those round once, in float32,
where we round twice in integers: each layer's result may differ by 1 from ours, in 1 of 1,000
values, and what differs spreads in the layers after it. A softmax stays in float32, after the last
DequantizeLinear.

Values and weights are uint8, code + 128. Weights of int8 would take ONNX Runtime 0.5 to 0.7 of the
time where there is VNNI (measured on MLPerf Tiny's networks), but their products saturate on AVX2
without it: half of the results are wrong there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.exporters.onnx_writing.form_float import apply, squeezed
from edgetrain.exporters.onnx_writing.layout import filters
from edgetrain.exporters.onnx_writing.write import Operand, Writer
from edgetrain.graph import INPUT, Node
from edgetrain.model import Model
from edgetrain.scheme import Quantization

OFFSET = 128


def qdq(write: Writer, model: Model) -> str:
    """Append a network that reads and gives float32 and computes in uint8.

    Args:
        write: to an empty graph.
        model: the network.

    Returns:
        The name of the result.
    """
    scheme, graph = model.scheme, model.graph
    values = {INPUT: quantized(write.at(INPUT), INPUT, scheme.activations[INPUT])}
    for node in graph.nodes:
        at = write.at(node.name)
        inputs: list[Operand] = [
            dequantized(at, values[name], scheme.activations[name]) for name in node.inputs
        ]
        if node.has_weights:
            inputs += _weights(at, model, node)
        scale = scheme.activations[node.name]
        values[node.name] = quantized(at, apply(at, graph, node, inputs), scale)
        if node.op == "global_average_pool":
            vector = squeezed(at, graph, node, dequantized(at, values[node.name], scale))
            values[node.name] = quantized(at, vector, scale)
    name, last = graph.output.name, write.at("result")
    result = dequantized(last, values[name], scheme.activations[name])
    return write.at("softmax").op("Softmax", result, axis=1) if model.softmax else result


def quantized(write: Writer, value: str, quantization: Quantization) -> str:
    """Append QuantizeLinear, to uint8."""
    return write.op("QuantizeLinear", value, *_uint8(quantization))


def dequantized(write: Writer, value: str, quantization: Quantization) -> str:
    """Append DequantizeLinear, from uint8."""
    return write.op("DequantizeLinear", value, *_uint8(quantization))


def _uint8(quantization: Quantization) -> tuple[np.float32, np.uint8]:
    return np.float32(quantization.scale), np.uint8(quantization.zero_point + OFFSET)


def _weights(write: Writer, model: Model, node: Node) -> list[Operand]:
    """Append the weights, a scale a channel, and the biases, in units of the accumulators."""
    w, b = model.params[node.name]
    codes = (w.astype(np.int16) + OFFSET).astype(np.uint8)
    scale = model.scheme.weights[node.name].astype(np.float32)
    unit = np.float32(model.scheme.activations[node.inputs[0]].scale) * scale
    middle, zero = np.full(len(scale), OFFSET, np.uint8), np.zeros(len(scale), np.int32)
    named: list[tuple[NDArray[Any], ...]] = [
        (filters(codes) if node.op == "conv2d" else codes, scale, middle),
        (b, unit, zero),
    ]
    return [write.op("DequantizeLinear", *operands, axis=0) for operands in named]
