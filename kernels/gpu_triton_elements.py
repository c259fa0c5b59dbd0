# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The kernels of the backend "triton" over elements: scales, sums, updates, signs.

Every program takes BLOCK elements; the arithmetic is that of `edgetrain.fixed`, in int64 where a
product may leave int32.
"""

import triton
import triton.language as tl


@triton.jit
def divide_by_power(value, exponent):
    """`edgetrain.fixed.divide_by_power`, all int64."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (value < 0).to(tl.int64)
    return (value >> exponent) + ((value & mask) > threshold).to(tl.int64)


@triton.jit
def rescale(acc, multiplier, shift):
    """`edgetrain.fixed.rescale`, all int64."""
    left, right = tl.maximum(shift, 0), tl.maximum(-shift, 0)
    return divide_by_power(((acc << left) * multiplier + (1 << 30)) >> 31, right)


@triton.jit
def clip(value, low, high):
    """Keep a value in [low, high]."""
    return tl.minimum(tl.maximum(value, low), high)


@triton.jit
def fold(x):
    """Begin or end a hash.

    Between two hashes, ``fold(fold(a) ^ b)`` is ``a ^ fold(b)``.
    """
    return x ^ (x >> 16)


@triton.jit
def core(x):
    """`edgetrain.fixed.mix32` without the folds at its ends, uint32."""
    x = x * 0x7FEB352D
    return (x ^ (x >> 15)) * 0x846CA68B


@triton.jit
def random_word(k0, k1, counter):
    """`edgetrain.fixed.random_words`, uint32."""
    return fold(core(core(fold(counter + k0)) ^ fold(k1)))


@triton.jit
def requantize(
    acc, multiplier, shift, out, peaks, count, channels, zero_point, low, high, BLOCK: tl.constexpr
):
    """Requantize to int8; write the largest magnitude before clipping, one a program."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    value = tl.load(acc + at, inside, 0).to(tl.int64)
    scale = tl.load(multiplier + at % channels, inside, 0).to(tl.int64)
    power = tl.load(shift + at % channels, inside, 0).to(tl.int64)
    scaled = rescale(value, scale, power)
    tl.store(peaks + tl.program_id(0), tl.max(tl.where(inside, tl.abs(scaled), 0), 0))
    tl.store(out + at, clip(scaled + zero_point, low, high).to(tl.int8), inside)


@triton.jit
def add(
    a, b, out, count, scales, a_zero, b_zero, zero, low, high, BITS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """`edgetrain.fixed.add`; scales are multiplier and shift of a, b and the sum, int64."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    left = (tl.load(a + at, inside, 0).to(tl.int64) - a_zero) << BITS
    right = (tl.load(b + at, inside, 0).to(tl.int64) - b_zero) << BITS
    left = rescale(left, tl.load(scales), tl.load(scales + 1))
    right = rescale(right, tl.load(scales + 2), tl.load(scales + 3))
    total = rescale(left + right, tl.load(scales + 4), tl.load(scales + 5)) + zero
    tl.store(out + at, clip(total, low, high).to(tl.int8), inside)


@triton.jit
def stochastic_step(acc, multiplier, word, octet, SHIFT: tl.constexpr):
    """`edgetrain.fixed.stochastic_steps` with an octet of a word as the fraction."""
    byte = (word >> (8 * octet).to(tl.uint32)) & 255
    fraction = ((byte.to(tl.int64) << 24) + (1 << 23)) >> (32 - SHIFT)
    return (acc * multiplier + fraction) >> SHIFT


@triton.jit
def update(
    w, acc, multiplier, key, out, saturated, count, per_channel, SHIFT: tl.constexpr,
    STEP_MAX: tl.constexpr, LOW: tl.constexpr, HIGH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Step weights; write how many steps were saturated, one number a program."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    word = random_word(tl.load(key), tl.load(key + 1), (at // 4).to(tl.uint32))
    scale = tl.load(multiplier + at // per_channel, inside, 0).to(tl.int64)
    gradient = tl.load(acc + at, inside, 0).to(tl.int64)
    step = stochastic_step(gradient, scale, word, at % 4, SHIFT)
    clipped = clip(step, -STEP_MAX - 1, STEP_MAX)
    tl.store(saturated + tl.program_id(0), tl.sum((inside & (step != clipped)).to(tl.int32), 0))
    new = clip(tl.load(w + at, inside, 0).to(tl.int64) - clipped, LOW, HIGH)
    tl.store(out + at, new.to(out.dtype.element_ty), inside)


@triton.jit
def update_bias(b, acc, multiplier, out, count, limit, SHIFT: tl.constexpr, BLOCK: tl.constexpr):
    """`edgetrain.fixed.update_bias`; limit is an int64 tensor of one number."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    scale = tl.load(multiplier + at, inside, 0).to(tl.int64)
    step = divide_by_power(tl.load(acc + at, inside, 0).to(tl.int64) * scale, SHIFT)
    most = tl.load(limit)
    new = clip(tl.load(b + at, inside, 0).to(tl.int64) - step, -most, most)
    tl.store(out + at, new.to(tl.int32), inside)


@triton.jit
def momentum(velocity, acc, out, count, shifts, BLOCK: tl.constexpr):
    """`edgetrain.fixed.momentum`; shifts are decay, left and right, int64."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    decay, left, right = tl.load(shifts), tl.load(shifts + 1), tl.load(shifts + 2)
    old = divide_by_power(tl.load(velocity + at, inside, 0).to(tl.int64) << left, right)
    new = old - divide_by_power(old, decay) + tl.load(acc + at, inside, 0).to(tl.int64)
    tl.store(out + at, clip(new, -(2**31), 2**31 - 1).to(tl.int32), inside)


@triton.jit
def random_signs(key, out, count, columns, words, BLOCK: tl.constexpr):
    """Signs (rows, columns), each row from a new word; a row has so many words."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column = at // columns, at % columns
    counter = (row * words + column // 32).to(tl.uint32)
    word = random_word(tl.load(key), tl.load(key + 1), counter)
    bit = (word >> (column % 32).to(tl.uint32)) & 1
    tl.store(out + at, (1 - 2 * bit.to(tl.int32)).to(tl.int8), at < count)


@triton.jit
def look_up(x, table, out, count, BLOCK: tl.constexpr):
    """``table[x + 128]``, whatever the type of the table."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    code = tl.load(x + at, inside, 0).to(tl.int32)
    tl.store(out + at, tl.load(table + code + 128, inside, 0), inside)
