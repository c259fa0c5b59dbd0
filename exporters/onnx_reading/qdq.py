"""QuantizeLinear and DequantizeLinear: the integers of a quantized graph, taken over exactly.

A quantized graph is read as the real network that its DequantizeLinear nodes describe, in float64.
Beside it, the scale and zero point of every value and of every weight are kept; with them the
codes are found again without an error. uint8 activations become int8: code and zero point less 128.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import WEIGHT_MAX
from edgetrain.errors import ModelError
from edgetrain.exporters.onnx_reading.builder import Builder, Constant, Layer
from edgetrain.exporters.onnx_reading.graph import Op
from edgetrain.exporters.onnx_reading.pending import settle
from edgetrain.exporters.onnx_reading.values import MARGIN, Reals, Value
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import Model, Weights
from edgetrain.quantize import SHARING
from edgetrain.scheme import Quantization, Scheme

MOVED = {np.dtype(np.int8): 0, np.dtype(np.uint8): 128}
"""Type of a code → what is subtracted from code and zero point to make them int8."""
CURE = "quantize with onnxruntime.quantization.quantize_static(..., quant_format=QuantFormat.QDQ)"


def quantize_linear(build: Builder, op: Op) -> Value:
    """Remember how a value is quantized; see `Builder.quantizations`."""
    zero_point = build.constant(op, 2)
    default = {0: np.uint8, 2: np.uint8, 3: np.int8}.get(op.attributes.get("output_dtype", 0))
    dtype = np.dtype(default) if zero_point is None else zero_point.array.dtype
    value = build.value(op, moved=True)
    if value.codes:
        raise ModelError(f"node {op.name!r}: QuantizeLinear must read reals, got integers")
    return replace(_quantized(build, op, value, dtype), codes=True)


def dequantize_linear(build: Builder, op: Op) -> Value | Constant:
    """Turn a constant into reals, exactly; check that a value has one quantization."""
    constant = build.known(op.inputs[0])
    if constant is not None:
        return _real(build, op, constant)
    value, zero_point = build.value(op, moved=True), build.constant(op, 2)
    if not value.codes:
        raise ModelError(f"node {op.name!r}: DequantizeLinear must read integers, got reals")
    dtype = np.dtype(np.uint8) if zero_point is None else zero_point.array.dtype
    return replace(_quantized(build, op, value, dtype), codes=False)


def _quantized(build: Builder, op: Op, value: Value, dtype: np.dtype) -> Value:
    """Check and remember a value's quantization."""
    if not value.softmax:
        margin = value.margin
        value = replace(settle(build, replace(value, margin=MARGIN)), margin=margin)
    scale, zero_point = build.needed(op, 1).array, build.constant(op, 2)
    point = np.zeros(1, dtype) if zero_point is None else zero_point.array
    if dtype not in MOVED or scale.size != 1 or point.size != 1 or not 0 < scale.item() < np.inf:
        raise ModelError(
            f"node {op.name!r}: activations must be int8 or uint8 with one positive scale, "
            f"got {dtype} and {scale.size} scales"
        )
    found = Quantization(float(scale.item()), int(point.item()) - MOVED[dtype])
    if not value.softmax and build.quantizations.setdefault(value.source, found) != found:
        raise ModelError(
            f"node {op.name!r}: a value can have one quantization, and so can what a max pool or "
            f"a flatten reads and makes; got {build.quantizations[value.source]} and {found}"
        )
    return value


def _real(build: Builder, op: Op, codes: Constant) -> Constant:
    """Compute the reals of integer constants."""
    scale, zero_point = build.needed(op, 1).array.astype(np.float64), build.constant(op, 2)
    dtype, axis = codes.array.dtype, op.attributes.get("axis", 1)
    point = np.zeros((), np.int64) if zero_point is None else zero_point.array.astype(np.int64)
    if op.attributes.get("block_size", 0) or dtype not in (*MOVED, np.dtype(np.int32)):
        raise ModelError(
            f"node {op.name!r}: constants must be int8, uint8 or int32, with one scale or one a "
            f"channel, got {dtype}"
        )
    if point.size not in (1, scale.size) or (point != MOVED.get(dtype, 0)).any():
        raise ModelError(
            f"node {op.name!r}: weights must be symmetric: the zero point must be "
            f"{MOVED.get(dtype, 0)} for {dtype}, got {point.ravel()[:4]}: {CURE} and "
            "extra_options={'WeightSymmetric': True}"
        )
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ModelError(f"node {op.name!r}: scales must be positive and finite")
    shape = [1] * codes.array.ndim
    if scale.size > 1:
        rank = codes.array.ndim
        if not -rank <= axis < rank or codes.array.shape[axis] != scale.size:
            raise ModelError(f"node {op.name!r}: {scale.size} scales do not fit axis {axis}")
        shape[axis] = scale.size
    unit = np.broadcast_to(scale.reshape(shape), codes.array.shape)
    return Constant((codes.array.astype(np.float64) - MOVED.get(dtype, 0)) * unit, unit)


