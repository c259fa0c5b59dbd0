"""Integer losses: softmax and cross-entropy by two small tables, squared error."""

import numpy as np

from edgetrain.arithmetic.rounding import Int8, Int32, Int64, Ints, rescale

LOGIT_BITS = 10
"""Logits, targets and losses are fixed-point numbers with this many fraction bits (Q10)."""
PROBABILITY_BITS = 15
LOGIT_MAX = 2**20 - 1

EXP_COARSE = np.rint(2**15 * np.exp(-np.arange(128) / 8)).astype(np.int64)
"""exp(-i / 8) in Q15, i in 0..127."""
EXP_FINE = np.rint(2**15 * np.exp(-np.arange(128) / 1024)).astype(np.int64)
"""exp(-i / 1024) in Q15, i in 0..127."""
LOG_TABLE = np.rint(2**16 * np.log1p(np.arange(257) / 256)).astype(np.int64)
"""ln(1 + i / 256) in Q16, i in 0..256."""
LOG_2 = int(np.rint(2**16 * np.log(2)))
POWERS_OF_TWO = np.int64(1) << np.arange(32)


def logits_q10(acc: Int32, multiplier: Int32 | int, shift: Int32 | int) -> Int32:
    """Turn accumulators into Q10 logits, saturated at +-1023.999.

    Args:
        acc: int32 (batch, classes).
        multiplier: of ``x_scale * w_scale * 2**10``, per class; see `rescale`.
        shift: of the same scale.

    Returns:
        int32 (batch, classes), real value times 1024.

    Example:
        >>> logits_q10(np.array([[100, -7]], np.int32), 2**30, 11)
        array([[102400,  -7168]], dtype=int32)
    """
    return np.clip(rescale(acc, multiplier, shift), -LOGIT_MAX, LOGIT_MAX).astype(np.int32)


def exponentials(logits: Int32) -> Int64:
    """Return ``exp(logit - largest logit)`` in Q15; differences of 16 and more count as 16.

    Example:
        >>> exponentials(np.array([[1024, 0]], np.int32))
        array([[32768, 12055]])
    """
    logits = logits.astype(np.int64)
    below = np.minimum(logits.max(axis=-1, keepdims=True) - logits, 2**14 - 1)
    return (EXP_COARSE[below >> 7] * EXP_FINE[below & 127] + 2**14) >> 15


def softmax(logits: Int32) -> Int32:
    """Integer softmax: Q10 logits to Q15 probabilities.

    Args:
        logits: int32 (batch, classes), at most 2**15 classes.

    Returns:
        int32 (batch, classes), in [0, 2**15]; a row sums to 2**15 but for rounding.

    Example:
        >>> softmax(np.array([[0, 1024, -1024]], np.int32))
        array([[ 8019, 21798,  2950]], dtype=int32)
    """
    terms = exponentials(logits)
    total = terms.sum(axis=-1, keepdims=True)
    return (((terms << PROBABILITY_BITS) + total // 2) // total).astype(np.int32)


def log_q10(value: Int64) -> Int64:
    """Natural logarithm of a Q15 number in Q10: bit length, table, linear interpolation.

    Args:
        value: int64, in [2**15, 2**31), that is, reals of 1 and more.

    Returns:
        int64, the shape of value.

    Example:
        >>> log_q10(np.array([2**15, 2**16, 3 * 2**15]))
        array([   0,  710, 1125])
    """
    excess = np.searchsorted(POWERS_OF_TWO, value, side="right") - 16
    mantissa = (value << 15) >> (excess + 15)
    index, rest = (mantissa >> 7) & 255, mantissa & 127
    slope = LOG_TABLE[index + 1] - LOG_TABLE[index]
    log = excess * LOG_2 + LOG_TABLE[index] + ((slope * rest + 64) >> 7)
    return (log + 32) >> 6


def log_softmax(logits: Int32) -> Int32:
    """Logarithms of the softmax: Q10 logits to Q10 log-probabilities.

    Args:
        logits: int32 (batch, classes), Q10.

    Returns:
        int32 (batch, classes), Q10, at most 0.

    Example:
        >>> log_softmax(np.array([[0, 0]], np.int32))  # ln 0.5 = -0.693
        array([[-710, -710]], dtype=int32)
    """
    total = exponentials(logits).sum(axis=-1, keepdims=True)
    wide = logits.astype(np.int64)
    return (wide - wide.max(axis=-1, keepdims=True) - log_q10(total)).astype(np.int32)


def cross_entropy(logits: Int32, y: Ints) -> tuple[Int32, Int32]:
    """Return error and loss of a softmax classifier.

    Args:
        logits: int32 (batch, classes), Q10.
        y: labels (batch,), in [0, classes).

    Returns:
        error: int32 (batch, classes), Q15: probability minus one-hot; loss: int32 (batch,), Q10.

    Example:
        >>> error, loss = cross_entropy(np.array([[2048, 0]], np.int32), np.array([0]))
        >>> error, loss  # p = 0.8808, -ln p = 0.1269
        (array([[-3906,  3906]], dtype=int32), array([130], dtype=int32))
    """
    rows = np.arange(len(y))
    error = softmax(logits)
    error[rows, y] -= 1 << PROBABILITY_BITS
    return error, -log_softmax(logits)[rows, y]


def squared_error(output: Int32, target: Int32) -> tuple[Int32, Int32]:
    """Return error and loss of a regression: ``output - target`` and half the sum of squares.

    Args:
        output: int32 (batch, n_out), Q10.
        target: int32 (batch, n_out), Q10.

    Returns:
        error: int32 (batch, n_out), Q10; loss: int32 (batch,), Q10, saturated.

    Example:
        >>> squared_error(np.array([[1024, 0]], np.int32), np.array([[0, 0]], np.int32))
        (array([[1024,    0]], dtype=int32), array([512], dtype=int32))
    """
    error = np.clip(output.astype(np.int64) - target, -LOGIT_MAX, LOGIT_MAX)
    total = (error * error).sum(axis=-1)
    return error.astype(np.int32), np.minimum(total >> 11, 2**31 - 1).astype(np.int32)


def scale_error(acc: Ints, multiplier: Int32 | int, shift: Int32 | int) -> tuple[Int8, int]:
    """Scale an error to int8 and say how large its largest entry would have been.

    Args:
        acc: int32, any shape.
        multiplier: see `rescale`.
        shift: see `rescale`; at most 0 where acc is large.

    Returns:
        int8, the shape of acc, in [-127, 127]; and the largest magnitude before saturation.

    Example:
        >>> scale_error(np.array([100, -600]), 2**30, 0)
        (array([  50, -127], dtype=int8), 300)
    """
    scaled = rescale(acc, multiplier, shift)
    peak = int(np.abs(scaled).max(initial=0))
    return np.clip(scaled, -127, 127).astype(np.int8), peak
