# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Dense layers and convolutions of the backend "numba" as calls of one micro-kernel.

Arrays are flat. A layer's sizes travel as 13 numbers, the names of GEOMETRY; a dense layer is a
convolution of one pixel. Activations are copied once into an *area*, padded, in the type that the
micro-kernel reads; weights are packed, with what the copy adds to activations taken off the bias.
Tiles may read rows and columns that do not exist: `edgetrain.arithmetic.rooms.behind` says how far.
"""

import numpy as np

from edgetrain.arithmetic.instructions import GEOMETRY
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_memory import codes, ints, scratch
from edgetrain.kernels.cpu_numba_target import current
from edgetrain.kernels.cpu_numba_tile import STEPS, make_tile

H, W, C, OH, OW, N, KH, KW, SH, SW, TOP, LEFT, SAMPLES = range(len(GEOMETRY))
I16, I32, I64, U32 = np.int16, np.int32, np.int64, np.uint32
TARGET = current()
LANES, LOWERING = TARGET.lanes, TARGET.lowering
STEP = STEPS[LOWERING]
ADDED = 128 if LOWERING == "vnni8" else 0
"""What is added to an activation: the instruction wants one side unsigned."""
LEFT_TYPE = {"vnni8": np.uint8, "sdot8": np.int8, "pair8": np.int16}[LOWERING]
"""Type of activations that the micro-kernel reads as a."""
LEFT_BYTES = np.dtype(LEFT_TYPE).itemsize
WIDE, MIDDLE, NARROW, SINGLE = range(4)
"""Tiles: three of Target, and one row of a wide one."""
WIDE_ROWS, MIDDLE_ROWS, NARROW_ROWS = TARGET.wide.rows, TARGET.middle.rows, TARGET.narrow.rows
WIDE_COLUMNS = TARGET.wide.vectors * LANES
MIDDLE_COLUMNS = TARGET.middle.vectors * LANES
NARROW_COLUMNS = TARGET.narrow.vectors * LANES
ONE_ROW = TARGET.wide._replace(rows=1)
MOST = 16 * 64
"""No tile has more numbers."""

finish_wide = make_tile(TARGET.wide, LANES, LOWERING, finish=True)
finish_middle = make_tile(TARGET.middle, LANES, LOWERING, finish=True)
finish_narrow = make_tile(TARGET.narrow, LANES, LOWERING, finish=True)
finish_single = make_tile(ONE_ROW, LANES, LOWERING, finish=True)
sums_wide = make_tile(TARGET.wide, LANES, LOWERING)
sums_middle = make_tile(TARGET.middle, LANES, LOWERING)
sums_narrow = make_tile(TARGET.narrow, LANES, LOWERING)
sums_single = make_tile(ONE_ROW, LANES, LOWERING)


@part
def tile_rows(which):
    """Rows of a tile."""
    if which == WIDE:
        return WIDE_ROWS
    if which == MIDDLE:
        return MIDDLE_ROWS
    return NARROW_ROWS if which == NARROW else 1


@part
def tile_columns(which):
    """Columns of a tile."""
    if which == MIDDLE:
        return MIDDLE_COLUMNS
    return NARROW_COLUMNS if which == NARROW else WIDE_COLUMNS


@part
def step_columns(which, columns):
    """Columns of a step of b: those of the tile, or whole vectors where there are fewer.

    The tile then reads on into the next step, and nobody reads what it makes of that.
    """
    return min(tile_columns(which), -(-columns // LANES) * LANES)


@part
def choose(rows, columns):
    """Choose the tile that computes the fewest numbers in vain, the wider of equals."""
    if rows == 1:
        return SINGLE
    best, fewest = WIDE, I64(1) << 62
    for which in range(SINGLE):
        height, width = tile_rows(which), tile_columns(which)
        numbers = -(-rows // height) * height * -(-columns // width) * width
        if numbers < fewest:
            best, fewest = which, numbers
    return best


@part
def is_joined(g):
    """Whether pixels of all samples are rows of one matrix: a kernel of one pixel."""
    one = g[KH] == 1 and g[KW] == 1 and g[SH] == 1 and g[SW] == 1
    return one and g[OH] == g[H] and g[OW] == g[W]


@part
def row_count(g):
    """Rows of a matrix product: pixels of a line, or all."""
    return g[SAMPLES] * g[H] * g[W] if is_joined(g) else g[OW]


@part
def copy_line(source, target):
    """Copy activations in the type that the micro-kernel reads."""
    for t in range(source.size):
        target[t] = LEFT_TYPE(I16(I16(source[t]) + I16(ADDED)))


@part
def pad_image(x, g, zero, area):
    """Copy one image (height, width * channels) into its padded area; return a line's length."""
    height = max(g[TOP] + g[H], (g[OH] - 1) * g[SH] + g[KH])
    line = max(g[LEFT] + g[W], (g[OW] - 1) * g[SW] + g[KW]) * g[C]
    if height != g[H] or line != g[W] * g[C]:
        fill = LEFT_TYPE(zero + ADDED)
        inside = area[: height * line]
        for t in range(inside.size):
            inside[t] = fill
    width = g[W] * g[C]
    for y in range(g[H]):
        start = (g[TOP] + y) * line + g[LEFT] * g[C]
        copy_line(x[y * width : (y + 1) * width], area[start : start + width])
    return line


