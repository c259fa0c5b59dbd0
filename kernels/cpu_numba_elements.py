# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The loops of the backend "numba" over elements: scales, sums, randomness, updates.

Numba computes ``int32 + int32`` in 64 bits, so every operation is cast back at once; that is also
what makes LLVM use the narrow vector instructions.
"""

import numpy as np

from edgetrain.kernels.cpu_numba_jit import jit, part

I16, I32, I64, U32, U64 = np.int16, np.int32, np.int64, np.uint32, np.uint64


@part
def divide_by_power(value, exponent):
    """One number of `edgetrain.fixed.divide_by_power`, all int64."""
    mask = (I64(1) << exponent) - I64(1)
    threshold = (mask >> I64(1)) + I64(value < 0)
    return (value >> exponent) + I64((value & mask) > threshold)


@part
def rescale(acc, multiplier, shift):
    """One number of `edgetrain.fixed.rescale`, all int64."""
    left, right = max(shift, I64(0)), max(-shift, I64(0))
    return divide_by_power(((acc << left) * multiplier + I64(1 << 30)) >> I64(31), right)


@part
def requantize_rows(acc, multiplier, shift, zero_point, low, high, out):
    """Requantize rows of channels into out; return the largest magnitude before clipping."""
    channels = multiplier.size
    peak = I64(0)
    for i in range(acc.size // max(channels, 1)):
        source, target = acc[i * channels :], out[i * channels :]
        for c in range(channels):
            scaled = rescale(I64(source[c]), I64(multiplier[c]), I64(shift[c]))
            peak = max(peak, abs(scaled))
            target[c] = np.int8(min(max(scaled + zero_point, low), high))
    return peak


@part
def scale_down(acc, multiplier, shift, out):
    """Scale int32 errors by one factor, shift at most 0, to [-127, 127]; return their peak.

    The second rounding works in int32: ``(h - (h < 0)) >> (right - 1)``, plus one, halved.
    """
    factor, peak = I64(multiplier), I32(0)
    if shift == 0:
        for i in range(acc.size):
            scaled = I32((I64(acc[i]) * factor + I64(1 << 30)) >> I64(31))
            peak = max(peak, I32(abs(scaled)))
            out[i] = np.int8(min(max(scaled, I32(-127)), I32(127)))
        return I64(peak)
    right = I32(-shift - 1)
    for i in range(acc.size):
        first = I32((I64(acc[i]) * factor + I64(1 << 30)) >> I64(31))
        moved = I32(I32(first + I32(first >> I32(31))) >> right)
        scaled = I32(I32(moved + I32(1)) >> I32(1))
        peak = max(peak, I32(abs(scaled)))
        out[i] = np.int8(min(max(scaled, I32(-127)), I32(127)))
    return I64(peak)


@part
def add_codes(a, a_zero, a_multiplier, a_shift, b, b_zero, b_multiplier, b_shift, bits, zero,
              multiplier, shift, low, high, out):  # fmt: skip
    """Add int8 tensors of different scales."""
    for i in range(a.size):
        left = rescale((I64(a[i]) - a_zero) << bits, a_multiplier, a_shift)
        right = rescale((I64(b[i]) - b_zero) << bits, b_multiplier, b_shift)
        total = rescale(left + right, multiplier, shift) + zero
        out[i] = np.int8(min(max(total, low), high))


@part
def fold(x):
    """Begin or end a hash.

    Between two hashes, ``fold(fold(a) ^ b)`` is ``a ^ fold(b)``.
    """
    return U32(x ^ U32(x >> U32(16)))


@part
def core(x):
    """One word of `edgetrain.fixed.mix32` without the folds at its ends."""
    x = U32(x * U32(0x7FEB352D))
    return U32(U32(x ^ U32(x >> U32(15))) * U32(0x846CA68B))


@part
def word(k0, k1, counter):
    """One word of a stream."""
    return fold(core(U32(core(fold(U32(U32(counter) + k0))) ^ fold(k1))))


@part
def stream_key(seed, step, tensor, purpose):
    """The key of `edgetrain.fixed.stream_key`."""
    a = core(fold(U32(U32(seed) + U32(0x9E3779B9))))
    a = fold(core(U32(a ^ fold(U32(step)))))
    k0 = core(fold(U32(U32(a + U32(U32(tensor) * U32(0x85EBCA6B))) + U32(purpose))))
    return fold(k0), fold(core(U32(k0 ^ fold(U32(0xC2B2AE35)))))


@part
def fill_words(k0, k1, first, out):
    """Fill out with the words first, first + 1, ... of a stream."""
    start = U32(U32(first) + k0)
    for i in range(out.size):
        out[i] = word(start, k1, U32(i))


@part
def sign(bits, lane):
    """Return the sign of a bit of a word: 0 is 1, 1 is -1."""
    return I32(1 - I32(I32(U32(bits >> U32(lane)) & U32(1)) << I32(1)))


@part
def update_row(w, acc, scale, octets, shift, step_max, low, high, out):
    """Step weights with one multiplier and a random octet each; count saturations."""
    saturated = I64(0)
    for i in range(w.size):
        fraction = ((I64(octets[i]) << I64(24)) + I64(1 << 23)) >> I64(32 - shift)
        step = (I64(acc[i]) * I64(scale) + fraction) >> I64(shift)
        clipped = min(max(step, -step_max - 1), step_max)
        saturated += I64(step != clipped)
        out[i] = min(max(I64(w[i]) - clipped, low), high)
    return saturated


@part
def momentum_row(velocity, acc, decay, left, right, out):
    """Decay a flat velocity, moved left and right first, and add acc."""
    for i in range(velocity.size):
        old = divide_by_power(I64(velocity[i]) << left, right)
        new = old - divide_by_power(old, decay) + I64(acc[i])
        out[i] = min(max(new, I64(-(2**31))), I64(2**31 - 1))


@jit
def requantize(acc, multiplier, shift, zero_point, low, high, out):
    """See `requantize_rows`."""
    return requantize_rows(acc, multiplier, shift, zero_point, low, high, out)


@jit
def update(w, acc, multiplier, k0, k1, shift, step_max, low, high, out):
    """Step weights (channels, n) with the octets of a stream; count saturations."""
    channels, n = w.shape
    words = np.empty((channels * n + 3) // 4, np.uint32)
    fill_words(k0, k1, 0, words)
    octets, saturated = words.view(np.uint8), I64(0)
    for c in range(channels):
        own, scale = octets[c * n : c * n + n], multiplier[c]
        saturated += update_row(w[c], acc[c], scale, own, shift, step_max, low, high, out[c])
    return saturated


@jit
def momentum(velocity, acc, decay, left, right, out):
    """See `momentum_row`."""
    momentum_row(velocity, acc, decay, left, right, out)
