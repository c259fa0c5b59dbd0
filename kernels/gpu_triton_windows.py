# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Where a window reads and is read, and what ends a layer, for the kernels of "triton".

A window travels as the width of its kernel, vertical and horizontal stride, rows above, columns
left, and the number of its taps. Indices may be tensors of any shapes that broadcast.
"""

import triton
import triton.language as tl

from edgetrain.kernels.gpu_triton_elements import clip

LEAST = tl.constexpr(-(2**31))
"""No int32 is below it."""


@triton.jit
def pixel(at, height, width):
    """Split the number of a pixel into image, row and column."""
    return at // (height * width), at // width % height, at % width


@triton.jit
def read(
    image, row, column, tap, height, width, KW: tl.constexpr, SY: tl.constexpr, SX: tl.constexpr,
    TOP: tl.constexpr, LEFT: tl.constexpr,
):  # fmt: skip
    """Return the pixel that a tap of an output's window reads, and whether it is in the image."""
    y, x = row * SY - TOP + tap // KW, column * SX - LEFT + tap % KW
    return (image * height + y) * width + x, (y >= 0) & (y < height) & (x >= 0) & (x < width)


@triton.jit
def reader(
    image, row, column, tap, height, width, KW: tl.constexpr, SY: tl.constexpr, SX: tl.constexpr,
    TOP: tl.constexpr, LEFT: tl.constexpr,
):  # fmt: skip
    """Return the output, of an image of that size, whose tap reads a pixel, and if there is one."""
    y, x = row + TOP - tap // KW, column + LEFT - tap % KW
    inside = (y >= 0) & (y % SY == 0) & (y // SY < height)
    inside = inside & (x >= 0) & (x % SX == 0) & (x // SX < width)
    return (image * height + y // SY) * width + x // SX, inside


@triton.jit
def rescale(acc, multiplier, shift):
    """`edgetrain.fixed.rescale` to int32, of one sum and one shift: ``(acc * m + half) >> bits``.

    A floor of a floor is one floor. The second rounding takes ties away from zero: where the first
    result is negative, which acc tells by itself, half is a bit of that result less.
    """
    bits, one = 31 - shift, tl.full(shift.shape, 1, tl.int64)
    half = (one << (bits - 1).to(tl.int64)) + tl.where(bits > 31, 1 << 30, 0)
    negative = tl.where(multiplier > 1 << 30, 0, tl.where(multiplier > 0, -1, LEAST))
    below = tl.where(bits > 31, negative, LEAST)
    wide = acc.to(tl.int64) * multiplier.to(tl.int64)
    wide += tl.where(acc < below, half - (one << 31), half)
    return (wide >> bits.to(tl.int64)).to(tl.int32)


@triton.jit
def finish(
    acc, place, valid, multiplier, shift, channel, y_zero, low, high, FUSED: tl.constexpr
):  # fmt: skip
    """Store accumulators, requantized by channel where FUSED; channel broadcasts to acc."""
    if FUSED:
        y = rescale(acc, tl.load(multiplier + channel), tl.load(shift + channel))
        y = clip(y, low - y_zero, high - y_zero) + y_zero
        tl.store(place, y.to(tl.int8), valid)
    else:
        tl.store(place, acc, valid)
