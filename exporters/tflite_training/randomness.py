"""Words of a counter and a key that come with the step; see `edgetrain.fixed`."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from edgetrain.exporters.tflite_training.operations import concatenate, counted, parted
from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant
from edgetrain.exporters.tflite_training.words import high

MASK = 2**32 - 1


class Key(NamedTuple):
    """The key of a stream: two tensors uint32 (1,), the second as `random_words` reads it."""

    k0: Tensor
    folded_k1: Tensor


def plus(words: Tensor, numbers: Operand) -> Tensor:
    """Add uint32 numbers: there is no operator for it, but that of int32 wraps alike."""
    right = constant(words.graph, numbers, np.uint32)
    return (words.bits_as(np.int32) + right.bits_as(np.int32)).bits_as(np.uint32)


def fold(x: Tensor) -> Tensor:
    """Begin or end a hash.

    Between two hashes, ``fold(fold(a) ^ b)`` is ``a ^ fold(b)``.
    """
    return x ^ (x >> 16)


def core(x: Tensor) -> Tensor:
    """Hash uint32 words: `edgetrain.fixed.mix32` without the folds at its ends."""
    x = x * 0x7FEB352D
    return (x ^ (x >> 15)) * 0x846CA68B


def base(seed: Tensor, number: Tensor) -> Tensor:
    """Return what all streams of one number (of a step or query) start from, uint32 (1,)."""
    return fold(core(core(fold(plus(seed, 0x9E3779B9))) ^ fold(number)))


def stream_keys(bases: Tensor, tensors: Sequence[int], purposes: Sequence[int]) -> list[Key]:
    """Derive the keys of streams, together; see `edgetrain.fixed.stream_key`.

    Args:
        bases: uint32 (streams,), of `base`.
        tensors: number of the tensor of each stream.
        purposes: of each stream.
    """
    pairs = zip(tensors, purposes, strict=True)
    shifts = [(tensor * 0x85EBCA6B + purpose) & MASK for tensor, purpose in pairs]
    first = core(fold(plus(bases, np.array(shifts, np.uint32))))
    k0, folded_k1 = fold(first), core(first ^ (0xC2B2AE35 ^ 0xC2B2AE35 >> 16))
    return [Key(k0.cut(i, i + 1, 0), folded_k1.cut(i, i + 1, 0)) for i in range(len(tensors))]


def random_words(keys: Sequence[Key], counts: Sequence[int]) -> list[Tensor]:
    """Return the first words of streams, uint32 (count,) each, hashed together."""
    graph = keys[0].k0.graph
    counters = [counted(graph, count).bits_as(np.uint32) for count in counts]
    first = [plus(counter, key.k0) for counter, key in zip(counters, keys, strict=True)]
    halfway = parted(core(fold(concatenate(first, 0))), counts)
    second = [part ^ key.folded_k1 for part, key in zip(halfway, keys, strict=True)]
    return parted(fold(core(concatenate(second, 0))), counts)


def random_octets(keys: Sequence[Key], counts: Sequence[int]) -> list[Tensor]:
    """Draw the bytes of words, uint8 (count,) each."""
    drawn = random_words(keys, [-(-count // 4) for count in counts])
    octets = (words.bits_as(np.uint8).reshape(-1) for words in drawn)
    return [some.cut(0, count, 0) for some, count in zip(octets, counts, strict=True)]


def random_signs(key: Key, rows: int, columns: int) -> Tensor:
    """Draw signs, int32 (rows, columns); see `edgetrain.fixed.random_signs`.

    A multiplication moves a bit to the top of its word, where it is the sign of the word.
    """
    words = -(-columns // 32)
    (drawn,) = random_words([key], [rows * words])
    to_top = np.left_shift(np.int64(1), np.arange(31, -1, -1)).astype(np.int32)
    moved = drawn.bits_as(np.int32).reshape(rows * words, 1) * to_top
    bits = moved.reshape(rows, words * 32).cut(0, columns, 1).less(0)
    return 1 - bits.cast(np.int32) * 2


def random_below(key: Key, bounds: Tensor) -> Tensor:
    """Draw numbers in [0, bound), int32 (count,), of int32 bounds (count,)."""
    (words,) = random_words([key], [bounds.shape[0]])
    return high(words.cast(np.int64) * bounds.cast(np.int64))
