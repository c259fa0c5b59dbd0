# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The losses of the backend "numba", a sample at a time; see `edgetrain.arithmetic.losses`."""

from edgetrain.arithmetic.losses import (
    EXP_COARSE,
    EXP_FINE,
    LOG_2,
    LOG_TABLE,
    LOGIT_MAX,
    PROBABILITY_BITS,
)
from edgetrain.kernels.cpu_numba_elements import I32, I64, rescale
from edgetrain.kernels.cpu_numba_jit import part

FARTHEST = 2**14 - 1
"""Logits further below the largest count as this far."""


@part
def exponential(below):
    """Return ``exp(-below)`` of a Q10 number, in Q15."""
    below = min(below, I64(FARTHEST))
    return (EXP_COARSE[below >> 7] * EXP_FINE[below & 127] + 2**14) >> 15


@part
def log_q10(value):
    """Natural logarithm of a Q15 number, in Q10."""
    excess = I64(-15)
    rest = value
    while rest > 1:
        rest >>= 1
        excess += 1
    mantissa = (value << 15) >> (excess + 15)
    index, rest = (mantissa >> 7) & 255, mantissa & 127
    slope = LOG_TABLE[index + 1] - LOG_TABLE[index]
    return (excess * LOG_2 + LOG_TABLE[index] + ((slope * rest + 64) >> 7) + 32) >> 6


@part
def softmax_sum(logits):
    """Return the largest logit of a sample, and the sum of the exponentials below it, in Q15."""
    largest = I64(logits[0])
    for c in range(logits.size):
        largest = max(largest, I64(logits[c]))
    total = I64(0)
    for c in range(logits.size):
        total += exponential(largest - I64(logits[c]))
    return largest, total


@part
def probability(below, total):
    """Return the Q15 probability of a logit so far below the largest: `edgetrain.fixed.softmax`."""
    return ((exponential(below) << PROBABILITY_BITS) + total // 2) // total


@part
def cross_entropy(logits, label, error):
    """Write the Q15 error of one sample, and return its loss."""
    largest, total = softmax_sum(logits)
    for c in range(logits.size):
        error[c] = I32(probability(largest - I64(logits[c]), total))
    error[label] = I32(error[label] - I32(1 << PROBABILITY_BITS))
    return largest - I64(logits[label]) + log_q10(total)


@part
def add_log_softmax(logits, total):
    """Add the Q10 log-probabilities of one sample to what it has: `edgetrain.fixed.log_softmax`."""
    largest, terms = softmax_sum(logits)
    least = largest + log_q10(terms)
    for c in range(logits.size):
        total[c] = I32(total[c] + I32(I64(logits[c]) - least))


@part
def squared_error(output, target, error):
    """Write the Q10 error of one sample, and return its loss."""
    total = I64(0)
    for c in range(output.size):
        difference = min(max(I64(output[c]) - I64(target[c]), I64(-LOGIT_MAX)), I64(LOGIT_MAX))
        error[c] = I32(difference)
        total += difference * difference
    return min(total >> 11, I64(2**31 - 1))


@part
def logits_q10(acc, multiplier, shift, width, out):
    """Turn rows of sums into Q10 logits; one scale, or one a column."""
    last = multiplier.size - 1
    for i in range(acc.size):
        c = min(i % width, last)
        scaled = rescale(I64(acc[i]), I64(multiplier[c]), I64(shift[c]))
        out[i] = I32(min(max(scaled, I64(-LOGIT_MAX)), I64(LOGIT_MAX)))
