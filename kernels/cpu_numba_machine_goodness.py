# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Instructions of the machine for Forward-Forward: labels, goodness, and its error.

See `edgetrain.rules.input_labels`, `edgetrain.rules.channel_labels` and
`edgetrain.arithmetic.goodness`. Labels stand in one array: those of all samples, then wrong ones.
"""

import numpy as np

from edgetrain.arithmetic.goodness import CHANNEL_BITS, CHANNEL_MAX, NORMAL_CODE, ROOT_BITS
from edgetrain.arithmetic.instructions import FIRST
from edgetrain.arithmetic.losses import LOGIT_BITS, LOGIT_MAX
from edgetrain.arithmetic.randomness import CONTRAST
from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN
from edgetrain.kernels.cpu_numba_elements import I32, I64, U32, rescale, stream_key, word
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_learn import BATCH, NUMBER, SEED
from edgetrain.kernels.cpu_numba_losses import cross_entropy, probability, softmax_sum
from edgetrain.kernels.cpu_numba_memory import (
    EVERYTHING,
    GIVEN,
    GIVEN_COUNT,
    SCRATCH,
    TARGETS,
    X,
    codes,
    copy,
    ints,
    longs,
    scratch,
    whole,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_scale import MULTIPLIER, bits_to_shift, note, send

P = FIRST
PRODUCTS = SCRATCH // 4
"""Products of a slope and an activity that are scaled at a time."""
ROOT_TOP = 11
"""Highest bit of a root: of a mean square of codes, at most 255**2, in Q8."""
RECIPROCAL_BITS = 30
"""A quotient by a root is the product with its reciprocal, rounded up: exact, as the dividend
(below 2**18) times the root (below 2**12) is below 2**30."""


def embed(row, first, count, places):
    """Copy samples from the caller, again from the first behind the last; overwrite labels.

    The label is that of the array of labels, where there is one; where labels are tried, the
    number of the pass; else there is none.
    """
    r = whole(row)
    labels, tries, classes, low, size = r[P], r[P + 1], r[P + 2], r[P + 3], r[P + 4]
    batch = longs(places[GIVEN], GIVEN_COUNT)[BATCH]
    for i in range(count):
        at = r[P + 5] + i * size
        copy(at, places[X] + (first + i) % batch * size, size)
        sample = codes(at, size)
        for c in range(classes):
            sample[c] = np.int8(low)
        if labels >= 0:
            sample[ints(labels, EVERYTHING)[first + i]] = np.int8(INT8_MAX)
        elif tries:
            sample[(first + i) // batch] = np.int8(INT8_MAX)


@part
def share(logits, c, right, largest, total):
    """Share of a class in the draw of a wrong label; all are alike without a total."""
    if c == right:
        return I64(0)
    return probability(largest - I64(logits[c]), total) + 1 if total else I64(1)


def wrong_labels(row, first, count, places):
    """Copy the labels of samples, and draw wrong ones: `input_labels.wrong_labels`.

    Labels that look right in Q10 outputs are drawn more often, where there are outputs.
    """
    r = whole(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    width, batch = r[P + 1], given[BATCH]
    targets, labels = ints(places[TARGETS], batch), ints(r[P + 2], 2 * batch)
    key = stream_key(given[SEED], given[NUMBER], 0, CONTRAST)
    for i in range(count):
        right, logits = targets[first + i], ints(r[P] + 4 * i * width, width)
        largest, total = softmax_sum(logits) if r[P] >= 0 else (I64(0), I64(0))
        shares = I64(0)
        for c in range(width):
            shares += share(logits, c, right, largest, total)
        drawn = (I64(word(key[0], key[1], U32(first + i))) * shares) >> 32
        label, passed = I64(0), share(logits, 0, right, largest, total)
        while passed <= drawn:
            label += 1
            passed += share(logits, label, right, largest, total)
        labels[first + i], labels[batch + first + i] = right, I32(label)


@part
def sum_of_squares(x, zero):
    """Sum of the squared activity of a layer."""
    total = I64(0)
    for k in range(x.size):
        above = I32(I32(x[k]) - I32(zero))
        total += I64(I32(above * above))
    return total


@part
def integer_root(value):
    """Largest whole number whose square is at most value."""
    root = I64(0)
    for bit in range(ROOT_TOP, -1, -1):
        larger = root + (I64(1) << bit)
        if larger * larger <= value:
            root = larger
    return root


def normalize(row, first, count, places):
    """Divide layers by their root mean square: `edgetrain.arithmetic.goodness.normalize`."""
    r = whole(row)
    zero, size = r[P + 1], r[P + 2]
    for i in range(count):
        x, y = codes(r[P] + i * size, size), codes(r[P + 3] + i * size, size)
        root = max(integer_root((sum_of_squares(x, zero) << (2 * ROOT_BITS)) // size), I64(1))
        half, reciprocal = root // 2, (I64(1) << RECIPROCAL_BITS) // root + 1
        for k in range(size):
            scaled = (I64(x[k]) - zero) * (NORMAL_CODE << ROOT_BITS) + half
            above = (scaled * reciprocal) >> RECIPROCAL_BITS
            y[k] = np.int8(min(above + zero, I64(INT8_MAX)))


def goodness(row, first, count, places):
    """Add the Q10 goodness of a layer to that of its samples."""
    r = whole(row)
    size, total = r[P + 2], ints(r[P + 5], count)
    for i in range(count):
        squares = sum_of_squares(codes(r[P] + i * size, size), r[P + 1])
        scaled = rescale(squares, r[P + 3], r[P + 4])
        total[i] = I32(total[i] + I32(min(max(scaled, I64(-LOGIT_MAX)), I64(LOGIT_MAX))))


def class_channels(row, first, count, places):
    """Turn sums into channels of classes, int8 from -128 on: `channel_labels.class_channels`."""
    r = whole(row)
    size = count * r[P + 3]
    x, y = ints(r[P], size), codes(r[P + 4], size)
    for i in range(size):
        channel = rescale(I64(x[i]), r[P + 1], r[P + 2]) >> (LOGIT_BITS - CHANNEL_BITS)
        y[i] = np.int8(min(max(channel, I64(0)), I64(CHANNEL_MAX)) + INT8_MIN)


def class_goodness(row, first, count, places):
    """Return the mean square of every class's channel, Q10: `channel_labels.class_goodness`."""
    r = whole(row)
    pixels, width = r[P + 1], r[P + 2]
    size = pixels * width
    for i in range(count):
        x, y = codes(r[P] + i * size, size), ints(r[P + 3] + 4 * i * width, width)
        for c in range(width):
            mean = sum_of_squares(x[c::width], INT8_MIN) // pixels
            y[c] = I32(mean << (LOGIT_BITS - 2 * CHANNEL_BITS))


