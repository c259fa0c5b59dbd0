# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Learning in compiled steps: an update a channel, straight from old parameters to new ones."""

import numpy as np

from edgetrain.arithmetic.instructions import FIRST
from edgetrain.arithmetic.randomness import ROUND
from edgetrain.arithmetic.rooms import ROWS
from edgetrain.arithmetic.rounding import WEIGHT_MAX
from edgetrain.arithmetic.updates import (
    BIAS_SHIFT,
    MASTER_BITS,
    MASTER_MAX,
    MASTER_MIN,
    UPDATE_SHIFT,
)
from edgetrain.kernels.cpu_numba_elements import (
    I32,
    I64,
    U64,
    divide_by_power,
    fill_words,
    momentum_row,
    stream_key,
    update_row,
)
from edgetrain.kernels.cpu_numba_gemm import ADDED, KH, KW, LANES, WIDE_COLUMNS, WIDE_ROWS, C, N
from edgetrain.kernels.cpu_numba_gradients import dense_rows, pack_input, turn_error
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_memory import (
    EVERYTHING,
    GIVEN,
    GIVEN_COUNT,
    NEW,
    OLD,
    bytes_at,
    codes,
    copy,
    ints,
    longs,
    scratch,
    shorts,
    sizes,
    whole,
    words,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_octets import OCTETS, step_octets
from edgetrain.kernels.cpu_numba_turn import turn_ints

BATCH, SEED, NUMBER, RATE, LOSS, SATURATED = range(6)
P = FIRST
RATE_BITS, FULL_RATE = 8, 256
INT32_MAX = 2**31 - 1
FINEST = -64
"""Exponent of a velocity that no step has seen yet."""
NO_MOMENTUM = (I64(-1), I64(0), I64(0), I64(0))
MOST_STEP = 126 << 32
"""Products below make steps that int8 holds, with their random fraction."""


@part
def rate_multiplier(base, shift, exponent, batch, rate, fraction):
    """One number of `edgetrain.state.rate_multiplier`."""
    value = I64(base) * rate
    bits = I64(shift) - 31 + fraction + exponent - RATE_BITS
    if value == 0:
        return I64(0)
    if bits > 23:
        scaled = I64(INT32_MAX) * batch
    elif bits > 0:
        scaled = value << bits
    else:
        scaled = divide_by_power(value, min(-bits, I64(62)))
    if batch > 1:
        scaled = I64(U64(scaled) // U64(batch))
    return min(scaled, I64(INT32_MAX))


@part
def step_bias(b, acc, multiplier, limit):
    """One number of `edgetrain.fixed.update_bias`."""
    step = divide_by_power(I64(acc) * multiplier, I64(BIAS_SHIFT))
    return I32(min(max(I64(b) - step, -limit), limit))


@part
def draw_octets(key, start, count, room):
    """Draw the random octets of weights that follow each other; return the first one's address."""
    fill_words(key[0], key[1], start // 4, words(room, (start % 4 + count + 63) // 64 * 16))
    return room + start % 4


@part
def step_row(acc, taken, scale, octets, places, w, master, start, size, outputs):
    """Step the weights of an output; return how many saturated.

    Args:
        acc: address of its int32 gradient; a vector behind it is read.
        taken: what every number of it has too much.
        scale: multiplier of this output.
        octets: address of random octets.
        places: of the old and the new block.
        w: the place of the layer's weights in them.
        master: that of their int16 masters, -1 without.
        start: the first weight's number in the layer.
        size: weights of an output.
        outputs: of the layer.
    """
    own, most = ints(acc, size), I32(0)
    for k in range(size):
        value = I32(own[k] - taken)
        own[k] = value
        most = max(most, I32(value ^ I32(value >> I32(31))))  # the magnitude, or 1 less
    peak = I64(most) + 1
    bits = I64(23)
    while peak << bits > I64(2**31):
        bits -= 1
    high, low = scale >> bits, scale & ((I64(1) << bits) - 1)
    fits = peak * scale < MOST_STEP and (peak + 1) * (high + 1) + (1 << 23) < I64(2**31)
    old, new = places[OLD] + w + start, places[NEW] + w + start
    if master < 0 and fits:
        left, aside = size if old == new else outputs * size - start, scratch()
        for k in range(0, size, OCTETS):
            is_whole = k + OCTETS <= left  # what is too much is written over
            target = new + k if is_whole else aside
            step_octets(acc + 4 * k, high, low, bits, octets + k, old + k, target)
            if not is_whole:
                copy(new + k, target, size - k)
        return I64(0)
    drawn, moved = bytes_at(octets, size), codes(new, size)
    if master < 0:
        return update_row(codes(old, size), own, scale, drawn, UPDATE_SHIFT, 127, -WEIGHT_MAX,
                          WEIGHT_MAX, moved)  # fmt: skip
    at = master + 2 * start
    masters = shorts(places[NEW] + at, size)
    saturated = update_row(shorts(places[OLD] + at, size), own, scale, drawn,
                           UPDATE_SHIFT - MASTER_BITS, 2**15 - 1, MASTER_MIN, MASTER_MAX,
                           masters)  # fmt: skip
    for k in range(size):
        moved[k] = np.int8(masters[k] >> MASTER_BITS)
    return saturated


@part
def rounding_key(given, tensor):
    """Stream of the rounding of a tensor in this step."""
    return stream_key(given[SEED], given[NUMBER], tensor, ROUND)


@part
def momentum(places, velocity, unit, decay, exponent):
    """Say how a layer's velocity decays and is realigned, and note its new unit."""
    if velocity < 0:
        return NO_MOMENTUM
    old = I64(ints(places[OLD] + unit, 1)[0])
    ints(places[NEW] + unit, 1)[0] = exponent
    realign = I64(0) if old == FINEST else old - exponent
    left, right = min(max(realign, I64(0)), I64(31)), min(max(-realign, I64(0)), I64(62))
    return velocity, decay, left, right


@part
def follow(acc, taken, moved, places, start, size):
    """Add the gradient of an output to its velocity, if it has one.

    Args:
        acc: address of its int32 gradient.
        taken: what every number of it has too much.
        moved: from `momentum`.
        places: of the old and the new block.
        start: the first weight's number in the layer.
        size: weights of the output.

    Returns:
        The address of what the output learns from, and what that has too much.
    """
    velocity, decay, left, right = moved
    if velocity < 0:
        return acc, taken
    own, at = ints(acc, size), velocity + 4 * start
    for k in range(size):
        own[k] = I32(own[k] - taken)
    momentum_row(ints(places[OLD] + at, size), own, decay, left, right,
                 ints(places[NEW] + at, size))  # fmt: skip
    return places[NEW] + at, I32(0)


@part
def turn_gradient(acc, outputs, first, count, size, columns):
    """Lay out the gradient (weights of an output, outputs) of a few outputs, each in a row."""
    line = -(-size // LANES) * LANES
    for j in range(0, count, LANES):
        for k in range(0, size, LANES):
            turn_ints(acc + 4 * (k * outputs + first + j), 4 * outputs, min(LANES, size - k),
                      columns + 4 * (j * line + k), 4 * line, LANES)  # fmt: skip
    return line


def learn(row, first, count, places):
    """Step a layer with sums laid out as (weights of an output, outputs)."""
    r, g = whole(row), sizes(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    acc_at, bias_at, zero, is_centred, w, b, master, rate_w, rate_b, slot, limit, rate, tensor = (
        r[P], r[P + 1], r[P + 2], r[P + 3], r[P + 4], r[P + 5], r[P + 6], r[P + 7], r[P + 8],
        r[P + 9], r[P + 10], r[P + 11], r[P + 12],
    )  # fmt: skip
    size, outputs, columns = g[KH] * g[KW] * g[C], g[N], r[P + 13]
    acc_b, exponent, rate = (
        ints(bias_at, outputs),
        longs(slot, 1)[0],
        rate * given[RATE] // FULL_RATE,
    )
    rates_w, rates_b = ints(rate_w, 2 * outputs), ints(rate_b, 2 * outputs)
    extra = I32(0) if is_centred else I32(zero + ADDED)
    key = rounding_key(given, tensor)
    old_b, new_b = ints(places[OLD] + b, outputs), ints(places[NEW] + b, outputs)
    moved = momentum(places, r[P + 14], r[P + 15], r[P + 16], exponent)
    for start in range(0, outputs, ROWS):
        rows = min(ROWS, outputs - start)
        line = turn_gradient(acc_at, outputs, start, rows, size, columns)
        octets = draw_octets(key, start * size, rows * size, columns + 4 * ROWS * line + 64)
        for j in range(rows):
            n = start + j
            scale = rate_multiplier(rates_w[n], rates_w[outputs + n], exponent, given[BATCH], rate,
                                    UPDATE_SHIFT)  # fmt: skip
            acc, taken = follow(columns + 4 * j * line, I32(extra * acc_b[n]), moved, places,
                                n * size, size)  # fmt: skip
            given[SATURATED] += step_row(acc, taken, scale, octets + j * size, places, w, master,
                                         n * size, size, outputs)  # fmt: skip
            scale = rate_multiplier(rates_b[n], rates_b[outputs + n], exponent, given[BATCH], rate,
                                    BIAS_SHIFT)  # fmt: skip
            new_b[n] = step_bias(old_b[n], acc_b[n], scale, limit)


def learn_dense(row, first, count, places):
    """Compute a dense layer's gradient a few outputs at a time, and step them at once."""
    r, g = whole(row), sizes(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    x_at, e_at, zero, turned_at, packed_at, bias_at, w, b, master, rate_w, rate_b, slot, limit = (
        r[P], r[P + 1], r[P + 2], r[P + 3], r[P + 4], r[P + 5], r[P + 6], r[P + 7], r[P + 8],
        r[P + 9], r[P + 10], r[P + 11], r[P + 12],
    )  # fmt: skip
    rate, tensor, room = r[P + 13] * given[RATE] // FULL_RATE, r[P + 14], r[P + 15]
    size, outputs = g[C], g[N]
    turned, packed = bytes_at(turned_at, EVERYTHING), codes(packed_at, EVERYTHING)
    turn_error(codes(e_at, count * outputs), count, outputs, turned)
    pack_input(codes(x_at, count * size), count, size, packed)
    acc_b, exponent = ints(bias_at, outputs), longs(slot, 1)[0]
    rates_w, rates_b = ints(rate_w, 2 * outputs), ints(rate_b, 2 * outputs)
    key, extra = rounding_key(given, tensor), I32(zero + ADDED)
    line = -(-size // WIDE_COLUMNS) * WIDE_COLUMNS
    old_b, new_b = ints(places[OLD] + b, outputs), ints(places[NEW] + b, outputs)
    moved = momentum(places, r[P + 16], r[P + 17], r[P + 18], exponent)
    for start in range(0, outputs, WIDE_ROWS):
        rows = min(WIDE_ROWS, outputs - start)
        dense_rows(turned, packed, count, start, rows, size, room, line)
        octets = draw_octets(key, start * size, rows * size, room + 4 * WIDE_ROWS * line + 64)
        for j in range(rows):
            n = start + j
            scale = rate_multiplier(rates_w[n], rates_w[outputs + n], exponent, given[BATCH],
                                    rate, UPDATE_SHIFT)  # fmt: skip
            acc, taken = follow(room + 4 * j * line, I32(extra * acc_b[n]), moved, places,
                                n * size, size)  # fmt: skip
            given[SATURATED] += step_row(acc, taken, scale, octets + j * size, places, w, master,
                                         n * size, size, outputs)  # fmt: skip
            scale = rate_multiplier(rates_b[n], rates_b[outputs + n], exponent, given[BATCH], rate,
                                    BIAS_SHIFT)  # fmt: skip
            new_b[n] = step_bias(old_b[n], acc_b[n], scale, limit)
