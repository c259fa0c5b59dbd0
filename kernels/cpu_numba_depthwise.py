# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Depthwise convolutions of the backend "numba": channels last, one filter a channel.

Arrays are flat, sizes are the numbers of `edgetrain.kernels.cpu_numba_gemm`. Gradients read
activations without their zero point.
"""

from edgetrain.kernels.cpu_numba_gemm import (
    ADDED,
    I32,
    KH,
    KW,
    LANES,
    LEFT,
    LEFT_BYTES,
    LOWERING,
    MOST,
    OH,
    OW,
    SH,
    STEP,
    SW,
    TOP,
    C,
    H,
    W,
    pad_image,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_memory import codes, ints, scratch, shorts
from edgetrain.kernels.cpu_numba_target import Shape
from edgetrain.kernels.cpu_numba_tile import make_tile
from edgetrain.kernels.cpu_numba_vectors import centre_vector

PIXELS = 5
WIDE_CHANNELS = 4 * LANES
finish_wide = make_tile(Shape(PIXELS, 4), LANES, LOWERING, finish=True, is_channels=True)
finish_narrow = make_tile(Shape(PIXELS, 1), LANES, LOWERING, finish=True, is_channels=True)
sums_narrow = make_tile(Shape(PIXELS, 1), LANES, LOWERING, is_channels=True)
sums_channels = make_tile(Shape(PIXELS, 1), LANES, "each")


@part
def turn(w, g, taps):
    """Lay out weights (channels, kernel pixels) as taps."""
    count = g[KH] * g[KW]
    for c in range(g[C]):
        for t in range(count):
            taps[t * g[C] + c] = w[c * count + t]


@part
def padded_line(g):
    """Numbers in a line of a padded image."""
    return max(g[LEFT] + g[W], (g[OW] - 1) * g[SW] + g[KW]) * g[C]


@part
def pad_centred(x, g, first, zero, area):
    """Copy LANES channels of one image, their zero point taken off, into a padded area of theirs.

    Where there are fewer channels, numbers behind them are copied. Returns a line's length.
    """
    height = max(g[TOP] + g[H], (g[OH] - 1) * g[SH] + g[KH])
    width = max(g[LEFT] + g[W], (g[OW] - 1) * g[SW] + g[KW])
    if height != g[H] or width != g[W]:
        inside = area[: height * width * LANES]
        for t in range(inside.size):
            inside[t] = 0
    for y in range(g[H]):
        source = x.ctypes.data + y * g[W] * g[C] + first
        target = area.ctypes.data + 2 * ((g[TOP] + y) * width + g[LEFT]) * LANES
        for i in range(g[W]):
            centre_vector(source + i * g[C], zero, target + 2 * i * LANES)
    return width * LANES


@part
def pack_channels(w, b, g, zero, packed, bias):
    """Pack weights: [kernel row][step][channel][k in a step].

    Biases lose what activations have too much.
    """
    channels, steps, rest = g[C], -(-g[KW] // STEP), g[KW] % STEP
    mask = (1 << 8 * rest) - 1 if rest else -1
    places = steps_at(packed.ctypes.data, g[KH] * steps * channels)
    bias[:channels] = 0
    for row in range(g[KH] * steps):
        i, s = row // steps, row % steps
        target, kept = places[row * channels :], mask if s == steps - 1 else -1
        for c in range(channels):
            at = w.ctypes.data + (c * g[KH] + i) * g[KW] + s * STEP
            target[c] = steps_at(at, 1)[0] & kept
        for c in range(channels):
            value, total = I32(target[c]), bias[c]
            for left in range(32 - 8 * STEP, 32, 8):
                total = I32(total + I32(I32(value << I32(left)) >> I32(24)))
            bias[c] = total
    for c in range(channels):
        bias[c] = I32(b[c] - I32(I32(zero + ADDED) * bias[c]))


@part
def steps_at(address, count):
    """Array of steps of weights."""
    return ints(address, count) if STEP == 4 else shorts(address, count)


@part
def depthwise(x, samples, g, zero, packed, bias, multiplier, shift, y_zero, low, high, area, y):
    """Compute a depthwise convolution, requantized: y (samples, pixels, channels)."""
    image, pixels, channels = g[H] * g[W] * g[C], g[OH] * g[OW], g[C]
    b_step, steps = channels * STEP, -(-g[KW] // STEP)
    aside = codes(scratch(), MOST)
    is_wide = channels % WIDE_CHANNELS == 0
    width = WIDE_CHANNELS if is_wide else LANES
    for n in range(samples):
        line = pad_image(x[n * image : (n + 1) * image], g, zero, area)
        own = y[n * pixels * channels : (n + 1) * pixels * channels]
        for first in range(0, channels, width):
            count = min(width, channels - first)
            is_whole = count == width or channels < LANES  # what is too much is written over
            b, at = packed.ctypes.data + first * STEP, 4 * first
            for i in range(g[OH]):
                for j in range(0, g[OW], PIXELS):
                    rows = min(PIXELS, g[OW] - j)
                    place = (i * g[OW] + j) * channels + first
                    start = i * g[SH] * line + j * g[SW] * channels + first
                    finish_tile(
                        is_wide, area.ctypes.data + LEFT_BYTES * start,
                        LEFT_BYTES * g[SW] * channels, LEFT_BYTES * line, g[KH], b, b_step, steps,
                        own.ctypes.data + place if is_whole else aside.ctypes.data,
                        channels if is_whole else LANES, rows, bias.ctypes.data + at,
                        multiplier.ctypes.data + at, shift.ctypes.data + at, y_zero, low, high,
                    )  # fmt: skip
                    if not is_whole:
                        for r in range(rows):
                            target = own[place + r * channels : place + r * channels + count]
                            for t in range(count):
                                target[t] = aside[r * LANES + t]


@part
def finish_tile(is_wide, a, row, segment, segments, b, b_step, steps, c, c_row, rows, bias,
                multiplier, shift, zero, low, high):  # fmt: skip
    """Call the chosen tile."""
    if is_wide:
        finish_wide(a, row, segment, segments, b, b_step, steps, c, c_row, rows, bias, multiplier,
                    shift, zero, low, high)  # fmt: skip
    else:
        finish_narrow(a, row, segment, segments, b, b_step, steps, c, c_row, rows, bias, multiplier,
                      shift, zero, low, high)  # fmt: skip


@part
def depthwise_sums(x, samples, g, zero, packed, bias, area, out):
    """Compute a depthwise convolution as int32 sums: out (samples, pixels, channels)."""
    image, pixels, channels = g[H] * g[W] * g[C], g[OH] * g[OW], g[C]
    aside = ints(scratch(), MOST)
    for n in range(samples):
        line = pad_image(x[n * image : (n + 1) * image], g, zero, area)
        own = out[n * pixels * channels : (n + 1) * pixels * channels]
        for first in range(0, channels, LANES):
            count = min(LANES, channels - first)
            for i in range(g[OH]):
                for j in range(0, g[OW], PIXELS):
                    rows = min(PIXELS, g[OW] - j)
                    start = i * g[SH] * line + j * g[SW] * channels + first
                    sums_narrow(
                        area.ctypes.data + LEFT_BYTES * start, LEFT_BYTES * g[SW] * channels,
                        LEFT_BYTES * line, g[KH], packed.ctypes.data + first * STEP,
                        channels * STEP, -(-g[KW] // STEP), aside.ctypes.data, 4 * LANES, rows,
                    )  # fmt: skip
                    for r in range(rows):
                        place = (i * g[OW] + j + r) * channels + first
                        target, start = own[place : place + count], bias[first : first + count]
                        source = aside[r * LANES : r * LANES + count]
                        for t in range(count):
                            target[t] = I32(source[t] + start[t])


@part
def depthwise_grad_w(x, e, samples, g, zero, area, acc):
    """Add a depthwise convolution's weight gradient to acc (kernel pixels, channels)."""
    image, pixels, channels = g[H] * g[W] * g[C], g[OH] * g[OW], g[C]
    for n in range(samples):
        own = x[n * image : (n + 1) * image]
        errors = e[n * pixels * channels : (n + 1) * pixels * channels]
        for first in range(0, channels, LANES):
            line = pad_centred(own, g, first, zero, area)
            for start in range(min(g[SW], g[KW])):
                for j in range(start, g[KW], PIXELS * g[SW]):
                    rows = min(PIXELS, (g[KW] - j + g[SW] - 1) // g[SW])
                    add_products(errors, g, first, j, rows, line, area, acc)


@part
def add_products(e, g, first, j, rows, line, area, acc):
    """Add the products of LANES channels for columns j, j + SW, ... of the kernel, so many rows.

    From row to row of the tile a moves as from one error to the next.
    """
    aside, count, pixel = ints(scratch(), MOST), min(LANES, g[C] - first), g[SW] * LANES
    for i in range(g[KH]):
        sums_channels(
            area.ctypes.data + 2 * (i * line + j * LANES), 2 * pixel, 2 * g[SH] * line, g[OH],
            e.ctypes.data + first, g[C], g[OW], aside.ctypes.data, 4 * LANES, rows,
        )  # fmt: skip
        for r in range(rows):
            at = (i * g[KW] + j + r * g[SW]) * g[C] + first
            total, source = acc[at : at + count], aside[r * LANES :]
            for t in range(count):
                total[t] = I32(total[t] + source[t])
