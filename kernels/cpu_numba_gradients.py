# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Gradients of weights of the backend "numba", on the same micro-kernel.

* weights of a convolution: rows of a are the channels of the turned image, whose lines are the
  segments; b is the error. Nothing is laid out a kernel pixel.
* weights of a dense layer: rows of a are the errors of an output, b is the input.
"""

import numpy as np

from edgetrain.kernels.cpu_numba_gemm import (
    ADDED,
    I16,
    I32,
    KH,
    KW,
    LANES,
    LEFT,
    LEFT_BYTES,
    LEFT_TYPE,
    LOWERING,
    MOST,
    OH,
    OW,
    SH,
    STEP,
    SW,
    TARGET,
    TOP,
    U32,
    WIDE_COLUMNS,
    C,
    H,
    N,
    W,
    choose,
    is_joined,
    sums_tile,
    tile_columns,
    tile_rows,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_tile import make_tile
from edgetrain.kernels.cpu_numba_vectors import join_vector

ERROR_TYPE = np.int16 if LOWERING == "pair8" else np.int8
"""Type of errors that the micro-kernel reads as a."""
ERROR_BYTES = np.dtype(ERROR_TYPE).itemsize
dense_tile = make_tile(TARGET.wide, LANES, LOWERING, b_unsigned=True)


@part
def turn_pixel(x, at, channels, plane, target):
    """Lay out one pixel, channel by channel."""
    source, place = x[at : at + channels], U32(0)
    for c in range(channels):
        target[place] = LEFT_TYPE(I16(I16(source[c]) + I16(ADDED)))
        place = U32(place + U32(plane))


@part
def join_rows(source, at, stride, have, count, flip, target):
    """Lay a step of rows side by side: number t of every row, then t + 1.

    Args:
        source: uint8, that has the rows.
        at: place of the first row.
        stride: from row to row.
        have: rows that exist; the others are zeros.
        count: numbers of a row.
        flip: what is added to numbers, 0 or 128.
        target: int8; up to a vector more is written.
    """
    second, last = at + stride * min(1, have - 1), at + stride * (have - 1)
    if STEP == 4:
        third, base = at + stride * min(2, have - 1), source.ctypes.data
        mask, flips = (1 << (8 * have)) - 1, flip * 0x01010101
        for t in range(0, count, LANES):
            own = base + t
            join_vector(own + at, own + second, own + third, own + last, mask, flips,
                        target.ctypes.data + 4 * t)  # fmt: skip
    else:
        a, b = source[at : at + count], source[second : second + count]
        mask, pairs = np.uint16((1 << (8 * have)) - 1), target[: 2 * count].view(np.uint16)
        for t in range(count):
            pair = np.uint16(np.uint16(a[t]) | np.uint16(np.uint16(b[t]) << np.uint16(8)))
            pairs[t] = np.uint16(pair & mask)


@part
def turn_pixels(x, at, channels, plane, together, target):
    """Lay out the pixels of a step, which fill one word a channel; together is room for them."""
    place, words = U32(0), target[: target.size // STEP * STEP].view(U32)
    if STEP == 4:
        join_rows(x.view(np.uint8), at, channels, STEP, channels, ADDED, together)
        own = together[: STEP * channels].view(U32)
        for c in range(channels):
            words[place] = own[c]
            place = U32(place + U32(plane // STEP))
    else:
        for c in range(channels):
            low, high = U32(np.uint16(x[at + c])), U32(np.uint16(x[at + channels + c]))
            words[place] = U32(low | U32(high << U32(16)))
            place = U32(place + U32(plane // STEP))


@part
def turn_image(x, g, pixels_high, pixels_wide, fill, area):
    """Lay out an image channel by channel, each line by the remainder of its stride.

    Returns the numbers in a line, of one remainder, and in a channel.
    """
    height, width = pixels_high, pixels_wide
    if not is_joined(g):
        height = max(g[TOP] + height, (g[OH] - 1) * g[SH] + g[KH])
        width = max(g[LEFT] + width, (g[OW] - 1) * g[SW] + g[KW])
    line = (-(-width // g[SW]) + STEP) // STEP * STEP
    plane = height * g[SW] * line
    before = min(-g[LEFT] % STEP, pixels_wide)
    whole = before + (pixels_wide - before) // STEP * STEP
    if height != pixels_high or width != pixels_wide:
        inside = area[: g[C] * plane]
        for t in range(inside.size):
            inside[t] = fill
    together = np.empty(STEP * (g[C] + LANES), np.int8)
    for y in range(pixels_high):
        for i in range(pixels_wide):
            column = g[LEFT] + i
            start = ((g[TOP] + y) * g[SW] + column % g[SW]) * line + column // g[SW]
            if g[SW] == 1 and column % STEP == 0 and i + STEP <= pixels_wide:
                turn_pixels(x, (y * pixels_wide + i) * g[C], g[C], plane, together, area[start:])
            elif g[SW] > 1 or i < before or i >= whole:
                turn_pixel(x, (y * pixels_wide + i) * g[C], g[C], plane, area[start:])
    return line, plane


@part
def pack_error(e, lines, columns, n_out, width, packed):
    """Pack errors (lines, columns, n_out) as b, columns filled with zeros to whole steps."""
    steps = -(-columns // STEP)
    for block in range(-(-n_out // width)):
        count = min(width, n_out - block * width)
        for i in range(lines):
            for s in range(steps):
                start = ((block * lines + i) * steps + s) * width * STEP
                target = packed[start : start + width * STEP]
                at = (i * columns + s * STEP) * n_out + block * width
                have = min(STEP, columns - s * STEP)
                join_rows(e, at, n_out, have, count, 0, target)


@part
def grad_w(x, e, samples, g, zero, area, packed, acc):
    """Add a weight gradient to acc (kernel pixels * channels, n_out).

    Each column has ``(zero + ADDED) * sum of its errors`` too much.
    """
    joined = is_joined(g)
    lines, columns = (1, samples * g[H] * g[W]) if joined else (g[OH], g[OW])
    image = g[H] * g[W] * g[C]
    which = choose(g[C], g[N])
    height, width = tile_rows(which), tile_columns(which)
    steps = -(-columns // STEP)
    aside = np.empty(MOST, np.int32)
    for n in range(1 if joined else samples):
        if joined:
            line, plane = turn_image(x, g, 1, columns, LEFT_TYPE(0), area)
        else:
            fill = LEFT_TYPE(zero + ADDED)
            line, plane = turn_image(x[n * image :], g, g[H], g[W], fill, area)
        own = e[n * lines * columns * g[N] :].view(np.uint8)
        pack_error(own, lines, columns, g[N], width, packed)
        for block in range(-(-g[N] // width)):
            count = min(width, g[N] - block * width)
            b = packed.ctypes.data + block * lines * steps * width * STEP
            for tap in range(g[KH] * g[KW]):
                i, j = tap // g[KW], tap % g[KW]
                start = (i * g[SW] + j % g[SW]) * line + j // g[SW]
                for c in range(0, g[C], height):
                    rows = min(height, g[C] - c)
                    sums_tile(
                        which, area.ctypes.data + (c * plane + start) * LEFT_BYTES,
                        plane * LEFT_BYTES, g[SH] * g[SW] * line * LEFT_BYTES, lines, b, steps,
                        aside.ctypes.data, rows,
                    )  # fmt: skip
                    for r in range(rows):
                        at = (tap * g[C] + c + r) * g[N] + block * width
                        target, source = acc[at : at + count], aside[r * width :]
                        for t in range(count):
                            target[t] = I32(target[t] + source[t])


@part
def turn_error(e, samples, n_out, turned):
    """Lay out errors (samples, n_out) output by output, filled with zeros to whole steps."""
    size = -(-samples // STEP) * STEP
    turned = turned[: n_out * size * ERROR_BYTES].view(ERROR_TYPE)
    for n in range(n_out):
        target = turned[n * size : (n + 1) * size]
        for i in range(size):
            target[i] = ERROR_TYPE(e[i * n_out + n]) if i < samples else ERROR_TYPE(0)


@part
def pack_input(x, samples, n_in, packed):
    """Pack inputs (samples, n_in) as b: their bits are uint8 where the target wants that."""
    steps = -(-samples // STEP)
    for block in range(-(-n_in // WIDE_COLUMNS)):
        count = min(WIDE_COLUMNS, n_in - block * WIDE_COLUMNS)
        for s in range(steps):
            start = (block * steps + s) * WIDE_COLUMNS * STEP
            target = packed[start : start + WIDE_COLUMNS * STEP]
            at, have = s * STEP * n_in + block * WIDE_COLUMNS, min(STEP, samples - s * STEP)
            join_rows(x, at, n_in, have, count, ADDED, target)


@part
def dense_rows(turned, packed, samples, first, rows, n_in, out, line):
    """Compute the weight gradient of a few outputs: out (rows, line).

    Each row has ``(zero + ADDED) * sum of its errors`` too much.
    """
    steps = -(-samples // STEP)
    row = steps * STEP * ERROR_BYTES
    for block in range(-(-n_in // WIDE_COLUMNS)):
        dense_tile(
            turned.ctypes.data + first * row, row, 0, 1,
            packed.ctypes.data + block * steps * WIDE_COLUMNS * STEP, WIDE_COLUMNS * STEP, steps,
            out.ctypes.data + 4 * block * WIDE_COLUMNS, 4 * line, rows,
        )  # fmt: skip
