"""The counter hash in int32: sums and products wrap, shifts are unsigned.

ONNX Runtime 1.17 has no unsigned sums and products, and no version shifts signed numbers.
"""

from collections.abc import Sequence

import numpy as np

from edgetrain.exporters.onnx_training.graph import Operand, Value
from edgetrain.exporters.onnx_training.integers import (
    INT32,
    INT64,
    UINT8,
    UINT32,
    UINT64,
    broadcast,
)
from edgetrain.exporters.onnx_training.losses import Losses
from edgetrain.exporters.step_writing.emitter import Stream

_SEED, _TENSOR, _SECOND = 0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35
_FACTORS = (0x7FEB352D, 0x846CA68B)
_FOLD, _MIDDLE = 16, 15
"""Shifts of a hash: at its ends, and between its factors."""
WORD = 2**32


def signed(word: int) -> int:
    """Return the int32 that has the bits of a word.

    Example:
        >>> signed(0xFFFFFFFF)
        -1
    """
    return (word + 2**31) % WORD - 2**31


class Randomness(Losses):
    """Offers the randomness of `Emitter`; `seed` is an int64 scalar of the graph."""

    seed: Value

    def _folded(self, words: Value, bits: int = _FOLD) -> Value:
        """Append ``words ^ (words >> bits)``; with 16 bits a hash begins and ends.

        Folding twice changes nothing, and ``fold(a ^ b)`` is ``fold(a) ^ fold(b)``: between two
        hashes, ``fold(fold(a) ^ b)`` is ``a ^ fold(b)``.
        """
        return self._xor(words, self.unsigned_shift(words, bits))

    def _core(self, words: Value) -> Value:
        """Append `edgetrain.arithmetic.randomness.mix32` without the folds at its ends."""
        first, second = (signed(factor) for factor in _FACTORS)
        return self.times(self._folded(self.times(words, first), _MIDDLE), second)

    def _xor(self, a: Value, b: Operand) -> Value:
        shape = broadcast(a.shape, b.shape if isinstance(b, Value) else np.shape(b))
        return self.op("BitwiseXor", a, b, dtype=INT32, shape=shape)

    def _keys(self, streams: Sequence[Stream]) -> tuple[Value, Value]:
        """Append `edgetrain.arithmetic.randomness.stream_key` of streams of one number.

        The second key is folded: that is how `_words` reads it.
        """
        number = streams[0].number
        assert all(stream.number == number for stream in streams)
        seed = self._core(self._folded(self.plus(self.cast(self.seed, INT32), signed(_SEED))))
        word = self._folded(self.cast(number, INT32))
        a = self._folded(self._core(self._xor(seed, word)))
        shifts = np.array([signed(s.tensor * _TENSOR + s.purpose) for s in streams])
        first = self._core(self._folded(self.plus(a, shifts)))
        crossing = np.array(signed(_SECOND ^ _SECOND >> _FOLD), np.int32)
        second = self._core(self._xor(first, crossing))
        return self._folded(first), second

    def _words(self, streams: Sequence[Stream], counts: Sequence[int]) -> Value:
        """Append the words of streams, one behind the other: int32 (sum of counts,)."""
        k0, folded_k1 = self._keys(streams)
        alone = [1] * len(streams)
        begins = zip(counts, self.parted(k0, alone), strict=True)
        started = [self.plus(self._counters(count), key) for count, key in begins]
        hashed = self._core(self._folded(self.join(started, 0)))
        middles = zip(self.parted(hashed, counts), self.parted(folded_k1, alone), strict=True)
        crossed = [self._xor(part, key) for part, key in middles]
        return self._folded(self._core(self.join(crossed, 0)))

    def _counters(self, count: int) -> Value:
        """Append 0, 1, .. count - 1: a runtime computes it once, when it loads the graph."""
        ends = (np.int32(end) for end in (0, count, 1))
        return self.op("Range", *ends, dtype=INT32, shape=(count,))

    def random_octets(self, streams: Sequence[tuple[Stream, int]]) -> Sequence[Value]:
        """Draw uint8 (count,) of every stream."""
        counts = [-(-count // 4) for _, count in streams]
        words = self._words([stream for stream, _ in streams], counts)
        row = self.cast(self.shaped(words, (1, sum(counts))), UINT32)
        places = np.array([[0], [8], [16], [24]], np.uint32)
        lanes = self.op("BitShift", row, places, dtype=UINT32, shape=(4, sum(counts)),
                        direction="RIGHT")  # fmt: skip
        octets = self.shaped(self.cast(self.turned(lanes, (1, 0)), UINT8), (4 * sum(counts),))
        drawn = self.parted(octets, [4 * count for count in counts])
        return [self.cut(o, 0, count, 0) for o, (_, count) in zip(drawn, streams, strict=True)]

    def random_signs(self, stream: Stream, rows: int, columns: int) -> Value:
        """Append `fixed.random_signs`."""
        width = -(-columns // 32)
        words = self.shaped(self._words([stream], [rows * width]), (rows, width, 1))
        bits = self.unsigned_shift(words, np.arange(32))
        ones = self.op("BitwiseAnd", bits, np.array(1, np.int32), dtype=INT32, shape=bits.shape)
        signs = self.minus(1, self.times(ones, 2))
        return self.cut(self.shaped(signs, (rows, 32 * width)), 0, columns, 1)

    def random_below(self, stream: Stream, bounds: Value) -> Value:
        """Draw int32 below each of bounds."""
        words = self.cast(self._words([stream], [bounds.shape[0]]), UINT32)
        product = self.cast(self.times(self.cast(words, INT64), bounds), UINT64)
        high = self.op("BitShift", product, np.array(32, np.uint64), dtype=UINT64,
                       shape=bounds.shape, direction="RIGHT")  # fmt: skip
        return self.cast(high, INT32)
