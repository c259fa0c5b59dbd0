# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Where a window reads and is read, and what ends a layer, for the kernels of "triton".

A window travels as the width of its kernel, vertical and horizontal stride, rows above, columns
left, and the number of its taps. Indices may be tensors of any shapes that broadcast.
"""

import triton
import triton.language as tl

from edgetrain.kernels.gpu_triton_elements import clip, rescale


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
def finish(
    acc, place, valid, multiplier, shift, channel, y_zero, low, high, FUSED: tl.constexpr
):  # fmt: skip
    """Store accumulators, requantized by channel where FUSED; channel broadcasts to acc."""
    if FUSED:
        scale, power = tl.load(multiplier + channel), tl.load(shift + channel)
        y = rescale(acc.to(tl.int64), scale.to(tl.int64), power.to(tl.int64)) + y_zero
        tl.store(place, clip(y, low, high).to(tl.int8), valid)
    else:
        tl.store(place, acc, valid)
