# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Weights moved along random signs: perturbed passes, and learning in weight space.

An output has a word of signs for every 32 weights, and its bias the sign behind them.
"""

import numpy as np

from edgetrain.arithmetic.instructions import FIRST
from edgetrain.arithmetic.randomness import PERTURB, ROUND
from edgetrain.arithmetic.rooms import ROWS, SIGNED
from edgetrain.arithmetic.updates import BIAS_SHIFT, UPDATE_SHIFT
from edgetrain.kernels.cpu_numba_elements import I32, I64, fill_words, sign, stream_key
from edgetrain.kernels.cpu_numba_gemm import KH, KW, LANES, C, N
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_learn import (
    BATCH,
    MOST_STEP,
    NUMBER,
    RATE,
    SATURATED,
    SEED,
    draw_octets,
    follow,
    momentum,
    rate_multiplier,
    step_bias,
    step_row,
)
from edgetrain.kernels.cpu_numba_memory import (
    GIVEN,
    GIVEN_COUNT,
    NEW,
    OLD,
    codes,
    copy,
    ints,
    longs,
    scratch,
    sizes,
    whole,
    words,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_octets import OCTETS, perturb_octets, step_along_signs
from edgetrain.kernels.cpu_numba_pack import pack_rows, packed_columns

P = FIRST
BIAS_INPUT, SIGN_BITS, LOGIT_BITS, DIFFERENCE_MAX = 64, 10, 10, 2**24


@part
def signs_key(given, query, queries, tensor):
    """Stream of the signs of a tensor in one query of this step."""
    return stream_key(given[SEED], given[NUMBER] * queries + query, tensor, PERTURB)


@part
def move(key, first, count, size, eps, limit, old_w, old_b, drawn, new_w, new_b):
    """Move weights and biases of outputs that follow each other along their signs.

    drawn is room for their words. Up to a vector is read behind the old and the new weights.
    """
    line = size // 32 + 1
    fill_words(key[0], key[1], first * line, words(drawn, (count * line + 15) // 16 * 16))
    most = min(max(eps, I64(-127)), I64(127))
    more = min(max(eps - most, I64(-127)), I64(127))
    for j in range(count):
        own = drawn + 4 * j * line
        for k in range(0, size, OCTETS):
            at = j * size + k
            perturb_octets(own + k // 8, most, more, old_w + at, new_w + at)
        bits = words(own, line)[line - 1]
        moved = I64(old_b[first + j]) + eps * BIAS_INPUT * I64(sign(bits, size % 32))
        new_b[first + j] = I32(min(max(moved, -limit), limit))


def perturb(row, first, count, places):
    """Move weights and biases along their signs: `edgetrain.rules.weight_space.outputs`."""
    r, g = whole(row), sizes(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    w, b, eps, w_out = places[OLD] + r[P], places[OLD] + r[P + 1], r[P + 2] * r[P + 3], r[P + 9]
    size, outputs = g[KH] * g[KW] * g[C], g[N]
    key = signs_key(given, r[P + 4], r[P + 5], r[P + 7])
    old_b, new_b = ints(b, outputs), ints(r[P + 10], outputs)
    for first in range(0, outputs, ROWS):
        move(key, first, min(ROWS, outputs - first), size, eps, r[P + 6], w + first * size, old_b,
             r[P + 8], w_out + first * size, new_b)  # fmt: skip


def pack_perturbed(row, first, count, places):
    """Lay out the weights of a layer, moved along their signs."""
    r, g = whole(row), sizes(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    w, b, zero, eps = places[OLD] + r[P], places[OLD] + r[P + 1], r[P + 2], r[P + 3] * r[P + 4]
    size, outputs, columns = g[KH] * g[KW] * g[C], g[N], packed_columns(g)
    key = signs_key(given, r[P + 5], r[P + 6], r[P + 8])
    drawn, packed, bias = r[P + 9], codes(r[P + 10], 2**60), ints(r[P + 11], outputs)
    rows = drawn + 4 * LANES * (size // 32 + 2)
    for first in range(0, outputs, LANES):
        move(key, first, min(LANES, outputs - first), size, eps, r[P + 7], w + first * size,
             ints(b, outputs), drawn, rows, bias)  # fmt: skip
        pack_rows(rows, first, g, columns, zero, bias, packed, bias)


@part
def slope_of(differences, batch, uses_sign):
    """Sum up what a query has found: `edgetrain.rules.weight_space.slopes`."""
    slope = I64(0)
    for i in range(batch):
        slope += differences[i]
    slope = min(max(slope, I64(-DIFFERENCE_MAX)), I64(DIFFERENCE_MAX))
    return I64((slope > 0) - I64(slope < 0)) << SIGN_BITS if uses_sign else slope


@part
def fine_step(product):
    """Split a step of ``product / 2**32``: rounded down, and the octet above which it is 1 more."""
    step, rest = product >> I64(32), product & I64(2**32 - 1)
    most = (I64(2**32 - 2**23) - rest + I64(2**24 - 1)) >> I64(24)
    if most <= 0:
        return step + 1, I64(255)
    return step, most - 1


@part
def step_signed_row(signs, octets, slope, scale, old, new, size, left):
    """Step the weights of an output along the signs of one query, where no step saturates.

    left says how many weights there are from this output's first on.
    """
    plus, plus_most = fine_step(slope * scale)
    minus, minus_most = fine_step(-slope * scale)
    aside = scratch()
    for k in range(0, size, OCTETS):
        is_whole = k + OCTETS <= left
        target = new + k if is_whole else aside
        step_along_signs(signs + k // 8, octets + k, plus, plus_most, minus, minus_most, old + k,
                         target)  # fmt: skip
        if not is_whole:
            copy(new + k, target, size - k)


@part
def add_signs(own, drawn, slope, adds):
    """Write a slope along signs to own, or add it."""
    for start in range(0, own.size, 32):
        bits, target = drawn[start // 32], own[start : min(start + 32, own.size)]
        for k in range(target.size):
            before = target[k] if adds else I32(0)
            target[k] = I32(before + I32(slope * sign(bits, k)))


@part
def draw_rows(seed, number, queries, tensor, start, rows, size, room):
    """Draw signs of the first query and octets of outputs that follow each other.

    Returns the address of the first octet; room is as in `step_output`.
    """
    line, together = size // 32 + 1, max(SIGNED // size, 1)
    key, drawn = stream_key(seed, number * queries, tensor, PERTURB), room + 4 * (size + OCTETS)
    fill_words(key[0], key[1], start * line, words(drawn, (rows * line + 15) // 16 * 16))
    key = stream_key(seed, number, tensor, ROUND)
    return draw_octets(key, start * size, rows * size, drawn + 4 * (together * line + 32))


@part
def step_output(slopes, seed, number, tensor, scale, n, j, octets, places, w, master, moved,
                size, outputs, room):  # fmt: skip
    """Step the weights of output n, number j of those drawn, along the signs of every query.

    room holds the sums of an output, and behind them what `draw_rows` has drawn; see
    `edgetrain.arithmetic.rooms.learning_signs`; moved is from `momentum`. Returns the sum of the
    bias, and how many weights saturated.
    """
    queries, line, at = len(slopes), size // 32 + 1, n * size
    signs = room + 4 * (size + OCTETS) + 4 * j * line
    own, slope = octets + j * size, I64(slopes[0])
    if queries == 1 and master < 0 and moved[0] < 0 and abs(slope) * scale < MOST_STEP:
        old, new = places[OLD] + w + at, places[NEW] + w + at
        left = size if old == new else outputs * size - at
        step_signed_row(signs, own, slope, scale, old, new, size, left)
        return I32(I32(slope) * sign(words(signs, line)[line - 1], size % 32)), I64(0)
    acc = ints(room, size + 1)
    for q in range(queries):
        if q:
            key = stream_key(seed, number * queries + q, tensor, PERTURB)
            fill_words(key[0], key[1], n * line, words(signs, line))
        add_signs(acc, words(signs, line), I32(slopes[q]), q)
    total = acc[size]
    acc_at, taken = follow(room, I32(0), moved, places, at, size)
    return total, step_row(acc_at, taken, scale, own, places, w, master, at, size, outputs)


def learn_signs(row, first, count, places):
    """Step a layer along the signs of every query: `edgetrain.rules.weight_space.learn`."""
    r, g = whole(row), sizes(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    differences, queries, capacity, uses_sign, w, b, master, limit, tensor, room = (
        r[P], r[P + 1], r[P + 2], r[P + 3], r[P + 4], r[P + 5], r[P + 6], r[P + 9], r[P + 10],
        r[P + 11],
    )  # fmt: skip
    size, outputs, batch = g[KH] * g[KW] * g[C], g[N], given[BATCH]
    rates_w, rates_b = ints(r[P + 7], 2 * outputs), ints(r[P + 8], 2 * outputs)
    exponent = -SIGN_BITS if uses_sign else -LOGIT_BITS
    divisor = I64(1) if uses_sign else batch
    together = max(SIGNED // size, 1)
    slopes = np.empty(queries, np.int64)
    for q in range(queries):
        slopes[q] = slope_of(longs(differences + 8 * q * capacity, batch), batch, uses_sign)
    seed, number = given[SEED], given[NUMBER]
    moved = momentum(places, r[P + 12], r[P + 13], r[P + 14], exponent)
    old_b, new_b = ints(places[OLD] + b, outputs), ints(places[NEW] + b, outputs)
    for start in range(0, outputs, together):
        rows = min(together, outputs - start)
        octets = draw_rows(seed, number, queries, tensor, start, rows, size, room)
        for j in range(rows):
            n = start + j
            scale = rate_multiplier(rates_w[n], rates_w[outputs + n], exponent, divisor,
                                    given[RATE], UPDATE_SHIFT)  # fmt: skip
            total, saturated = step_output(slopes, seed, number, tensor, scale, n, j, octets,
                                           places, w, master, moved, size, outputs,
                                           room)  # fmt: skip
            given[SATURATED] += saturated
            scale = rate_multiplier(rates_b[n], rates_b[outputs + n], exponent, divisor,
                                    given[RATE], BIAS_SHIFT)  # fmt: skip
            new_b[n] = step_bias(old_b[n], total, scale, limit)
