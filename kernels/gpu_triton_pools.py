# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The kernels of the backend "triton" for pools; a program takes BLOCK elements of the result.

A window travels as in `edgetrain.kernels.gpu_triton_layers`.
"""

import triton
import triton.language as tl


@triton.jit
def pool(
    x, out, count, height, width, channels, out_height, out_width, KW: tl.constexpr,
    SY: tl.constexpr, SX: tl.constexpr, TOP: tl.constexpr, LEFT: tl.constexpr,
    TAPS: tl.constexpr, KIND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Give the average, the maximum or the index of the maximum of each window."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel, pixel = at % channels, at // channels
    column, row = pixel % out_width, pixel // out_width % out_height
    image = pixel // (out_width * out_height)
    total, size = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32)
    best, winner = tl.full((BLOCK,), -129, tl.int32), tl.zeros((BLOCK,), tl.int32)
    for tap in range(TAPS):
        y, place = row * SY - TOP + tap // KW, column * SX - LEFT + tap % KW
        inside = (y >= 0) & (y < height) & (place >= 0) & (place < width) & (at < count)
        source = ((image * height + y) * width + place) * channels + channel
        seen = tl.load(x + source, inside, 0).to(tl.int32)
        total += seen
        size += inside.to(tl.int32)
        better = inside & (seen > best)
        best, winner = tl.where(better, seen, best), tl.where(better, tap, winner)
    if KIND == "average":
        size = tl.maximum(size, 1)
        magnitude = (tl.abs(total) + size // 2) // size
        result = tl.where(total > 0, magnitude, -magnitude)
    elif KIND == "max":
        result = tl.maximum(best, -128)
    else:
        result = winner
    tl.store(out + at, result.to(out.dtype.element_ty), at < count)


@triton.jit
def pool_grad(
    e, index, out, count, height, width, channels, out_height, out_width, KW: tl.constexpr,
    SY: tl.constexpr, SX: tl.constexpr, TOP: tl.constexpr, LEFT: tl.constexpr,
    TAPS: tl.constexpr, KIND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Collect the error of each pixel from the windows that read it."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel, pixel = at % channels, at // channels
    column, row = pixel % width, pixel // width % height
    image = pixel // (width * height)
    acc = tl.zeros((BLOCK,), tl.int32)
    for tap in range(TAPS):
        y, place = row + TOP - tap // KW, column + LEFT - tap % KW
        inside = (y >= 0) & (y % SY == 0) & (y // SY < out_height) & (at < count)
        inside = inside & (place >= 0) & (place % SX == 0) & (place // SX < out_width)
        source = ((image * out_height + y // SY) * out_width + place // SX) * channels + channel
        error = tl.load(e + source, inside, 0).to(tl.int32)
        if KIND == "max":
            acc += tl.where(tl.load(index + source, inside, 255).to(tl.int32) == tap, error, 0)
        else:
            size = tl.load(index + y // SY * out_width + place // SX, inside, 1)
            share = error * 256 + size // 2
            # The specification rounds down; the division of a GPU goes towards zero.
            down = -((size - 1 - share) // size)
            acc += tl.where(inside, tl.where(share >= 0, share // size, down), 0)
    tl.store(out + at, acc, at < count)


@triton.jit
def global_sum(x, out, pixels, channels, zero_point, BLOCK: tl.constexpr):
    """Sum an image's pixels, zero point taken off, a program an image and channel."""
    image, channel = tl.program_id(0), tl.program_id(1)
    acc = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, pixels, BLOCK):
        pixel = start + tl.arange(0, BLOCK)
        source = (image * pixels + pixel) * channels + channel
        acc += tl.load(x + source, pixel < pixels, 0).to(tl.int32)
    tl.store(out + image * channels + channel, tl.sum(acc, 0) - pixels * zero_point)
