# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Learning in compiled steps: an update a channel, straight from old parameters to new ones."""

import numpy as np

from edgetrain.arithmetic.instructions import FIRST
from edgetrain.arithmetic.randomness import PERTURB, ROUND
from edgetrain.arithmetic.rooms import ROWS, SIGNED
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
    U32,
    divide_by_power,
    fill_words,
    sign,
    stream_key,
    update_row,
    word,
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
    ints,
    longs,
    shorts,
    sizes,
    whole,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_vectors import perturb_vector, sign_vector, step_vector

TOGETHER = ROWS
BATCH, SEED, NUMBER, RATE, LOSS, SATURATED = range(6)
P = FIRST
RATE_BITS, FULL_RATE = 8, 256
INT32_MAX = 2**31 - 1
BIAS_INPUT, SIGN_BITS, LOGIT_BITS, DIFFERENCE_MAX = 64, 10, 10, 2**24


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
    return min(scaled // batch, I64(INT32_MAX))


@part
def step_bias(b, acc, multiplier, limit):
    """One number of `edgetrain.fixed.update_bias`."""
    step = divide_by_power(I64(acc) * multiplier, I64(BIAS_SHIFT))
    return I32(min(max(I64(b) - step, -limit), limit))


@part
def split(room, weights):
    """Return int32 gradients and multipliers, and uint32 words, of weights that learn together."""
    drawn = bytes_at(room + 8 * weights, weights // 4 * 4 + 8).view(np.uint32)
    return ints(room, weights), ints(room + 4 * weights, weights), drawn


@part
def step_rows(first, count, size, acc, factors, key, old, new, w, master, drawn):
    """Step the weights of outputs that follow each other; return how many saturated.

    master is the place of int16 masters, -1 without; factors has a multiplier a weight.
    """
    start, total, saturated = first * size, count * size, I64(0)
    offset = start % 4
    own = drawn[: (offset + total + 3) // 4]
    fill_words(key[0], key[1], start // 4, own)
    bits = own.view(np.uint8)[offset : offset + total]
    target = codes(new + w + start, total)
    if master < 0:
        source, whole = codes(old + w + start, total), total - total % LANES
        for i in range(0, whole, LANES):
            saturated += step_vector(
                acc.ctypes.data + 4 * i, factors.ctypes.data + 4 * i, bits.ctypes.data + i,
                source.ctypes.data + i, target.ctypes.data + i,
            )  # fmt: skip
        rest = slice(whole, total)
        return saturated + update_row(
            source[rest], acc[rest], factors[rest], bits[rest], UPDATE_SHIFT, 127, -WEIGHT_MAX,
            WEIGHT_MAX, target[rest],
        )  # fmt: skip
    at = master + 2 * start
    moved = shorts(new + at, total)
    saturated = update_row(shorts(old + at, total), acc, factors, bits, UPDATE_SHIFT - MASTER_BITS,
                           2**15 - 1, MASTER_MIN, MASTER_MAX, moved)  # fmt: skip
    for i in range(total):
        target[i] = np.int8(moved[i] >> MASTER_BITS)
    return saturated


@part
def sum_signs(slopes, seed, number, tensor, n, own):
    """Sum up ``slope * sign`` over the queries of a step for an output; return that of its bias."""
    size, queries, total = own.size, slopes.size, I32(0)
    line = n * (size // 32 + 1)
    for q in range(queries):
        key, slope = stream_key(seed, number * queries + q, tensor, PERTURB), I32(slopes[q])
        for k in range(0, size - 31, 32):
            bits = word(key[0], key[1], U32(line + k // 32))
            sign_vector(I64(bits), slope, q, own.ctypes.data + 4 * k)
        bits = word(key[0], key[1], U32(line + size // 32))
        for k in range(size // 32 * 32, size):
            before = own[k] if q else I32(0)
            own[k] = I32(before + I32(slope * sign(bits, k % 32)))
        total = I32(total + I32(slope * sign(bits, size % 32)))
    return total


@part
def rounding_key(given, tensor):
    """Stream of the rounding of a tensor in this step."""
    return stream_key(given[SEED], given[NUMBER], tensor, ROUND)


def learn(row, first, count, places):
    """Step a layer with sums laid out as (weights of an output, outputs)."""
    r, g = whole(row), sizes(row)
    old = places[OLD]
    new = places[NEW]
    given = longs(places[GIVEN], GIVEN_COUNT)
    acc_at, bias_at, zero, is_centred, w, b, master, rate_w, rate_b, slot, limit, rate, tensor = (
        r[P], r[P + 1], r[P + 2], r[P + 3], r[P + 4], r[P + 5], r[P + 6], r[P + 7], r[P + 8],
        r[P + 9], r[P + 10], r[P + 11], r[P + 12],
    )  # fmt: skip
    size, outputs = g[KH] * g[KW] * g[C], g[N]
    acc, acc_b = ints(acc_at, size * outputs), ints(bias_at, outputs)
    exponent, rate = longs(slot, 1)[0], rate * given[RATE] // FULL_RATE
    rates_w, rates_b = ints(rate_w, 2 * outputs), ints(rate_b, 2 * outputs)
    extra = I32(0) if is_centred else I32(zero + ADDED)
    key = rounding_key(given, tensor)
    columns, factors, drawn = split(r[P + 13], TOGETHER * size)
    old_b, new_b = ints(old + b, outputs), ints(new + b, outputs)
    for first in range(0, outputs, TOGETHER):
        count = min(TOGETHER, outputs - first)
        for k in range(size):
            source, at = acc[k * outputs + first :], U32(k)
            for j in range(count):
                columns[at] = source[j]
                at = U32(at + U32(size))
        for j in range(count):
            n = first + j
            own, factor = columns[j * size : (j + 1) * size], factors[j * size : (j + 1) * size]
            taken = I32(extra * acc_b[n])
            scale = I32(rate_multiplier(rates_w[n], rates_w[outputs + n], exponent, given[BATCH],
                                        rate, UPDATE_SHIFT))  # fmt: skip
            for k in range(size):
                own[k] = I32(own[k] - taken)
                factor[k] = scale
            scale = rate_multiplier(rates_b[n], rates_b[outputs + n], exponent, given[BATCH], rate,
                                    BIAS_SHIFT)  # fmt: skip
            new_b[n] = step_bias(old_b[n], acc_b[n], scale, limit)
        given[SATURATED] += step_rows(first, count, size, columns, factors, key, old, new, w,
                                      master, drawn)  # fmt: skip


def learn_dense(row, first, count, places):
    """Compute a dense layer's gradient a few outputs at a time, and step them at once."""
    r, g = whole(row), sizes(row)
    old = places[OLD]
    new = places[NEW]
    given = longs(places[GIVEN], GIVEN_COUNT)
    x_at, e_at, zero, turned_at, packed_at, bias_at, w, b, master, rate_w, rate_b, slot, limit = (
        r[P], r[P + 1], r[P + 2], r[P + 3], r[P + 4], r[P + 5], r[P + 6], r[P + 7], r[P + 8],
        r[P + 9], r[P + 10], r[P + 11], r[P + 12],
    )  # fmt: skip
    rate, tensor = r[P + 13] * given[RATE] // FULL_RATE, r[P + 14]
    size, outputs = g[C], g[N]
    turned, packed = bytes_at(turned_at, EVERYTHING), codes(packed_at, EVERYTHING)
    turn_error(codes(e_at, count * outputs), count, outputs, turned)
    pack_input(codes(x_at, count * size), count, size, packed)
    acc_b, exponent = ints(bias_at, outputs), longs(slot, 1)[0]
    rates_w, rates_b = ints(rate_w, 2 * outputs), ints(rate_b, 2 * outputs)
    key, extra = rounding_key(given, tensor), I32(zero + ADDED)
    line = -(-size // WIDE_COLUMNS) * WIDE_COLUMNS
    rows, factors, drawn = split(r[P + 15], WIDE_ROWS * line)
    old_b, new_b = ints(old + b, outputs), ints(new + b, outputs)
    for first in range(0, outputs, WIDE_ROWS):
        height = min(WIDE_ROWS, outputs - first)
        dense_rows(turned, packed, count, first, height, size, rows, line)
        for j in range(height):
            n = first + j
            own, taken = rows[j * line : j * line + size], I32(extra * acc_b[n])
            scale = I32(rate_multiplier(rates_w[n], rates_w[outputs + n], exponent, given[BATCH],
                                        rate, UPDATE_SHIFT))  # fmt: skip
            for k in range(size):
                own[k] = I32(own[k] - taken)
                factors[k] = scale
            given[SATURATED] += step_rows(n, 1, size, own, factors, key, old, new, w, master, drawn)
            scale = rate_multiplier(rates_b[n], rates_b[outputs + n], exponent, given[BATCH], rate,
                                    BIAS_SHIFT)  # fmt: skip
            new_b[n] = step_bias(old_b[n], acc_b[n], scale, limit)


def perturb(row, first, count, places):
    """Move weights and biases along their signs: `edgetrain.rules.weight_space.outputs`."""
    r, g = whole(row), sizes(row)
    old = places[OLD]
    given = longs(places[GIVEN], GIVEN_COUNT)
    w, b, eps, query, queries, limit, tensor, w_out, b_out = (
        r[P], r[P + 1], I32(r[P + 2] * r[P + 3]), r[P + 4], r[P + 5], r[P + 6], r[P + 7], r[P + 8],
        r[P + 9],
    )  # fmt: skip
    size = g[KH] * g[KW] * g[C]
    key = stream_key(given[SEED], given[NUMBER] * queries + query, tensor, PERTURB)
    old_b, new_b = ints(old + b, g[N]), ints(b_out, g[N])
    for n in range(g[N]):
        source, target, line = old + w + n * size, w_out + n * size, n * (size // 32 + 1)
        for k in range(0, size - 31, 32):
            bits = word(key[0], key[1], U32(line + k // 32))
            perturb_vector(I64(bits), eps, source + k, target + k)
        bits = word(key[0], key[1], U32(line + size // 32))
        for k in range(size // 32 * 32, size):
            moved = I32(I32(codes(source + k, 1)[0]) + I32(eps * sign(bits, k % 32)))
            codes(target + k, 1)[0] = np.int8(min(max(moved, I32(-WEIGHT_MAX)), I32(WEIGHT_MAX)))
        moved = I64(old_b[n]) + I64(eps) * BIAS_INPUT * I64(sign(bits, size % 32))
        new_b[n] = I32(min(max(moved, -limit), limit))


def learn_signs(row, first, count, places):
    """Step a layer along the signs of every query: `edgetrain.rules.weight_space.learn`."""
    r, g = whole(row), sizes(row)
    old = places[OLD]
    new = places[NEW]
    given = longs(places[GIVEN], GIVEN_COUNT)
    differences, queries, capacity, uses_sign, w, b, master, rate_w, rate_b, limit, tensor = (
        r[P], r[P + 1], r[P + 2], r[P + 3], r[P + 4], r[P + 5], r[P + 6], r[P + 7], r[P + 8],
        r[P + 9], r[P + 10],
    )  # fmt: skip
    size, outputs, batch = g[KH] * g[KW] * g[C], g[N], given[BATCH]
    slopes = np.empty(queries, np.int64)
    for q in range(queries):
        own = longs(differences + 8 * q * capacity, batch)
        slope = I64(0)
        for i in range(batch):
            slope += own[i]
        slope = min(max(slope, I64(-DIFFERENCE_MAX)), I64(DIFFERENCE_MAX))
        if uses_sign:
            slope = I64((slope > 0) - I64(slope < 0)) << SIGN_BITS
        slopes[q] = slope
    exponent = -SIGN_BITS if uses_sign else -LOGIT_BITS
    divisor = I64(1) if uses_sign else batch
    rates_w, rates_b = ints(rate_w, 2 * outputs), ints(rate_b, 2 * outputs)
    round_key = rounding_key(given, tensor)
    together = max(min(outputs, SIGNED // size), 1)
    acc, factors, drawn = split(r[P + 11], together * size)
    old_b, new_b = ints(old + b, outputs), ints(new + b, outputs)
    for first in range(0, outputs, together):
        count = min(together, outputs - first)
        for j in range(count):
            n, own = first + j, slice(j * size, (j + 1) * size)
            total = sum_signs(slopes, given[SEED], given[NUMBER], tensor, n, acc[own])
            base, shift = rates_w[n], rates_w[outputs + n]
            factors[own] = I32(rate_multiplier(base, shift, exponent, divisor, given[RATE],
                                               UPDATE_SHIFT))  # fmt: skip
            scale = rate_multiplier(rates_b[n], rates_b[outputs + n], exponent, divisor,
                                    given[RATE], BIAS_SHIFT)  # fmt: skip
            new_b[n] = step_bias(old_b[n], total, scale, limit)
        given[SATURATED] += step_rows(first, count, size, acc, factors, round_key, old, new, w,
                                      master, drawn)  # fmt: skip
