"""Delayed scaling: the exponents of errors, and the table that remembers them."""

from typing import NamedTuple

from edgetrain.exporters.step_writing import numbers
from edgetrain.exporters.step_writing.emitter import Emitter, Number, Tensor
from edgetrain.step import ERROR_BITS, WATCH_STEPS


class Error(NamedTuple):
    """An int8 error and its exponent."""

    e: Tensor
    exponent: Number


class Seen(NamedTuple):
    """What a row of the table saw in this step: exponent and peak, and whether it counts."""

    used: Number
    peak: Number
    counts: Tensor


class Scaling:
    """Scales errors as `edgetrain.step.Step.scale` does.

    All rows of the table change together at the end: one operation for all instead of one for
    each. A row that is used again before changes what was collected so far.

    Args:
        emit: what appends the operations.
        table: int32 (rows, 2): exponent and largest peak of every error.
        number: of the step.
        limit: largest exponent, None for no bound.
    """

    def __init__(self, emit: Emitter, table: Tensor, number: Number, limit: int | None) -> None:
        self.emit, self.table, self.number, self.limit = emit, table, number, limit
        self._seen: dict[int, Seen] = {}

    def scale(
        self, row: int, acc: Tensor, factor: tuple[int, int], exponent: Number, counts: Tensor
    ) -> Error:
        """Append what scales sums to an int8 error.

        Args:
            row: of the error in the table.
            acc: integers; the real error is ``acc * factor * 2**exponent``.
            factor: multiplier and shift.
            exponent: of acc.
            counts: the condition under which the table remembers it; None for always.
        """
        if row in self._seen:
            self.close()
        emit, finest = self.emit, numbers.plus(self.emit, exponent, factor[1])
        wanted = emit.item(self.table, row, 0)
        if self.limit is not None:
            wanted = numbers.smaller(emit, wanted, self.limit)
        most = numbers.plus(emit, finest, 31)
        used = numbers.smaller(emit, numbers.larger(emit, wanted, finest), most)
        e, peak = emit.scale_error(acc, factor[0], numbers.minus(emit, finest, used))
        self._seen[row] = Seen(used, peak, counts)
        return Error(e, used)

    def close(self) -> Tensor:
        """Append what the table remembers for the next step; return the table."""
        if not self._seen:
            return self.table
        emit, rows = self.emit, sorted(self._seen)
        seen = [self._seen[row] for row in rows]
        used, peak = (emit.stack([s[i] for s in seen]) for i in (0, 1))
        watched = emit.maximum(emit.column(self.table, rows, 1), peak)
        excess = emit.minus(emit.bit_length(peak), ERROR_BITS)
        room = emit.maximum(emit.minus(ERROR_BITS - 1, emit.bit_length(watched)), 0)
        ends = emit.less(WATCH_STEPS - 2, self._phase())
        lowers = emit.both(emit.less(0, watched), ends)
        lowered = emit.minus(used, emit.choose(lowers, room, 0))
        saturates = emit.less(0, excess)
        exponent = emit.choose(saturates, emit.plus(used, excess), lowered)
        watched = emit.choose(saturates, 0, emit.choose(ends, 0, watched))
        new = [exponent, watched]
        if any(s.counts is not None for s in seen):
            always = emit.less(0, 1)
            counts = emit.stack([always if s.counts is None else s.counts for s in seen])
            new = [
                emit.choose(counts, value, emit.column(self.table, rows, i))
                for i, value in enumerate(new)
            ]
        self.table = emit.with_rows(self.table, rows, new)
        self._seen = {}
        return self.table

    def _phase(self) -> Number:
        """Number of the step in its watch, from 0 to WATCH_STEPS - 1."""
        whole = self.emit.times(self.emit.divide(self.number, WATCH_STEPS), WATCH_STEPS)
        return self.emit.minus(self.number, whole)
