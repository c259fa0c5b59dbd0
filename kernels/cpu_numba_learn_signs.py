# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Learning in weight space: steps along the signs of perturbed passes."""

from edgetrain.arithmetic import rooms
from edgetrain.arithmetic.instructions import FIRST
from edgetrain.arithmetic.randomness import PERTURB, ROUND
from edgetrain.arithmetic.updates import BIAS_SHIFT, UPDATE_SHIFT
from edgetrain.kernels.cpu_numba_elements import I32, I64, fill_words, sign, stream_key
from edgetrain.kernels.cpu_numba_gemm import KH, KW, C, N
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
    copy,
    ints,
    longs,
    scratch,
    sizes,
    whole,
    words,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_octets import OCTETS, step_along_signs
from edgetrain.kernels.cpu_numba_perturb import draw_signs, last_words

P = FIRST
stepped_together = part(rooms.stepped_together)
SIGN_BITS, LOGIT_BITS, DIFFERENCE_MAX = 10, 10, 2**24


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
def step_signed_rows(signs, octets, slope, scales, old, new, size, free):
    """Step the weights of outputs along the signs of one query, where no step saturates.

    free says how many new weights may be written before they are due, from the first one on.
    """
    line, rest, aside, end = size // 32 + 1, size % OCTETS, scratch(), 0
    while end < len(scales):
        first, scale = end, scales[end]
        while end < len(scales) and scales[end] == scale:
            end += 1
        plus, plus_most = fine_step(slope * scale)
        minus, minus_most = fine_step(-slope * scale)
        for j in range(first, end):
            own, at = signs + 4 * j * line, j * size
            for k in range(0, size - rest, OCTETS):
                step_along_signs(own + k // 8, octets + at + k, plus, plus_most, minus, minus_most,
                                 old + at + k, new + at + k)  # fmt: skip
            if rest:
                at += size - rest
                target = new + at if at + OCTETS <= free else aside
                step_along_signs(own + (size - rest) // 8, octets + at, plus, plus_most, minus,
                                 minus_most, old + at, target)  # fmt: skip
                if target == aside:
                    copy(new + at, aside, rest)


