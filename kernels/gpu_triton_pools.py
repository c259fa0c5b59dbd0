# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The kernels of the backend "triton" for pools; a program takes BLOCK elements of the result.

Windows travel as in `edgetrain.kernels.gpu_triton_windows`.
"""

import triton
import triton.language as tl

from edgetrain.kernels.gpu_triton_windows import pixel, read, reader


@triton.jit
def pool(
    x, out, count, height, width, channels, out_height, out_width, KW: tl.constexpr,
    SY: tl.constexpr, SX: tl.constexpr, TOP: tl.constexpr, LEFT: tl.constexpr,
    TAPS: tl.constexpr, KIND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Give the average, the maximum or the index of the maximum of each window."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = at % channels
    image, row, column = pixel(at // channels, out_height, out_width)
    total, size = tl.zeros((BLOCK,), tl.int32), tl.zeros((BLOCK,), tl.int32)
    best, winner = tl.full((BLOCK,), -129, tl.int32), tl.zeros((BLOCK,), tl.int32)
    for tap in range(TAPS):
        source, inside = read(image, row, column, tap, height, width, KW, SY, SX, TOP, LEFT)
        inside = inside & (at < count)
        seen = tl.load(x + source * channels + channel, inside, 0).to(tl.int32)
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
    channel = at % channels
    image, row, column = pixel(at // channels, height, width)
    acc = tl.zeros((BLOCK,), tl.int32)
    for tap in range(TAPS):
        window, inside = reader(
            image, row, column, tap, out_height, out_width, KW, SY, SX, TOP, LEFT
        )
        inside = inside & (at < count)
        source = window * channels + channel
        error = tl.load(e + source, inside, 0).to(tl.int32)
        if KIND == "max":
            acc += tl.where(tl.load(index + source, inside, 255).to(tl.int32) == tap, error, 0)
        else:
            size = tl.load(index + window % (out_height * out_width), inside, 1)
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
