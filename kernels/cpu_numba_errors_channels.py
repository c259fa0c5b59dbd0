# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Errors that flow back through depthwise convolutions of the backend "numba"."""

from edgetrain.arithmetic.rooms import LINES
from edgetrain.kernels.cpu_numba_depthwise import PIXELS, padded_line, sums_channels, turn
from edgetrain.kernels.cpu_numba_errors import is_near
from edgetrain.kernels.cpu_numba_gemm import (
    I32,
    I64,
    KH,
    KW,
    LANES,
    MOST,
    OH,
    OW,
    SH,
    SW,
    TOP,
    C,
    H,
    W,
)
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_memory import EVERYTHING, ints, scratch, shorts
from edgetrain.kernels.cpu_numba_scale import send, send_image, weigh_lines


@part
def turn_back(w, g, taps):
    """Lay out weights as `back_channels` reads them: at stride 1 by half a turn."""
    turn(w, g, taps)
    count, channels = g[KH] * g[KW], g[C]
    for t in range(count // 2 if is_near(g) else 0):
        a, b = taps[t * channels :], taps[(count - 1 - t) * channels :]
        for c in range(channels):
            kept = a[c]
            a[c] = b[c]
            b[c] = kept


@part
def back_channels(e, samples, g, taps, ratio, room, image, multiplier, right, y):
    """Compute the errors of a layer's input, and send them to y; return their peak.

    room is for lines of errors and sums, image for int32 sums of one padded image.
    """
    size, pixels, peak = g[H] * g[W] * g[C], g[OH] * g[OW] * g[C], I64(0)
    for n in range(samples):
        own, at = e[n * pixels : (n + 1) * pixels], n * size
        if is_near(g):
            seen = near(own, g, taps, ratio, room, multiplier, right, y, at)
        else:
            scatter(own, g, taps, ratio, room, image)
            seen = send_image(image, g, padded_line(g), multiplier, right, y, at)
        peak = max(peak, seen)
    return peak


@part
def near(e, g, taps, ratio, room, multiplier, right, y, at):
    """Send errors back through stride 1: a convolution with the reversed kernel, line by line."""
    channels, line, peak = g[C], (g[W] + g[KW] - 1) * g[C], I64(0)
    width = g[W] * channels
    sums, area = ints(room, LINES * width), shorts(room + 4 * LINES * width, EVERYTHING)
    aside = ints(scratch(), MOST)
    for top in range(0, g[H], LINES):
        lines = min(LINES, g[H] - top)
        weigh_lines(e, top, lines, g, ratio, line, area)
        for first in range(0, channels, LANES):
            count = min(LANES, channels - first)
            is_whole, at_taps = count == LANES, taps.ctypes.data + first
            for i in range(lines):
                for j in range(0, g[W], PIXELS):
                    rows, place = min(PIXELS, g[W] - j), i * width + j * channels + first
                    start = area.ctypes.data + 2 * (i * line + j * channels + first)
                    target = sums.ctypes.data + 4 * place if is_whole else aside.ctypes.data
                    sums_channels(start, 2 * channels, 2 * line, g[KH], at_taps, channels, g[KW],
                                  target, 4 * channels if is_whole else 4 * LANES,
                                  rows)  # fmt: skip
                    for r in range(0 if is_whole else rows):
                        own, source = sums[place + r * channels :], aside[r * LANES :]
                        for t in range(count):
                            own[t] = source[t]
        seen = send(sums.ctypes.data, lines * width, multiplier, right, y, at + top * width)
        peak = max(peak, seen)
    return peak


@part
def scatter(e, g, taps, ratio, room, image):
    """Add each product to its pixel of a padded image."""
    channels, line = g[C], padded_line(g)
    height = max(g[TOP] + g[H], (g[OH] - 1) * g[SH] + g[KH])
    scaled, inside = ints(room, g[OW] * channels), image[: height * line]
    for t in range(inside.size):
        inside[t] = 0
    for i in range(g[OH]):
        errors = e[i * g[OW] * channels : (i + 1) * g[OW] * channels]
        for j in range(g[OW]):
            error, target = errors[j * channels : (j + 1) * channels], scaled[j * channels :]
            for c in range(channels):
                target[c] = I32(I32(error[c]) * I32(ratio[c]))
        for t in range(g[KH] * g[KW]):
            start = (i * g[SH] + t // g[KW]) * line + t % g[KW] * channels
            tap = taps[t * channels : (t + 1) * channels]
            for j in range(g[OW]):
                at = start + j * g[SW] * channels
                pixel, error = inside[at : at + channels], scaled[j * channels :]
                for c in range(channels):
                    pixel[c] = I32(pixel[c] + I32(error[c] * I32(tap[c])))