@part
def finish_tile(which, a, row, segment, segments, b, b_step, steps, c, c_row, rows,
                bias, multiplier, shift, zero, low, high):  # fmt: skip
    """Call the chosen tile."""
    if which == WIDE:
        finish_wide(a, row, segment, segments, b, b_step, steps, c, c_row, rows, bias, multiplier,
                    shift, zero, low, high)  # fmt: skip
    elif which == MIDDLE:
        finish_middle(a, row, segment, segments, b, b_step, steps, c, c_row, rows, bias, multiplier,
                    shift, zero, low, high)  # fmt: skip
    elif which == NARROW:
        finish_narrow(a, row, segment, segments, b, b_step, steps, c, c_row, rows, bias, multiplier,
                    shift, zero, low, high)  # fmt: skip
    else:
        finish_single(a, row, segment, segments, b, b_step, steps, c, c_row, rows, bias, multiplier,
                    shift, zero, low, high)  # fmt: skip


@part
def sums_tile(which, a, row, segment, segments, b, b_step, steps, c, rows):
    """Call the chosen tile; its rows lie side by side."""
    c_row = 4 * tile_columns(which)
    if which == WIDE:
        sums_wide(a, row, segment, segments, b, b_step, steps, c, c_row, rows)
    elif which == MIDDLE:
        sums_middle(a, row, segment, segments, b, b_step, steps, c, c_row, rows)
    elif which == NARROW:
        sums_narrow(a, row, segment, segments, b, b_step, steps, c, c_row, rows)
    else:
        sums_single(a, row, segment, segments, b, b_step, steps, c, c_row, rows)


@part
def layer(x, samples, g, zero, packed, bias, multiplier, shift, y_zero, low, high, area, y):
    """Compute a dense layer or convolution, requantized: y (samples, pixels, n_out)."""
    image, pixels = g[H] * g[W] * g[C], g[OH] * g[OW]
    which = choose(row_count(g), g[N])
    if is_joined(g):
        copy_line(x[: samples * image], area)
        finish_lines(area, which, 1, samples * pixels, 0, g, packed, bias, multiplier, shift,
                     y_zero, low, high, y)  # fmt: skip
        return
    for n in range(samples):
        line = pad_image(x[n * image : (n + 1) * image], g, zero, area)
        own = y[n * pixels * g[N] : (n + 1) * pixels * g[N]]
        finish_lines(area, which, g[OH], g[OW], line, g, packed, bias, multiplier, shift,
                     y_zero, low, high, own)  # fmt: skip


@part
def finish_lines(area, which, lines, columns, line, g, packed, bias, multiplier, shift,
                 zero, low, high, y):  # fmt: skip
    """Compute lines of pixels, a tile after the other."""
    height, width = tile_rows(which), tile_columns(which)
    steps = -(-g[KW] * g[C] // STEP)
    b_step = step_columns(which, g[N]) * STEP
    size = g[KH] * steps * b_step
    aside = codes(scratch(), MOST)
    row = g[SW] * g[C] * LEFT_BYTES
    a, b, c, temporary = area.ctypes.data, packed.ctypes.data, y.ctypes.data, aside.ctypes.data
    scales = bias.ctypes.data, multiplier.ctypes.data, shift.ctypes.data
    for block in range(-(-g[N] // width)):
        first = block * width
        count = min(width, g[N] - first)
        at = 4 * first
        for i in range(lines):
            for j in range(0, columns, height):
                rows = min(height, columns - j)
                place = (i * columns + j) * g[N] + first
                is_whole = count == width or g[N] < width  # what is too much is written over
                finish_tile(
                    which, a + (i * g[SH] * line + j * g[SW] * g[C]) * LEFT_BYTES, row,
                    line * LEFT_BYTES, g[KH], b + block * size, b_step, steps,
                    c + place if is_whole else temporary, g[N] if is_whole else width, rows,
                    scales[0] + at, scales[1] + at, scales[2] + at, zero, low, high,
                )  # fmt: skip
                if not is_whole:
                    for r in range(rows):
                        target = y[place + r * g[N] : place + r * g[N] + count]
                        source = aside[r * width : r * width + count]
                        for t in range(count):
                            target[t] = source[t]


@part
def layer_sums(x, samples, g, zero, packed, bias, area, out):
    """Compute a dense layer or convolution as int32 sums: out (samples, pixels, n_out)."""
    image, pixels = g[H] * g[W] * g[C], g[OH] * g[OW]
    which = choose(row_count(g), g[N])
    joined = is_joined(g)
    height, width = tile_rows(which), tile_columns(which)
    steps = -(-g[KW] * g[C] // STEP)
    b_step = step_columns(which, g[N]) * STEP
    size = g[KH] * steps * b_step
    aside = ints(scratch(), MOST)
    for n in range(1 if joined else samples):
        line, lines, columns = g[W] * g[C], g[OH], g[OW]
        if joined:
            copy_line(x[: samples * image], area)
            lines, columns = 1, samples * pixels
        else:
            line = pad_image(x[n * image : (n + 1) * image], g, zero, area)
        for block in range(-(-g[N] // width)):
            first = block * width
            count = min(width, g[N] - first)
            for i in range(lines):
                for j in range(0, columns, height):
                    rows = min(height, columns - j)
                    start = (i * g[SH] * line + j * g[SW] * g[C]) * LEFT_BYTES
                    sums_tile(
                        which, area.ctypes.data + start, g[SW] * g[C] * LEFT_BYTES,
                        line * LEFT_BYTES, g[KH], packed.ctypes.data + block * size, b_step, steps,
                        aside.ctypes.data, rows,
                    )  # fmt: skip
                    for r in range(rows):
                        place = ((n * lines + i) * columns + j + r) * g[N] + first
                        target, own = out[place : place + count], bias[first : first + count]
                        source = aside[r * width : r * width + count]
                        for t in range(count):
                            target[t] = I32(source[t] + own[t])
