"""Writes programs: rows of instructions, and where in memory their arrays lie."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from edgetrain.arithmetic.instructions import INSTRUCTIONS
from edgetrain.arithmetic.rooms import behind
from edgetrain.arithmetic.rounding import Ints

ALIGNMENT = 64


class Buffer:
    """An array of a program; it lives from its first to its last instruction.

    Attributes:
        size: in bytes.
        data: what a constant holds.
        start: bytes from the start of the memory.
        lives: rows during which it lives.
    """

    def __init__(self, size: int, data: Ints | None = None) -> None:
        self.size, self.data, self.start = size, data, 0
        self.lives: tuple[int, int] | None = None


class Place(NamedTuple):
    """A place inside a buffer."""

    buffer: Buffer
    offset: int


Operand = int | Buffer | Place
Row = tuple[str, Sequence[int], tuple[Operand, ...]]


class Builder:
    """Collects the rows of a program.

    Args:
        whole: whether a loop over samples has all of them in one turn.
    """

    def __init__(self, whole: bool = False) -> None:
        self.whole = whole
        self.rows: list[Row] = []
        self.loops: list[tuple[int, int]] = []
        self.lasting: list[Buffer] = []
        self._setup: list[Row] = []
        self._end: list[Row] = []

    def array(self, count: int, dtype: Any = np.int8) -> Buffer:
        """Return an array of a program."""
        return Buffer(count * np.dtype(dtype).itemsize)

    def constant(self, values: Any, dtype: Any) -> Buffer:
        """Return an array that never changes; tiles read on into its neighbours, and store none."""
        data = np.ascontiguousarray(values, dtype)
        return self._keep(Buffer(data.nbytes, data))

    def state(self, values: Any) -> Buffer:
        """Return int64 numbers that last from one run to the next."""
        data = np.ascontiguousarray(values, np.int64)
        return self._keep(Buffer(data.nbytes, data))

    def _keep(self, buffer: Buffer) -> Buffer:
        self.lasting.append(buffer)
        return buffer

    def emit(self, name: str, geometry: Sequence[int] = (), /, **operands: Operand) -> None:
        """Append an instruction."""
        self.rows.append(_row(name, geometry, operands))

    def prepare(self, name: str, geometry: Sequence[int] = (), /, **operands: Operand) -> None:
        """Append an instruction that runs once, before the samples of the loop being written.

        Where that has one turn, it runs as late as it can: what it writes lives no longer.
        """
        self._setup.append(_row(name, geometry, operands))

    def conclude(self, name: str, geometry: Sequence[int] = (), /, **operands: Operand) -> None:
        """Append an instruction that runs once, at `close`."""
        self._end.append(_row(name, geometry, operands))

    def close(self) -> None:
        """Append what `conclude` has collected."""
        self.rows += self._end
        self._end = []

    @contextmanager
    def each(self, samples: int, passes: int = 1) -> Iterator[None]:
        """Write a loop over the samples of a batch, seen in so many passes, so many at a time."""
        start, self._setup = len(self.rows), []
        yield
        body, self.rows = self.rows[start:], self.rows[:start]
        if self.whole:
            body = _interleaved(self._setup, body)
        else:
            self.rows += self._setup
        self.rows.append(("each", (), (len(body), samples, passes)))
        self.loops.append((len(self.rows), len(self.rows) + len(body) - 1))
        self.rows += body

    def finish(self) -> tuple[list[Row], int]:
        """Lay out the memory; return the rows with places as bytes from its start, and its size."""
        buffers = self._lifetimes()
        size = 0
        for buffer in self.lasting:
            buffer.start, size = size, size + _aligned(buffer.size)
        further = max((behind(sizes) for _, sizes, _ in self.rows if sizes), default=0)
        return self.rows, _lay_out(buffers, size, further)

    def _lifetimes(self) -> list[Buffer]:
        """Find the first and last row of every buffer that does not last."""
        lasting = set(map(id, self.lasting))
        found: dict[int, Buffer] = {}
        for i, row in enumerate(self.rows):
            for buffer in _buffers(row):
                if id(buffer) not in lasting:
                    found[id(buffer)] = buffer
                    buffer.lives = (buffer.lives[0] if buffer.lives else i, i)
        for buffer in found.values():
            assert buffer.lives
            first, last = buffer.lives
            for start, stop in self.loops:
                if first < start <= last <= stop:  # written before a loop that reads it
                    last = stop
            buffer.lives = first, last
        return list(found.values())


def _row(name: str, geometry: Sequence[int], operands: dict[str, Operand]) -> Row:
    assert set(operands) == set(INSTRUCTIONS[name]), (name, operands)
    return name, geometry, tuple(operands[key] for key in INSTRUCTIONS[name])


def _buffers(row: Row) -> list[Buffer]:
    places = (o.buffer if isinstance(o, Place) else o for o in row[2])
    return [place for place in places if isinstance(place, Buffer)]


def _interleaved(setup: list[Row], body: list[Row]) -> list[Row]:
    """Return a body with every row of its setup right before the first that works on its arrays."""
    rows = list(body)
    for row in reversed(setup):
        own = set(map(id, _buffers(row)))
        first = (i for i, other in enumerate(rows) if own & set(map(id, _buffers(other))))
        rows.insert(next(first, len(rows)), row)
    return rows


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _lay_out(buffers: list[Buffer], base: int, further: int) -> int:
    """Give every buffer the lowest place that no buffer has which lives at the same time.

    Those of the most crowded row choose first, and among them those that live long.

    Args:
        buffers: with their lifetimes.
        base: bytes before them.
        further: bytes that may be read behind any of them.

    Returns:
        Bytes of the whole memory.
    """
    crowds = [0] * (1 + max(_lives(buffer)[1] for buffer in buffers))
    for buffer in buffers:
        first, last = _lives(buffer)
        for row in range(first, last + 1):
            crowds[row] += _aligned(buffer.size)

    def turn(buffer: Buffer) -> tuple[int, int, int]:
        first, last = _lives(buffer)
        return max(crowds[first : last + 1]), last - first, buffer.size

    placed: list[Buffer] = []
    top = base
    for buffer in sorted(buffers, key=turn, reverse=True):
        start, size = base, _aligned(buffer.size)
        others = [other for other in placed if _overlap(buffer, other)]
        for other in sorted(others, key=lambda b: b.start):
            if start + size <= other.start:
                break
            start = max(start, other.start + _aligned(other.size))
        buffer.start = start
        placed.append(buffer)
        top = max(top, start + size)
    return top + further


def _lives(buffer: Buffer) -> tuple[int, int]:
    assert buffer.lives
    return buffer.lives


def _overlap(a: Buffer, b: Buffer) -> bool:
    (start, end), (first, last) = _lives(a), _lives(b)
    return start <= last and first <= end


def resolve(rows: list[Row], base: int) -> list[tuple[str, Sequence[int], list[int]]]:
    """Replace places by addresses in a memory that starts at base."""

    def number(operand: Operand) -> int:
        if isinstance(operand, Place):
            return base + operand.buffer.start + operand.offset
        return base + operand.start if isinstance(operand, Buffer) else int(operand)

    return [(name, geometry, [number(o) for o in operands]) for name, geometry, operands in rows]
