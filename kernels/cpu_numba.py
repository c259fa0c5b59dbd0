"""The backend "numba": compiled loops on one CPU core, bit-identical to `edgetrain.fixed`.

Operations that cost next to nothing are those of the specification itself.
"""

import math
from typing import Any

import numpy as np

from edgetrain.arithmetic.layers import ADD_LEFT_SHIFT, Window
from edgetrain.arithmetic.randomness import Key
from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN, WEIGHT_MAX, Int8, Int16, Int32, Ints
from edgetrain.arithmetic.updates import MASTER_BITS, MASTER_MAX, MASTER_MIN, UPDATE_SHIFT
from edgetrain.fixed import (
    average_pool_grad,
    cross_entropy,
    global_average_pool,
    logits_q10,
    look_up,
    max_pool_grad,
    max_pool_index,
    random_signs,
    squared_error,
    update_bias,
)
from edgetrain.kernels import cpu_numba_elements as elements
from edgetrain.kernels import cpu_numba_layers as layers

__all__ = [
    "add",
    "average_pool",
    "average_pool_grad",
    "conv2d_acc",
    "conv2d_grad_w",
    "conv2d_grad_x",
    "cross_entropy",
    "dense_acc",
    "dense_grad_w",
    "dense_grad_x",
    "global_average_pool",
    "logits_q10",
    "look_up",
    "max_pool",
    "max_pool_grad",
    "max_pool_index",
    "momentum",
    "random_signs",
    "requantize",
    "scale_error",
    "squared_error",
    "update_bias",
    "update_int8",
    "update_int16",
]

POINT = Window((1, 1), (1, 1), (0, 0, 0, 0))
"""A dense layer is a convolution over one row that is the batch."""


def _ready(a: Ints, dtype: Any) -> Ints:
    """Return a with the one type and layout that its kernel is compiled for."""
    return np.ascontiguousarray(a, dtype)


def _need(name: str, a: Ints, shape: tuple[int, ...]) -> None:
    """Stop before a loop would leave an array: compiled code does not check its indices."""
    if a.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {a.shape}")


def _numbers(window: Window) -> tuple[int, ...]:
    return (*window.kernel, *window.stride, *window.padding)


def _requantize(
    acc: Ints, multiplier: Int32 | int, shift: Int32 | int, zero_point: int, low: int, high: int
) -> tuple[Int8, int]:
    channels = acc.shape[-1] if acc.ndim else 1
    rows = _ready(acc, np.int32).reshape(math.prod(acc.shape[:-1]), channels)
    out = np.empty(rows.shape, np.int8)
    scales = (np.full(channels, v, np.int64) for v in (multiplier, shift))
    peak = elements.requantize(rows, *scales, int(zero_point), int(low), int(high), out)
    return out.reshape(acc.shape), int(peak)


def requantize(
    acc: Ints,
    multiplier: Int32 | int,
    shift: Int32 | int,
    zero_point: int = 0,
    low: int = INT8_MIN,
    high: int = INT8_MAX,
) -> Int8:
    """See `edgetrain.fixed.requantize`; acc must fit in int32."""
    return _requantize(acc, multiplier, shift, zero_point, low, high)[0]


def scale_error(acc: Ints, multiplier: Int32 | int, shift: Int32 | int) -> tuple[Int8, int]:
    """See `edgetrain.fixed.scale_error`; acc must fit in int32."""
    return _requantize(acc, multiplier, shift, 0, -127, 127)


def dense_acc(x: Int8, w: Int8, b: Int32, x_zero_point: int) -> Int32:
    """See `edgetrain.fixed.dense_acc`."""
    return conv2d_acc(x[None, None], w[:, None, None], b, x_zero_point, POINT)[0, 0]


def dense_grad_w(x: Int8, e: Int8, x_zero_point: int) -> Int32:
    """See `edgetrain.fixed.dense_grad_w`."""
    return conv2d_grad_w(x[None, None], e[None, None], x_zero_point, POINT)[:, 0, 0]


