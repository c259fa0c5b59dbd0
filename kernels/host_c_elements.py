"""Operations without weights of the backend "c": scales, pools, losses, updates."""

import math

import numpy as np

from edgetrain.arithmetic import layers
from edgetrain.arithmetic.layers import Window, global_pool_multiplier
from edgetrain.arithmetic.randomness import Key
from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN, Int8, Int16, Int32, Ints
from edgetrain.kernels.host_c_calls import (
    CKey,
    COutput,
    CTerm,
    call,
    need,
    per_channel,
    pool_window,
    ready,
)


def requantize(
    acc: Ints,
    multiplier: Int32 | int,
    shift: Int32 | int,
    zero_point: int = 0,
    low: int = INT8_MIN,
    high: int = INT8_MAX,
) -> Int8:
    """See `edgetrain.fixed.requantize`; acc must fit in int32."""
    channels = acc.shape[-1] if acc.ndim else 1
    multipliers, shifts = per_channel(multiplier, shift, channels)
    output = COutput(multipliers.ctypes.data, shifts.ctypes.data, zero_point, low, high)
    acc, y = ready(acc, np.int32), np.empty(acc.shape, np.int8)
    call("et_requantize", acc, output, y, math.prod(acc.shape[:-1]), channels)
    return y


def scale_error(acc: Ints, multiplier: Int32 | int, shift: Int32 | int) -> tuple[Int8, int]:
    """See `edgetrain.fixed.scale_error`; acc must fit in int32."""
    if np.ndim(multiplier) or np.ndim(shift):  # no rule does this: one channel after the other
        pairs = zip(*per_channel(multiplier, shift, acc.shape[-1]), strict=True)
        parts = [scale_error(acc[..., i], int(m), int(s)) for i, (m, s) in enumerate(pairs)]
        return np.stack([e for e, _ in parts], axis=-1), max(peak for _, peak in parts)
    acc, e = ready(acc, np.int32), np.empty(acc.shape, np.int8)
    return e, call("et_scale_error", acc, multiplier, shift, e, acc.size)


def average_pool(x: Int8, window: Window) -> Int8:
    """See `edgetrain.fixed.average_pool`."""
    y = np.empty((len(x), *window.output_size(*x.shape[1:3]), x.shape[3]), np.int8)
    call("et_average_pool", ready(x, np.int8), y, len(x), pool_window(window, x.shape))
    return y


def average_pool_grad(e: Int8, x_shape: tuple[int, ...], window: Window) -> Int32:
    """See `edgetrain.fixed.average_pool_grad`."""
    need("e", e, (x_shape[0], *window.output_size(*x_shape[1:3]), x_shape[3]))
    grad = np.empty(x_shape, np.int32)
    view = pool_window(window, x_shape)
    call("et_average_pool_grad", ready(e, np.int8), grad, x_shape[0], view)
    return grad


def _max_pool(x: Int8, window: Window) -> tuple[Int8, Ints]:
    y = np.empty((len(x), *window.output_size(*x.shape[1:3]), x.shape[3]), np.int8)
    index = np.empty(y.shape, np.uint8)
    call("et_max_pool", ready(x, np.int8), y, index, len(x), pool_window(window, x.shape))
    return y, index


def max_pool(x: Int8, window: Window) -> Int8:
    """See `edgetrain.fixed.max_pool`."""
    return _max_pool(x, window)[0]


def max_pool_index(x: Int8, window: Window) -> Ints:
    """See `edgetrain.fixed.max_pool_index`."""
    return _max_pool(x, window)[1]


def max_pool_grad(e: Int8, index: Ints, x_shape: tuple[int, ...], window: Window) -> Int32:
    """See `edgetrain.fixed.max_pool_grad`."""
    shape = (x_shape[0], *window.output_size(*x_shape[1:3]), x_shape[3])
    need("e", e, shape)
    need("index", index, shape)
    grad = np.empty(x_shape, np.int32)
    arrays = (ready(e, np.int8), ready(index, np.uint8))
    call("et_max_pool_grad", *arrays, grad, x_shape[0], pool_window(window, x_shape))
    return grad


def global_average_pool(
    x: Int8, x_zero_point: int, multiplier: int, shift: int, y_zero_point: int
) -> Int8:
    """See `edgetrain.fixed.global_average_pool`."""
    batch, height, width, channels = x.shape
    scale = global_pool_multiplier(int(multiplier), int(shift), height * width)
    y = np.empty((batch, channels), np.int8)
    sizes = (batch, height * width, channels)
    arguments = (x_zero_point, *scale, y_zero_point, y, *sizes)
    call("et_global_average_pool", ready(x, np.int8), *arguments)
    return y


