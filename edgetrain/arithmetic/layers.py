"""The forward pass in integers: accumulators of dense and convolution, pools, add, tables.

Shapes: images are NHWC, a dense weight is (n_out, n_in), a convolution weight is
(n_out, kernel height, kernel width, n_in / groups). A signal is an image of height 1.
"""

from typing import NamedTuple

import numpy as np

from edgetrain.arithmetic.matmul import exact_matmul
from edgetrain.arithmetic.rounding import (
    INT8_MAX,
    INT8_MIN,
    Int8,
    Int32,
    Ints,
    requantize,
    rescale,
    saturate,
)

ACTIVATION_RANGE = 255
"""Largest distance of an int8 activation from its zero point."""


class Window(NamedTuple):
    """How a kernel moves over an image."""

    kernel: tuple[int, int]  # height, width
    stride: tuple[int, int]  # vertical, horizontal
    padding: tuple[int, int, int, int]  # rows above, below, columns left, right
    groups: int = 1

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the result.

        Example:
            >>> Window((3, 3), (2, 2), (0, 1, 0, 1)).output_size(8, 8)
            (4, 4)
        """
        top, bottom, left, right = self.padding
        return (
            (height + top + bottom - self.kernel[0]) // self.stride[0] + 1,
            (width + left + right - self.kernel[1]) // self.stride[1] + 1,
        )


def pad(x: Ints, padding: tuple[int, int, int, int], value: int) -> Ints:
    """Surround images (batch, height, width, channels) with value."""
    top, bottom, left, right = padding
    if not any(padding):
        return x
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=value)


def taps(x: Ints, window: Window) -> list[Ints]:
    """Return, for each position in the kernel, the view of padded x that it reads.

    Returns:
        kernel height * kernel width views (batch, out height, out width, channels).
    """
    (kh, kw), (sh, sw) = window.kernel, window.stride
    height, width = window._replace(padding=(0, 0, 0, 0)).output_size(*x.shape[1:3])
    return [
        x[:, i : i + sh * (height - 1) + 1 : sh, j : j + sw * (width - 1) + 1 : sw]
        for i in range(kh)
        for j in range(kw)
    ]


def patches(x: Int8, x_zero_point: int, window: Window) -> Ints:
    """Lay out what each output pixel sees, zero point taken off.

    Returns:
        int16 (batch, out height, out width, kernel height * kernel width, channels).
    """
    shifted = pad(x.astype(np.int16) - np.int16(x_zero_point), window.padding, 0)
    return np.stack(taps(shifted, window), axis=3)


def dense_acc(x: Int8, w: Int8, b: Int32, x_zero_point: int) -> Int32:
    """Accumulate a fully connected layer: ``(x - x_zero_point) @ w.T + b``.

    Args:
        x: int8 (batch, n_in).
        w: int8 (n_out, n_in), in [-127, 127].
        b: int32 (n_out,), in units of x_scale * w_scale; the sum must fit in int32.
        x_zero_point: int8 value of the real number 0.

    Returns:
        int32 (batch, n_out).

    Example:
        >>> x, w = np.array([[1, 2]], np.int8), np.array([[3, 4]], np.int8)
        >>> dense_acc(x, w, np.array([10], np.int32), x_zero_point=1)
        array([[14]], dtype=int32)
    """
    shifted = x.astype(np.int16) - np.int16(x_zero_point)
    return exact_matmul(shifted, w.T, ACTIVATION_RANGE * 127) + b


def conv2d_acc(x: Int8, w: Int8, b: Int32, x_zero_point: int, window: Window) -> Int32:
    """Accumulate a convolution; padding counts as real zero.

    Args:
        x: int8 (batch, height, width, n_in).
        w: int8 (n_out, kernel height, kernel width, n_in / groups), in [-127, 127].
        b: int32 (n_out,), in units of x_scale * w_scale.
        x_zero_point: int8 value of the real number 0.
        window: kernel, stride, padding, groups; group g reads the g-th part of the channels.

    Returns:
        int32 (batch, out height, out width, n_out).

    Example:
        >>> x = np.arange(4, dtype=np.int8).reshape(1, 2, 2, 1)
        >>> w, b = np.ones((1, 2, 2, 1), np.int8), np.zeros(1, np.int32)
        >>> conv2d_acc(x, w, b, 0, Window((2, 2), (1, 1), (0, 0, 0, 0))).ravel()
        array([6], dtype=int32)
    """
    if window.groups == x.shape[3]:
        return depthwise_acc(x, w, x_zero_point, window) + b
    columns = patches(x, x_zero_point, window)
    groups = window.groups
    split = columns.reshape(*columns.shape[:4], groups, -1)
    filters = w.reshape(groups, w.shape[0] // groups, -1)
    parts = []
    for g in range(groups):
        flat = split[..., g, :].reshape(*columns.shape[:3], -1)
        parts.append(exact_matmul(flat, filters[g].T, ACTIVATION_RANGE * 127))
    return np.concatenate(parts, axis=3) + b


def depthwise_acc(x: Int8, w: Int8, x_zero_point: int, window: Window) -> Int32:
    """Accumulate a convolution whose every group has one input channel."""
    n_out, channels = w.shape[0], x.shape[3]
    shifted = pad(x.astype(np.int32) - x_zero_point, window.padding, 0)
    filters = w.reshape(channels, n_out // channels, -1).astype(np.int32)
    acc = sum(view[..., None] * filters[..., t] for t, view in enumerate(taps(shifted, window)))
    return np.asarray(acc, np.int32).reshape(*acc.shape[:3], n_out)  # type: ignore[union-attr]


def dense(
    x: Int8, w: Int8, b: Int32, x_zero_point: int, multiplier: Int32, shift: Int32,
    y_zero_point: int = 0, low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """Fully connected layer: `requantize` of `dense_acc`; see there.

    Example:
        >>> x, w = np.array([[10, 20]], np.int8), np.array([[3, 4]], np.int8)
        >>> m, s = np.array([2**30], np.int32), np.array([-1], np.int32)
        >>> dense(x, w, np.zeros(1, np.int32), 0, m, s)
        array([[28]], dtype=int8)
    """
    return requantize(dense_acc(x, w, b, x_zero_point), multiplier, shift, y_zero_point, low, high)


def conv2d(
    x: Int8, w: Int8, b: Int32, x_zero_point: int, window: Window, multiplier: Int32,
    shift: Int32, y_zero_point: int = 0, low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """Convolution: `requantize` of `conv2d_acc`; see there."""
    acc = conv2d_acc(x, w, b, x_zero_point, window)
    return requantize(acc, multiplier, shift, y_zero_point, low, high)


def average_pool(x: Int8, window: Window) -> Int8:
    """Average the pixels inside the image: to nearest, ties away from zero.

    Args:
        x: int8 (batch, height, width, channels).
        window: kernel, stride, padding; padded places are not counted.

    Returns:
        int8 (batch, out height, out width, channels), scale and zero point of x.

    Example:
        >>> x = np.array([1, 2, 2, 1], np.int8).reshape(1, 2, 2, 1)
        >>> average_pool(x, Window((2, 2), (2, 2), (0, 0, 0, 0))).ravel()
        array([2], dtype=int8)
    """
    total = sum(taps(pad(x.astype(np.int32), window.padding, 0), window))
    count = pool_counts(x.shape[1], x.shape[2], window)
    half = count // 2
    return np.where(total > 0, (total + half) // count, -((half - total) // count)).astype(np.int8)


def pool_counts(height: int, width: int, window: Window) -> Int32:
    """Count the pixels inside the image under each position of a pool: (1, out h, out w, 1)."""
    ones = pad(np.ones((1, height, width, 1), np.int32), window.padding, 0)
    return np.asarray(sum(taps(ones, window)), np.int32)


def max_pool(x: Int8, window: Window) -> Int8:
    """Take the largest value under the window; padding never wins.

    Example:
        >>> x = np.array([1, 2, 3, -4], np.int8).reshape(1, 2, 2, 1)
        >>> max_pool(x, Window((2, 2), (2, 2), (0, 0, 0, 0))).ravel()
        array([3], dtype=int8)
    """
    return np.maximum.reduce(taps(pad(x, window.padding, INT8_MIN), window))


def global_pool_multiplier(multiplier: int, shift: int, count: int) -> tuple[int, int]:
    """Fold ``1 / count`` into the multiplier of a mean, as TensorFlow Lite Micro does.

    Example:
        >>> global_pool_multiplier(2**30, 1, 49)
        (701219150, -4)
    """
    fold = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << fold) // count, shift - fold


def global_average_pool(
    x: Int8, x_zero_point: int, multiplier: int, shift: int, y_zero_point: int
) -> Int8:
    """Average each channel over the image.

    Args:
        x: int8 (batch, height, width, channels), at most 2**23 pixels.
        x_zero_point: zero point of x.
        multiplier: of x_scale / y_scale.
        shift: of the same scale.
        y_zero_point: zero point of the result.

    Returns:
        int8 (batch, channels).

    Example:
        >>> global_average_pool(np.full((1, 2, 2, 3), 8, np.int8), 0, 2**30, 1, 0)
        array([[8, 8, 8]], dtype=int8)
    """
    count = x.shape[1] * x.shape[2]
    acc = x.sum(axis=(1, 2), dtype=np.int64) - count * x_zero_point
    return requantize(acc, *global_pool_multiplier(multiplier, shift, count), y_zero_point)


ADD_LEFT_SHIFT = 20


def add(
    a: Int8, a_zero_point: int, a_scale: tuple[int, int],
    b: Int8, b_zero_point: int, b_scale: tuple[int, int],
    y_zero_point: int, y_scale: tuple[int, int], low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """Add two tensors of different scales: both to 20 more bits, sum, requantize.

    Args:
        a: int8, any shape.
        a_zero_point: zero point of a.
        a_scale: multiplier and shift of ``a_scale / (2 * max(a_scale, b_scale))``.
        b: int8, the shape of a.
        b_zero_point: zero point of b.
        b_scale: likewise.
        y_zero_point: zero point of the sum.
        y_scale: multiplier and shift of ``2 * max(a_scale, b_scale) / (2**20 * y_scale)``.
        low: lower end of the fused activation.
        high: upper end.

    Returns:
        int8, the shape of a.

    Example:
        >>> half, one = (2**30, 0), (2**30, -18)
        >>> add(np.array([3], np.int8), 0, half, np.array([4], np.int8), 0, half, 0, one)
        array([7], dtype=int8)
    """
    left = rescale((a.astype(np.int64) - a_zero_point) << ADD_LEFT_SHIFT, *a_scale)
    right = rescale((b.astype(np.int64) - b_zero_point) << ADD_LEFT_SHIFT, *b_scale)
    return saturate(rescale(left + right, *y_scale) + y_zero_point, low, high)


def look_up(x: Int8, table: Ints) -> Ints:
    """Apply a function given by its 256 values, ``table[x + 128]``.

    Example:
        >>> look_up(np.array([-128, 127], np.int8), np.arange(256, dtype=np.int16))
        array([  0, 255], dtype=int16)
    """
    return table[x.astype(np.int16) + 128]
