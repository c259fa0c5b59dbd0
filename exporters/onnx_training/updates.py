"""Updates: step lengths, stochastic rounding, biases and momentum."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgetrain.arithmetic.rounding import INT32_MAX, INT32_MIN, WEIGHT_MAX
from edgetrain.arithmetic.updates import (
    BIAS_SHIFT,
    MASTER_BITS,
    MASTER_MAX,
    MASTER_MIN,
    UPDATE_SHIFT,
)
from edgetrain.exporters.onnx_training.graph import OFFSET, Operand, Value
from edgetrain.exporters.onnx_training.integers import INT32, INT64, UINT8, UINT64
from edgetrain.exporters.onnx_training.randomness import Randomness
from edgetrain.exporters.step_writing.emitter import Rate
from edgetrain.state import RATE_BITS, rate_multiplier

_POSITIVE = 1 << 62
LEAST_LOW_BITS = 9
"""With fewer, int32 does not hold a step of 128 with all its fraction bits, and what steps are too
large by is no multiple of 256, which a Cast to int8 discards."""
MOST_LEFT = 23
"""Shifts further left give a step length that saturates anyway."""


class Updates(Randomness):
    """Offers the updates of `Emitter`."""

    def shift64(self, a: Value, bits: Operand, direction: str = "RIGHT") -> Value:
        """Append a shift of int64 numbers that are not negative."""
        by = self.as_type(bits, UINT64)
        shape = a.shape if isinstance(bits, Value) else np.broadcast_shapes(a.shape, by.shape)
        found = self.op("BitShift", self.cast(a, UINT64), by, dtype=UINT64, shape=shape,
                        direction=direction)  # fmt: skip
        return self.cast(found, INT64)

    def divided(self, a: Value, bits: int) -> Value:
        """Append `fixed.divide_by_power` of int64 numbers below 2**62."""
        nudge = _POSITIVE + (1 << bits >> 1)
        up = self.op("Where", self.less(a, 0), np.int64(nudge - 1), np.int64(nudge), dtype=INT64,
                     shape=a.shape)  # fmt: skip
        return self.minus(self.shift64(self.plus(a, up), bits), _POSITIVE >> bits)

    def rate_multipliers(self, rates: Sequence[Rate]) -> Sequence[Any]:
        """Append `edgetrain.state.rate_multiplier` of every rate: constants where they are."""
        found: list[Any] = [
            None if isinstance(r.exponent, Value) or isinstance(r.rate, Value)
            else rate_multiplier(*r)
            for r in rates
        ]  # fmt: skip
        moving = [i for i, value in enumerate(found) if value is None]
        if not moving:
            return found
        sizes = [rates[i].rates.shape[1] for i in moving]
        joined = self._rate_multipliers([rates[i] for i in moving], sizes)
        for i, part in zip(moving, self.parted(joined, sizes), strict=True):
            found[i] = part
        return found

    def _rate_multipliers(self, rates: Sequence[Rate], sizes: Sequence[int]) -> Value:
        """Append the step lengths of all channels, one behind the other.

        A step length that is shifted further left than MOST_LEFT is larger than INT32_MAX.
        """
        multipliers, shifts = np.concatenate([r.rates for r in rates], axis=1).astype(np.int64)
        shifts += np.repeat([r.fraction - 31 - RATE_BITS for r in rates], sizes)
        batches = np.repeat([r.batch for r in rates], sizes)
        exponents = self._each([r.exponent for r in rates], sizes)
        bits = self.cast(self.plus(exponents, shifts.astype(np.int32)), INT32)
        factors = self._each([r.rate for r in rates], sizes)
        value = factors * multipliers if isinstance(factors, np.ndarray) else self.times(
            self.cast(factors, INT64), multipliers)  # fmt: skip
        left, right = self.clip(bits, 0, MOST_LEFT), self.clip(self.minus(0, bits), 0, 62)
        halves = (np.int64(1) << np.arange(63)) >> 1
        half = self.op("Gather", halves, right, dtype=INT64, shape=right.shape)
        grown = self.shift64(value, left, "LEFT")
        scaled = self.shift64(self.plus(grown, half), right)
        mean = self.divide(scaled, batches)
        return self.cast(self.minimum(mean, INT32_MAX), INT32)

    def _each(self, numbers: Sequence[Any], sizes: Sequence[int]) -> Any:
        """Give every channel the number of its layer."""
        if not any(isinstance(number, Value) for number in numbers):
            return np.repeat(np.array(numbers, np.int64), sizes)
        places = np.repeat(np.arange(len(sizes)), sizes).astype(np.int32)
        vector = self.stack(numbers)
        return self.op("Gather", vector, places, dtype=vector.dtype, shape=places.shape)

    def _factor(self, multiplier: Any, acc: Value) -> Any:
        """Return step lengths that broadcast over weights."""
        long = (acc.shape[0], *[1] * (len(acc.shape) - 1))
        if isinstance(multiplier, Value):
            return self.shaped(multiplier, long)
        return multiplier.reshape(long)

    def _steps(
        self, acc: Value, multiplier: Any, octets: Value, shift: int, size: int
    ) -> tuple[Value, Value]:
        """Append stochastic steps, clipped to a signed size, and how many were cut off."""
        factor = self._factor(multiplier, acc)
        product = self.times(self.cast(acc, INT64), self.as_type(factor, INT64))
        fractions = self.times(self.cast(octets, INT64), 1 << shift - 8)
        nudge = _POSITIVE + (1 << shift - 9)
        positive = self.plus(self.plus(product, fractions), nudge)
        steps = self.minus(self.shift64(positive, shift), _POSITIVE >> shift)
        limits = np.int64(-size), np.int64(size - 1)
        clipped = self.op("Clip", steps, *limits, dtype=INT64, shape=steps.shape)
        return self.cast(clipped, INT32), self._count(steps, clipped)

    def _count(self, steps: Value, clipped: Value) -> Value:
        """Append how many steps were cut off: a product of matrices counts fastest."""
        same = self.cast(self.equal(steps, clipped), UINT8)
        size, rows = math.prod(same.shape), same.shape[0]
        table = self.shaped(same, (rows, size // rows))
        ones = np.full((1, rows), OFFSET + 1, np.uint8)
        kept = self.product(ones, table, 0, -OFFSET, shape=(1, size // rows))
        return self.minus(size, self.total(kept))

    def _narrow_steps(
        self, acc: Value, multiplier: Any, octets: Value, low_bits: int
    ) -> tuple[Value, Value]:
        """Append `_steps` for int8 weights in int32, for sums that low_bits fit above.

        The step length is ``high * 2**low_bits + low``; steps keep ``32 - low_bits`` fraction
        bits. Sums whose steps saturate anyway are cut so that no product leaves int32. Shifts are
        unsigned: the steps that are returned are ``2**(low_bits - 1)`` above the true ones.
        """
        factor, unit = self._factor(multiplier, acc), 1 << low_bits
        high = self.divide(factor, unit)
        low = self.minus(factor, self.times(high, unit))
        most = self.divide((1 << 31) - (1 << 33 - low_bits), self.maximum(high, 1))
        acc = self._kept(acc, self.minus(0, most), most)
        bias = (1 << 23) - (1 << 31)
        below = self.unsigned_shift(self.plus(self.times(acc, low), bias), low_bits)
        scaled = self.plus(self.times(acc, high), below)
        drawn = self.times(self.cast(octets, INT32), 1 << 24 - low_bits)
        shaken = self.plus(scaled, self.minus(drawn, (1 << 31 - low_bits) - (1 << 31)))
        steps, zero = self.unsigned_shift(shaken, 32 - low_bits), 1 << low_bits - 1
        clipped = self._kept(steps, zero - 128, zero + 127)
        return clipped, self._count(steps, clipped)

    def _kept(self, a: Value, low: Operand, high: Operand) -> Value:
        """Append `clip` of many numbers: Max and Min take less time than Clip."""
        return self.minimum(self.maximum(a, low), high)

    def _octets(self, octets: Value, shape: tuple[int, ...]) -> Value:
        """Give octets the shape of weights."""
        if len(shape) == 4:
            n, inputs, height, width = shape
            return self.reshape(octets, (n, height, width, inputs))
        return self.shaped(octets, shape)

    def update_int8(
        self, olds: Sequence[Value], accs: Sequence[Value], multipliers: Sequence[Any],
        octets: Sequence[Value],
    ) -> tuple[Sequence[Value], Value]:  # fmt: skip
        """Append `fixed.update_int8` of every layer: those of as many inputs at once.

        Filters are rows: ONNX Runtime is slow where the last sizes are 1.
        """
        groups: dict[int, list[int]] = {}
        for i, acc in enumerate(accs):
            groups.setdefault(math.prod(acc.shape[1:]), []).append(i)
        drawn = [self._octets(part, acc.shape) for part, acc in zip(octets, accs, strict=True)]
        new: dict[int, Value] = {}
        total: Any = 0
        for width, members in groups.items():
            w, acc, fractions = (
                self.join([self.shaped(part[i], (part[i].shape[0], width)) for i in members], 0)
                for part in (olds, accs, drawn)
            )
            step = self.join([multipliers[i] for i in members], 0)
            reach = max(self.reaches.get(accs[i].name, INT32_MAX) for i in members)
            moved, cut = self._moved(w, acc, step, fractions, reach)
            total = self.also(total, cut)
            ends = np.cumsum([accs[i].shape[0] for i in members])
            for i, end in zip(members, ends, strict=True):
                rows = self.cut(moved, int(end) - accs[i].shape[0], int(end), 0)
                new[i] = self.shaped(rows, olds[i].shape)
        return [new[i] for i in range(len(accs))], total

    def _moved(
        self, w: Value, acc: Value, step: Any, octets: Value, reach: int
    ) -> tuple[Value, Value]:
        """Append one update of int8 weights; reach is how large acc can be."""
        low_bits = (((1 << 31) - (1 << 23)) // reach).bit_length() - 1
        if low_bits >= LEAST_LOW_BITS:
            steps, cut = self._narrow_steps(acc, step, octets, low_bits)
            zero = 1 << low_bits - 1
        else:
            steps, cut = self._steps(acc, step, octets, UPDATE_SHIFT, 128)
            zero = 0
        new = self._kept(self.minus(self.codes(w), steps), -WEIGHT_MAX - zero, WEIGHT_MAX - zero)
        return self.cast(new, np.int8), cut

    def update_int16(
        self, olds: Sequence[Value], accs: Sequence[Value], multipliers: Sequence[Any],
        octets: Sequence[Value],
    ) -> tuple[Sequence[Value], Value]:  # fmt: skip
        """Append `fixed.update_int16` of every layer."""
        new, total = [], 0
        shift = UPDATE_SHIFT - MASTER_BITS
        for w, acc, multiplier, drawn in zip(olds, accs, multipliers, octets, strict=True):
            shaken = self._octets(drawn, acc.shape)
            steps, cut = self._steps(acc, multiplier, shaken, shift, 2**15)
            moved = self.clip(self.minus(self.cast(w, INT32), steps), MASTER_MIN, MASTER_MAX)
            new.append(self.cast(moved, np.int16))
            total = self.also(total, cut)
        return new, total

    def visible(self, w: Value) -> Value:
        """Append `fixed.visible`."""
        return self.cast(self.shift_right(self.cast(w, INT32), MASTER_BITS), np.int8)

    def update_biases(
        self, olds: Sequence[Value], accs: Sequence[Value], multipliers: Sequence[Any],
        limits: Sequence[int],
    ) -> Sequence[Value]:  # fmt: skip
        """Append `fixed.update_bias` of every layer, all at once."""
        sizes = [old.shape[0] for old in olds]
        old, acc, multiplier = (self.join(part, 0) for part in (olds, accs, multipliers))
        product = self.times(self.cast(acc, INT64), multiplier)
        new = self.minus(old, self.divided(product, BIAS_SHIFT))
        most = np.repeat(np.array(limits, np.int64), sizes)
        kept = self.minimum(self.maximum(new, -most), most)
        return self.parted(self.cast(kept, INT32), sizes)

    def momentum(self, velocity: Value, acc: Value, decay: int, realign: Value) -> Value:
        """Append `fixed.momentum`."""
        old = self._realigned(self.cast(velocity, INT64), realign)
        new = self.plus(self.minus(old, self.divided(old, decay)), acc)
        return self.clip(new, INT32_MIN, INT32_MAX)

    def _realigned(self, old: Value, realign: Value) -> Value:
        """Append a shift left, or a division by a power to nearest, of int64 numbers in int32."""
        left, right = self.clip(realign, 0, 31), self.clip(self.minus(0, realign), 0, 62)
        powers = np.int64(1) << np.arange(63)
        up = _POSITIVE + (powers >> 1)
        tables = up - (powers > 1), up, _POSITIVE >> np.arange(63)
        grown = self.times(old, self.op("Gather", powers, left, dtype=INT64, shape=()))
        down, up, origin = (
            self.op("Gather", table, right, dtype=INT64, shape=()) for table in tables
        )
        nudge = self.choose(self.less(grown, 0), down, up)
        return self.minus(self.shift64(self.plus(grown, nudge), right), origin)
