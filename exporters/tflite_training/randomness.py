"""Words of a counter and a key that come with the step; see `edgetrain.fixed`."""

from typing import NamedTuple

import numpy as np

from edgetrain.exporters.tflite_training.tensor import Tensor, constant
from edgetrain.exporters.tflite_training.words import high

MASK = 2**32 - 1


class Key(NamedTuple):
    """The key of a stream: two tensors uint32 (1,)."""

    k0: Tensor
    k1: Tensor


def plus(words: Tensor, number: Tensor | int) -> Tensor:
    """Add unsigned numbers; there is no operator for it, but the signed one wraps alike."""
    right = number.bits_as(np.int32) if isinstance(number, Tensor) else signed(number)
    return (words.bits_as(np.int32) + right).bits_as(np.uint32)


def signed(number: int) -> int:
    """Return the int32 with the bits of an unsigned number."""
    return number - 2**32 if number & 2**31 else number


def mix32(x: Tensor) -> Tensor:
    """Hash uint32 words; see `edgetrain.fixed.mix32`."""
    x = (x ^ (x >> 16)) * 0x7FEB352D
    x = (x ^ (x >> 15)) * 0x846CA68B
    return x ^ (x >> 16)


def stream_key(seed: Tensor, step: Tensor, tensor: int, purpose: int) -> Key:
    """Derive the key of a stream from seed and step, uint32 (1,)."""
    a = mix32(plus(seed, 0x9E3779B9)) ^ step
    k0 = mix32(plus(mix32(a), (tensor * 0x85EBCA6B + purpose) & MASK))
    return Key(k0, mix32(k0 ^ 0xC2B2AE35))


def random_words(key: Key, count: int) -> Tensor:
    """Return the first words of a stream, uint32 (count,)."""
    counters = constant(key.k0.graph, np.arange(count), np.uint32)
    return mix32(mix32(plus(counters, key.k0)) ^ key.k1)


def random_fractions(key: Key, count: int) -> Tensor:
    """Draw 8-bit fractions in Q32, int64 (count,): a byte of a word each."""
    octets = random_words(key, -(-count // 4)).bits_as(np.uint8).reshape(-1).first(count)
    return octets.cast(np.int64) * (1 << 24) + (1 << 23)


def random_signs(key: Key, rows: int, columns: int) -> Tensor:
    """Draw signs, int32 (rows, columns); see `edgetrain.fixed.random_signs`.

    A bit is moved to the top of its word by a multiplication, where it is the sign of the word.
    """
    words = -(-columns // 32)
    drawn = random_words(key, rows * words).bits_as(np.int32).reshape(rows * words, 1)
    to_top = np.left_shift(np.int64(1), np.arange(31, -1, -1))
    moved = (drawn * to_top.astype(np.int32)).reshape(rows, words * 32).first(columns)
    return 1 - moved.less(0).cast(np.int32) * 2


def random_below(key: Key, count: int, bound: Tensor) -> Tensor:
    """Draw numbers in [0, bound), int32 (count,); bound is int32 (count,)."""
    return high(random_words(key, count).cast(np.int64) * bound.cast(np.int64))
