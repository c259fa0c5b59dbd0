"""ONNX operators with weights: Conv, Gemm, MatMul."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgetrain.errors import ModelError
from edgetrain.exporters.onnx_reading.builder import Builder, Constant, Layer
from edgetrain.exporters.onnx_reading.graph import Op
from edgetrain.exporters.onnx_reading.pending import settle
from edgetrain.exporters.onnx_reading.tensors import MAX_ELEMENTS
from edgetrain.exporters.onnx_reading.values import Reals, Value, axis_sizes, dims_of, lengths
from edgetrain.exporters.onnx_reading.windows import MARGIN, image, image_dims, moving, numbers
from edgetrain.graph import Shape


def conv(build: Builder, op: Op) -> Value:
    """Read a convolution of an image or a signal; of a 1x1 image it is a dense layer.

    A dilated kernel is written out with zeros, which training may change.
    """
    value, w = build.value(op), build.needed(op, 1)
    spatial = w.array.ndim - 2
    if spatial not in (1, 2) or len(value.dims) != spatial + 1:
        raise ModelError(
            f"node {op.name!r}: Conv must be 1-D or 2-D, got weights of shape {w.array.shape}"
        )
    kernel = w.array.shape[2:]
    if numbers(op, "kernel_shape", spatial, 1) != kernel and "kernel_shape" in op.attributes:
        raise ModelError(f"node {op.name!r}: kernel_shape must be that of the weights, {kernel}")
    dilations = numbers(op, "dilations", spatial, 1)
    if math.prod(kernel) and set(dilations) != {1}:
        w = _undilated(op, w, dilations)
        kernel = w.array.shape[2:]
    groups, n_out = int(op.attributes.get("group", 1)), len(w.array)
    b, bias_unit = _bias(op, build.constant(op, 2), n_out)
    if len(build.shapes[value.source]) == 1:
        return _pointwise(build, op, value, w, Layer(b, b, None, bias_unit))
    source = image(build, op, value)
    shape = build.shapes[source.source]
    window = moving(op, kernel, (shape[0], shape[1]), value.margin)._replace(groups=groups)
    unit = None if w.unit is None else _channels_last(w.unit)
    layer = Layer(_channels_last(w.array.astype(np.float64)), b, unit, bias_unit)
    name = build.append(op.name, "conv2d", (source,), n_out, window, layer=layer)
    return Value(name, dims_of(image_dims(value), build.shapes[name]))


def gemm(build: Builder, op: Op) -> Value:
    """Read a dense layer; alpha and beta go into its parameters."""
    if op.attributes.get("transA", 0):
        raise ModelError(f"node {op.name!r}: transA of Gemm must be 0, got 1")
    w = build.needed(op, 1)
    if w.array.ndim != 2:
        raise ModelError(f"node {op.name!r}: Gemm needs a matrix, got {w.array.shape}")
    alpha, beta = float(op.attributes.get("alpha", 1.0)), float(op.attributes.get("beta", 1.0))
    if not op.attributes.get("transB", 0):
        w = Constant(w.array.T, None if w.unit is None else w.unit.T)
    b, bias_unit = _bias(op, build.constant(op, 2), len(w.array))
    if (alpha, beta) != (1.0, 1.0):
        w, b, bias_unit = Constant(w.array.astype(np.float64) * alpha), b * beta, None
    return _dense(build, op, build.value(op), w, b, bias_unit)


def matmul(build: Builder, op: Op) -> Value:
    """Read a dense layer without bias; an Add after it is folded into it."""
    w = build.needed(op, 1)
    if w.array.ndim != 2:
        raise ModelError(
            f"node {op.name!r}: MatMul must multiply by a constant matrix, got {w.array.shape}"
        )
    w = Constant(w.array.T, None if w.unit is None else w.unit.T)
    return _dense(build, op, build.value(op), w, np.zeros(len(w.array)), None)


def _dense(
    build: Builder, op: Op, value: Value, w: Constant, b: Reals, bias_unit: Reals | None
) -> Value:
    """Append a dense layer; w is (n_out, n_in) in ONNX's order of columns."""
    shape = build.shapes[value.source]
    if len(value.dims) != 1 or lengths(value.dims, shape) != w.array.shape[1:]:
        raise ModelError(
            f"node {op.name!r}: {op.kind} with weights {w.array.shape} must read (batch, "
            f"{w.array.shape[1]}), got samples of {lengths(value.dims, shape)}: add a Flatten"
        )
    pending = value.pending
    if value.margin != MARGIN or (pending is not None and pending.curve is not None):
        value = settle(build, value)
        pending = None
    source, order = build.flat(replace(value, pending=None), op.name)
    columns = _in_our_order(order, shape)
    weights = w.array.astype(np.float64)[:, columns]
    unit = None if w.unit is None else w.unit[:, columns]
    if pending is not None:
        if unit is not None:
            raise ModelError(
                f"node {pending.label!r}: {pending.kind} by a constant cannot be folded into the "
                "quantized layer after it: fold it before quantization"
            )
        factor, offset = (np.broadcast_to(a, shape).ravel() for a in (pending.scale, pending.shift))
        b = b + [math.fsum(row) for row in weights * offset]  # the same in any order
        weights = weights * factor
    name = build.append(
        op.name, "dense", (source,), len(b), layer=Layer(weights, b, unit, bias_unit)
    )
    return Value(name, dims_of("f", build.shapes[name]))


