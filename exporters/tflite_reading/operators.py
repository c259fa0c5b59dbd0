"""What each TensorFlow Lite operator becomes: a node, another name of a value, or a fold."""

import math
from collections.abc import Callable

import numpy as np

from edgetrain.architectures import same_padding
from edgetrain.arithmetic.layers import Window
from edgetrain.arithmetic.probabilities import PROBABILITY_SCALE, PROBABILITY_ZERO_POINT
from edgetrain.arithmetic.rounding import INT8_MIN, WEIGHT_MAX, Ints
from edgetrain.exporters.names import unique_name
from edgetrain.exporters.tflite_reading.importing import Importing, sample_shape
from edgetrain.exporters.tflite_reading.read import Operator
from edgetrain.graph import INPUT, Node, Shape
from edgetrain.model import Weights

SAME, VALID = 0, 1
ACTIVATIONS = {0: "", 1: "relu", 3: "relu6"}
FUNCTIONS = {"LOGISTIC": "sigmoid", "TANH": "tanh", "HARD_SWISH": "hard_swish", "GELU": "gelu"}
NEAREST = {
    "CONCATENATION": "ADD, which joins two branches of one shape",
    "SUB": "ADD of two branches",
    "MUL": "a factor a channel, folded into the CONV_2D before it",
    "LEAKY_RELU": "RELU fused into the layer before it",
    "PRELU": "RELU fused into the layer before it",
    "RELU": "RELU fused into the layer before it, as the converter does",
    "RELU6": "RELU6 fused into the layer before it, as the converter does",
    "LOG_SOFTMAX": "SOFTMAX at the end",
    "REDUCE_MAX": "MAX_POOL_2D over the whole image",
    "TRANSPOSE_CONV": "CONV_2D",
    "RESIZE_BILINEAR": "AVERAGE_POOL_2D, which makes images smaller",
    "BATCH_MATMUL": "FULLY_CONNECTED",
}
"""For operators that people meet; every other one is answered with the whole list."""


def _activation(importing: Importing, operator: Operator) -> str:
    code = operator.options.get("FusedActivationFunction", 0)
    if code not in ACTIVATIONS:
        raise importing.refuse(operator, "must have the fused activation NONE, RELU or RELU6")
    return ACTIVATIONS[code]


def _linear(importing: Importing, operator: Operator, name: str, w: Ints, axis: int) -> None:
    """Record the parameters of a layer; w is (n_out, ...) already."""
    n_out = len(w)
    bias = importing.constant(operator, 2, "INT32" if importing.quantized else "FLOAT32")
    if bias is None:
        bias = np.zeros(n_out, np.int32 if importing.quantized else np.float32)
    weights = Weights(
        np.ascontiguousarray(w), np.array(bias.reshape(-1), bias.dtype.newbyteorder("="))
    )
    importing.params[name] = weights
    if not importing.quantized:
        return
    tensor = importing.net.tensors[operator.inputs[1]]
    if tensor.zero_points.any() or w.min(initial=0) < -WEIGHT_MAX:
        raise importing.refuse(operator, "must have weights in [-127, 127] with zero points 0")
    if len(tensor.scales) not in (1, n_out) or (len(tensor.scales) > 1 and tensor.axis != axis):
        raise importing.refuse(operator, f"must have one weight scale, or {n_out} on axis {axis}")
    importing.scales[name] = np.resize(tensor.scales, n_out).astype(np.float64)


def _weights(importing: Importing, operator: Operator, rank: int) -> Ints:
    w = importing.constant(operator, 1, "INT8" if importing.quantized else "FLOAT32")
    if w is None or w.ndim != rank or 0 in w.shape:
        raise importing.refuse(operator, f"must have weights of {rank} dimensions")
    return w.astype(w.dtype.newbyteorder("="))


