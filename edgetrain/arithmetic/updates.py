"""Weight updates in integers, rounded stochastically."""

import numpy as np

from edgetrain.arithmetic.randomness import Key, random_words
from edgetrain.arithmetic.rounding import (
    INT32_MAX,
    INT32_MIN,
    WEIGHT_MAX,
    Int8,
    Int16,
    Int32,
    Int64,
    Ints,
    divide_by_power,
)

UPDATE_SHIFT = 32
BIAS_SHIFT = 16
MASTER_BITS = 8
"""An int16 master holds a weight with this many more bits: the forward pass sees w16 >> 8."""
MASTER_MIN, MASTER_MAX = -WEIGHT_MAX << MASTER_BITS, (WEIGHT_MAX << MASTER_BITS) + 255


def random_fractions(key: Key, count: int) -> Int64:
    """Draw 8-bit fractions at the middle of their interval: odd multiples of 1/512, in Q32.

    Four weights share a word: weight i takes byte ``i % 4`` of word ``i // 4``.

    Example:
        >>> random_fractions(Key(1, 2), 2) >> 23
        array([289, 455])
    """
    words = random_words(key, np.arange(-(-count // 4)))
    octets = words.astype("<u4").view(np.uint8)[:count]
    return (octets.astype(np.int64) << 24) + (1 << 23)


def stochastic_steps(acc: Ints, multiplier: Int32, key: Key, shift: int) -> Int64:
    """Round ``acc * multiplier / 2**shift`` up or down at random, right on average.

    ``floor(d + u)`` with u uniform has the mean d: tiny updates are not lost, they happen
    rarely. Rounding to nearest instead costs int8 weights 2 to 13 points of accuracy. With 8-bit
    fractions the mean is exact at multiples of 1/256 and never off by more than 1/512, to either
    side alike; updates below 1/512 are lost.

    Args:
        acc: int32 (channels, ...).
        multiplier: int32 (channels,), not negative.
        key: stream of the fractions.
        shift: 32 for int8 weights, 24 for int16 masters.

    Returns:
        int64, the shape of acc.

    References:
        Gupta et al., "Deep Learning with Limited Numerical Precision", 2015, section 3.

    Example:
        >>> steps = stochastic_steps(np.full((1, 1000), 1), np.array([2**30]), Key(1, 2), 32)
        >>> int(steps.sum())  # a quarter each
        260
    """
    scaled = acc.astype(np.int64) * multiplier.astype(np.int64).reshape(-1, *[1] * (acc.ndim - 1))
    fractions = random_fractions(key, acc.size).reshape(acc.shape) >> (32 - shift)
    return (scaled + fractions) >> shift


def update_int8(w: Int8, acc: Int32, multiplier: Int32, key: Key) -> tuple[Int8, int]:
    """Step int8 weights: ``w - sat8(floor(acc * multiplier / 2**32 + u))``.

    Args:
        w: int8 (channels, ...), in [-127, 127].
        acc: int32, the shape of w: gradient.
        multiplier: int32 (channels,), not negative: learning rate and scales, times 2**32.
        key: stream of the rounding.

    Returns:
        The new weights, and how many steps were saturated (a learning rate that is too large).

    Example:
        >>> w = np.array([[5, -127]], np.int8)
        >>> update_int8(w, np.array([[2, 4]], np.int32), np.array([2**31 - 1]), Key(1, 2))
        (array([[   4, -127]], dtype=int8), 0)
    """
    steps = stochastic_steps(acc, multiplier, key, UPDATE_SHIFT)
    clipped = np.clip(steps, -128, 127)
    new = np.clip(w.astype(np.int64) - clipped, -WEIGHT_MAX, WEIGHT_MAX)
    return new.astype(np.int8), int(np.count_nonzero(steps != clipped))


def update_int16(w: Int16, acc: Int32, multiplier: Int32, key: Key) -> tuple[Int16, int]:
    """Step int16 masters: as `update_int8`, with steps 256 times finer.

    Example:
        >>> w = np.array([[1280]], np.int16)
        >>> update_int16(w, np.array([[2]], np.int32), np.array([2**31 - 1]), Key(1, 2))
        (array([[1024]], dtype=int16), 0)
    """
    steps = stochastic_steps(acc, multiplier, key, UPDATE_SHIFT - MASTER_BITS)
    clipped = np.clip(steps, -(2**15), 2**15 - 1)
    new = np.clip(w.astype(np.int64) - clipped, MASTER_MIN, MASTER_MAX)
    return new.astype(np.int16), int(np.count_nonzero(steps != clipped))


def masters(w: Int8) -> Int16:
    """Start int16 masters in the middle of what they stand for: ``(w << 8) + 128``.

    Example:
        >>> masters(np.array([-127, 3], np.int8))
        array([-32384,    896], dtype=int16)
    """
    return ((w.astype(np.int16) << MASTER_BITS) + 128).astype(np.int16)


def visible(w: Int16) -> Int8:
    """What the forward pass sees of masters: ``w >> 8``.

    Example:
        >>> visible(np.array([-32384, 896], np.int16))
        array([-127,    3], dtype=int8)
    """
    return (w >> MASTER_BITS).astype(np.int8)


def update_bias(b: Int32, acc: Int32, multiplier: Int32, limit: int) -> Int32:
    """Step biases to nearest: ``b - acc * multiplier / 2**16``, kept within +-limit.

    Args:
        b: int32 (channels,).
        acc: int32 (channels,), summed errors.
        multiplier: int32 (channels,), not negative.
        limit: largest magnitude with which no accumulator can overflow.

    Returns:
        int32 (channels,).

    Example:
        >>> update_bias(np.array([100], np.int32), np.array([3]), np.array([2**17]), 2**20)
        array([94], dtype=int32)
    """
    step = divide_by_power(acc.astype(np.int64) * multiplier, BIAS_SHIFT)
    return np.clip(b - step, -limit, limit).astype(np.int32)


def momentum(velocity: Int32, acc: Int32, decay: int, realign: int) -> Int32:
    """Decay a velocity and add a gradient: ``v - v / 2**decay + acc``, saturated.

    Args:
        velocity: int32, any shape.
        acc: int32, the shape of velocity.
        decay: momentum is ``1 - 2**-decay``.
        realign: bits to shift the velocity left (right if negative) because the exponent of the
            error, and with it the unit of acc, has changed.

    Returns:
        int32, the shape of velocity.

    Example:
        >>> momentum(np.array([80], np.int32), np.array([5], np.int32), decay=3, realign=0)
        array([75], dtype=int32)
    """
    old = velocity.astype(np.int64)
    old = old << min(realign, 31) if realign > 0 else divide_by_power(old, min(-realign, 62))
    new = old - divide_by_power(old, decay) + acc
    return np.clip(new, INT32_MIN, INT32_MAX).astype(np.int32)
