# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Weights of the backend "numba" as its micro-kernel reads them: [step][column][k in a step]."""

from edgetrain.kernels.cpu_numba_gemm import (
    ADDED,
    I32,
    KH,
    KW,
    LANES,
    STEP,
    C,
    N,
    choose,
    row_count,
    step_columns,
)
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_memory import ints, scratch
from edgetrain.kernels.cpu_numba_turn import turn_block, turn_moved


@part
def packed_columns(g):
    """Columns of a packed step."""
    return step_columns(choose(row_count(g), g[N]), g[N])


@part
def widen(w, g, groups, wide):
    """Write weights (n_out, kernel, channels of a group) among zeros for all other channels."""
    pixels, own, together = g[KH] * g[KW], g[C] // groups, g[N] // groups
    for n in range(g[N]):
        first = n // together * own
        for t in range(n * pixels, (n + 1) * pixels):
            target, source = wide[t * g[C] : (t + 1) * g[C]], w[t * own : (t + 1) * own]
            target[:] = 0
            for c in range(own):
                target[first + c] = source[c]


@part
def narrow(acc, g, groups):
    """Turn sums (kernel, channels, n_out) into (kernel, channels of a group, n_out), in place."""
    own, together = g[C] // groups, g[N] // groups
    for t in range(g[KH] * g[KW] * own):
        first = t // own * g[C] + t % own
        for n in range(g[N]):
            acc[t * g[N] + n] = acc[(first + n // together * own) * g[N] + n]


@part
def pack(w, b, g, zero, packed, bias):
    """Pack the weights of a layer, and take off its bias what activations have too much."""
    columns, size = packed_columns(g), g[KH] * g[KW] * g[C]
    for first in range(0, g[N], LANES):
        pack_rows(w.ctypes.data + first * size, first, g, columns, zero, b, packed.ctypes.data,
                  bias)  # fmt: skip


@part
def lines_of(g):
    """Lines of an output's weights, weights and steps of a line: one line where none has a gap."""
    lines, line = g[KH], g[KW] * g[C]
    if line % STEP == 0:
        lines, line = 1, lines * line
    return lines, line, -(-line // STEP)


@part
def last_step(line):
    """What is kept of the last step of a line."""
    rest = line % STEP
    return (1 << (8 * rest)) - 1 if rest else -1


@part
def place_of(packed, first, columns, steps):
    """Address of the first step of LANES outputs."""
    return packed + (first // columns * (steps - 1) * columns + first) * STEP


@part
def take_off(totals, first, count, zero, b, bias):
    """Take off biases what activations have too much."""
    old, new, extra = b[first : first + count], bias[first : first + count], I32(zero + ADDED)
    for j in range(count):
        new[j] = I32(old[j] - I32(extra * totals[j]))


@part
def pack_rows(rows, first, g, columns, zero, b, packed, bias):
    """Pack the weights of LANES outputs, or as many as there are, that lie at an address.

    Up to a vector behind the last weight is read.
    """
    count, (lines, line, steps), totals = (
        min(LANES, g[N] - first),
        lines_of(g),
        ints(scratch(), LANES),
    )
    block, last = place_of(packed, first, columns, lines * steps), last_step(line)
    totals[:] = 0
    for i in range(lines):
        for s in range(0, steps, LANES):
            have = min(LANES, steps - s)
            turn_block(
                rows + i * line + s * STEP, lines * line, count, have,
                last if s + have == steps else -1, block + (i * steps + s) * columns * STEP,
                columns * STEP, totals.ctypes.data,
            )  # fmt: skip
    take_off(totals, first, count, zero, b, bias)


@part
def pack_moved_rows(rows, signs, signs_line, eps, first, g, columns, zero, packed, bias):
    """Pack the weights of LANES outputs moved by eps along their signs; bias holds moved biases.

    An output is one line, and has its signs at so many bytes behind those before it.
    """
    count, (_, line, steps), totals = min(LANES, g[N] - first), lines_of(g), ints(scratch(), LANES)
    block, last = place_of(packed, first, columns, steps), last_step(line)
    totals[:] = 0
    for s in range(0, steps, LANES):
        have = min(LANES, steps - s)
        turn_moved(
            rows + s * STEP, line, count, have, last if s + have == steps else -1,
            signs + s * STEP // 8, signs_line, eps, block + s * columns * STEP, columns * STEP,
            totals.ctypes.data,
        )  # fmt: skip
    take_off(totals, first, count, zero, bias, bias)