def dense_grad_x(e: Int8, w: Int8, ratio: Int16) -> Int32:
    """See `edgetrain.fixed.dense_grad_x`."""
    x_shape = (1, 1, len(e), w.shape[1])
    return conv2d_grad_x(e[None, None], w[:, None, None], ratio, x_shape, POINT)[0, 0]


def conv2d_acc(x: Int8, w: Int8, b: Int32, x_zero_point: int, window: Window) -> Int32:
    """See `edgetrain.fixed.conv2d_acc`."""
    n_out, channels = len(w), x.shape[3]
    _need("w", w, _filter_shape(n_out, channels, window))
    _need("b", b, (n_out,))
    out = np.empty((len(x), *window.output_size(*x.shape[1:3]), n_out), np.int32)
    bias, zero, numbers = _ready(b, np.int32), int(x_zero_point), _numbers(window)
    if _is_depthwise(window, channels):
        x, taps = np.repeat(x, n_out // channels, axis=3), w.reshape(n_out, -1).T
        out[:] = bias
        layers.depthwise_acc(_ready(x, np.int8), _ready(taps, np.int8), zero, numbers, out)
        return out
    filters = _ready(w, np.int8).reshape(n_out, -1)
    x_rows, out_rows = _rows(x, window), _rows(out, window)
    layers.conv2d_acc(_ready(x_rows, np.int8), filters, bias, zero, numbers, out_rows)
    return out


def conv2d_grad_w(x: Int8, e: Int8, x_zero_point: int, window: Window) -> Int32:
    """See `edgetrain.fixed.conv2d_grad_w`."""
    n_out, channels = e.shape[3], x.shape[3]
    _need("e", e, (len(x), *window.output_size(*x.shape[1:3]), n_out))
    shape = _filter_shape(n_out, channels, window)
    zero, numbers = int(x_zero_point), _numbers(window)
    n_taps = window.kernel[0] * window.kernel[1]
    if _is_depthwise(window, channels):
        x = np.repeat(x, n_out // channels, axis=3)
        taps = np.zeros((n_taps, n_out), np.int32)
        layers.depthwise_grad_w(_ready(x, np.int8), _ready(e, np.int8), zero, numbers, taps)
        return np.ascontiguousarray(taps.T).reshape(shape)
    out = np.zeros((n_out, n_taps * shape[3]), np.int32)
    x, e = _ready(_rows(x, window), np.int8), _ready(_rows(e, window), np.int8)
    layers.conv2d_grad_w(x, e, zero, numbers, out)
    return out.reshape(shape)


def conv2d_grad_x(
    e: Int8, w: Int8, ratio: Int16, x_shape: tuple[int, ...], window: Window
) -> Int32:
    """See `edgetrain.fixed.conv2d_grad_x`."""
    batch, height, width, channels = x_shape
    n_out, numbers = len(w), _numbers(window)
    _need("e", e, (batch, *window.output_size(height, width), n_out))
    _need("w", w, _filter_shape(n_out, channels, window))
    _need("ratio", ratio, (n_out,))
    top, bottom, left, right = window.padding
    padded = (batch, top + height + bottom, left + width + right, channels)
    ratio = _ready(ratio, np.int16)
    if _is_depthwise(window, channels):
        many = np.zeros((*padded[:2], padded[2] * n_out), np.int32)
        taps = w.reshape(n_out, -1).T
        layers.depthwise_grad_x(_ready(e, np.int8), _ready(taps, np.int8), ratio, numbers, many)
        out = many.reshape(*padded, -1)
        out = out[..., 0] if n_out == channels else out.sum(axis=4, dtype=np.int32)
    else:
        out = np.zeros(padded, np.int32)
        e, out_rows = _ready(_rows(e, window), np.int8), _rows(out, window)
        out_rows = out_rows.reshape(*out_rows.shape[:2], -1)
        filters = _ready(w, np.int8).reshape(n_out, -1)
        layers.conv2d_grad_x(e, filters, ratio, numbers, channels, out_rows)
    return out[:, top : top + height, left : left + width]


def _filter_shape(n_out: int, channels: int, window: Window) -> tuple[int, ...]:
    if channels % window.groups or n_out % window.groups:
        raise ValueError(
            f"groups must divide the channels, got {window.groups} groups, "
            f"{channels} channels in and {n_out} out"
        )
    return (n_out, *window.kernel, channels // window.groups)


def _is_depthwise(window: Window, channels: int) -> bool:
    return window.groups == channels > 1


def _rows(x: Ints, window: Window) -> Ints:
    """Join the rows of an image where that changes nothing: a kernel of one pixel."""
    if window._replace(groups=1) != POINT:
        return x
    return x.reshape(x.shape[0], 1, x.shape[1] * x.shape[2], x.shape[3])


def update_int8(w: Int8, acc: Int32, multiplier: Int32, key: Key) -> tuple[Int8, int]:
    """See `edgetrain.fixed.update_int8`."""
    limits = (INT8_MAX, -WEIGHT_MAX, WEIGHT_MAX)
    return _update(_ready(w, np.int8), acc, multiplier, key, UPDATE_SHIFT, limits)


def update_int16(w: Int16, acc: Int32, multiplier: Int32, key: Key) -> tuple[Int16, int]:
    """See `edgetrain.fixed.update_int16`."""
    limits = (2**15 - 1, MASTER_MIN, MASTER_MAX)
    return _update(_ready(w, np.int16), acc, multiplier, key, UPDATE_SHIFT - MASTER_BITS, limits)


def _update(
    w: Ints, acc: Int32, multiplier: Int32, key: Key, shift: int, limits: tuple[int, int, int]
) -> tuple[Ints, int]:
    channels = len(w)
    _need("acc", acc, w.shape)
    _need("multiplier", multiplier, (channels,))
    rows = w.reshape(channels, math.prod(w.shape[1:]))
    words = np.empty(-(-w.size // 4), np.uint32)
    elements.random_words(np.uint32(key.k0), np.uint32(key.k1), words)
    octets = words.astype("<u4", copy=False).view(np.uint8)
    acc, multiplier = _ready(acc, np.int32).reshape(rows.shape), _ready(multiplier, np.int32)
    out = np.empty_like(rows)
    saturated = elements.update(rows, acc, multiplier, octets, shift, *limits, out)
    return out.reshape(w.shape), int(saturated)


def momentum(velocity: Int32, acc: Int32, decay: int, realign: int) -> Int32:
    """See `edgetrain.fixed.momentum`."""
    _need("acc", acc, velocity.shape)
    out = np.empty(velocity.shape, np.int32)
    left, right = min(max(realign, 0), 31), min(max(-realign, 0), 62)
    given = (_ready(velocity, np.int32).ravel(), _ready(acc, np.int32).ravel())
    elements.momentum(*given, int(decay), int(left), int(right), out.ravel())
    return out


def average_pool(x: Int8, window: Window) -> Int8:
    """See `edgetrain.fixed.average_pool`."""
    out = np.empty((len(x), *window.output_size(*x.shape[1:3]), x.shape[3]), np.int8)
    layers.average_pool(_ready(x, np.int8), _numbers(window), out)
    return out


def max_pool(x: Int8, window: Window) -> Int8:
    """See `edgetrain.fixed.max_pool`."""
    shape = (len(x), *window.output_size(*x.shape[1:3]), x.shape[3])
    out = np.full(shape, INT8_MIN, np.int8)
    layers.max_pool(_ready(x, np.int8), _numbers(window), out)
    return out


def add(
    a: Int8, a_zero_point: int, a_scale: tuple[int, int],
    b: Int8, b_zero_point: int, b_scale: tuple[int, int],
    y_zero_point: int, y_scale: tuple[int, int], low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """See `edgetrain.fixed.add`."""
    _need("b", b, a.shape)
    a_given = (_ready(a, np.int8).ravel(), int(a_zero_point), _pair(a_scale))
    b_given = (_ready(b, np.int8).ravel(), int(b_zero_point), _pair(b_scale))
    y_given = (int(y_zero_point), _pair(y_scale), int(low), int(high))
    out = np.empty(a.shape, np.int8)
    elements.add(*a_given, *b_given, ADD_LEFT_SHIFT, *y_given, out.ravel())
    return out


def _pair(scale: tuple[int, int]) -> tuple[int, int]:
    return int(scale[0]), int(scale[1])
