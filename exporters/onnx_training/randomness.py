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
from edgetrain.exporters.step_writing.emitter import Number, Stream

_SEED, _TENSOR, _SECOND = 0x9E3779B9, 0x85EBCA6B, 0xC2B2AE35
_FACTORS = ((16, 0x7FEB352D), (15, 0x846CA68B))
_LAST_SHIFT = 16
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

    def mix32(self, words: Value) -> Value:
        """Append `edgetrain.arithmetic.randomness.mix32` of uint32 words."""
        for shift, factor in _FACTORS:
            mixed = self._xor(words, self._shifted(words, shift))
            words = self.cast(self.times(self.cast(mixed, INT32), signed(factor)), UINT32)
        return self._xor(words, self._shifted(words, _LAST_SHIFT))

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
        """Append `edgetrain.arithmetic.randomness.stream_key` of streams of one number."""
        number = streams[0].number
        assert all(stream.number == number for stream in streams)
        start = self.mix32(self._added(self.seed, np.array(_SEED, np.uint32)))
        a = self.mix32(self._xor(start, self._word(number)))
        shifts = [(s.tensor * _TENSOR + s.purpose) % WORD for s in streams]
        k0 = self.mix32(self._added(a, np.array(shifts, np.uint32)))
        return k0, self.mix32(self._xor(k0, np.array(_SECOND, np.uint32)))

    def _word(self, number: Number) -> Operand:
        return self.cast(number, UINT32) if isinstance(number, Value) else np.array(
            number % WORD, np.uint32)  # fmt: skip

    def _words(self, streams: Sequence[Stream], counts: Sequence[int]) -> Value:
        """Append the words of streams, one behind the other: uint32 (sum of counts,)."""
        k0, k1 = (self.parted(key, [1] * len(streams)) for key in self._keys(streams))
        counters = [self._counters(count) for count in counts]
        started = [self._added(c, key) for c, key in zip(counters, k0, strict=True)]
        mixed = self.parted(self.mix32(self.join(started, 0)), counts)
        return self.mix32(
            self.join([self._xor(part, key) for part, key in zip(mixed, k1, strict=True)], 0)
        )

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
