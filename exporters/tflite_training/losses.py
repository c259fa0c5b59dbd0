"""Losses on tensors; every function is its namesake in `edgetrain.fixed`."""

from typing import Any

import numpy as np

from edgetrain.arithmetic.losses import (
    EXP_COARSE,
    EXP_FINE,
    LOG_2,
    LOG_TABLE,
    LOGIT_MAX,
    POWERS_OF_TWO,
    PROBABILITY_BITS,
)
from edgetrain.arithmetic.rounding import INT32_MAX
from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant
from edgetrain.exporters.tflite_training.words import rescale, shift_right

FARTHEST = 2**14 - 1
"""Logits that are farther than this below the largest count as this far."""


def logits_q10(acc: Tensor, multiplier: Any, shift: Any) -> Tensor:
    """Turn accumulators into Q10 logits."""
    return rescale(acc, multiplier, shift).clip(-LOGIT_MAX, LOGIT_MAX)


def exponentials(logits: Tensor) -> Tensor:
    """Return ``exp(logit - largest logit)`` in Q15."""
    below = (logits.max(-1, keep=True) - logits).minimum(FARTHEST)
    coarse = below >> 7
    tables = [constant(logits.graph, table, np.int32) for table in (EXP_COARSE, EXP_FINE)]
    product = tables[0].gather(coarse) * tables[1].gather(below - coarse * 128)
    return (product + 2**14) >> 15


def softmax(logits: Tensor) -> Tensor:
    """Integer softmax: Q10 logits to Q15 probabilities."""
    terms = exponentials(logits)
    total = terms.sum(-1, keep=True)
    return (terms * (1 << PROBABILITY_BITS) + (total >> 1)) // total


def bit_length(value: Tensor) -> Tensor:
    """Return the number of bits of numbers from 0, int32 of the shape of value."""
    powers = POWERS_OF_TWO[:31]
    reaches = value.reshape(-1, 1).less(powers).cast(np.int32)
    return (len(powers) - reaches.sum(1)).reshape(*value.shape)


def log_q10(value: Tensor) -> Tensor:
    """Natural logarithm of Q15 numbers of 1 and more in Q10."""
    excess = bit_length(value) - 16
    mantissa = value >> excess
    segment = mantissa >> 7
    logs = constant(value.graph, LOG_TABLE, np.int32)
    slopes = constant(value.graph, np.diff(LOG_TABLE), np.int32)
    index, rest = segment - 256, mantissa - segment * 128
    fine = (slopes.gather(index) * rest + 64) >> 7
    return (excess * LOG_2 + logs.gather(index) + fine + 32) >> 6


def log_softmax(logits: Tensor) -> Tensor:
    """Logarithms of the softmax: Q10 logits to Q10 log-probabilities."""
    total = exponentials(logits).sum(-1, keep=True)
    return logits - logits.max(-1, keep=True) - log_q10(total)


def one_hot(index: Tensor, width: int) -> Tensor:
    """Return 1 at an index a row, else 0: (rows,) to int32 (rows, width)."""
    return index.reshape(-1, 1).equal(np.arange(width)).cast(np.int32)


def cross_entropy(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return error (Q15) and loss (Q10) of a softmax classifier."""
    right = one_hot(y, logits.shape[1])
    error = softmax(logits) - right * (1 << PROBABILITY_BITS)
    return error, 0 - (log_softmax(logits) * right).sum(1)


def squared_error(output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return error and loss of a regression, Q10."""
    wide = output.cast(np.int64) - target.cast(np.int64)
    error = wide.clip(-LOGIT_MAX, LOGIT_MAX)
    total = shift_right((error * error).sum(-1), 11)
    return error.cast(np.int32), total.clip(0, INT32_MAX).cast(np.int32)


def scale_error(acc: Tensor, multiplier: int, shift: Operand) -> tuple[Tensor, Tensor]:
    """Scale an error to int8 and say how large its largest entry would have been, int32 (1,)."""
    scaled = rescale(acc, multiplier, shift)
    flat = scaled.reshape(-1)
    peak = flat.max(0, keep=True).maximum(0 - flat.min(0, keep=True))
    return scaled.clip(-127, 127).cast(np.int8), peak