def _in_our_order(order: tuple[str, ...], shape: Shape) -> NDArray[np.int64]:
    """Return, for each element of a value of ours, the column that ONNX has it in."""
    sizes = axis_sizes(shape)
    columns = np.arange(math.prod(shape)).reshape([sizes[a] for a in order])
    return columns.transpose([order.index(a) for a in sizes if a in order]).ravel()


def _pointwise(build: Builder, op: Op, value: Value, w: Constant, bias: Layer) -> Value:
    """Read a 1x1 convolution of a value without height and width as a dense layer."""
    kernel, groups = w.array.shape[2:], op.attributes.get("group", 1)
    window = moving(op, kernel, (1, 1), value.margin)
    if set(kernel) != {1} or groups != 1 or any(window.padding) or any(value.dims[1:]):
        raise ModelError(
            f"node {op.name!r}: Conv of one pixel must have a 1x1 kernel, no padding and one "
            f"group, got kernel {kernel}, padding {window.padding}, {groups} groups"
        )
    matrix = w.array.shape[:2]
    flat = Constant(w.array.reshape(matrix), None if w.unit is None else w.unit.reshape(matrix))
    made = _dense(build, op, replace(value, dims=value.dims[:1]), flat, bias.b, bias.bias_unit)
    return replace(made, dims=(*made.dims, *value.dims[1:]))


def _bias(op: Op, b: Constant | None, n_out: int) -> tuple[Reals, Reals | None]:
    """Return biases (n_out,) and the real value of one unit of each."""
    if b is None:
        return np.zeros(n_out), None
    try:
        biases = np.broadcast_to(b.array, (1, n_out)).reshape(n_out).astype(np.float64)
        unit = None if b.unit is None else np.broadcast_to(b.unit, (1, n_out)).reshape(n_out)
    except ValueError as error:
        raise ModelError(
            f"node {op.name!r}: the bias of {op.kind} must be one for each of {n_out} outputs, "
            f"got the shape {b.array.shape}"
        ) from error
    return biases, unit


def _undilated(op: Op, w: Constant, dilations: tuple[int, ...]) -> Constant:
    """Write a dilated kernel out with the zeros between its weights."""
    sizes = [max(d, 1) * (k - 1) + 1 for d, k in zip(dilations, w.array.shape[2:], strict=True)]
    shape = (*w.array.shape[:2], *sizes)
    if math.prod(shape) > MAX_ELEMENTS:
        raise ModelError(f"node {op.name!r}: the dilated kernel is too large, {shape}")
    every = slice(None)
    places = (every, every, *(slice(None, None, max(d, 1)) for d in dilations))
    array = np.zeros(shape)
    array[places] = w.array
    if w.unit is None:
        return Constant(array)
    first = w.unit.reshape(*shape[:2], -1)[:, :, 0].reshape(*shape[:2], *[1] * len(sizes))
    unit = np.broadcast_to(first, shape).copy()
    unit[places] = w.unit
    return Constant(array, unit)


def _channels_last(w: Reals) -> Reals:
    """Lay weights out as (n_out, kernel height, kernel width, n_in / groups)."""
    w = w[:, :, None] if w.ndim == 3 else w
    return w.transpose(0, 2, 3, 1)
