"""The backward pass in integers: weight gradients and errors as int32 accumulators.

An error is an int8 tensor ``e`` with a power-of-two scale, real = e * 2**exponent. Weights have a
scale a channel, so an error is multiplied by the channel's ratio (0..128, largest scale = 128)
before it flows back through the weights.
"""

import numpy as np

from edgetrain.arithmetic.layers import (
    ACTIVATION_RANGE,
    Window,
    pad,
    patches,
    pool_counts,
    taps,
)
from edgetrain.arithmetic.matmul import exact_matmul
from edgetrain.arithmetic.rounding import INT8_MIN, Int8, Int16, Int32, Ints

RATIO_BITS = 7
"""A channel's ratio is its weight scale over the layer's largest, in Q7."""


def dense_grad_w(x: Int8, e: Int8, x_zero_point: int) -> Int32:
    """Gradient of a dense layer's weights: ``e.T @ (x - x_zero_point)``.

    Args:
        x: int8 (batch, n_in).
        e: int8 (batch, n_out), error of the accumulators.
        x_zero_point: zero point of x.

    Returns:
        int32 (n_out, n_in), summed over the batch (at most 2**16 samples).

    Example:
        >>> dense_grad_w(np.array([[3, 4]], np.int8), np.array([[2]], np.int8), 1)
        array([[4, 6]], dtype=int32)
    """
    shifted = x.astype(np.int16) - np.int16(x_zero_point)
    return exact_matmul(e.T, shifted, ACTIVATION_RANGE * 128)


def dense_grad_x(e: Int8, w: Int8, ratio: Int16) -> Int32:
    """Error of a dense layer's input: ``(e * ratio) @ w``.

    Args:
        e: int8 (batch, n_out).
        w: int8 (n_out, n_in).
        ratio: int16 (n_out,), in [0, 128].

    Returns:
        int32 (batch, n_in); fits while n_out <= 1040.

    Example:
        >>> dense_grad_x(np.array([[2]], np.int8), np.array([[3, 4]], np.int8), np.array([128]))
        array([[ 768, 1024]], dtype=int32)
    """
    return exact_matmul(e.astype(np.int16) * ratio, w, 127 * 128 * 127)


