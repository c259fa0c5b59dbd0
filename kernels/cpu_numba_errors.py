# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Errors that flow back through dense layers and convolutions of the backend "numba".

Rows of a are errors times their channel's ratio, int16, and b the weights. With stride 1 that is
a convolution with the reversed kernel; else products are added to the pixels they belong to.
"""

from edgetrain.arithmetic.rooms import LINES, TOGETHER
from edgetrain.kernels.cpu_numba_depthwise import padded_line
from edgetrain.kernels.cpu_numba_gemm import (
    I16,
    I32,
    I64,
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
from edgetrain.kernels.cpu_numba_memory import EVERYTHING, copy, ints, scratch, shorts
from edgetrain.kernels.cpu_numba_scale import send, send_image, weigh_lines, weigh_pixels
from edgetrain.kernels.cpu_numba_tile import STEPS, make_tile

PAIR = STEPS["pair8"]

back_wide = make_tile(TARGET.wide, LANES, "pair8")
back_middle = make_tile(TARGET.middle, LANES, "pair8")
back_narrow = make_tile(TARGET.narrow, LANES, "pair8")
back_single = make_tile(ONE_ROW, LANES, "pair8")


@part
def is_near(g):
    """Whether errors can go back as a convolution with the reversed kernel, without scattering."""
    before = g[TOP] < g[KH] and g[LEFT] < g[KW]  # padding is smaller than the kernel
    after = g[OH] <= g[H] + g[TOP] and g[OW] <= g[W] + g[LEFT]
    return before and after and g[SH] == 1 and g[SW] == 1


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
def pack_back(w, g, packed):
    """Pack weights for `grad_x`: pairs of outputs, a kernel row after the other."""
    if is_near(g) and not is_joined(g):
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
def weigh_rows(e, start, count, n_out, ratio, scaled):
    """Multiply errors of count pixels by their channels' ratios; rows of pairs."""
    size = -(-n_out // PAIR) * PAIR
    if size == n_out:
        weigh_pixels(e, start, count, n_out, ratio, scaled, 0)
        return
    for i in range(count):
        source, target = e[start + i * n_out :], scaled[i * size : (i + 1) * size]
        for t in range(n_out):
            target[t] = I16(I16(source[t]) * ratio[t])
        target[n_out] = 0


@part
def back(e, samples, g, packed, ratio, room, image, multiplier, right, y):
    """Compute the errors of a layer's input, and send them to y; return their peak.

    room is for a few errors and sums, image for int32 sums of one padded image.
    """
    if is_joined(g):
        return joined(e, samples * g[H] * g[W], g, packed, ratio, room, multiplier, right, y)
    size, pixels, peak = g[H] * g[W] * g[C], g[OH] * g[OW] * g[N], I64(0)
    for n in range(samples):
        own, at = e[n * pixels : (n + 1) * pixels], n * size
        if is_near(g):
            seen = near(own, g, packed, ratio, room, multiplier, right, y, at)
        else:
            scatter(own, g, packed, ratio, room, image)
            seen = send_image(image, g, padded_line(g), multiplier, right, y, at)
        peak = max(peak, seen)
    return peak


@part
def tile_row(which, a, row, segment, segments, packed, steps, columns, place, rows):
    """Compute rows of sums, a tile beside the other: int32 (rows, columns) at a place."""
    width = tile_columns(which)
    aside = ints(scratch(), MOST)
    for block in range(-(-columns // width)):
        count = min(width, columns - block * width)
        b = packed + block * segments * steps * width * PAIR
        target, is_whole = place + 4 * block * width, count == width
        back_tile(which, a, row, segment, segments, b, steps,
                  target if is_whole else aside.ctypes.data,
                  4 * columns if is_whole else 4 * width, rows)  # fmt: skip
        for r in range(0 if is_whole else rows):
            copy(target + 4 * r * columns, aside.ctypes.data + 4 * r * width, 4 * count)


@part
def joined(e, pixels, g, packed, ratio, room, multiplier, right, y):
    """Send errors back through a kernel of one pixel: a matrix product, a few rows at a time."""
    which, peak, steps = choose(pixels, g[C]), I64(0), -(-g[N] // PAIR)
    height, row = tile_rows(which), 2 * PAIR * steps
    together = max(TOGETHER // height * height, 1)
    sums = room + row * TOGETHER
    for first in range(0, pixels, together):
        count = min(together, pixels - first)
        weigh_rows(e, first * g[N], count, g[N], ratio, shorts(room, EVERYTHING))
        for j in range(0, count, height):
            tile_row(which, room + j * row, row, 0, 1, packed.ctypes.data, steps, g[C],
                     sums + 4 * j * g[C], min(height, count - j))  # fmt: skip
        seen = send(sums, count * g[C], multiplier, right, y, first * g[C])
        peak = max(peak, seen)
    return peak


@part
def near(e, g, packed, ratio, room, multiplier, right, y, at):
    """Send errors back through stride 1: a convolution with the reversed kernel, line by line."""
    line, width, peak = (g[W] + g[KW] - 1) * g[N], g[W] * g[C], I64(0)
    which, steps = choose(g[W], g[C]), -(-g[KW] * g[N] // PAIR)
    height = tile_rows(which)
    area = shorts(room + 4 * LINES * width, EVERYTHING)
    for top in range(0, g[H], LINES):
        lines = min(LINES, g[H] - top)
        weigh_lines(e, top, lines, g, ratio, line, area)
        for i in range(lines):
            start = area.ctypes.data + 2 * i * line
            for j in range(0, g[W], height):
                tile_row(which, start + 2 * j * g[N], 2 * g[N], 2 * line, g[KH],
                         packed.ctypes.data, steps, g[C], room + 4 * (i * width + j * g[C]),
                         min(height, g[W] - j))  # fmt: skip
        seen = send(room, lines * width, multiplier, right, y, at + top * width)
        peak = max(peak, seen)
    return peak


@part
def scatter(e, g, packed, ratio, room, image):
    """Add each product to its pixel of a padded image."""
    padded, own = padded_line(g), g[KW] * g[C]
    high = max(g[TOP] + g[H], (g[OH] - 1) * g[SH] + g[KH])
    which, steps = choose(g[OW], own), -(-g[N] // PAIR)
    height, width, row = tile_rows(which), tile_columns(which), 2 * PAIR * steps
    aside, inside = ints(scratch(), MOST), image[: high * padded]
    for t in range(inside.size):
        inside[t] = 0
    for i in range(g[OH]):
        weigh_rows(e, i * g[OW] * g[N], g[OW], g[N], ratio, shorts(room, g[OW] * PAIR * steps))
        for k in range(g[KH]):
            for block in range(-(-own // width)):
                count = min(width, own - block * width)
                b = packed.ctypes.data + (k * -(-own // width) + block) * steps * width * PAIR
                for j in range(0, g[OW], height):
                    rows = min(height, g[OW] - j)
                    back_tile(which, room + row * j, row, 0, 1, b, steps, aside.ctypes.data,
                              4 * width, rows)  # fmt: skip
                    for r in range(rows):
                        at = (i * g[SH] + k) * padded + (j + r) * g[SW] * g[C] + block * width
                        target, source = inside[at : at + count], aside[r * width :]
                        for t in range(count):
                            target[t] = I32(target[t] + source[t])
