# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Gradients of weights of the backend "numba", on the same micro-kernel.

* weights of a convolution: rows of a are the channels of the turned image, whose lines are the
  segments, a few channels at a time; b is the error. Nothing is laid out a kernel pixel.
* weights of a dense layer: rows of a are the errors of an output, b is the input.
"""

import numpy as np

from edgetrain.arithmetic.rooms import TURNED
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
    WIDE_COLUMNS,
    C,
    H,
    N,
    W,
    choose,
    is_joined,
    step_columns,
    sums_tile,
    tile_columns,
    tile_rows,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_memory import codes, copy, ints, scratch, shorts
from edgetrain.kernels.cpu_numba_tile import make_tile
from edgetrain.kernels.cpu_numba_turn import turn_ints
from edgetrain.kernels.cpu_numba_vectors import join_vector

ERROR_TYPE = np.int16 if LOWERING == "pair8" else np.int8
"""Type of errors that the micro-kernel reads as a."""
ERROR_BYTES = np.dtype(ERROR_TYPE).itemsize
dense_tile = make_tile(TARGET.wide, LANES, LOWERING, b_unsigned=True)


@part
def join_rows(source, stride, have, count, flip, target):
    """Lay a step of rows side by side: number t of every row, then t + 1.

    Args:
        source: address of the first row of int8.
        stride: bytes from row to row.
        have: rows that exist; the others are zeros.
        count: numbers of a row.
        flip: what is added to numbers, 0 or 128.
        target: address of the result; up to a vector more is written.
    """
    second, last = stride * min(1, have - 1), stride * (have - 1)
    if STEP == 4:
        third, mask, flips = stride * min(2, have - 1), (1 << (8 * have)) - 1, flip * 0x01010101
        for t in range(0, count, LANES):
            own = source + t
            join_vector(own, own + second, own + third, own + last, mask, flips, target + 4 * t)
    else:
        a, b, pairs = codes(source, count), codes(source + second, count), codes(target, 2 * count)
        for t in range(count):
            pairs[2 * t] = a[t]
            pairs[2 * t + 1] = b[t] if have > 1 else np.int8(0)


@part
def join_pixels(source, pixel, count, target):
    """Lay LANES channels, or as many as count, of a step of pixels side by side, as a is read."""
    if LEFT_BYTES == 1:
        third = source + 2 * pixel
        join_vector(source, source + pixel, third, third + pixel, -1, ADDED * 0x01010101, target)
        return
    a, b, pairs = codes(source, count), codes(source + pixel, count), shorts(target, 2 * count)
    for t in range(count):
        pairs[2 * t], pairs[2 * t + 1] = I16(a[t]), I16(b[t])


@part
def turn_line(source, pixel, channels, steps, target, plane):
    """Lay out steps of pixels, pixel bytes apart, channel by channel, plane bytes apart."""
    joined = scratch()
    for first in range(0, steps, LANES):
        have = min(LANES, steps - first)
        for c in range(0, channels, LANES):
            for s in range(have):
                join_pixels(source + (first + s) * STEP * pixel + c, pixel,
                            min(LANES, channels - c), joined + 4 * LANES * s)  # fmt: skip
            turn_ints(joined, 4 * LANES, have, target + 4 * first + c * plane, plane, have)


@part
def turn_image(x, g, pixels_high, pixels_wide, first, count, fill, area):
    """Lay out channels of an image one by one, each line by the remainder of its stride.

    Behind them the area has room for a line of the image. What stands behind the last pixel of a
    joined layer is multiplied by errors of zero.
    Returns the numbers in a line, of one remainder, and in a channel.
    """
    height, width, channels, stride = pixels_high, pixels_wide, g[C], g[SW]
    if not is_joined(g):
        height = max(g[TOP] + height, (g[OH] - 1) * g[SH] + g[KH])
        width = max(g[LEFT] + width, (g[OW] - 1) * stride + g[KW])
    line = (-(-width // stride) + STEP) // STEP * STEP
    plane = height * stride * line
    inside = area[: count * plane]
    if height != pixels_high or width != pixels_wide:
        value = LEFT_TYPE(I16(I16(fill) + I16(ADDED)))
        for t in range(inside.size):
            inside[t] = value
    steps, size = line // STEP, pixels_wide * channels
    rows = -(-count // LANES) * LANES  # as many are stored
    padded = area.ctypes.data + -(-rows * plane * LEFT_BYTES // 64) * 64
    if not is_joined(g):
        whole_line = codes(padded, line * stride * channels)
        for t in range(whole_line.size):
            whole_line[t] = np.int8(fill)
    for y in range(pixels_high):
        source = x.ctypes.data + y * size
        if not is_joined(g):
            copy(padded + g[LEFT] * channels, source, size)
            source = padded
        for remainder in range(stride):
            at = area.ctypes.data + 4 * ((g[TOP] + y) * stride + remainder) * steps
            turn_line(source + remainder * channels + first, stride * channels, count, steps, at,
                      plane * LEFT_BYTES)  # fmt: skip
    return line, plane


@part
def pack_error(e, lines, columns, n_out, width, packed):
    """Pack errors (lines, columns, n_out) as b, columns filled with zeros to whole steps."""
    steps = -(-columns // STEP)
    for block in range(-(-n_out // width)):
        count = min(width, n_out - block * width)
        target = packed.ctypes.data + block * lines * steps * width * STEP
        for i in range(lines):
            source = e.ctypes.data + i * columns * n_out + block * width
            for s in range(steps):
                have = min(STEP, columns - s * STEP)
                join_rows(source, n_out, have, count, 0, target)
                source += STEP * n_out
                target += width * STEP


@part
def grad_w(x, e, samples, g, zero, area, packed, acc):
    """Add a weight gradient to acc (kernel pixels * channels, n_out).

    Each column has ``(zero + ADDED) * sum of its errors`` too much.
    """
    joined = is_joined(g)
    lines, columns = (1, samples * g[H] * g[W]) if joined else (g[OH], g[OW])
    high, wide = (1, columns) if joined else (g[H], g[W])
    which = choose(g[C], g[N])
    for n in range(1 if joined else samples):
        own = e[n * lines * columns * g[N] :]
        pack_error(own, lines, columns, g[N], step_columns(which, g[N]), packed)
        for first in range(0, g[C], TURNED):
            count = min(TURNED, g[C] - first)
            line, plane = turn_image(x[n * high * wide * g[C] :], g, high, wide, first, count,
                                     zero, area)  # fmt: skip
            add_products(which, g, lines, columns, first, count, area, line, plane, packed,
                         acc)  # fmt: skip


@part
def add_products(which, g, lines, columns, first, channels, area, line, plane, packed,
                 acc):  # fmt: skip
    """Add products of turned channels, from first on, and packed errors to acc."""
    height, width, steps = tile_rows(which), tile_columns(which), -(-columns // STEP)
    aside, b_step = ints(scratch(), MOST), step_columns(which, g[N]) * STEP
    for block in range(-(-g[N] // width)):
        count = min(width, g[N] - block * width)
        b = packed.ctypes.data + block * lines * steps * b_step
        for tap in range(g[KH] * g[KW]):
            i, j = tap // g[KW], tap % g[KW]
            start = (i * g[SW] + j % g[SW]) * line + j // g[SW]
            for c in range(0, channels, height):
                rows = min(height, channels - c)
                sums_tile(
                    which, area.ctypes.data + (c * plane + start) * LEFT_BYTES,
                    plane * LEFT_BYTES, g[SH] * g[SW] * line * LEFT_BYTES, lines, b, b_step, steps,
                    aside.ctypes.data, rows,
                )  # fmt: skip
                for r in range(rows):
                    at = (tap * g[C] + first + c + r) * g[N] + block * width
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
    pack_error(x, 1, samples, n_in, WIDE_COLUMNS, packed)
    if ADDED:
        size = -(-samples // STEP) * STEP * -(-n_in // WIDE_COLUMNS) * WIDE_COLUMNS
        own = packed[:size]
        for t in range(size):
            own[t] = np.int8(own[t] ^ np.int8(-128))


@part
def dense_rows(turned, packed, samples, first, rows, n_in, out, line):
    """Compute the weight gradient of a few outputs: int32 (rows, line) at the address out.

    Each row has ``(zero + ADDED) * sum of its errors`` too much.
    """
    steps = -(-samples // STEP)
    row = steps * STEP * ERROR_BYTES
    for block in range(-(-n_in // WIDE_COLUMNS)):
        dense_tile(
            turned.ctypes.data + first * row, row, 0, 1,
            packed.ctypes.data + block * steps * WIDE_COLUMNS * STEP, WIDE_COLUMNS * STEP, steps,
            out + 4 * block * WIDE_COLUMNS, 4 * line, rows,
        )  # fmt: skip