def add(
    a: Int8, a_zero_point: int, a_scale: tuple[int, int],
    b: Int8, b_zero_point: int, b_scale: tuple[int, int],
    y_zero_point: int, y_scale: tuple[int, int], low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """See `edgetrain.fixed.add`."""
    need("b", b, a.shape)
    y = np.empty(a.shape, np.int8)
    a_term, b_term = CTerm(a_zero_point, *a_scale), CTerm(b_zero_point, *b_scale)
    arguments = (ready(a, np.int8), a_term, ready(b, np.int8), b_term, y)
    call("et_add", *arguments, CTerm(y_zero_point, *y_scale), low, high, a.size)
    return y


def look_up(x: Int8, table: Ints) -> Ints:
    """See `edgetrain.fixed.look_up`; tables of other types than int8 are read by NumPy."""
    if table.dtype != np.int8:
        return layers.look_up(x, table)
    need("table", table, (256,))
    y = np.empty(x.shape, np.int8)
    call("et_look_up", ready(x, np.int8), ready(table, np.int8), y, x.size)
    return y


def logits_q10(acc: Int32, multiplier: Int32 | int, shift: Int32 | int) -> Int32:
    """See `edgetrain.fixed.logits_q10`."""
    batch, classes = acc.shape
    logits = np.empty((batch, classes), np.int32)
    scales = per_channel(multiplier, shift, classes)
    call("et_logits_q10", ready(acc, np.int32), *scales, logits, batch, classes)
    return logits


def cross_entropy(logits: Int32, y: Ints) -> tuple[Int32, Int32]:
    """See `edgetrain.fixed.cross_entropy`.

    Raises:
        ValueError: if a label is not in [0, classes).
    """
    batch, classes = logits.shape
    need("y", y, (batch,))
    error, loss = np.empty((batch, classes), np.int32), np.empty(batch, np.int32)
    arrays = (ready(logits, np.int32), ready(y, np.int32), error, loss)
    if call("et_cross_entropy", *arrays, batch, classes):
        raise ValueError(f"labels must be in [0, {classes}), got {y.min()} to {y.max()}")
    return error, loss


def squared_error(output: Int32, target: Int32) -> tuple[Int32, Int32]:
    """See `edgetrain.fixed.squared_error`."""
    need("target", target, output.shape)
    error, loss = np.empty(output.shape, np.int32), np.empty(len(output), np.int32)
    arrays = (ready(output, np.int32), ready(target, np.int32), error, loss)
    call("et_squared_error", *arrays, *output.shape)
    return error, loss


def probabilities(x: Int8, multiplier: int, shift: int, lowest: int) -> Int8:
    """See `edgetrain.fixed.probabilities`."""
    y = np.empty(x.shape, np.int8)
    call("et_softmax", ready(x, np.int8), multiplier, shift, max(lowest, -256), y, *x.shape)
    return y


def random_signs(key: Key, rows: int, columns: int) -> Int8:
    """See `edgetrain.fixed.random_signs`."""
    signs = np.empty((rows, columns), np.int8)
    call("et_random_signs", CKey(*key), signs, rows, columns)
    return signs


def _update(
    name: str, w: Ints, acc: Int32, multiplier: Int32, key: Key, kind: type
) -> tuple[Ints, int]:
    need("acc", acc, w.shape)
    need("multiplier", multiplier, (len(w),))
    new: Ints = np.array(w, kind, order="C")
    arrays = (new, ready(acc, np.int32), ready(multiplier, np.int32))
    return new, call(name, *arrays, CKey(*key), len(w), math.prod(w.shape[1:]))


def update_int8(w: Int8, acc: Int32, multiplier: Int32, key: Key) -> tuple[Int8, int]:
    """See `edgetrain.fixed.update_int8`."""
    return _update("et_update_int8", w, acc, multiplier, key, np.int8)


def update_int16(w: Int16, acc: Int32, multiplier: Int32, key: Key) -> tuple[Int16, int]:
    """See `edgetrain.fixed.update_int16`."""
    return _update("et_update_int16", w, acc, multiplier, key, np.int16)


def update_bias(b: Int32, acc: Int32, multiplier: Int32, limit: int) -> Int32:
    """See `edgetrain.fixed.update_bias`."""
    need("acc", acc, b.shape)
    need("multiplier", multiplier, b.shape)
    new = np.array(b, np.int32, order="C")
    call("et_update_bias", new, ready(acc, np.int32), ready(multiplier, np.int32), limit, b.size)
    return new


def momentum(velocity: Int32, acc: Int32, decay: int, realign: int) -> Int32:
    """See `edgetrain.fixed.momentum`."""
    need("acc", acc, velocity.shape)
    new = np.array(velocity, np.int32, order="C")
    call("et_momentum", new, ready(acc, np.int32), decay, realign, new.size)
    return new
