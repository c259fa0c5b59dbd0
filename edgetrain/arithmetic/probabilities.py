"""Softmax from int8 logits to int8 probabilities, as TensorFlow Lite Micro's reference kernel.

It is what inference gives to people; training uses the softmax of `edgetrain.arithmetic.losses`.
All steps are Q-format integers: exponentials in Q31, their sum in Q19, its reciprocal in Q31.

References:
    Jacob and Warden, "gemmlowp: a small self-contained low-precision GEMM library", 2017,
    fixed-point functions; TensorFlow Lite 8-bit quantization specification, operator SOFTMAX.
"""

import numpy as np

from edgetrain.arithmetic.rounding import (
    INT8_MIN,
    INT32_MAX,
    Int8,
    Int64,
    divide_by_power,
    quantize_multiplier,
    rescale,
    saturate,
)

PROBABILITY_SCALE, PROBABILITY_ZERO_POINT = 1 / 256, -128
"""Every int8 probability has this quantization."""
MAX_CLASSES = 4095
"""The sum of so many exponentials fits."""

_INTEGER_BITS = 5  # differences of logits are Q26 in int32: -32 to 0
SUM_BITS = 12  # sums of exponentials are Q19 in int32: below 4096
_QUARTER = 1 << 24  # 1/4 in Q26
_EXP_OF_MINUS_EIGHTH = 1895147668  # exp(-1/8) in Q31
_ONE_THIRD = 715827883  # 1/3 in Q31
_EXP_OF_MINUS_POWERS = (
    1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242,
)  # fmt: skip
"""exp(-1/4), exp(-1/2), exp(-1), ... exp(-16) in Q31."""


def softmax_multiplier(scale: float) -> tuple[int, int, int]:
    """Turn the scale of logits into the integers that `probabilities` needs.

    Args:
        scale: real value of one unit of a logit, in (2**-26, 32).

    Returns:
        multiplier, shift, and the lowest difference from the largest logit that still counts.

    Raises:
        ValueError: if the scale is out of range.

    Example:
        >>> softmax_multiplier(0.125)
        (1073741824, 24, -124)
    """
    fraction_bits = 31 - _INTEGER_BITS
    if not 2.0**-fraction_bits < scale < 2**_INTEGER_BITS:
        raise ValueError(f"the scale of logits must be in (2**-26, 32), got {scale!r}")
    multiplier, shift = quantize_multiplier(scale)
    shift += fraction_bits
    return multiplier, shift, -((2**_INTEGER_BITS - 1) * 2**fraction_bits >> shift)


def probabilities(x: Int8, multiplier: int, shift: int, lowest: int) -> Int8:
    """Return the softmax of every row, in units of 1/256 above -128.

    Args:
        x: int8 (batch, classes), logits; at most MAX_CLASSES.
        multiplier: of `softmax_multiplier`.
        shift: likewise.
        lowest: likewise; logits further below the largest have the probability 0.

    Returns:
        int8 (batch, classes).

    Example:
        >>> probabilities(np.array([[0, 8]], np.int8), *softmax_multiplier(0.125))
        array([[-59,  59]], dtype=int8)
    """
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    counts = difference >= lowest
    exponential = exp_q31(rescale(np.where(counts, difference, 0), multiplier, shift))
    total = np.where(counts, divide_by_power(exponential, SUM_BITS), 0).sum(-1, keepdims=True)
    leading = _leading_zeros(total)
    reciprocal = reciprocal_q31((total << leading) - (1 << 31))
    share = divide_by_power(_product(reciprocal, exponential), SUM_BITS - leading + 31 - 8)
    return saturate(np.where(counts, share, 0) + INT8_MIN)


def _product(a: Int64 | int, b: Int64 | int) -> Int64:
    """Multiply Q31 by any Q; to nearest, ties up."""
    return (np.asarray(a, np.int64) * b + (1 << 30)) >> 31


def exp_q31(x: Int64) -> Int64:
    """Return the exponential of Q26 numbers in [-32, 0], as Q31.

    A polynomial in (-1/4, 0], times a power of e for every higher bit.
    """
    fraction = (x & (_QUARTER - 1)) - _QUARTER
    y = (fraction << _INTEGER_BITS) + (1 << 28)
    squared = _product(y, y)
    cubed, fourth = _product(squared, y), _product(squared, squared)
    tail = _product(divide_by_power(fourth, 2) + cubed, _ONE_THIRD) + squared
    result = _EXP_OF_MINUS_EIGHTH + _product(_EXP_OF_MINUS_EIGHTH, y + divide_by_power(tail, 1))
    for bit, factor in enumerate(_EXP_OF_MINUS_POWERS, start=24):
        result = np.where((fraction - x) & (1 << bit), _product(result, factor), result)
    return np.where(x == 0, INT32_MAX, result)


def _leading_zeros(x: Int64) -> Int64:
    """Count the zero bits above the highest one bit of an int32 > 0."""
    _, exponent = np.frexp(x.astype(np.float64))
    return 32 - exponent.astype(np.int64)


def reciprocal_q31(x: Int64) -> Int64:
    """Return ``1 / (1 + x)`` in Q31 for x in [0, 1) in Q31, by three steps of Newton's method."""
    half = (x + INT32_MAX + 1) >> 1
    y = 1515870810 + _product(half, -1010580540)  # 48/17 - 32/17 * half, Q29
    for _ in range(3):
        y += _product(y, (1 << 29) - _product(half, y)) << 2
    return np.minimum(y << 1, INT32_MAX)
