# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Errors that flow back through dense layers and convolutions of the backend "numba".

Rows of a are errors times their channel's ratio, int16, and b the weights. With stride 1 that is
a convolution with the reversed kernel; else products are added to the pixels they belong to.
"""

from edgetrain.kernels.cpu_numba_depthwise import crop, padded_line, weigh_pixels
from edgetrain.kernels.cpu_numba_gemm import (
    I16,
    I32,
    KH,
    KW,
    LANES,
    LEFT,
    MIDDLE,
    MOST,
    NARROW,
    OH,
    ONE_ROW,
    OW,
    SH,
    SW,
    TARGET,
    TOP,
    WIDE,
    C,
    H,
    N,
    W,
    choose,
    is_joined,
    row_count,
    tile_columns,
    tile_rows,
)
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_memory import ints, scratch
from edgetrain.kernels.cpu_numba_tile import STEPS, make_tile

PAIR = STEPS["pair8"]

back_wide = make_tile(TARGET.wide, LANES, "pair8")
back_middle = make_tile(TARGET.middle, LANES, "pair8")
back_narrow = make_tile(TARGET.narrow, LANES, "pair8")
back_single = make_tile(ONE_ROW, LANES, "pair8")


@part
def is_neighbourly(g):
    """Whether errors can go back as a convolution with the reversed kernel, without scattering."""
    before = g[TOP] < g[KH] and g[LEFT] < g[KW]  # padding is smaller than the kernel
    after = g[OH] <= g[H] + g[TOP] and g[OW] <= g[W] + g[LEFT]
    return before and after and g[SH] == 1 and g[SW] == 1 and not is_joined(g)


@part
def pack_reversed(w, g, packed):
    """Pack weights for `grad_x_neighbours`: channels are the columns, the kernel is reversed."""
    width = tile_columns(choose(g[W], g[C]))
    steps = -(-g[KW] * g[N] // PAIR)
    for block in range(-(-g[C] // width)):
        count = min(width, g[C] - block * width)
        for i in range(g[KH]):
            start = (block * g[KH] + i) * steps * width * PAIR
            for k in range(steps * PAIR):
                target = packed[start + k // PAIR * width * PAIR + k % PAIR :]
                if k < g[KW] * g[N]:
                    j, n = g[KW] - 1 - k // g[N], k % g[N]
                    at = ((n * g[KH] + g[KH] - 1 - i) * g[KW] + j) * g[C] + block * width
                    source = w[at : at + count]
                    for t in range(count):
                        target[PAIR * t] = source[t]
                else:
                    for t in range(count):
                        target[PAIR * t] = 0


@part
def grad_x_neighbours(e, samples, g, packed, ratio, area, out):
    """Compute the error of a layer's input, stride 1; area is int16 room for padded errors."""
    line, pixels = (g[W] + g[KW] - 1) * g[N], g[H] * g[W]
    top, left = g[KH] - 1 - g[TOP], g[KW] - 1 - g[LEFT]
    which = choose(g[W], g[C])
    height, width = tile_rows(which), tile_columns(which)
    steps = -(-g[KW] * g[N] // PAIR)
    aside = ints(scratch(), MOST)
    inside = area[: (g[H] + g[KH] - 1) * line]
    for t in range(inside.size):
        inside[t] = 0
    for n in range(samples):
        for i in range(g[OH]):
            start = (n * g[OH] + i) * g[OW] * g[N]
            at = (top + i) * line + left * g[N]
            weigh_pixels(e, start, g[OW], g[N], ratio, area, at)
        for block in range(-(-g[C] // width)):
            count = min(width, g[C] - block * width)
            b = packed.ctypes.data + block * g[KH] * steps * width * PAIR
            for i in range(g[H]):
                for j in range(0, g[W], height):
                    rows = min(height, g[W] - j)
                    place = (n * pixels + i * g[W] + j) * g[C] + block * width
                    straight = count == width
                    back_tile(
                        which, area.ctypes.data + 2 * (i * line + j * g[N]), 2 * g[N], 2 * line,
                        g[KH], b, steps, out.ctypes.data + 4 * place if straight
                        else aside.ctypes.data, 4 * g[C] if straight else 4 * width, rows,
                    )  # fmt: skip
                    for r in range(0 if straight else rows):
                        target = out[place + r * g[C] : place + r * g[C] + count]
                        source = aside[r * width : r * width + count]
                        for t in range(count):
                            target[t] = source[t]


@part
def pack_back(w, g, packed):
    """Pack weights for `grad_x`: pairs of outputs, a kernel row after the other."""
    if is_neighbourly(g):
        pack_reversed(w, g, packed)
        return
    line, lines = g[KW] * g[C], g[KH]
    width = tile_columns(choose(row_count(g), line))
    pairs = -(-g[N] // PAIR)
    for i in range(lines):
        for block in range(-(-line // width)):
            count = min(width, line - block * width)
            for p in range(pairs):
                start = ((i * -(-line // width) + block) * pairs + p) * width * PAIR
                target = packed[start : start + width * PAIR]
                at = (p * PAIR * lines + i) * line + block * width
                first = w[at : at + count]
                if p * PAIR + 1 < g[N]:
                    second = w[at + lines * line : at + lines * line + count]
                    for t in range(count):
                        target[2 * t] = first[t]
                        target[2 * t + 1] = second[t]
                else:
                    for t in range(count):
                        target[2 * t] = first[t]
                        target[2 * t + 1] = 0


@part
def back_tile(which, a, row, segment, segments, b, steps, c, c_row, rows):
    """Call the chosen tile."""
    step = tile_columns(which) * PAIR
    if which == WIDE:
        back_wide(a, row, segment, segments, b, step, steps, c, c_row, rows)
    elif which == MIDDLE:
        back_middle(a, row, segment, segments, b, step, steps, c, c_row, rows)
    elif which == NARROW:
        back_narrow(a, row, segment, segments, b, step, steps, c, c_row, rows)
    else:
        back_single(a, row, segment, segments, b, step, steps, c, c_row, rows)


@part
def scale_rows(e, ratio, n_out, scaled):
    """Multiply errors (rows, n_out) by their channel's ratio; rows of pairs."""
    size = -(-n_out // PAIR) * PAIR
    if size == n_out:
        weigh_pixels(e, 0, e.size // n_out, n_out, ratio, scaled, 0)
        return
    for i in range(e.size // n_out):
        source, target = e[i * n_out : (i + 1) * n_out], scaled[i * size : (i + 1) * size]
        for t in range(n_out):
            target[t] = I16(I16(source[t]) * ratio[t])
        if size > n_out:
            target[n_out] = 0


@part
def grad_x(e, samples, g, packed, ratio, scaled, image, out):
    """Compute the error of a layer's input as int32 sums, (samples, pixels, channels).

    scaled is int16 room for the errors (of all samples where pixels are rows of one matrix),
    image int32 room for one padded image.
    """
    if is_neighbourly(g):
        grad_x_neighbours(e, samples, g, packed, ratio, scaled, out)
        return
    joined = is_joined(g)
    lines, columns, padded = (1, samples * g[H] * g[W], g[C]) if joined else (
        g[OH], g[OW], padded_line(g))  # fmt: skip
    high = max(g[TOP] + g[H], (g[OH] - 1) * g[SH] + g[KH])
    own = g[KW] * g[C]
    which = choose(row_count(g), own)
    height, width = tile_rows(which), tile_columns(which)
    steps = -(-g[N] // PAIR)
    aside = ints(scratch(), MOST)
    for n in range(1 if joined else samples):
        start = n * lines * columns * g[N]
        scale_rows(e[start : start + lines * columns * g[N]], ratio, g[N], scaled)
        inside = out[: columns * g[C]] if joined else image[: high * padded]
        for t in range(inside.size):
            inside[t] = 0
        for k in range(g[KH]):
            for block in range(-(-own // width)):
                count = min(width, own - block * width)
                b = (k * -(-own // width) + block) * steps * width * PAIR
                straight = joined and count == width
                for i in range(lines):
                    for j in range(0, columns, height):
                        rows = min(height, columns - j)
                        a = scaled.ctypes.data + 2 * PAIR * steps * (i * columns + j)
                        place = out.ctypes.data + 4 * (j * g[C] + block * width)
                        back_tile(
                            which, a, 2 * PAIR * steps, 0, 1, packed.ctypes.data + b, steps,
                            place if straight else aside.ctypes.data,
                            4 * g[C] if straight else 4 * width, rows,
                        )  # fmt: skip
                        for r in range(0 if straight else rows):
                            at = (i * g[SH] + k) * padded + (j + r) * g[SW] * g[C] + block * width
                            target, source = inside[at : at + count], aside[r * width :]
                            for t in range(count):
                                target[t] = I32(target[t] + source[t])
        if not joined:
            crop(inside, g, padded, out[n * g[H] * g[W] * g[C] :])