def conv2d_grad_w(x: Int8, e: Int8, x_zero_point: int, window: Window) -> Int32:
    """Gradient of a convolution's weights.

    Args:
        x: int8 (batch, height, width, n_in).
        e: int8 (batch, out height, out width, n_out), error of the accumulators.
        x_zero_point: zero point of x.
        window: as in `conv2d_acc`.

    Returns:
        int32 (n_out, kernel height, kernel width, n_in / groups), summed over batch and pixels.

    Example:
        >>> x, e = np.full((1, 2, 2, 1), 3, np.int8), np.full((1, 2, 2, 1), 2, np.int8)
        >>> conv2d_grad_w(x, e, 0, Window((1, 1), (1, 1), (0, 0, 0, 0))).ravel()
        array([24], dtype=int32)
    """
    channels, n_out = x.shape[3], e.shape[3]
    if window.groups == channels:
        return depthwise_grad_w(x, e, x_zero_point, window)
    columns = patches(x, x_zero_point, window)
    groups, n_taps = window.groups, columns.shape[3]
    split = columns.reshape(-1, n_taps, groups, channels // groups)
    errors = e.reshape(-1, groups, n_out // groups)
    parts = [
        exact_matmul(errors[:, g].T, split[:, :, g].reshape(len(split), -1), ACTIVATION_RANGE * 128)
        for g in range(groups)
    ]
    return np.concatenate(parts).reshape(n_out, *window.kernel, channels // groups)


def depthwise_grad_w(x: Int8, e: Int8, x_zero_point: int, window: Window) -> Int32:
    """Gradient of a convolution whose every group has one input channel."""
    channels, n_out = x.shape[3], e.shape[3]
    shifted = pad(x.astype(np.int32) - x_zero_point, window.padding, 0)
    errors = e.reshape(*e.shape[:3], channels, -1).astype(np.int32)
    parts = [
        np.einsum("bhwc,bhwcm->cm", view, errors, dtype=np.int32) for view in taps(shifted, window)
    ]
    return np.stack(parts, axis=-1).reshape(n_out, *window.kernel, 1)


def conv2d_grad_x(
    e: Int8, w: Int8, ratio: Int16, x_shape: tuple[int, ...], window: Window
) -> Int32:
    """Error of a convolution's input.

    Args:
        e: int8 (batch, out height, out width, n_out).
        w: int8 (n_out, kernel height, kernel width, n_in / groups).
        ratio: int16 (n_out,), in [0, 128].
        x_shape: (batch, height, width, n_in) of the input.
        window: as in `conv2d_acc`.

    Returns:
        int32 of x_shape; fits while kernel height * width * n_out / groups <= 1040.

    Example:
        >>> e, w = np.full((1, 1, 1, 1), 2, np.int8), np.full((1, 1, 1, 1), 3, np.int8)
        >>> window = Window((1, 1), (1, 1), (0, 0, 0, 0))
        >>> conv2d_grad_x(e, w, np.array([128]), (1, 1, 1, 1), window).ravel()
        array([768], dtype=int32)
    """
    groups, n_in = window.groups, w.shape[3]
    scaled = (e.astype(np.int32) * ratio).reshape(*e.shape[:3], groups, -1)
    filters = w.reshape(groups, w.shape[0] // groups, -1, n_in)
    top, bottom, left, right = window.padding
    batch, height, width, channels = x_shape
    grad = np.zeros((batch, height + top + bottom, width + left + right, channels), np.int32)
    for t, view in enumerate(taps(grad, window)):
        if n_in == 1:
            view += np.einsum("bhwgm,gm->bhwg", scaled, filters[:, :, t, 0].astype(np.int32))
            continue
        for g in range(groups):
            part = exact_matmul(scaled[..., g, :], filters[g, :, t], 127 * 128 * 127)
            view[..., g * n_in : (g + 1) * n_in] += part
    return grad[:, top : top + height, left : left + width]


def average_pool_grad(e: Int8, x_shape: tuple[int, ...], window: Window) -> Int32:
    """Error of an average pool's input, times 256: each window hands out ``e / count``.

    Example:
        >>> e = np.full((1, 1, 1, 1), 4, np.int8)
        >>> average_pool_grad(e, (1, 2, 2, 1), Window((2, 2), (2, 2), (0, 0, 0, 0))).ravel()
        array([256, 256, 256, 256], dtype=int32)
    """
    count = pool_counts(x_shape[1], x_shape[2], window)
    share = (e.astype(np.int32) * 256 + count // 2) // count
    return _scatter([share] * (window.kernel[0] * window.kernel[1]), x_shape, window)


def max_pool_index(x: Int8, window: Window) -> Ints:
    """Say which tap of each window won, the first of equals: uint8 of the pooled shape.

    Padding never wins; a window has at most 256 taps.

    Example:
        >>> x = np.array([1, 3, 3, -4], np.int8).reshape(1, 2, 2, 1)
        >>> max_pool_index(x, Window((2, 2), (2, 2), (0, 0, 0, 0))).ravel()
        array([1], dtype=uint8)
    """
    views = taps(pad(x.astype(np.int16), window.padding, INT8_MIN - 1), window)
    return np.argmax(np.stack(views), axis=0).astype(np.uint8)


def max_pool_grad(e: Int8, index: Ints, x_shape: tuple[int, ...], window: Window) -> Int32:
    """Error of a max pool's input: each window's error goes to its winner.

    Example:
        >>> e, index = np.full((1, 1, 1, 1), 4, np.int8), np.full((1, 1, 1, 1), 2, np.uint8)
        >>> max_pool_grad(e, index, (1, 2, 2, 1), Window((2, 2), (2, 2), (0, 0, 0, 0))).ravel()
        array([0, 0, 4, 0], dtype=int32)
    """
    count = window.kernel[0] * window.kernel[1]
    shares = [np.where(index == t, e, 0).astype(np.int32) for t in range(count)]
    return _scatter(shares, x_shape, window)


def _scatter(shares: list[Int32], x_shape: tuple[int, ...], window: Window) -> Int32:
    """Add each tap's share to the pixels it was read from."""
    top, bottom, left, right = window.padding
    batch, height, width, channels = x_shape
    grad = np.zeros((batch, height + top + bottom, width + left + right, channels), np.int32)
    for view, share in zip(taps(grad, window), shares, strict=True):
        view += share
    return grad[:, top : top + height, left : left + width]
