"""The backend "triton": kernels for an NVIDIA GPU, bit-identical to `edgetrain.fixed`.

With TRITON_INTERPRET=1 in the environment the same kernels run on the CPU, slowly, so that their
results can be tested anywhere. Arrays travel to the device and back in every call. Losses are
those of the specification itself: they cost next to nothing.
"""

import math

import numpy as np
import torch

from edgetrain.arithmetic.layers import (
    ADD_LEFT_SHIFT,
    Window,
    global_pool_multiplier,
    pool_counts,
)
from edgetrain.arithmetic.randomness import Key
from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN, WEIGHT_MAX, Int8, Int16, Int32, Ints
from edgetrain.arithmetic.updates import (
    BIAS_SHIFT,
    MASTER_BITS,
    MASTER_MAX,
    MASTER_MIN,
    UPDATE_SHIFT,
)
from edgetrain.fixed import cross_entropy, logits_q10, squared_error
from edgetrain.kernels import gpu_triton_elements as elements
from edgetrain.kernels import gpu_triton_pools as pools
from edgetrain.kernels.gpu_triton_calls import (
    conv2d,
    conv2d_acc,
    conv2d_grad_w,
    conv2d_grad_x,
    dense,
    dense_acc,
    dense_grad_w,
    dense_grad_x,
    numbers,
)
from edgetrain.kernels.gpu_triton_launch import (
    BLOCK,
    empty,
    launch,
    need,
    over,
    to_device,
    to_host,
    zeros,
)
from edgetrain.kernels.gpu_triton_replay import replay_int8

__all__ = [
    "add",
    "average_pool",
    "average_pool_grad",
    "conv2d",
    "conv2d_acc",
    "conv2d_grad_w",
    "conv2d_grad_x",
    "cross_entropy",
    "dense",
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
    "replay_int8",
    "requantize",
    "scale_error",
    "squared_error",
    "update_bias",
    "update_int8",
    "update_int16",
]


def _requantize(
    acc: Ints, multiplier: Int32 | int, shift: Int32 | int, zero_point: int, low: int, high: int
) -> tuple[Int8, int]:
    channels = acc.shape[-1] if acc.ndim else 1
    scales = [to_device(np.full(channels, v), np.int32) for v in (multiplier, shift)]
    out = empty(acc.shape, torch.int8)
    peaks = zeros(max(over(acc.size)[0], 1), torch.int64)
    sizes = (acc.size, channels, int(zero_point), int(low), int(high))
    given = to_device(acc, np.int32)
    launch(elements.requantize, over(acc.size), given, *scales, out, peaks, *sizes, BLOCK=BLOCK)
    return to_host(out), int(peaks.max())


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


