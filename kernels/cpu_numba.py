"""The backend "numba": compiled loops on one CPU core, bit-identical to `edgetrain.fixed`.

Layers and pools are single instructions of the machine that also runs whole steps. Operations
that cost next to nothing are those of the specification itself.
"""

import math

import numpy as np

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
from edgetrain.kernels import cpu_numba_machine as machine
from edgetrain.kernels.cpu_numba_layers import (
    average_pool,
    conv2d_acc,
    conv2d_grad_w,
    conv2d_grad_x,
    dense_acc,
    dense_grad_w,
    dense_grad_x,
    max_pool,
)
from edgetrain.kernels.cpu_numba_replay import replay_int8
from edgetrain.kernels.cpu_numba_single import execute, need, ready

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
    "machine",
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
    out = np.empty(acc.shape, np.int8)
    scales = (np.full(channels, v, np.int64) for v in (multiplier, shift))
    flat = ready(acc, np.int32).reshape(-1)
    limits = int(zero_point), int(low), int(high)
    return out, int(elements.requantize(flat, *scales, *limits, out.reshape(-1)))


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


def update_int8(w: Int8, acc: Int32, multiplier: Int32, key: Key) -> tuple[Int8, int]:
    """See `edgetrain.fixed.update_int8`."""
    limits = (INT8_MAX, -WEIGHT_MAX, WEIGHT_MAX)
    return _update(ready(w, np.int8), acc, multiplier, key, UPDATE_SHIFT, limits)


def update_int16(w: Int16, acc: Int32, multiplier: Int32, key: Key) -> tuple[Int16, int]:
    """See `edgetrain.fixed.update_int16`."""
    limits = (2**15 - 1, MASTER_MIN, MASTER_MAX)
    return _update(ready(w, np.int16), acc, multiplier, key, UPDATE_SHIFT - MASTER_BITS, limits)


def _update(
    w: Ints, acc: Int32, multiplier: Int32, key: Key, shift: int, limits: tuple[int, int, int]
) -> tuple[Ints, int]:
    channels = len(w)
    need("acc", acc, w.shape)
    need("multiplier", multiplier, (channels,))
    rows = w.reshape(channels, math.prod(w.shape[1:]))
    acc, multiplier = ready(acc, np.int32).reshape(rows.shape), ready(multiplier, np.int32)
    out = np.empty_like(rows)
    keys = np.uint32(key.k0), np.uint32(key.k1)
    saturated = elements.update(rows, acc, multiplier, *keys, shift, *limits, out)
    return out.reshape(w.shape), int(saturated)


def momentum(velocity: Int32, acc: Int32, decay: int, realign: int) -> Int32:
    """See `edgetrain.fixed.momentum`."""
    need("acc", acc, velocity.shape)
    out = np.empty(velocity.shape, np.int32)
    left, right = min(max(realign, 0), 31), min(max(-realign, 0), 62)
    given = (ready(velocity, np.int32).ravel(), ready(acc, np.int32).ravel())
    elements.momentum(*given, int(decay), int(left), int(right), out.ravel())
    return out


def add(
    a: Int8, a_zero_point: int, a_scale: tuple[int, int],
    b: Int8, b_zero_point: int, b_scale: tuple[int, int],
    y_zero_point: int, y_scale: tuple[int, int], low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """See `edgetrain.fixed.add`."""
    need("b", b, a.shape)
    out = np.empty(a.shape, np.int8)
    if out.size:
        execute(
            "add", a=ready(a, np.int8), a_zero=a_zero_point, a_multiplier=a_scale[0],
            a_shift=a_scale[1], b=ready(b, np.int8), b_zero=b_zero_point, b_multiplier=b_scale[0],
            b_shift=b_scale[1], y_zero=y_zero_point, y_multiplier=y_scale[0], y_shift=y_scale[1],
            low=low, high=high, size=out.size, y=out,
        )  # fmt: skip
    return out
