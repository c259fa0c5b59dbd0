# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Instructions of the machine for losses, and errors with delayed scaling."""

import numpy as np

from edgetrain.arithmetic.instructions import FIRST
from edgetrain.kernels import cpu_numba_losses as losses
from edgetrain.kernels.cpu_numba_elements import (
    I16,
    I32,
    I64,
    requantize_rows,
    rescale,
)
from edgetrain.kernels.cpu_numba_errors import back
from edgetrain.kernels.cpu_numba_errors_channels import back_channels
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_learn import (
    LOSS,
    NUMBER,
)
from edgetrain.kernels.cpu_numba_memory import (
    EVERYTHING,
    GIVEN,
    GIVEN_COUNT,
    NEW,
    TARGETS,
    codes,
    ints,
    longs,
    shorts,
    sizes,
    whole,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_scale import MULTIPLIER, bits_to_shift, note, send

P = FIRST
WATCH_STEPS, ERROR_BITS, MERGE_BITS = 32, 7, 15
UNUSED = -1
"""Peak of an error that no step has scaled."""


def requantize(row, first, count, places):
    """Requantize sums."""
    r = whole(row)
    size, width = count * r[P + 3], r[P + 4]
    requantize_rows(ints(r[P], size), ints(r[P + 1], width), ints(r[P + 2], width), r[P + 5],
                    r[P + 6], r[P + 7], codes(r[P + 8], size))  # fmt: skip


@part
def record(loss, i, place, sign, counts, given):
    """Add a sample's loss to the metric if it counts, and to a difference if there is one."""
    if counts:
        given[LOSS] += loss
    if place >= 0:
        own = longs(place + 8 * i, 1)
        own[0] = loss if sign > 0 else own[0] - loss


def cross_entropy(row, first, count, places):
    """Loss of a classifier, and its error in Q7 where one is wanted."""
    r = whole(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    labels = ints(places[TARGETS], EVERYTHING)
    width, place = r[P + 1], r[P + 2]
    error = np.empty(width, np.int32)
    for i in range(count):
        logits = ints(r[P] + 4 * i * width, width)
        loss = losses.cross_entropy(logits, labels[first + i], error)
        record(loss, first + i, r[P + 3], r[P + 4], r[P + 5], given)
        if place >= 0:
            e = codes(place + i * width, width)
            for c in range(width):
                scaled = rescale(I64(error[c]), I64(2**30), I64(-7))
                e[c] = np.int8(min(max(scaled, I64(-127)), I64(127)))


def log_softmax(row, first, count, places):
    """Add the log-probabilities of a classifier to those of its samples."""
    r = whole(row)
    width = r[P + 1]
    for i in range(count):
        at = 4 * i * width
        losses.add_log_softmax(ints(r[P] + at, width), ints(r[P + 2] + at, width))


def squared_error(row, first, count, places):
    """Loss of a regression, and its error in Q10, int32."""
    r = whole(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    targets = ints(places[TARGETS], EVERYTHING)
    width = r[P + 1]
    for i in range(count):
        output = ints(r[P] + 4 * i * width, width)
        target = targets[(first + i) * width : (first + i + 1) * width]
        error = ints(r[P + 2] + 4 * i * width, width)
        loss = losses.squared_error(output, target, error)
        record(loss, first + i, r[P + 3], r[P + 4], r[P + 5], given)


def scale(row, first, count, places):
    """Scale sums to int8 at their delayed exponent: `edgetrain.step.Step.scale`."""
    r = whole(row)
    how = r[P + 2 :]
    right = bits_to_shift(how, places)
    note(how, right, send(r[P], r[P + 1] * count, how[MULTIPLIER], right, r[P + 9], I64(0)))


def grad_x(row, first, count, places):
    """Compute the error of a layer's input, scaled, or without a multiplier as sums."""
    r, g = whole(row), sizes(row)
    how = r[P + 5 :]
    multiplier = how[MULTIPLIER]
    right = bits_to_shift(how, places) if multiplier else I64(0)
    peak = back(codes(r[P], EVERYTHING), count, g, codes(r[P + 1], EVERYTHING),
                shorts(r[P + 2], EVERYTHING), r[P + 3], ints(r[P + 4], EVERYTHING), multiplier,
                right, r[P + 12])  # fmt: skip
    if multiplier:
        note(how, right, peak)


def grad_x_channels(row, first, count, places):
    """Compute the error of a depthwise layer's input, as `grad_x` does."""
    r, g = whole(row), sizes(row)
    how = r[P + 5 :]
    multiplier = how[MULTIPLIER]
    right = bits_to_shift(how, places) if multiplier else I64(0)
    peak = back_channels(codes(r[P], EVERYTHING), count, g, codes(r[P + 1], EVERYTHING),
                         shorts(r[P + 2], EVERYTHING), r[P + 3], ints(r[P + 4], EVERYTHING),
                         multiplier, right, r[P + 12])  # fmt: skip
    if multiplier:
        note(how, right, peak)


def lower(row, first, count, places):
    """Lower an exponent."""
    r = whole(row)
    longs(r[P + 2], 1)[0] = longs(r[P], 1)[0] - r[P + 1]


def exponents(row, first, count, places):
    """Choose the exponents of the next errors from those seen; forget these."""
    r = whole(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    rows = r[P + 2]
    table, seen = ints(places[NEW] + r[P], 2 * rows), longs(r[P + 1], 2 * rows)
    for i in range(rows):
        used, peak = seen[2 * i], seen[2 * i + 1]
        seen[2 * i + 1] = UNUSED
        if peak == UNUSED:
            continue
        excess = bit_length(peak) - ERROR_BITS
        watched = max(I64(table[2 * i + 1]), peak)
        if excess > 0:
            table[2 * i], table[2 * i + 1] = I32(used + excess), 0
        elif given[NUMBER] % WATCH_STEPS < WATCH_STEPS - 1 or watched == 0:
            table[2 * i], table[2 * i + 1] = I32(used), I32(watched)
        else:
            lower = max(ERROR_BITS - 1 - bit_length(watched), I64(0))
            table[2 * i], table[2 * i + 1] = I32(used - lower), 0


@part
def bit_length(value):
    """Bits of a number of at least 0."""
    bits = I64(0)
    while value > 0:
        value >>= 1
        bits += 1
    return bits


def mask(row, first, count, places):
    """Let an error through where low < x < high."""
    r = whole(row)
    size = r[P + 4] * count
    e, x = codes(r[P], size), codes(r[P + 1], size)
    y = codes(r[P + 5], size)
    low, high = np.int16(r[P + 2]), np.int16(r[P + 3])
    for i in range(size):
        y[i] = e[i] if low < x[i] < high else np.int8(0)


def derive(row, first, count, places):
    """Multiply an error by the derivative of an activation, in Q6, at its input x."""
    r = whole(row)
    size = r[P + 3] * count
    e, x, table = codes(r[P], size), codes(r[P + 1], size), codes(r[P + 2], 256)
    y = ints(r[P + 4], size)
    for i in range(size):
        y[i] = I32(I32(e[i]) * I32(table[np.int16(x[i]) + 128]))


def spread(row, first, count, places):
    """Copy the error of a mean to every pixel."""
    r = whole(row)
    pixels, width = r[P + 1], r[P + 2]
    for n in range(count):
        source = codes(r[P] + n * width, width)
        for p in range(pixels):
            target = codes(r[P + 3] + (n * pixels + p) * width, width)
            for c in range(width):
                target[c] = source[c]


def merge(row, first, count, places):
    """Add the errors that reach one value: `edgetrain.step.Step.merge`."""
    r = whole(row)
    size = r[P] * count
    y = ints(r[P + 9], size)
    base = longs(r[P + 3], 1)[0]
    for k in range(1, r[P + 1]):
        base = max(base, longs(r[P + 3 + 2 * k], 1)[0])
    base -= MERGE_BITS
    longs(r[P + 8], 1)[0] = base
    for k in range(r[P + 1]):
        e = codes(r[P + 2 + 2 * k], size)
        shift = I32(min(MERGE_BITS + base - longs(r[P + 3 + 2 * k], 1)[0], I64(31)))
        for i in range(size):
            before = y[i] if k else I32(0)
            y[i] = I32(before + I32(I32(I32(e[i]) << I32(MERGE_BITS)) >> shift))


def grad_b(row, first, count, places):
    """Add errors to the gradient of biases."""
    r = whole(row)
    width = r[P + 2]
    total, rows = ints(r[P + 3], width), count * r[P + 1]
    fours = rows - rows % 4
    for i in range(0, fours, 4):
        a, b = codes(r[P] + i * width, width), codes(r[P] + (i + 1) * width, width)
        c, d = codes(r[P] + (i + 2) * width, width), codes(r[P] + (i + 3) * width, width)
        for k in range(width):
            pair = I16(I16(I16(a[k]) + I16(b[k])) + I16(I16(c[k]) + I16(d[k])))
            total[k] = I32(total[k] + I32(pair))
    for i in range(fours, rows):
        a = codes(r[P] + i * width, width)
        for k in range(width):
            total[k] = I32(total[k] + I32(a[k]))