def _window(
    importing: Importing, operator: Operator, kernel: tuple[int, int], groups: int = 1
) -> Window:
    options, source = operator.options, importing.input(operator)
    stride = (options.get("StrideH", 0), options.get("StrideW", 0))
    shape = importing.shapes[source]
    if len(shape) != 3 or min(*stride, *kernel) < 1 or options.get("Padding") not in (SAME, VALID):
        raise importing.refuse(
            operator, f"needs an image, a kernel, strides and padding: {options}"
        )
    padding = (0, 0, 0, 0)
    if options["Padding"] == SAME:
        padding = same_padding(shape, kernel, stride)
    if operator.inputs[0] in importing.pads:
        folded, value = importing.pads[operator.inputs[0]]
        if any(padding) or not _may_fold(importing, operator, source, value):
            raise importing.refuse(operator, "must have padding VALID after this PAD")
        padding = folded
    return Window(kernel, stride, padding, groups)


def _may_fold(importing: Importing, operator: Operator, source: str, value: float) -> bool:
    """Whether padding with a value is what our operation does where it has none."""
    if operator.op != "MAX_POOL_2D":
        return operator.op != "AVERAGE_POOL_2D" and value == 0
    rectified = {n.name for n in importing.nodes if n.activation in ("relu", "relu6")}
    return value == -math.inf or (value == 0 and source in rectified)


def _image(importing: Importing, node: str, window: Window, channels: int) -> Shape:
    return (*window.output_size(*importing.shapes[node][:2]), channels)


