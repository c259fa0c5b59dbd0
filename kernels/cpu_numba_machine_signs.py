# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Instructions of the machine for forward gradients of activities: signs on sums, estimates."""

import numpy as np

from edgetrain.arithmetic.instructions import FIRST
from edgetrain.arithmetic.randomness import PERTURB
from edgetrain.kernels.cpu_numba_elements import I32, I64, U32, sign, stream_key, word
from edgetrain.kernels.cpu_numba_gemm import N
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_learn import NUMBER, SEED
from edgetrain.kernels.cpu_numba_memory import (
    GIVEN,
    GIVEN_COUNT,
    codes,
    ints,
    longs,
    sizes,
    whole,
)  # fmt: skip

P = FIRST
SHARE_BITS, DIFFERENCE_MAX, SIGN_DIFFERENCE = 6, 2**18, 2**7


@part
def perturb_key(given, query, queries, tensor):
    """Stream of the signs of a tensor in one query of this step."""
    return stream_key(given[SEED], given[NUMBER] * queries + query, tensor, PERTURB)


def shake(row, first, count, places):
    """Perturb the biases of a layer for one sample: every pixel has the same signs."""
    r, g = whole(row), sizes(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    bias, size, direction, query, queries, tensor, y = (
        r[P], r[P + 1], I32(r[P + 2]), r[P + 3], r[P + 4], r[P + 5], r[P + 6],
    )  # fmt: skip
    width = g[N]
    key = perturb_key(given, query, queries, tensor)
    source, units = ints(bias, width), ints(size, width)
    target = ints(y, width)
    line = first * -(-width // 32)
    for c in range(width):
        own = sign(word(key[0], key[1], U32(line + c // 32)), c % 32)
        target[c] = I32(source[c] + I32(I32(direction * own) * units[c]))


def shake_sums(row, first, count, places):
    """Perturb the sums of a dense layer for a few samples."""
    r = whole(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    direction, width = I32(r[P + 2]), r[P + 6]
    key = perturb_key(given, r[P + 3], r[P + 4], r[P + 5])
    units = ints(r[P + 1], width)
    for i in range(count):
        acc = ints(r[P] + 4 * i * width, width)
        line = (first + i) * -(-width // 32)
        for start in range(0, width, 32):
            bits = word(key[0], key[1], U32(line + start // 32))
            target, own = acc[start : min(start + 32, width)], units[start:]
            for c in range(target.size):
                target[c] = I32(target[c] + I32(I32(direction * sign(bits, c)) * own[c]))


def estimate(row, first, count, places):
    """Estimate errors of samples and channels: `edgetrain.rules.activity_space.estimate`."""
    r = whole(row)
    given = longs(places[GIVEN], GIVEN_COUNT)
    place, queries, capacity, uses_sign, tensor, x, low, high, pixels, width = (
        r[P], r[P + 1], r[P + 2], r[P + 3], r[P + 4], r[P + 5], r[P + 6], r[P + 7], r[P + 8],
        r[P + 9],
    )  # fmt: skip
    active = np.empty(width, np.int64)
    for i in range(count):
        acc = ints(r[P + 10] + 4 * i * width, width)
        acc[:] = 0
        for q in range(queries):
            key = perturb_key(given, q, queries, tensor)
            slope = longs(place + 8 * (q * capacity + first + i), 1)[0]
            slope = min(max(slope, I64(-DIFFERENCE_MAX)), I64(DIFFERENCE_MAX))
            if uses_sign:
                slope = I64((slope > 0) - I64(slope < 0)) * SIGN_DIFFERENCE
            line = (first + i) * -(-width // 32)
            for start in range(0, width, 32):
                bits = word(key[0], key[1], U32(line + start // 32))
                own = acc[start : min(start + 32, width)]
                for c in range(own.size):
                    own[c] = I32(own[c] + I32(I32(slope) * sign(bits, c)))
        for c in range(width):
            acc[c] = I32(acc[c] << I32(SHARE_BITS))
        if pixels:
            active[:] = 0
            for p in range(pixels):
                pixel = codes(x + (i * pixels + p) * width, width)
                for c in range(width):
                    active[c] += I64(low < pixel[c] < high)
            for c in range(width):
                acc[c] = I32(I64(acc[c]) // max(active[c], I64(1)))


def opened(row, first, count, places):
    """Give a sample's error to the pixels where low < x < high."""
    r = whole(row)
    low, high, pixels, width = np.int16(r[P + 2]), np.int16(r[P + 3]), r[P + 4], r[P + 5]
    for n in range(count):
        e = codes(r[P] + n * width, width)
        for p in range(pixels):
            at = (n * pixels + p) * width
            x, y = codes(r[P + 1] + at, width), codes(r[P + 6] + at, width)
            for c in range(width):
                y[c] = e[c] if low < x[c] < high else np.int8(0)