def add(
    a: Int8, a_zero_point: int, a_scale: tuple[int, int],
    b: Int8, b_zero_point: int, b_scale: tuple[int, int],
    y_zero_point: int, y_scale: tuple[int, int], low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """See `edgetrain.fixed.add`."""
    need("b", b, a.shape)
    out = empty(a.shape, torch.int8)
    scales = to_device(np.array([*a_scale, *b_scale, *y_scale]), np.int64)
    given = (to_device(a, np.int8), to_device(b, np.int8), out, a.size, scales)
    limits = (int(a_zero_point), int(b_zero_point), int(y_zero_point), int(low), int(high))
    launch(elements.add, over(a.size), *given, *limits, BITS=ADD_LEFT_SHIFT, BLOCK=BLOCK)
    return to_host(out)


def update_int8(w: Int8, acc: Int32, multiplier: Int32, key: Key) -> tuple[Int8, int]:
    """See `edgetrain.fixed.update_int8`."""
    limits = {"STEP_MAX": INT8_MAX, "LOW": -WEIGHT_MAX, "HIGH": WEIGHT_MAX}
    return _update(w, np.int8, acc, multiplier, key, UPDATE_SHIFT, limits)


def update_int16(w: Int16, acc: Int32, multiplier: Int32, key: Key) -> tuple[Int16, int]:
    """See `edgetrain.fixed.update_int16`."""
    limits = {"STEP_MAX": 2**15 - 1, "LOW": MASTER_MIN, "HIGH": MASTER_MAX}
    return _update(w, np.int16, acc, multiplier, key, UPDATE_SHIFT - MASTER_BITS, limits)


def _update(
    w: Ints, dtype: type, acc: Int32, multiplier: Int32, key: Key, shift: int,
    limits: dict[str, int],
) -> tuple[Ints, int]:  # fmt: skip
    need("acc", acc, w.shape)
    need("multiplier", multiplier, (len(w),))
    old = to_device(w, dtype)
    out, saturated = empty(w.shape, old.dtype), zeros(over(w.size)[0], torch.int32)
    given = (old, to_device(acc, np.int32), to_device(multiplier, np.int32), _words(key))
    sizes = (w.size, math.prod(w.shape[1:]))
    launch(elements.update, over(w.size), *given, out, saturated, *sizes, SHIFT=shift, **limits,
           BLOCK=BLOCK)  # fmt: skip
    return to_host(out), int(saturated.sum())


def _words(key: Key) -> torch.Tensor:
    return to_device(np.array(key), np.uint32)


def update_bias(b: Int32, acc: Int32, multiplier: Int32, limit: int) -> Int32:
    """See `edgetrain.fixed.update_bias`."""
    need("acc", acc, b.shape)
    need("multiplier", multiplier, b.shape)
    out = empty(b.shape, torch.int32)
    given = [to_device(a, np.int32) for a in (b, acc, multiplier)]
    most = to_device(np.array([limit]), np.int64)
    launch(elements.update_bias, over(b.size), *given, out, b.size, most, SHIFT=BIAS_SHIFT,
           BLOCK=BLOCK)  # fmt: skip
    return to_host(out)


def momentum(velocity: Int32, acc: Int32, decay: int, realign: int) -> Int32:
    """See `edgetrain.fixed.momentum`."""
    need("acc", acc, velocity.shape)
    out = empty(velocity.shape, torch.int32)
    shifts = np.array([decay, min(max(realign, 0), 31), min(max(-realign, 0), 62)])
    given = (to_device(velocity, np.int32), to_device(acc, np.int32), out, velocity.size)
    launch(elements.momentum, over(velocity.size), *given, to_device(shifts, np.int64),
           BLOCK=BLOCK)  # fmt: skip
    return to_host(out)


def random_signs(key: Key, rows: int, columns: int) -> Int8:
    """See `edgetrain.fixed.random_signs`."""
    out = empty((rows, columns), torch.int8)
    sizes = (rows * columns, columns, -(-columns // 32))
    launch(elements.random_signs, over(rows * columns), _words(key), out, *sizes, BLOCK=BLOCK)
    return to_host(out)


def look_up(x: Int8, table: Ints) -> Ints:
    """See `edgetrain.fixed.look_up`."""
    entries = to_device(table, table.dtype)
    out = empty(x.shape, entries.dtype)
    launch(elements.look_up, over(x.size), to_device(x, np.int8), entries, out, x.size,
           BLOCK=BLOCK)  # fmt: skip
    return to_host(out)


def average_pool(x: Int8, window: Window) -> Int8:
    """See `edgetrain.fixed.average_pool`."""
    return _pool(x, window, torch.int8, "average")


def max_pool(x: Int8, window: Window) -> Int8:
    """See `edgetrain.fixed.max_pool`."""
    return _pool(x, window, torch.int8, "max")


def max_pool_index(x: Int8, window: Window) -> Ints:
    """See `edgetrain.fixed.max_pool_index`."""
    return _pool(x, window, torch.uint8, "index")


def _pool(x: Int8, window: Window, dtype: torch.dtype, kind: str) -> Ints:
    size = window.output_size(*x.shape[1:3])
    out = empty((len(x), *size, x.shape[3]), dtype)
    sizes = (out.numel(), *x.shape[1:], *size)
    launch(pools.pool, over(out.numel()), to_device(x, np.int8), out, *sizes, **numbers(window),
           KIND=kind, BLOCK=BLOCK)  # fmt: skip
    return to_host(out)


def average_pool_grad(e: Int8, x_shape: tuple[int, ...], window: Window) -> Int32:
    """See `edgetrain.fixed.average_pool_grad`."""
    counts = pool_counts(x_shape[1], x_shape[2], window)
    return _pool_grad(e, to_device(counts, np.int32), x_shape, window, "average")


def max_pool_grad(e: Int8, index: Ints, x_shape: tuple[int, ...], window: Window) -> Int32:
    """See `edgetrain.fixed.max_pool_grad`."""
    need("index", index, e.shape)
    return _pool_grad(e, to_device(index, np.uint8), x_shape, window, "max")


def _pool_grad(
    e: Int8, index: torch.Tensor, x_shape: tuple[int, ...], window: Window, kind: str
) -> Int32:
    need("e", e, (x_shape[0], *window.output_size(*x_shape[1:3]), x_shape[3]))
    out = empty(x_shape, torch.int32)
    sizes = (out.numel(), *x_shape[1:], *e.shape[1:3])
    launch(pools.pool_grad, over(out.numel()), to_device(e, np.int8), index, out, *sizes,
           **numbers(window), KIND=kind, BLOCK=BLOCK)  # fmt: skip
    return to_host(out)


def global_average_pool(
    x: Int8, x_zero_point: int, multiplier: int, shift: int, y_zero_point: int
) -> Int8:
    """See `edgetrain.fixed.global_average_pool`."""
    batch, height, width, channels = x.shape
    count = height * width
    acc = empty((batch, channels), torch.int32)
    launch(pools.global_sum, (batch, channels), to_device(x, np.int8), acc, count, channels,
           int(x_zero_point), BLOCK=128)  # fmt: skip
    scale = global_pool_multiplier(multiplier, shift, count)
    return requantize(to_host(acc), *scale, y_zero_point)
