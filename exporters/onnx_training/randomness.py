"""The counter hash in int32 and uint32: products wrap, xors and shifts are unsigned.

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

    def _folded(self, words: Value) -> Value:
        """Append ``words ^ (words >> 16)``, with which a hash begins and ends.

        Folding twice changes nothing, and ``fold(a ^ b)`` is ``fold(a) ^ fold(b)``: between two
        hashes, ``fold(fold(a) ^ b)`` is ``a ^ fold(b)``.
        """
        return self._xor(words, self._shifted(words, _FOLD))

    def _core(self, words: Value) -> Value:
        """Append `edgetrain.arithmetic.randomness.mix32` without the folds at its ends."""
        first, second = (signed(factor) for factor in _FACTORS)
        words = self._times(words, first)
        return self._times(self._xor(words, self._shifted(words, _MIDDLE)), second)

    def _times(self, words: Value, factor: int) -> Value:
        """Append a product, which wraps."""
        return self.cast(self.times(self.cast(words, INT32), factor), UINT32)

    def _shifted(self, words: Value, bits: Operand) -> Value:
        count = np.asarray(bits, np.uint32)
        shape = broadcast(words.shape, count.shape)
        return self.op("BitShift", words, count, dtype=UINT32, shape=shape, direction="RIGHT")

    def _xor(self, a: Value, b: Operand) -> Value:
        shape = broadcast(a.shape, b.shape if isinstance(b, Value) else np.shape(b))
        return self.op("BitwiseXor", a, b, dtype=UINT32, shape=shape)

    def _added(self, words: Operand, number: Operand) -> Value:
        """Append the sum of words, which wraps."""
        parts = (self.as_type(part, INT32) for part in (words, number))
        return self.cast(self.plus(*parts), UINT32)

    def _keys(self, streams: Sequence[Stream]) -> tuple[Value, Value]:
        """Append `edgetrain.arithmetic.randomness.stream_key` of streams of one number.

        The second key is folded: that is how `_words` reads it.
        """
        number = streams[0].number
        assert all(stream.number == number for stream in streams)
        seed = self._core(self._folded(self._added(self.seed, np.array(_SEED, np.uint32))))
        word = self._folded(self.cast(number, UINT32))
        a = self._folded(self._core(self._xor(seed, word)))
        shifts = [(s.tensor * _TENSOR + s.purpose) % WORD for s in streams]
        first = self._core(self._folded(self._added(a, np.array(shifts, np.uint32))))
        second = self._core(self._xor(first, np.array(_SECOND ^ _SECOND >> _FOLD, np.uint32)))
        return self._folded(first), second

    def _words(self, streams: Sequence[Stream], counts: Sequence[int]) -> Value:
        """Append the words of streams, one behind the other: uint32 (sum of counts,)."""
        k0, folded_k1 = self._keys(streams)
        alone = [1] * len(streams)
        begins = zip(counts, self.parted(self.cast(k0, INT32), alone), strict=True)
        started = [self.plus(self._counters(count), key) for count, key in begins]
        hashed = self._core(self._folded(self.cast(self.join(started, 0), UINT32)))
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
        row = self.shaped(words, (1, sum(counts)))
        lanes = self._shifted(row, 8 * np.arange(4).reshape(4, 1))
        octets = self.shaped(self.turned(self.cast(lanes, UINT8), (1, 0)), (4 * sum(counts),))
        drawn = self.parted(octets, [4 * count for count in counts])
        return [self.cut(o, 0, count, 0) for o, (_, count) in zip(drawn, streams, strict=True)]

    def random_signs(self, stream: Stream, rows: int, columns: int) -> Value:
        """Append `fixed.random_signs`."""
        width = -(-columns // 32)
        words = self.shaped(self._words([stream], [rows * width]), (rows, width, 1))
        bits = self._shifted(words, np.arange(32))
        ones = self.op("BitwiseAnd", bits, np.array(1, np.uint32), dtype=UINT32, shape=bits.shape)
        signs = self.minus(1, self.times(self.cast(ones, INT32), 2))
        return self.cut(self.shaped(signs, (rows, 32 * width)), 0, columns, 1)

    def random_below(self, stream: Stream, bounds: Value) -> Value:
        """Draw int32 below each of bounds."""
        words = self.cast(self._words([stream], [bounds.shape[0]]), INT64)
        product = self.cast(self.times(words, bounds), UINT64)
        high = self.op("BitShift", product, np.array(32, np.uint64), dtype=UINT64,
                       shape=bounds.shape, direction="RIGHT")  # fmt: skip
        return self.cast(high, INT32)
