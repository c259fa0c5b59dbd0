# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The loops of the backend "numba" over elements: scales, sums, updates.

Every operation is cast to its type at once, as in `edgetrain.kernels.cpu_numba_layers`.
"""

import numpy as np

from edgetrain.kernels.cpu_numba_jit import jit

I64, U32 = np.int64, np.uint32


@jit
def divide_by_power(value, exponent):
    """One number of `edgetrain.fixed.divide_by_power`, all int64."""
    mask = (I64(1) << exponent) - I64(1)
    threshold = (mask >> I64(1)) + I64(value < 0)
    return (value >> exponent) + I64((value & mask) > threshold)


@jit
def rescale(acc, multiplier, shift):
    """One number of `edgetrain.fixed.rescale`, all int64."""
    left, right = max(shift, I64(0)), max(-shift, I64(0))
    return divide_by_power(((acc << left) * multiplier + I64(1 << 30)) >> I64(31), right)


@jit
def requantize(acc, multiplier, shift, zero_point, low, high, out):
    """Requantize (rows, channels) into out; return the largest magnitude before clipping."""
    peak = I64(0)
    for i in range(acc.shape[0]):
        for c in range(acc.shape[1]):
            scaled = rescale(I64(acc[i, c]), multiplier[c], shift[c])
            peak = max(peak, abs(scaled))
            out[i, c] = np.int8(min(max(scaled + zero_point, low), high))
    return peak


@jit
def add(a, a_zero, a_scale, b, b_zero, b_scale, bits, zero, scale, low, high, out):
    """Add flat tensors; a scale is (multiplier, shift)."""
    for i in range(a.size):
        left = rescale((I64(a[i]) - a_zero) << bits, a_scale[0], a_scale[1])
        right = rescale((I64(b[i]) - b_zero) << bits, b_scale[0], b_scale[1])
        total = rescale(left + right, scale[0], scale[1]) + zero
        out[i] = np.int8(min(max(total, low), high))


@jit
def mix32(x):
    """One word of `edgetrain.fixed.mix32`."""
    x = U32(U32(x ^ U32(x >> U32(16))) * U32(0x7FEB352D))
    x = U32(U32(x ^ U32(x >> U32(15))) * U32(0x846CA68B))
    return U32(x ^ U32(x >> U32(16)))


@jit
def random_words(k0, k1, out):
    """Fill out with the words 0, 1, ... of a stream."""
    for i in range(out.size):
        out[i] = mix32(U32(mix32(U32(U32(i) + k0)) ^ k1))


@jit
def update(w, acc, multiplier, octets, shift, step_max, low, high, out):
    """Step weights (channels, n) with the random octets of `edgetrain.fixed`; count saturations."""
    channels, n = w.shape
    saturated = I64(0)
    for c in range(channels):
        scale = I64(multiplier[c])
        own = octets[c * n : c * n + n]
        for i in range(n):
            fraction = ((I64(own[i]) << I64(24)) + I64(1 << 23)) >> I64(32 - shift)
            step = (I64(acc[c, i]) * scale + fraction) >> I64(shift)
            clipped = min(max(step, -step_max - 1), step_max)
            saturated += I64(step != clipped)
            out[c, i] = min(max(I64(w[c, i]) - clipped, low), high)
    return saturated


@jit
def momentum(velocity, acc, decay, left, right, out):
    """Decay a flat velocity, moved left and right first, and add acc."""
    for i in range(velocity.size):
        old = divide_by_power(I64(velocity[i]) << left, right)
        new = old - divide_by_power(old, decay) + I64(acc[i])
        out[i] = min(max(new, I64(-(2**31))), I64(2**31 - 1))
