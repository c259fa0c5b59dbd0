"""Layers with weights of the backend "c", and their gradients."""

import math

import numpy as np

from edgetrain.arithmetic.layers import Window
from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN, Int8, Int16, Int32
from edgetrain.kernels.host_c_calls import (
    COutput,
    CWindow,
    c_window,
    call,
    filter_shape,
    need,
    per_channel,
    ready,
)


def _start(w: Int8, b: Int32, x_zero_point: int) -> tuple[Int8, Int32]:
    """Return w and what accumulators begin with."""
    need("b", b, (len(w),))
    w, start = ready(w, np.int8), np.empty(len(w), np.int32)
    sizes = (len(w), math.prod(w.shape[1:]))
    call("et_start", w, ready(b, np.int32), x_zero_point, *sizes, start)
    return w, start


def dense_acc(x: Int8, w: Int8, b: Int32, x_zero_point: int) -> Int32:
    """See `edgetrain.fixed.dense_acc`."""
    n_out, n_in = w.shape
    need("x", x, (len(x), n_in))
    (w, start), acc = _start(w, b, x_zero_point), np.empty((len(x), n_out), np.int32)
    call("et_dense_acc", ready(x, np.int8), w, start, acc, len(x), n_in, n_out)
    return acc


def dense(
    x: Int8, w: Int8, b: Int32, x_zero_point: int, multiplier: Int32, shift: Int32,
    y_zero_point: int = 0, low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """See `edgetrain.fixed.dense`."""
    n_out, n_in = w.shape
    need("x", x, (len(x), n_in))
    (w, start), y = _start(w, b, x_zero_point), np.empty((len(x), n_out), np.int8)
    multipliers, shifts = per_channel(multiplier, shift, n_out)
    output = COutput(multipliers.ctypes.data, shifts.ctypes.data, y_zero_point, low, high)
    call("et_dense", ready(x, np.int8), w, start, output, y, len(x), n_in, n_out, None)
    return y


def _convolution(x: Int8, w: Int8, window: Window) -> tuple[CWindow, tuple[int, ...]]:
    """Return the structure of a convolution and the shape of its result."""
    n_out, (batch, height, width, channels) = len(w), x.shape
    need("w", w, filter_shape(n_out, channels, window))
    shape = (batch, *window.output_size(height, width), n_out)
    return c_window(window, height, width, channels, n_out), shape


def conv2d_acc(x: Int8, w: Int8, b: Int32, x_zero_point: int, window: Window) -> Int32:
    """See `edgetrain.fixed.conv2d_acc`."""
    view, shape = _convolution(x, w, window)
    (w, start), acc = _start(w, b, x_zero_point), np.empty(shape, np.int32)
    call("et_conv2d_acc", ready(x, np.int8), w, start, x_zero_point, acc, len(x), view)
    return acc


def conv2d(
    x: Int8, w: Int8, b: Int32, x_zero_point: int, window: Window, multiplier: Int32,
    shift: Int32, y_zero_point: int = 0, low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """See `edgetrain.fixed.conv2d`."""
    view, shape = _convolution(x, w, window)
    (w, start), y = _start(w, b, x_zero_point), np.empty(shape, np.int8)
    multipliers, shifts = per_channel(multiplier, shift, len(w))
    output = COutput(multipliers.ctypes.data, shifts.ctypes.data, y_zero_point, low, high)
    kernel = "et_depthwise" if window.groups == x.shape[3] == len(w) else "et_conv2d"
    call(kernel, ready(x, np.int8), w, start, x_zero_point, output, y, len(x), view, None)
    return y


def dense_grad_w(x: Int8, e: Int8, x_zero_point: int) -> Int32:
    """See `edgetrain.fixed.dense_grad_w`."""
    (batch, n_in), n_out = x.shape, e.shape[1]
    need("e", e, (batch, n_out))
    grad = np.zeros((n_out, n_in), np.int32)
    arrays = (ready(x, np.int8), ready(e, np.int8))
    call("et_dense_grad_w", *arrays, x_zero_point, grad, batch, n_in, n_out)
    return grad


def dense_grad_x(e: Int8, w: Int8, ratio: Int16) -> Int32:
    """See `edgetrain.fixed.dense_grad_x`."""
    n_out, n_in = w.shape
    need("e", e, (len(e), n_out))
    need("ratio", ratio, (n_out,))
    grad = np.empty((len(e), n_in), np.int32)
    arrays = (ready(e, np.int8), ready(w, np.int8), ready(ratio, np.int16))
    call("et_dense_grad_x", *arrays, grad, len(e), n_in, n_out)
    return grad


def conv2d_grad_w(x: Int8, e: Int8, x_zero_point: int, window: Window) -> Int32:
    """See `edgetrain.fixed.conv2d_grad_w`."""
    n_out, (batch, height, width, channels) = e.shape[3], x.shape
    need("e", e, (batch, *window.output_size(height, width), n_out))
    grad = np.zeros(filter_shape(n_out, channels, window), np.int32)
    view = c_window(window, height, width, channels, n_out)
    arrays = (ready(x, np.int8), ready(e, np.int8))
    call("et_conv2d_grad_w", *arrays, x_zero_point, grad, batch, view)
    return grad


def conv2d_grad_x(
    e: Int8, w: Int8, ratio: Int16, x_shape: tuple[int, ...], window: Window
) -> Int32:
    """See `edgetrain.fixed.conv2d_grad_x`."""
    n_out, (batch, height, width, channels) = len(w), x_shape
    need("e", e, (batch, *window.output_size(height, width), n_out))
    need("w", w, filter_shape(n_out, channels, window))
    need("ratio", ratio, (n_out,))
    grad = np.empty(x_shape, np.int32)
    arrays = (ready(e, np.int8), ready(w, np.int8), ready(ratio, np.int16))
    view = c_window(window, height, width, channels, n_out)
    call("et_conv2d_grad_x", *arrays, grad, batch, view)
    return grad
