# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The kernels of the backend "triton" with weights: implicit GEMM on int8, and depthwise.

A window is never laid out in memory: each product gathers the tile of the image that it needs. A
tile of int8 goes through ``tl.dot`` to int32, on tensor cores where there are some. Sums of int32
may wrap on the way: the result fits. Zero points are taken off behind the sum,
``sum (x - z) w = sum x w - z sum w``, with padding read as z. Windows travel as in
`edgetrain.kernels.gpu_triton_windows`.
"""

import triton
import triton.language as tl

from edgetrain.kernels.gpu_triton_windows import finish, pixel, read, reader


@triton.jit
def offsets(w, b, out, n_in, n_out, zero_point, N: tl.constexpr, K: tl.constexpr):
    """What the sums of N filters start from: ``b - z sum w``."""
    filter_ = tl.program_id(0) * N + tl.arange(0, N)
    known = filter_ < n_out
    sums = tl.zeros((N,), tl.int32)
    for done in range(0, n_in, K):
        k = done + tl.arange(0, K)[None, :]
        taps = tl.load(w + filter_[:, None] * n_in + k, known[:, None] & (k < n_in), 0)
        sums += tl.sum(taps.to(tl.int32), 1)
    tl.store(out + filter_, tl.load(b + filter_, known, 0) - zero_point * sums, known)


@triton.jit
def dense(
    x, w, start, out, multiplier, shift, rows, n_in, n_out, y_zero, low, high,
    FUSED: tl.constexpr, EVEN: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
    GROUP: tl.constexpr,
):  # fmt: skip
    """Accumulate a tile of N filters by M rows; requantize it where FUSED.

    A thread holds many rows of few filters, whose scales it needs once. Tiles are taken GROUP rows
    of tiles at a time, so that neighbours find their operands in the cache. EVEN means that n_in
    is a multiple of K. start is from `offsets`.
    """
    across = GROUP * tl.cdiv(n_out, N)
    top = tl.program_id(0) // across * GROUP
    tiles = tl.minimum(tl.cdiv(rows, M) - top, GROUP)
    tile = tl.program_id(0) % across
    row = ((top + tile % tiles) * M + tl.arange(0, M))[None, :]
    filter_ = (tile // tiles * N + tl.arange(0, N))[:, None]
    valid = (row < rows) & (filter_ < n_out)
    place = out + row * n_out + filter_
    row, filter_ = tl.minimum(row, rows - 1), tl.minimum(filter_, n_out - 1)
    k = tl.arange(0, K)
    left = w + filter_ * n_in + k[None, :]
    right = x + row * n_in + k[:, None]
    acc = tl.zeros((N, M), tl.int32) + tl.load(start + filter_)
    for done in range(0, n_in, K):
        if EVEN:
            taps, seen = tl.load(left), tl.load(right)
        else:
            taps = tl.load(left, (k < n_in - done)[None, :], 0)
            seen = tl.load(right, (k < n_in - done)[:, None], 0)
        acc = tl.dot(taps, seen, acc, out_dtype=tl.int32)
        left += K
        right += K
    finish(acc, place, valid, multiplier, shift, filter_, y_zero, low, high, FUSED)


@triton.jit
def conv2d(
    x, w, b, out, multiplier, shift, batch, height, width, channels, out_height, out_width, n_out,
    n_in, part, zero_point, y_zero, low, high, KW: tl.constexpr, SY: tl.constexpr,
    SX: tl.constexpr, TOP: tl.constexpr, LEFT: tl.constexpr, TAPS: tl.constexpr,
    FUSED: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Accumulate a tile of pixels by filters of one group; requantize it where FUSED."""
    at = tl.program_id(0) * M + tl.arange(0, M)
    group = tl.program_id(2)
    filter_ = tl.program_id(1) * N + tl.arange(0, N)
    image, row, column = pixel(at[:, None], out_height, out_width)
    total = TAPS * n_in
    acc = tl.zeros((M, N), tl.int32)
    weights = tl.zeros((N,), tl.int32)
    for start in range(0, total, K):
        k = start + tl.arange(0, K)
        tap, channel = k // n_in, k % n_in + group * n_in
        source, inside = read(
            image, row, column, tap[None, :], height, width, KW, SY, SX, TOP, LEFT
        )
        source = source * channels + channel[None, :]
        valid = (image < batch) & (k < total)[None, :]
        seen = tl.load(x + source, inside & valid, zero_point)
        own = (filter_ < part)[None, :] & (k < total)[:, None]
        taps = tl.load(w + (group * part + filter_)[None, :] * total + k[:, None], own, 0)
        acc = tl.dot(seen, taps, acc, out_dtype=tl.int32)
        weights += tl.sum(taps.to(tl.int32), 0)
    target = group * part + filter_
    known = filter_ < part
    acc += (tl.load(b + target, known, 0) - zero_point * weights)[None, :]
    place = out + at[:, None] * n_out + target[None, :]
    valid = (image < batch) & known[None, :]
    channel = tl.minimum(target, n_out - 1)[None, :]
    finish(acc, place, valid, multiplier, shift, channel, y_zero, low, high, FUSED)


