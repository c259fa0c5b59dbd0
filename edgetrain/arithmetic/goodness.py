"""Forward-Forward in integers: goodness, layer normalization, losses of pairs."""

import numpy as np

from edgetrain.arithmetic.losses import LOGIT_BITS, LOGIT_MAX, cross_entropy
from edgetrain.arithmetic.rounding import (
    INT8_MAX,
    INT8_MIN,
    Int8,
    Int32,
    Int64,
    Ints,
    rescale,
)

NORMAL_CODE = 32
"""Root mean square of a normalized layer, in steps above its zero point."""
ROOT_BITS = 4
CHANNEL_BITS = 4
"""Fraction bits of a class's channel."""
CHANNEL_MAX = 255
CODE_BITS = 4
"""Fraction bits of the codes in which a device says how good labels are."""


def integer_root(value: Int64) -> Int64:
    """Largest whole number whose square is at most value.

    Args:
        value: int64 in [0, 2**60), any shape.

    Returns:
        int64, the shape of value.

    Example:
        >>> integer_root(np.array([0, 15, 16, 17]))
        array([0, 3, 4, 4])
    """
    root = np.zeros_like(value)
    for bit in range(29, -1, -1):
        larger = root + (1 << bit)
        root = np.where(larger * larger <= value, larger, root)
    return root


def sum_of_squares(x: Int8, zero_point: int) -> Int64:
    """Goodness of a layer: the sum of its squared activity.

    Args:
        x: int8 (batch, units).
        zero_point: of x.

    Returns:
        int64 (batch,).

    Example:
        >>> sum_of_squares(np.array([[-126, -125]], np.int8), -128)
        array([13])
    """
    above = x.astype(np.int64) - zero_point
    return (above * above).sum(axis=1)


def normalize(x: Int8, zero_point: int) -> Int8:
    """Divide a layer by its root mean square, so that its length says nothing to the next one.

    Args:
        x: int8 (batch, units), at or above its zero point.
        zero_point: of x.

    Returns:
        int8 (batch, units), of the same zero point, with a root mean square of NORMAL_CODE.

    References:
        Hinton, "The Forward-Forward Algorithm", 2022, section 2.1.

    Example:
        >>> normalize(np.array([[-128, -118, -108, -128]], np.int8), -128)
        array([[-128,  -99,  -70, -128]], dtype=int8)
    """
    squares = sum_of_squares(x, zero_point) << (2 * ROOT_BITS)
    root = np.maximum(integer_root(squares // x.shape[1]), 1)[:, None]
    above = x.astype(np.int64) - zero_point
    scaled = (above * (NORMAL_CODE << ROOT_BITS) + root // 2) // root
    return np.minimum(scaled + zero_point, INT8_MAX).astype(np.int8)


def scaled_goodness(squares: Int64, multiplier: int, shift: int) -> Int32:
    """Turn sums of squares into Q10 numbers, saturated at +-1023.999.

    Example:
        >>> scaled_goodness(np.array([4096]), 2**30, -1)
        array([1024], dtype=int32)
    """
    return np.clip(rescale(squares, multiplier, shift), -LOGIT_MAX, LOGIT_MAX).astype(np.int32)


def pair_loss(positive: Int32, negative: Int32, symmetric: bool) -> tuple[Int32, Int32, Int32]:
    """Return how the loss of a pair of goodnesses changes with either, and the loss.

    Symmetric: ``ln(1 + exp(negative - positive))``; else against the threshold 0, which the
    caller has taken off: ``ln(1 + exp(-positive)) + ln(1 + exp(negative))``.

    Args:
        positive: int32 (batch,), Q10: goodness of the right label.
        negative: int32 (batch,), Q10: goodness of the wrong one.
        symmetric: which loss.

    Returns:
        Derivatives by positive (at most 0) and by negative (at least 0), int32 (batch,), Q15;
        and the loss, int32 (batch,), Q10.

    References:
        Hinton, "The Forward-Forward Algorithm", 2022, equation 1.
        Lee, Song, "SymBa: Symmetric Backpropagation-Free Contrastive Learning", 2023, equation 4.

    Example:
        >>> pair_loss(np.array([1024], np.int32), np.array([0], np.int32), symmetric=True)
        (array([-8813], dtype=int32), array([8813], dtype=int32), array([321], dtype=int32))
    """
    if symmetric:
        slope, loss = _logistic(positive - negative)
        return slope, -slope, loss
    slope, loss = _logistic(positive)
    other, other_loss = _logistic(-negative)
    return slope, -other, loss + other_loss


def _logistic(logit: Ints) -> tuple[Int32, Int32]:
    """Derivative and value of ``ln(1 + exp(-logit))``: cross-entropy of two classes."""
    logits = np.stack([logit, np.zeros_like(logit)], axis=1).astype(np.int32)
    error, loss = cross_entropy(logits, np.zeros(len(logits), np.int64))
    return error[:, 0], loss


def threshold_q10(sharpness: float) -> int:
    """Threshold of a normalized goodness, whose mean is sharpness.

    Example:
        >>> threshold_q10(4.0)
        4096
    """
    return round(sharpness * 2**LOGIT_BITS)


def goodness_codes(total: Int32) -> Int8:
    """Say in int8 how far every label is behind the best one: what a device predicts.

    Args:
        total: int32 (batch, classes), Q10 goodness.

    Returns:
        int8 (batch, classes): 127 for the best label and its equals, one less for each 1/16 of
        goodness that is begun, -128 for all from 255/16 on. The largest code is the best label.

    Example:
        >>> goodness_codes(np.array([[0, 5120, 5119, 20480]], np.int32))
        array([[-128, -113, -114,  127]], dtype=int8)
    """
    behind = total.max(axis=1, keepdims=True).astype(np.int64) - total
    steps = -(-behind // 2 ** (LOGIT_BITS - CODE_BITS))
    return (INT8_MAX - np.minimum(steps, INT8_MAX - INT8_MIN)).astype(np.int8)