@part
def logistic_slope(logit):
    """Derivative of ``ln(1 + exp(-logit))``: cross-entropy of two classes."""
    room = ints(scratch(), 4)
    room[0], room[1] = I32(logit), I32(0)
    cross_entropy(room[:2], 0, room[2:])
    return room[2]


@part
def slopes(right, wrong, symmetric, threshold):
    """Return the slopes of `edgetrain.arithmetic.goodness.pair_loss`."""
    if symmetric:
        slope = logistic_slope(right - wrong)
        return slope, I32(-slope)
    return logistic_slope(right - threshold), I32(-logistic_slope(threshold - wrong))


def pair_slopes(row, first, count, places):
    """Turn goodnesses, of right labels and then of wrong ones, into slopes of the loss."""
    r = whole(row)
    half = count // 2
    x = ints(r[P], count)
    for i in range(half):
        x[i], x[half + i] = slopes(I64(x[i]), I64(x[half + i]), r[P + 1], r[P + 2])


def class_slopes(row, first, count, places):
    """Turn the goodness of every class into slopes: of the right label and a wrong one."""
    r = whole(row)
    width, batch = r[P + 2], longs(places[GIVEN], GIVEN_COUNT)[BATCH]
    labels = ints(r[P + 1], 2 * batch)
    for i in range(count):
        x = ints(r[P] + 4 * i * width, width)
        right, wrong = labels[first + i], labels[batch + first + i]
        up, down = slopes(I64(x[right]), I64(x[wrong]), r[P + 3], r[P + 4])
        for c in range(width):
            x[c] = I32(0)
        x[right], x[wrong] = up, down


@part
def multiply_slopes(x, zero, own, start, target):
    """Multiply activities, from number start of a sample on, by the slopes of their channels."""
    if own.size == 1:
        slope = own[0]
        for k in range(target.size):
            target[k] = I32(slope * I32(I32(x[k]) - I32(zero)))
        return
    c = start % own.size
    for k in range(target.size):
        target[k] = I32(own[c] * I32(I32(x[k]) - I32(zero)))
        c = c + 1 if c + 1 < own.size else 0


def goodness_error(row, first, count, places):
    """Scale slopes times activities to an error of the activities, as "scale" does."""
    r = whole(row)
    pixels, width, how = r[P + 3], r[P + 4], r[P + 5 :]
    right, size = bits_to_shift(how, places), pixels * width
    room, peak = scratch(), I64(0)
    for i in range(count):
        own = ints(r[P + 2] + 4 * i * width, width)
        for start in range(0, size, PRODUCTS):
            at, some = i * size + start, min(PRODUCTS, size - start)
            multiply_slopes(codes(r[P] + at, some), r[P + 1], own, start, ints(room, some))
            peak = max(peak, send(room, some, how[MULTIPLIER], right, r[P + 12], at))
    note(how, right, peak)