@triton.jit
def conv2d_grad_w(
    x, e, out, batch, height, width, channels, out_height, out_width, n_out, n_in, part,
    zero_point, KW: tl.constexpr, SY: tl.constexpr, SX: tl.constexpr, TOP: tl.constexpr,
    LEFT: tl.constexpr, TAPS: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Sum over pixels: a tile of filters by columns (tap, channel) of one group."""
    filter_ = tl.program_id(0) * M + tl.arange(0, M)
    place = tl.program_id(1) * N + tl.arange(0, N)
    group = tl.program_id(2)
    total = TAPS * n_in
    tap, channel = place // n_in, place % n_in + group * n_in
    acc = tl.zeros((M, N), tl.int32)
    errors = tl.zeros((M,), tl.int32)
    pixels = batch * out_height * out_width
    for start in range(0, pixels, K):
        at = start + tl.arange(0, K)
        image, row, column = pixel(at[:, None], out_height, out_width)
        source, inside = read(
            image, row, column, tap[None, :], height, width, KW, SY, SX, TOP, LEFT
        )
        source = source * channels + channel[None, :]
        valid = (at < pixels)[:, None] & (place < total)[None, :]
        seen = tl.load(x + source, inside & valid, zero_point)
        own = (filter_ < part)[:, None] & (at < pixels)[None, :]
        error = tl.load(e + at[None, :] * n_out + (group * part + filter_)[:, None], own, 0)
        acc = tl.dot(error, seen, acc, out_dtype=tl.int32)
        errors += tl.sum(error.to(tl.int32), 1)
    acc -= zero_point * errors[:, None]
    known = (filter_ < part)[:, None] & (place < total)[None, :]
    tl.store(out + (group * part + filter_)[:, None] * total + place[None, :], acc, known)


@triton.jit
def conv2d_grad_x(
    e, w, ratio, out, batch, height, width, channels, out_height, out_width, n_out, n_in, part,
    KW: tl.constexpr, SY: tl.constexpr, SX: tl.constexpr, TOP: tl.constexpr, LEFT: tl.constexpr,
    TAPS: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """Sum over (tap, filter): a tile of input pixels by channels of one group.

    ``e * ratio`` has 15 bits: its high and its low octet go through products of their own.
    """
    at = tl.program_id(0) * M + tl.arange(0, M)
    channel = tl.program_id(1) * N + tl.arange(0, N)
    group = tl.program_id(2)
    image, row, column = pixel(at[:, None], height, width)
    high_sum, low_sum = tl.zeros((M, N), tl.int32), tl.zeros((M, N), tl.int32)
    for start in range(0, TAPS * part, K):
        k = start + tl.arange(0, K)
        tap, filter_ = k // part, group * part + k % part
        source, inside = reader(
            image, row, column, tap[None, :], out_height, out_width, KW, SY, SX, TOP, LEFT
        )
        valid = (image < batch) & (k < TAPS * part)[None, :]
        error = tl.load(e + source * n_out + filter_[None, :], inside & valid, 0).to(tl.int32)
        scale = tl.load(ratio + filter_, k < TAPS * part, 0).to(tl.int32)
        scaled = error * scale[None, :]
        high = (scaled + 128) >> 8
        low = scaled - (high << 8)
        own = (channel < n_in)[None, :] & (k < TAPS * part)[:, None]
        taps = tl.load(w + (filter_ * TAPS + tap)[:, None] * n_in + channel[None, :], own, 0)
        high_sum = tl.dot(high.to(tl.int8), taps, high_sum, out_dtype=tl.int32)
        low_sum = tl.dot(low.to(tl.int8), taps, low_sum, out_dtype=tl.int32)
    known = (image < batch) & (channel < n_in)[None, :]
    target = at[:, None] * channels + (group * n_in + channel)[None, :]
    tl.store(out + target, (high_sum << 8) + low_sum, known)


@triton.jit
def depthwise(
    x, w, b, out, multiplier, shift, count, height, width, channels, out_height, out_width, n_out,
    part, zero_point, y_zero, low, high, KW: tl.constexpr, SY: tl.constexpr, SX: tl.constexpr,
    TOP: tl.constexpr, LEFT: tl.constexpr, TAPS: tl.constexpr, FUSED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Accumulate elements (pixel, filter), one input channel each; requantize them where FUSED."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    filter_ = at % n_out
    image, row, column = pixel(at // n_out, out_height, out_width)
    acc = tl.load(b + filter_)
    for tap in range(TAPS):
        source, inside = read(image, row, column, tap, height, width, KW, SY, SX, TOP, LEFT)
        source = source * channels + filter_ // part
        seen = tl.load(x + source, inside & (at < count), zero_point).to(tl.int32) - zero_point
        acc += seen * tl.load(w + filter_ * TAPS + tap).to(tl.int32)
    finish(acc, out + at, at < count, multiplier, shift, filter_, y_zero, low, high, FUSED)


@triton.jit
def depthwise_grad_w(
    x, e, out, pixels, height, width, channels, out_height, out_width, n_out, part, zero_point,
    KW: tl.constexpr, SY: tl.constexpr, SX: tl.constexpr, TOP: tl.constexpr, LEFT: tl.constexpr,
    TAPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sum over pixels; a program a filter and tap."""
    filter_, tap = tl.program_id(0), tl.program_id(1)
    acc = tl.zeros((BLOCK,), tl.int32)
    for start in range(0, pixels, BLOCK):
        at = start + tl.arange(0, BLOCK)
        image, row, column = pixel(at, out_height, out_width)
        source, inside = read(image, row, column, tap, height, width, KW, SY, SX, TOP, LEFT)
        source = source * channels + filter_ // part
        seen = tl.load(x + source, inside & (at < pixels), zero_point).to(tl.int32) - zero_point
        error = tl.load(e + at * n_out + filter_, at < pixels, 0).to(tl.int32)
        acc += seen * error
    tl.store(out + filter_ * TAPS + tap, tl.sum(acc, 0))


@triton.jit
def depthwise_grad_x(
    e, w, ratio, out, count, height, width, channels, out_height, out_width, n_out, part,
    KW: tl.constexpr, SY: tl.constexpr, SX: tl.constexpr, TOP: tl.constexpr, LEFT: tl.constexpr,
    TAPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Sum over taps and the filters of a channel; elements (input pixel, channel)."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = at % channels
    image, row, column = pixel(at // channels, height, width)
    acc = tl.zeros((BLOCK,), tl.int32)
    for tap in range(TAPS):
        source, inside = reader(
            image, row, column, tap, out_height, out_width, KW, SY, SX, TOP, LEFT
        )
        for i in range(part):
            filter_ = channel * part + i
            error = tl.load(e + source * n_out + filter_, inside & (at < count), 0).to(tl.int32)
            scale = tl.load(ratio + filter_).to(tl.int32)
            acc += error * scale * tl.load(w + filter_ * TAPS + tap).to(tl.int32)
    tl.store(out + at, acc, at < count)
