# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Gradients of dense layers and convolutions of the backend "numba", on the same micro-kernel.

* weights of a convolution: rows of a are the channels of the turned image, whose lines are the
  segments; b is the error. Nothing is laid out a kernel pixel.
* weights of a dense layer: rows of a are the errors of an output, b is the input.
* errors of the input: rows of a are errors times their channel's ratio, int16, b the weights.
"""

import numpy as np

from edgetrain.kernels.cpu_numba_depthwise import crop, padded_line
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
    MIDDLE,
    MOST,
    NARROW,
    OH,
    ONE_ROW,
    OW,
    SH,
    STEP,
    SW,
    TARGET,
    TOP,
    U32,
    WIDE,
    WIDE_COLUMNS,
    C,
    H,
    N,
    W,
    choose,
    is_joined,
    row_count,
    sums_tile,
    tile_columns,
    tile_rows,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_tile import STEPS, make_tile

ERROR_TYPE = np.int16 if LOWERING == "pair8" else np.int8
"""Type of errors that the micro-kernel reads as a."""
ERROR_BYTES = np.dtype(ERROR_TYPE).itemsize
PAIR = STEPS["pair8"]

back_wide = make_tile(TARGET.wide, LANES, "pair8")
back_middle = make_tile(TARGET.middle, LANES, "pair8")
back_narrow = make_tile(TARGET.narrow, LANES, "pair8")
back_single = make_tile(ONE_ROW, LANES, "pair8")
dense_tile = make_tile(TARGET.wide, LANES, LOWERING, b_unsigned=True)


@part
def turn_image(x, g, pixels_high, pixels_wide, fill, area):
    """Lay out an image channel by channel, each line by the remainder of its stride.

    Returns the numbers in a line, of one remainder, and in a channel.
    """
    height, width = pixels_high, pixels_wide
    if not is_joined(g):
        height = max(g[TOP] + height, (g[OH] - 1) * g[SH] + g[KH])
        width = max(g[LEFT] + width, (g[OW] - 1) * g[SW] + g[KW])
    line = -(-width // g[SW]) + STEP
    plane = height * g[SW] * line
    if height != pixels_high or width != pixels_wide:
        inside = area[: g[C] * plane]
        for t in range(inside.size):
            inside[t] = fill
    for y in range(pixels_high):
        for i in range(pixels_wide):
            column = g[LEFT] + i
            start = ((g[TOP] + y) * g[SW] + column % g[SW]) * line + column // g[SW]
            source = x[(y * pixels_wide + i) * g[C] : (y * pixels_wide + i + 1) * g[C]]
            target = area[start:]
            at = U32(0)
            for c in range(g[C]):
                target[at] = LEFT_TYPE(I16(I16(source[c]) + I16(ADDED)))
                at = U32(at + U32(plane))
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
                for q in range(STEP):
                    column = s * STEP + q
                    if column < columns:
                        at = (i * columns + column) * n_out + block * width
                        source = e[at : at + count]
                        for t in range(count):
                            target[t * STEP + q] = source[t]
                    else:
                        for t in range(count):
                            target[t * STEP + q] = 0


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
        pack_error(e[n * lines * columns * g[N] :], lines, columns, g[N], width, packed)
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
def pack_back(w, g, packed):
    """Pack weights for `grad_x`: pairs of outputs, a kernel row after the other."""
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
def back_tile(which, a, row, b, steps, c, rows):
    """Call the chosen tile."""
    step, c_row = tile_columns(which) * PAIR, 4 * tile_columns(which)
    if which == WIDE:
        back_wide(a, row, 0, 1, b, step, steps, c, c_row, rows)
    elif which == MIDDLE:
        back_middle(a, row, 0, 1, b, step, steps, c, c_row, rows)
    elif which == NARROW:
        back_narrow(a, row, 0, 1, b, step, steps, c, c_row, rows)
    else:
        back_single(a, row, 0, 1, b, step, steps, c, c_row, rows)


@part
def scale_rows(e, ratio, n_out, scaled):
    """Multiply errors (rows, n_out) by their channel's ratio; rows of pairs."""
    size = -(-n_out // PAIR) * PAIR
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
    joined = is_joined(g)
    lines, columns, padded = (1, samples * g[H] * g[W], g[C]) if joined else (
        g[OH], g[OW], padded_line(g))  # fmt: skip
    high = max(g[TOP] + g[H], (g[OH] - 1) * g[SH] + g[KH])
    own = g[KW] * g[C]
    which = choose(row_count(g), own)
    height, width = tile_rows(which), tile_columns(which)
    steps = -(-g[N] // PAIR)
    aside = np.empty(MOST, np.int32)
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
                for i in range(lines):
                    for j in range(0, columns, height):
                        rows = min(height, columns - j)
                        a = scaled.ctypes.data + 2 * PAIR * steps * (i * columns + j)
                        back_tile(which, a, 2 * PAIR * steps, packed.ctypes.data + b, steps,
                                  aside.ctypes.data, rows)  # fmt: skip
                        for r in range(rows):
                            at = (i * g[SH] + k) * padded + (j + r) * g[SW] * g[C] + block * width
                            target, source = inside[at : at + count], aside[r * width :]
                            for t in range(count):
                                target[t] = I32(target[t] + source[t])
        if not joined:
            crop(inside, g, padded, out[n * g[H] * g[W] * g[C] :])


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
            for q in range(STEP):
                i = min(s * STEP + q, samples - 1)  # the errors behind the last are zero
                at = i * n_in + block * WIDE_COLUMNS
                source = x[at : at + count]
                for t in range(count):
                    target[t * STEP + q] = np.int8(I16(I16(source[t]) + I16(ADDED)))


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
