# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Weights moved along random signs, as perturbed passes read them.

An output has a word of signs for every 32 weights, and its bias the sign behind them.
"""

from edgetrain.arithmetic import rooms
from edgetrain.arithmetic.instructions import FIRST
from edgetrain.arithmetic.randomness import PERTURB
from edgetrain.arithmetic.rounding import WEIGHT_MAX
from edgetrain.kernels.cpu_numba_elements import I32, I64, fill_words, sign, stream_key
from edgetrain.kernels.cpu_numba_gemm import KH, KW, LANES, C, N
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_learn import NUMBER, SEED
from edgetrain.kernels.cpu_numba_memory import (
    GIVEN,
    GIVEN_COUNT,
    OLD,
    ints,
    longs,
    sizes,
    whole,
    words,
)
from edgetrain.kernels.cpu_numba_octets import OCTETS, perturb_octets
from edgetrain.kernels.cpu_numba_pack import lines_of, pack_moved_rows, pack_rows, packed_columns

P, BIAS_INPUT = FIRST, 64
drawn_together = part(rooms.drawn_together)


@part
def signs_key(given, query, queries, tensor):
    """Stream of the signs of a tensor in one query of this step."""
    return stream_key(given[SEED], given[NUMBER] * queries + query, tensor, PERTURB)


@part
def draw_signs(key, first, count, line, room):
    """Draw the words of signs of outputs that follow each other, line of them an output."""
    fill_words(key[0], key[1], first * line, words(room, (count * line + 63) // 64 * 64))


@part
def move(drawn, count, size, eps, old_w, new_w):
    """Move weights of outputs that follow each other along their signs.

    Up to a vector is read behind the old weights, and written behind the new ones.
    """
    most = min(max(eps, I64(-127)), I64(127))
    more = min(max(eps - most, I64(-127)), I64(127))
    for j in range(count):
        own = drawn + 4 * j * (size // 32 + 1)
        for k in range(0, size, OCTETS):
            at = j * size + k
            perturb_octets(own + k // 8, most, more, old_w + at, new_w + at)


@part
def last_words(drawn, size, count):
    """Words with the signs of biases."""
    line = size // 32 + 1
    return words(drawn, count * line)[line - 1 :: line]


@part
def move_biases(drawn, size, eps, limit, old_b, new_b):
    """Move biases of outputs along their signs."""
    bits, lane = last_words(drawn, size, len(old_b)), size % 32
    for j in range(len(old_b)):
        step = eps * BIAS_INPUT * I64(sign(bits[j], lane))
        new_b[j] = I32(min(max(I64(old_b[j]) + step, -limit), limit))


def perturb(row, first, count, places):
    """Move weights and biases along their signs: `edgetrain.rules.weight_space.outputs`."""
    r, g = whole(row), sizes(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    w, b, eps, room, w_out = (
        places[OLD] + r[P], places[OLD] + r[P + 1], r[P + 2] * r[P + 3], r[P + 8], r[P + 9],
    )  # fmt: skip
    key = signs_key(given, r[P + 4], r[P + 5], r[P + 7])
    size, outputs = g[KH] * g[KW] * g[C], g[N]
    together = drawn_together(size, outputs)
    for start in range(0, outputs, together):
        rows = min(together, outputs - start)
        draw_signs(key, start, rows, size // 32 + 1, room)
        move(room, rows, size, eps, w + start * size, w_out + start * size)
        move_biases(room, size, eps, r[P + 6], ints(b + 4 * start, rows),
                    ints(r[P + 10] + 4 * start, rows))  # fmt: skip


def pack_perturbed(row, first, count, places):
    """Lay out the weights of a layer, moved along their signs."""
    r, g = whole(row), sizes(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    w, b, zero, eps = places[OLD] + r[P], places[OLD] + r[P + 1], r[P + 2], r[P + 3] * r[P + 4]
    size, outputs, columns, limit = g[KH] * g[KW] * g[C], g[N], packed_columns(g), r[P + 7]
    key = signs_key(given, r[P + 5], r[P + 6], r[P + 8])
    drawn, packed, bias, line = r[P + 9], r[P + 10], ints(r[P + 11], outputs), size // 32 + 1
    together = drawn_together(size, outputs)
    moved = drawn + 4 * (together * line + 64)
    at_once = lines_of(g)[0] == 1 and abs(eps) <= WEIGHT_MAX
    for start in range(0, outputs, together):
        rows = min(together, outputs - start)
        draw_signs(key, start, rows, line, drawn)
        move_biases(drawn, size, eps, limit, ints(b + 4 * start, rows), bias[start : start + rows])
        for own in range(start, start + rows, LANES):
            at, signs = w + own * size, drawn + 4 * (own - start) * line
            if at_once:
                pack_moved_rows(at, signs, 4 * line, eps, own, g, columns, zero, packed, bias)
            else:
                move(signs, min(LANES, outputs - own), size, eps, at, moved)
                pack_rows(moved, own, g, columns, zero, bias, packed, bias)
