"""Randomness as a function of a counter: the same word on every backend, in any order."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import Int8, Ints

UInt32 = NDArray[np.uint32]


class Key(NamedTuple):
    """A 64-bit stream key, from `stream_key`; two unsigned 32-bit numbers."""

    k0: int
    k1: int


PERTURB, ROUND, SHUFFLE, CONTRAST = range(4)
"""What a stream of words is for: the last argument of `stream_key`."""


def mix32(x: Ints) -> UInt32:
    """Hash 32 bits to 32 bits (lowbias32): xor-shifts and two multiplications.

    Args:
        x: unsigned numbers below 2**32, any shape.

    Returns:
        uint32, the shape of x.

    References:
        Wellons, "Prospecting for hash functions", 2018: the constants of lowbias32.

    Example:
        >>> [hex(v) for v in mix32(np.array([0, 1, 2]))]
        ['0x0', '0x688990c0', '0xd1132181']
    """
    words = np.array(x, np.uint32, ndmin=1)
    words ^= words >> np.uint32(16)
    words *= np.uint32(0x7FEB352D)
    words ^= words >> np.uint32(15)
    words *= np.uint32(0x846CA68B)
    words ^= words >> np.uint32(16)
    return words.reshape(np.shape(x))


def random_words(key: Key, counter: Ints) -> UInt32:
    """Return the words of a stream at the given counters: ``mix(mix(counter + k0) ^ k1)``.

    Args:
        key: the stream.
        counter: numbers in [0, 2**32), any shape.

    Returns:
        uint32, the shape of counter.

    Example:
        >>> [hex(v) for v in random_words(Key(0x01234567, 0x89ABCDEF), np.arange(2))]
        ['0x5cbd2392', '0x19a7d233']
    """
    counters = np.array(counter, np.uint32, ndmin=1)
    words = mix32(mix32(counters + np.uint32(key.k0)) ^ np.uint32(key.k1))
    return words.reshape(np.shape(counter))


def stream_key(seed: int, step: int, tensor: int, purpose: int) -> Key:
    """Derive the key of a stream by hashing, so that no two streams share words.

    Args:
        seed: of the run, in [0, 2**32).
        step: number of the training step.
        tensor: index of the tensor in its model.
        purpose: PERTURB, ROUND, SHUFFLE or CONTRAST.

    Returns:
        The key.

    Example:
        >>> stream_key(0, 0, 0, ROUND) == stream_key(0, 1, 0, ROUND)
        False
    """
    k0, k1 = stream_keys(seed, np.array(step), tensor, purpose)
    return Key(int(k0), int(k1))


def stream_keys(seed: int, steps: Ints, tensor: int, purpose: int) -> UInt32:
    """Derive the keys of a tensor's streams at many steps; see `stream_key`.

    Returns:
        uint32, the shape of steps and a last axis of 2.

    Example:
        >>> tuple(stream_keys(7, np.arange(3), 5, ROUND)[2].tolist()) == stream_key(7, 2, 5, ROUND)
        True
    """
    word = 2**32 - 1
    a = mix32(np.array((seed + 0x9E3779B9) & word)) ^ (np.asarray(steps) & word).astype(np.uint32)
    shift = np.uint32((tensor * 0x85EBCA6B + purpose) & word)
    k0 = mix32(np.atleast_1d(mix32(a)) + shift).reshape(np.shape(steps))
    return np.stack([k0, mix32(k0 ^ np.uint32(0xC2B2AE35))], axis=-1)


def random_signs(key: Key, rows: int, columns: int) -> Int8:
    """Draw Rademacher signs: bit ``k % 32`` of word ``row * ceil(columns / 32) + k // 32``.

    Args:
        key: the stream.
        rows: number of rows, each of which starts a new word.
        columns: signs a row.

    Returns:
        int8 (rows, columns) of +1 (bit 0) and -1 (bit 1).

    Example:
        >>> random_signs(Key(1, 2), 1, 8)
        array([[ 1,  1,  1,  1, -1,  1,  1, -1]], dtype=int8)
    """
    words = -(-columns // 32)
    drawn = random_words(key, np.arange(rows * words)).reshape(rows, words)
    bits = np.unpackbits(drawn.astype("<u4").view(np.uint8), axis=1, bitorder="little")
    return (1 - 2 * bits[:, :columns].astype(np.int8)).astype(np.int8)


def random_below(key: Key, counter: Ints, bound: int) -> NDArray[np.int64]:
    """Draw whole numbers in [0, bound) by multiplication: ``word * bound >> 32``.

    Example:
        >>> random_below(Key(1, 2), np.arange(5), 10)
        array([7, 9, 8, 9, 2])
    """
    return (random_words(key, counter).astype(np.int64) * bound) >> 32


def permutation(key: Key, count: int) -> NDArray[np.int64]:
    """Order ``0 .. count-1`` by their hashed words: a shuffle that any backend can repeat.

    Example:
        >>> permutation(Key(1, 2), 5)
        array([4, 0, 2, 3, 1])
    """
    return np.argsort(random_words(key, np.arange(count)), kind="stable")
