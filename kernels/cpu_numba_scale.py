# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Errors on their way back in the backend "numba": weighed before a product, scaled behind it.

Sums are scaled a few pixels at a time, while they are in the nearest cache: the exponent is known
before, only the peak is found. Without a multiplier they stay int32.
"""

from edgetrain.kernels.cpu_numba_elements import I16, I64, scale_down
from edgetrain.kernels.cpu_numba_gemm import KH, KW, LANES, LEFT, OH, OW, TOP, C, H, N, W
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_memory import NEW, codes, copy, ints, longs
from edgetrain.kernels.cpu_numba_vectors import scale_vectors, weigh_vector

MULTIPLIER, SHIFT, LIMIT, TABLE, WATCH, EXPONENT, Y_EXPONENT = range(7)
"""Operands that say how sums are scaled."""


@part
def bits_to_shift(given, places):
    """Return how far sums are shifted right at their delayed exponent: `edgetrain.step.Step.scale`.

    given are the operands from MULTIPLIER on.
    """
    finest = longs(given[EXPONENT], 1)[0] + given[SHIFT]
    wanted = min(I64(ints(places[NEW] + given[TABLE], 1)[0]), given[LIMIT])
    return min(max(wanted, finest), finest + 31) - finest


@part
def note(given, right, peak):
    """Keep the exponent that was used, and the peak that was seen."""
    used = longs(given[EXPONENT], 1)[0] + given[SHIFT] + right
    seen = longs(given[WATCH], 2)
    seen[0], seen[1] = used, max(seen[1], peak)
    longs(given[Y_EXPONENT], 1)[0] = used


@part
def send(sums, count, multiplier, right, y, at):
    """Scale sums at an address to the int8 numbers of y from at on; return their peak.

    Without a multiplier y is int32, and they are copied.
    """
    if multiplier == 0:
        copy(y + 4 * at, sums, 4 * count)
        return I64(0)
    vectors = count // LANES
    peak, done = I64(0), vectors * LANES
    if vectors:
        peak = scale_vectors(sums, multiplier, right - 1, y + at, vectors)
    if done == count:
        return peak
    rest = count - done
    target = codes(y + at + done, rest)
    return max(peak, scale_down(ints(sums + 4 * done, rest), multiplier, -right, target))


@part
def send_image(image, g, line, multiplier, right, y, at):
    """Scale a padded int32 image without its padding; return the peak."""
    width, peak = g[W] * g[C], I64(0)
    for i in range(g[H]):
        start = (g[TOP] + i) * line + g[LEFT] * g[C]
        source = image.ctypes.data + 4 * start
        peak = max(peak, send(source, width, multiplier, right, y, at + i * width))
    return peak


@part
def weigh_pixels(e, start, count, width, ratio, target, at):
    """Multiply the errors of pixels that follow each other by their channels' ratios, to int16."""
    if width % LANES == 0:
        source, place = e.ctypes.data + start, target.ctypes.data + 2 * at
        for j in range(0, count * width, width):
            for t in range(0, width, LANES):
                weigh_vector(source + j + t, ratio.ctypes.data + 2 * t, place + 2 * (j + t))
        return
    for j in range(0, count * width, width):
        error, own = e[start + j : start + j + width], target[at + j : at + j + width]
        for t in range(width):
            own[t] = I16(I16(error[t]) * ratio[t])


@part
def weigh_lines(e, first, count, g, ratio, line, area):
    """Weigh the lines of errors, of g[N] channels, that reach lines of an image at stride 1.

    Zeros stand where there are no errors; area has ``count + g[KH] - 1`` lines.
    """
    width, left = g[OW] * g[N], (g[KW] - 1 - g[LEFT]) * g[N]
    inside = area[: (count + g[KH] - 1) * line]
    for t in range(inside.size):
        inside[t] = 0
    start = first + g[TOP] + 1 - g[KH]  # the line of errors that the area starts with
    for y in range(max(start, 0), min(start + count + g[KH] - 1, g[OH])):
        weigh_pixels(e, y * width, g[OW], g[N], ratio, area, (y - start) * line + left)