def int8_model(build: Builder, graph: Graph, task: str, softmax: bool) -> Model:
    """Make the int8 model of a graph whose values have quantizations.

    Raises:
        ModelError: if a value or weight that needs a quantization has none; it names the node.
    """
    activations = _complete(graph, build.quantizations)
    nodes = []
    for node in graph.nodes:
        linear = (node.has_weights or node.op == "add") and not node.activation
        clipped = linear and node != graph.output and activations[node.name].zero_point == -128
        nodes.append(replace(node, activation="relu") if clipped else node)
    graph = Graph(graph.input_shape, tuple(nodes))
    scales = {n.name: _weight_scale(n, build.layers[n.name]) for n in graph.trainable}
    scheme = Scheme(graph, activations, scales).checked()
    params = {n.name: _codes(scheme, n, build.layers[n.name]) for n in graph.trainable}
    return Model(scheme, params, task=task, softmax=softmax)


def _complete(graph: Graph, known: dict[str, Quantization]) -> dict[str, Quantization]:
    """Give every value its quantization; pools and flatten share it with what they read."""
    found = {name: q for name, q in known.items() if name in graph.shapes}
    for node in reversed(graph.nodes):
        if node.op in ("max_pool", "flatten") and node.name in found:
            found.setdefault(node.inputs[0], found[node.name])
    for name in (INPUT, *graph.by_name):
        reader = graph.by_name.get(name)
        if reader and reader.op in SHARING and reader.inputs[0] in found:
            shared = found[reader.inputs[0]]
            if found.setdefault(name, shared) != shared:
                raise ModelError(
                    f"node {name!r}: {reader.op} must have the scale and zero point of what it "
                    f"reads, {shared}, got {found[name]}"
                )
        if name not in found:
            raise ModelError(
                f"the graph is quantized in part: {name!r} has no QuantizeLinear and "
                f"DequantizeLinear after it; {CURE}"
            )
    return found


def _weight_scale(node: Node, layer: Layer) -> NDArray[np.float64]:
    """Return the weight scales (n_out,) of a node."""
    if layer.unit is None:
        raise ModelError(
            f"node {node.name!r}: the graph is quantized in part, these weights are not; {CURE}"
        )
    rows: Reals = layer.unit.reshape(len(layer.unit), -1)
    if (rows != rows[:, :1]).any():
        raise ModelError(f"node {node.name!r}: weights need one scale, or one an output channel")
    return rows[:, 0].copy()


def _codes(scheme: Scheme, node: Node, layer: Layer) -> Weights:
    """Return a node's integers."""
    codes = np.rint(layer.w / (layer.unit if layer.unit is not None else 1.0))
    if codes.min() < -WEIGHT_MAX:
        raise ModelError(
            f"node {node.name!r}: weights must be from -{WEIGHT_MAX} to {WEIGHT_MAX}, got "
            f"{int(codes.min())}: quantize symmetrically, with the range -127 to 127"
        )
    unit = scheme.acc_scale(node)
    if layer.bias_unit is not None:
        if not np.allclose(layer.bias_unit, unit, rtol=1e-3, atol=0):
            raise ModelError(
                f"node {node.name!r}: the scale of the bias must be the input's times the weights'"
            )
        unit = layer.bias_unit
    biases = np.rint(layer.b / unit)
    if np.abs(biases).max() >= 2**31:
        raise ModelError(f"node {node.name!r}: a bias does not fit in int32")
    return Weights(codes.astype(np.int8), biases.astype(np.int32))
