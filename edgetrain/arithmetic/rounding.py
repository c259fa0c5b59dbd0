"""Scales as integers, and the one rounding from accumulators to int8."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int8 = NDArray[np.int8]
Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Ints = NDArray[Any]

INT8_MIN, INT8_MAX = -128, 127
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
WEIGHT_MAX = 127
"""Weights are symmetric: -128 is never used."""


def quantize_multiplier(scale: float) -> tuple[int, int]:
    """Write a positive real scale as ``multiplier * 2**(shift - 31)``.

    Args:
        scale: in [0, 2**30); below 2**-32 it becomes (0, 0), as in TensorFlow Lite.

    Returns:
        multiplier: in [2**30, 2**31), or 0; and shift: in [-31, 30].

    Raises:
        ValueError: if scale is negative, not finite, or rounds to 2**30 and more.

    Example:
        >>> quantize_multiplier(0.025)
        (1717986918, -5)
    """
    if not (math.isfinite(scale) and 0 <= scale < 2**30):
        raise ValueError(f"scale must be in [0, 2**30), got {scale!r}")
    mantissa, shift = math.frexp(scale)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = 2**30, shift + 1
    if shift > 30:
        raise ValueError(f"scale must be in [0, 2**30), got {scale!r}, which rounds to 2**30")
    return (0, 0) if shift < -31 else (multiplier, shift)


def quantize_multipliers(scales: NDArray[np.float64]) -> tuple[Int32, Int32]:
    """Apply `quantize_multiplier` to every channel.

    Args:
        scales: float64 (channels,), each in [0, 2**30).

    Returns:
        multipliers and shifts, int32 (channels,).

    Example:
        >>> quantize_multipliers(np.array([1.0, 0.25]))
        (array([1073741824, 1073741824], dtype=int32), array([ 1, -1], dtype=int32))
    """
    pairs = np.array([quantize_multiplier(float(s)) for s in scales], np.int32).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def rescale(acc: Ints, multiplier: Int32 | int, shift: Int32 | int) -> Int64:
    """Scale integers: ``acc * multiplier * 2**(shift - 31)``, rounded twice.

    The product goes to the nearest integer, ties up; the right shift goes to nearest, ties away
    from zero: what the reference kernels of TensorFlow Lite Micro and CMSIS-NN do. Rounding once
    instead would change 1 result in 4 at shift -1.

    Args:
        acc: int32 or int64, any shape; ``acc * 2**max(shift, 0)`` must fit in int32.
        multiplier: 0 or in [2**30, 2**31), a number or int32 (channels,) for the last axis.
        shift: in [-31, 30], a number or int32 (channels,); negative shifts right.

    Returns:
        int64, the shape of acc.

    Example:
        >>> rescale(np.array([1, 2, 3, -1, -3]), 2**30, 0)  # halves: ties up
        array([ 1,  1,  2,  0, -1])
        >>> rescale(np.array([2, 6, -2, -6]), 2**30, -1)  # quarters: ties away from zero
        array([ 1,  2, -1, -2])
    """
    multiplier, shift = np.asarray(multiplier, np.int64), np.asarray(shift, np.int64)
    left, right = np.maximum(shift, 0), np.maximum(-shift, 0)
    high = ((acc.astype(np.int64) << left) * multiplier + (1 << 30)) >> 31
    return divide_by_power(high, right)


def divide_by_power(value: Int64, exponent: Int64 | int) -> Int64:
    """Divide by ``2**exponent`` to nearest, ties away from zero.

    Args:
        value: int64, any shape.
        exponent: in [0, 62], a number or int64 (channels,) for the last axis.

    Returns:
        int64, the shape of value.

    Example:
        >>> divide_by_power(np.array([5, 6, 7, -6, -7]), 2)
        array([ 1,  2,  2, -2, -2])
    """
    mask = (np.int64(1) << np.asarray(exponent, np.int64)) - 1
    threshold = (mask >> 1) + (value < 0)
    return (value >> exponent) + ((value & mask) > threshold)


def saturate(value: Ints, low: int = INT8_MIN, high: int = INT8_MAX) -> Int8:
    """Clip to [low, high] and store as int8.

    Example:
        >>> saturate(np.array([300, -300, 5]))
        array([ 127, -128,    5], dtype=int8)
    """
    return np.clip(value, low, high).astype(np.int8)


def requantize(
    acc: Ints,
    multiplier: Int32 | int,
    shift: Int32 | int,
    zero_point: int = 0,
    low: int = INT8_MIN,
    high: int = INT8_MAX,
) -> Int8:
    """Scale accumulators to int8: ``zero_point + rescale(acc)``, then clip to [low, high].

    Args:
        acc: int32, any shape, channels last; see `rescale`.
        multiplier: see `rescale`.
        shift: see `rescale`.
        zero_point: the int8 value that stands for the real number 0.
        low: lower end of the fused activation, the zero point for ReLU.
        high: upper end of the fused activation.

    Returns:
        int8, the shape of acc.

    Example:
        >>> requantize(np.array([100, -100, 9000], np.int32), *quantize_multiplier(0.025))
        array([  3,  -3, 127], dtype=int8)
    """
    return saturate(rescale(acc, multiplier, shift) + zero_point, low, high)