def _convolution(importing: Importing, operator: Operator) -> None:
    depthwise = operator.op == "DEPTHWISE_CONV_2D"
    dilation = {operator.options.get(f"Dilation{side}Factor", 1) for side in "HW"}
    if dilation != {1}:
        raise importing.refuse(operator, f"must have dilation 1, got {sorted(dilation)}")
    w, source = _weights(importing, operator, 4), importing.input(operator)
    channels = importing.shapes[source][-1]
    if depthwise:
        w = np.moveaxis(w, 3, 0)[:, 0, :, :, None] if len(w) == 1 else w[:0]
    if not len(w) or channels % w.shape[3]:
        raise importing.refuse(operator, f"has weights that do not fit {channels} channels")
    window = _window(importing, operator, w.shape[1:3], channels // w.shape[3])
    shape = _image(importing, source, window, len(w))
    name = importing.append(
        operator, "conv2d", (source,), shape, len(w), window, _activation(importing, operator)
    )
    _linear(importing, operator, name, w, 3 if depthwise else 0)


def _dense(importing: Importing, operator: Operator) -> None:
    if operator.options.get("WeightsFormat") or operator.options.get("KeepNumDims"):
        raise importing.refuse(operator, "must have plain weights and leave (batch, outputs)")
    w, source = _weights(importing, operator, 2), importing.input(operator)
    shape = importing.shapes[source]
    if len(shape) > 1:
        name = unique_name(f"{source}_flatten", importing.shapes)
        importing.nodes.append(Node(name, "flatten", (source,)))
        importing.shapes[name] = (math.prod(shape),)
        if importing.quantized:
            importing.activations[name] = importing.activations[source]
        source = name
    name = importing.append(
        operator, "dense", (source,), (len(w),), len(w),
        activation=_activation(importing, operator),
    )  # fmt: skip
    _linear(importing, operator, name, w, 0)


def _add(importing: Importing, operator: Operator) -> None:
    inputs = importing.input(operator, 0), importing.input(operator, 1)
    activation = _activation(importing, operator)
    importing.append(operator, "add", inputs, importing.shapes[inputs[0]], activation=activation)


def _pool(importing: Importing, operator: Operator) -> None:
    if _activation(importing, operator):
        raise importing.refuse(operator, "must have no fused activation: fuse it one layer earlier")
    options, source = operator.options, importing.input(operator)
    window = _window(
        importing, operator, (options.get("FilterHeight", 0), options.get("FilterWidth", 0))
    )
    op = "average_pool" if operator.op == "AVERAGE_POOL_2D" else "max_pool"
    shape = _image(importing, source, window, importing.shapes[source][2])
    importing.append(operator, op, (source,), shape, window=window)


def _mean(importing: Importing, operator: Operator) -> None:
    axes, source = importing.constant(operator, 1, "INT32"), importing.input(operator)
    rank = len(importing.net.tensors[operator.inputs[0]].shape)
    wanted = set(range(1, rank - 1))
    given = None if axes is None else {int(a) % rank for a in axes.ravel()}
    if given != wanted or not wanted:
        raise importing.refuse(operator, f"must be over height and width {wanted}, got {given}")
    shape = importing.shapes[source][-1:]
    importing.append(operator, "global_average_pool", (source,), shape)


def _reshape(importing: Importing, operator: Operator) -> None:
    source, shape = importing.input(operator), sample_shape(importing.output(operator))
    old = importing.shapes[source]
    if shape == old:
        importing.alias(operator)
    elif math.prod(shape) == math.prod(old) and len(shape) == 1:
        importing.append(operator, "flatten", (source,), shape)
    elif math.prod(shape) == math.prod(old) and source == INPUT and not importing.nodes:
        importing.input_shape = importing.shapes[INPUT] = shape
        importing.alias(operator)
    else:
        raise importing.refuse(operator, f"must flatten, got {old} to {shape} a sample")


def _pad(importing: Importing, operator: Operator) -> None:
    importing.alias(operator)
    amounts, source = importing.constant(operator, 1, "INT32"), operator.inputs[0]
    rank = len(importing.net.tensors[source].shape)
    if amounts is None or amounts.shape != (rank, 2) or rank != 4 or amounts.min() < 0:
        raise importing.refuse(operator, "must pad images by constants >= 0")
    if amounts[[0, 3]].any() or amounts.max() > 256 or source in importing.pads:
        raise importing.refuse(operator, "must pad height and width once, by 256 at most")
    value = 0.0
    if operator.op == "PADV2":
        given = importing.constant(operator, 2, "INT8" if importing.quantized else "FLOAT32")
        lowest = INT8_MIN if importing.quantized else np.finfo(np.float32).min
        if given is None or given.size != 1 or given.ravel()[0] > lowest:
            raise importing.refuse(operator, f"must pad with the lowest value, {lowest}")
        value = -math.inf
    (top, bottom), (left, right) = amounts[1:3].tolist()
    importing.pads[operator.outputs[0]] = ((top, bottom, left, right), value)


def _softmax(importing: Importing, operator: Operator) -> None:
    tensor, beta = importing.output(operator), operator.options.get("Beta", 1.0)
    known = (np.float32(PROBABILITY_SCALE), PROBABILITY_ZERO_POINT)
    quantized = (*tensor.scales, *tensor.zero_points)
    if beta != 1 or (importing.quantized and quantized != known):
        raise importing.refuse(operator, f"must have beta 1 and the scale 1/256, got {beta}")
    importing.alias(operator)
    importing.softmax = True


def _function(importing: Importing, operator: Operator) -> None:
    if operator.options.get("Approximate"):
        raise importing.refuse(operator, "must be exact, got approximate")
    source = importing.input(operator)
    shape, activation = importing.shapes[source], FUNCTIONS[operator.op]
    importing.append(operator, "activation", (source,), shape, activation=activation)


def _border(importing: Importing, operator: Operator) -> None:
    """Leave out a change of type at the border of an int8 network."""
    made, index = importing.output(operator), operator.inputs[0] if operator.inputs else -1
    source = importing.net.tensors[index]
    if index >= 0 and source.data is not None and made.type == "FLOAT32":
        importing.constants[operator.outputs[0]] = source.data.astype(np.float32)
        return
    value = importing.input(operator)
    if value != INPUT and operator.outputs != importing.net.outputs:
        raise importing.refuse(operator, "must be the first or the last operator")
    if {source.type, made.type} == {"INT8", "UINT8"}:
        shift = source.zero_points - made.zero_points
        if not (np.array_equal(source.scales, made.scales) and (np.abs(shift) == 128).all()):
            raise importing.refuse(operator, "must not change the scale")
    elif {source.type, made.type} != {"INT8", "FLOAT32"}:
        raise importing.refuse(operator, f"must not make {made.type} of {source.type}")
    if value == INPUT:
        importing.quantize(INPUT, made)
    importing.alias(operator)


HANDLERS: dict[str, Callable[[Importing, Operator], None]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "FULLY_CONNECTED": _dense,
    "ADD": _add,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "PAD": _pad,
    "PADV2": _pad,
    "SOFTMAX": _softmax,
    "QUANTIZE": _border,
    "DEQUANTIZE": _border,
    **dict.fromkeys(FUNCTIONS, _function),
}
"""Operators that are supported."""