@part
def add_signs(own, drawn, slope, adds):
    """Write a slope along signs to own, or add it."""
    for start in range(0, own.size, 32):
        bits, target = drawn[start // 32], own[start : min(start + 32, own.size)]
        for k in range(target.size):
            before = target[k] if adds else I32(0)
            target[k] = I32(before + I32(slope * sign(bits, k)))


@part
def draw_keys(seed, number, tensor, keys):
    """Compute the keys of a tensor's signs in every query of a step, and of its rounding behind."""
    queries = len(keys) - 1
    for q in range(queries):
        keys[q, 0], keys[q, 1] = stream_key(seed, number * queries + q, tensor, PERTURB)
    keys[queries, 0], keys[queries, 1] = stream_key(seed, number, tensor, ROUND)


@part
def step_rows(slopes, keys, start, scales_w, scales_b, places, w, master, moved,
              size, outputs, old_b, new_b, limit, room):  # fmt: skip
    """Step outputs from start on along the signs of every query, one for every scale.

    Args:
        slopes: int32 or int64, from `slope_of`, or as a journal holds them.
        keys: from `draw_keys`.
        start: first output.
        scales_w: int32, multipliers of their weights.
        scales_b: int32, multipliers of their biases.
        places: of the old and the new block.
        w: the place of the layer's weights in them.
        master: that of their int16 masters, -1 without.
        moved: from `momentum`.
        size: weights of an output.
        outputs: of the layer.
        old_b: int32, biases of the layer.
        new_b: int32, room for new ones.
        limit: largest bias.
        room: for sums of an output, octets and signs: `edgetrain.arithmetic.rooms.learning_signs`.

    Returns:
        How many weights saturated.
    """
    rows, queries, line, at, saturated = (
        len(scales_w), len(slopes), size // 32 + 1, start * size, I64(0),
    )  # fmt: skip
    totals, acc = ints(room, rows), ints(room + 4 * rows, size + 1)
    drawn = room + 4 * (rows + size + OCTETS)
    octets = draw_octets(keys[queries], at, rows * size, drawn + 4 * (rows * line + 64))
    draw_signs(keys[0], start, rows, line, drawn)
    is_plain, slope = queries == 1 and master < 0 and moved[0] < 0, I64(slopes[0])
    if is_plain and abs(slope) * largest(scales_w) < MOST_STEP:
        old, new = places[OLD] + w + at, places[NEW] + w + at
        free = outputs * size - at if old != new else I64(0)
        step_signed_rows(drawn, octets, slope, scales_w, old, new, size, free)
        bits, lane = last_words(drawn, size, rows), size % 32
        for j in range(rows):
            totals[j] = I32(I32(slope) * sign(bits[j], lane))
    else:
        for j in range(rows):
            n, signs = start + j, words(drawn + 4 * j * line, line)
            for q in range(queries):
                if q:
                    fill_words(keys[q, 0], keys[q, 1], n * line, signs)
                add_signs(acc, signs, I32(slopes[q]), q)
            totals[j] = acc[size]
            own, taken = follow(acc.ctypes.data, I32(0), moved, places, n * size, size)
            saturated += step_row(own, taken, I64(scales_w[j]), octets + j * size, places, w,
                                  master, n * size, size, outputs)  # fmt: skip
    own_b, more_b = old_b[start : start + rows], new_b[start : start + rows]
    for j in range(rows):
        more_b[j] = step_bias(own_b[j], totals[j], I64(scales_b[j]), limit)
    return saturated


@part
def largest(scales):
    """Return the largest of numbers that are not negative."""
    found = I32(0)
    for j in range(len(scales)):
        found = max(found, scales[j])
    return I64(found)


@part
def multipliers(bases, shifts, exponent, divisor, rate, fraction, scales):
    """Compute `edgetrain.state.rate_multiplier` for outputs, many of which share theirs."""
    base, shift, found = I32(0), I32(0), I32(0)  # a base of 0 gives 0
    for j in range(len(scales)):
        if bases[j] != base or shifts[j] != shift:
            base, shift = bases[j], shifts[j]
            found = I32(rate_multiplier(base, shift, exponent, divisor, rate, fraction))
        scales[j] = found


def learn_signs(row, first, count, places):
    """Step a layer along the signs of every query: `edgetrain.rules.weight_space.learn`."""
    r, g = whole(row), sizes(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    differences, queries, capacity, uses_sign, w, b, master, limit, tensor, room = (
        r[P], r[P + 1], r[P + 2], r[P + 3], r[P + 4], r[P + 5], r[P + 6], r[P + 9], r[P + 10],
        r[P + 11],
    )  # fmt: skip
    size, outputs, batch = g[KH] * g[KW] * g[C], g[N], given[BATCH]
    exponent = -SIGN_BITS if uses_sign else -LOGIT_BITS
    divisor = I64(1) if uses_sign else batch
    slopes = longs(scratch(), queries)
    for q in range(queries):
        slopes[q] = slope_of(longs(differences + 8 * q * capacity, batch), batch, uses_sign)
    keys = words(slopes.ctypes.data + 8 * queries, 2 * queries + 2).reshape((queries + 1, 2))
    draw_keys(given[SEED], given[NUMBER], tensor, keys)
    moved = momentum(places, r[P + 12], r[P + 13], r[P + 14], exponent)
    old_b, new_b = ints(places[OLD] + b, outputs), ints(places[NEW] + b, outputs)
    together = stepped_together(size, outputs)
    for start in range(0, outputs, together):
        rows = min(together, outputs - start)
        scales = ints(room, rows), ints(room + 4 * together, rows)
        for rates, fraction, own in zip(  # noqa: B905
            (r[P + 7], r[P + 8]), (UPDATE_SHIFT, BIAS_SHIFT), scales
        ):
            at = rates + 4 * start
            multipliers(ints(at, rows), ints(at + 4 * outputs, rows), exponent, divisor,
                        given[RATE], fraction, own)  # fmt: skip
        given[SATURATED] += step_rows(
            slopes, keys, start, *scales, places, w, master, moved, size, outputs, old_b, new_b,
            limit, room + 8 * together,
        )  # fmt: skip
