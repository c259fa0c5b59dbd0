"""Scaling with 64-bit products: int64 numbers are shifted by their halves."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN, INT32_MAX
from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant

WORD = 32
POWERS = np.left_shift(np.int64(1), np.arange(63))
"""2**i, i in 0..62."""
HALVES = (POWERS - 1) >> 1
"""The largest rest of a division by 2**i that a positive number does not round up for."""


def high(value: Tensor) -> Tensor:
    """Return ``value >> 32`` of int64 numbers: int32."""
    return _halves(value).gather(np.array(1))


def _halves(value: Tensor) -> Tensor:
    """Return low and high halves, int32 (2, ...); other ways to part them are slower."""
    axes = range(len(value.shape))
    return value.bits_as(np.int32).transpose(len(axes), *axes)


def power(exponent: Tensor) -> Tensor:
    """Return ``2**exponent`` as int64, of int32 numbers in [0, 62]."""
    return constant(exponent.graph, POWERS, np.int64).gather(exponent)


def shift_right(value: Tensor, bits: Operand) -> Tensor:
    """Return ``value >> bits`` of int64 numbers: int64.

    Args:
        value: int64.
        bits: in [0, 62]: a number, or int32 of a shape that broadcasts.
    """
    amount = constant(value.graph, bits, np.int32)
    near = amount.minimum(WORD - 1)
    return _shift_near(_shift_near(value, near), amount - near)


def _shift_near(value: Tensor, bits: Tensor) -> Tensor:
    """Shift by less than 32 bits."""
    halves = _halves(value)
    low = halves.gather(np.array(0)).bits_as(np.uint32)
    shifted = (low >> bits.cast(np.uint32)).cast(np.int64)
    return halves.gather(np.array(1)).cast(np.int64) * power(WORD - bits) + shifted


def divide_by_power(value: Tensor, exponent: Operand) -> Tensor:
    """Divide by ``2**exponent`` to nearest, ties away from zero; see `edgetrain.fixed`.

    Args:
        value: int32 or int64.
        exponent: in [0, 31], of int64 in [0, 62]: numbers, or int32 of a shape that broadcasts.

    Returns:
        The type and shape of value.
    """
    if not isinstance(exponent, Tensor) and not np.any(exponent):
        return value
    is_wide = value.dtype == np.int64
    shifted = shift_right(value, exponent) if is_wide else value >> exponent
    rest = value - shifted * _entry(value, POWERS, exponent)
    threshold = value.less(0).cast(value.dtype) + _entry(value, HALVES, exponent)
    return shifted + rest.greater(threshold).cast(value.dtype)


def _entry(value: Tensor, table: NDArray[np.int64], at: Operand) -> Tensor:
    """Look up numbers of a value's type."""
    if isinstance(at, Tensor):
        return constant(value.graph, table.astype(value.dtype), value.dtype).gather(at)
    return constant(value.graph, np.atleast_1d(table[at]), value.dtype)


def divide(value: Tensor, divisor: int) -> Tensor:
    """Return the floor of an int64 quotient.

    There is no division, but a remainder. What is left without it is a multiple of the divisor,
    whose odd part a multiplication by its inverse modulo 2**64 takes away.
    """
    twos = (divisor & -divisor).bit_length() - 1
    odd = divisor >> twos
    if odd > 1:
        inverse = np.array([pow(odd, -1, 2**64)], np.uint64).view(np.int64)
        value = (value - value % divisor) * inverse
    return shift_right(value, twos) if twos else value


def rescale(acc: Tensor, multiplier: Any, shift: Operand) -> Tensor:
    """Scale integers: ``acc * multiplier * 2**(shift - 31)``, rounded twice; see `edgetrain.fixed`.

    Args:
        acc: int32 or int64; ``acc * 2**max(shift, 0)`` saturates at int32.
        multiplier: a number, or int32 (channels,) for the last axis.
        shift: likewise; or, if it is at most 0, an int32 tensor.

    Returns:
        int32, the shape of acc.
    """
    left, right = _directions(shift)
    if np.any(left):
        most = np.atleast_1d(INT32_MAX >> left)
        acc = acc.maximum(-most).minimum(most)
    factor = np.atleast_1d(np.asarray(multiplier, np.int64) << (left + 1))
    product = high(acc.cast(np.int64) * factor + (1 << (WORD - 1)))
    return divide_by_power(product, right)


def _directions(shift: Operand) -> tuple[NDArray[np.int64], Operand]:
    """Return the bits that a shift goes to the left, and those to the right."""
    if isinstance(shift, Tensor):
        return np.zeros((), np.int64), 0 - shift
    known = np.asarray(shift, np.int64)
    return np.maximum(known, 0), np.maximum(-known, 0)


def requantize(
    acc: Tensor, multiplier: Any, shift: Any, zero_point: int = 0, low: int = INT8_MIN,
    high: int = INT8_MAX,
) -> Tensor:  # fmt: skip
    """Scale accumulators to int8; see `edgetrain.fixed.requantize`."""
    scaled = rescale(acc, multiplier, shift).clip(low - zero_point, high - zero_point)
    return (scaled + zero_point).cast(np.int8)
