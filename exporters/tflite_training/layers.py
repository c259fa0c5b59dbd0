"""The forward pass on tensors; every function is its namesake in `edgetrain.fixed`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import ADD_LEFT_SHIFT, Window, global_pool_multiplier, pool_counts
from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN
from edgetrain.exporters.tflite_training.operations import matmul, select
from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant
from edgetrain.exporters.tflite_training.windows import by_group, gathered, seen, without_groups
from edgetrain.exporters.tflite_training.words import requantize, rescale

Scale = tuple[int, int]


def dense_acc(x: Tensor, w: Operand, b: Operand, x_zero_point: int) -> Tensor:
    """Accumulate a fully connected layer: int32 (batch, n_out)."""
    weights = constant(x.graph, w, np.int8)
    return matmul(x, weights, turn_b=True) + _offset(weights, b, x_zero_point)


def _offset(w: Tensor, b: Operand, x_zero_point: int) -> Tensor:
    """Return biases, less what the zero point adds to every sum: int32 (n_out,)."""
    bias = constant(w.graph, b, np.int32)
    if not x_zero_point:
        return bias
    flat = w.reshape(w.shape[0], -1).cast(np.int32)
    return bias - flat.sum(1) * x_zero_point


def conv2d_acc(x: Tensor, w: Operand, b: Operand, x_zero_point: int, window: Window) -> Tensor:
    """Accumulate a convolution: int32 (batch, out height, out width, n_out)."""
    weights = constant(x.graph, w, np.int8)
    offset = _offset(weights, b, x_zero_point)
    table = seen(*x.shape[1:3], window)
    patches = gathered(x, table, x_zero_point)
    if weights.shape[3] == 1 and window.groups > 1:
        sums = _depthwise_sums(patches, weights)
    else:
        filters = weights.reshape(window.groups, weights.shape[0] // window.groups, -1)
        sums = without_groups(matmul(by_group(patches, window.groups), filters, turn_b=True))
    shape = (x.shape[0], *window.output_size(*x.shape[1:3]), weights.shape[0])
    return (sums + offset).reshape(*shape)


def _depthwise_sums(patches: Tensor, w: Tensor) -> Tensor:
    """Add up products of each channel's own taps: int32 (samples * positions, n_out)."""
    batch, positions, taps, channels = patches.shape
    repeats = w.shape[0] // channels
    filters = w.reshape(channels, repeats, taps).transpose(2, 0, 1).cast(np.int32)
    wide = patches.cast(np.int32).reshape(batch * positions, taps, channels, 1)
    return (wide * filters).sum(1).reshape(batch * positions, -1)


def average_pool(x: Tensor, window: Window) -> Tensor:
    """Average the pixels inside the image."""
    total = gathered(x.cast(np.int32), seen(*x.shape[1:3], window), 0).sum(2)
    count = pool_counts(x.shape[1], x.shape[2], window).reshape(1, -1, 1)
    size = total.maximum(0 - total)
    mean = (size + count // 2) // count
    signed = select(total.less(0), 0 - mean, mean).cast(np.int8)
    return signed.reshape(x.shape[0], *window.output_size(*x.shape[1:3]), -1)


def max_pool(x: Tensor, window: Window) -> Tensor:
    """Take the largest value under the window."""
    largest = gathered(x, seen(*x.shape[1:3], window), INT8_MIN).max(2)
    return largest.reshape(x.shape[0], *window.output_size(*x.shape[1:3]), -1)


def global_average_pool(
    x: Tensor, x_zero_point: int, multiplier: int, shift: int, y_zero_point: int
) -> Tensor:
    """Average each channel over the image: int8 (batch, channels)."""
    count = x.shape[1] * x.shape[2]
    acc = x.cast(np.int32).sum(1, 2) - count * x_zero_point
    return requantize(acc, *global_pool_multiplier(multiplier, shift, count), y_zero_point)


def add(
    a: Tensor, a_zero_point: int, a_scale: Scale, b: Tensor, b_zero_point: int, b_scale: Scale,
    y_zero_point: int, y_scale: Scale, low: int = INT8_MIN, high: int = INT8_MAX,
) -> Tensor:  # fmt: skip
    """Add two tensors of different scales."""
    left, right = (
        rescale((part.cast(np.int32) - zero_point) * (1 << ADD_LEFT_SHIFT), *scale)
        for part, zero_point, scale in ((a, a_zero_point, a_scale), (b, b_zero_point, b_scale))
    )
    return requantize(left + right, *y_scale, y_zero_point, low, high)


def look_up(x: Tensor, table: NDArray[Any]) -> Tensor:
    """Apply a function given by its 256 values: of an int8 table int8, else int32."""
    kind = np.int8 if table.dtype == np.int8 else np.int32
    return constant(x.graph, table, kind).gather(x.cast(np.int32) + 128)
