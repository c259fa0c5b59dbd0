"""Straight-line C: calls in order, and buffers that share one arena by their lifetimes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

SIZES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "int32_t": 4, "int64_t": 8}
ALIGNMENT = 8


class Buffer(NamedTuple):
    """An array in the arena."""

    name: str
    ctype: str
    length: int

    @property
    def size(self) -> int:
        """Bytes, rounded up so that its neighbour is aligned."""
        return -(-self.length * SIZES[self.ctype] // ALIGNMENT) * ALIGNMENT


@dataclass
class Program:
    """Collects the lines of one function.

    Attributes:
        lines: of C.
        buffers: by name.
        used: the numbers of the lines that use a buffer, by its name.
    """

    lines: list[str] = field(default_factory=list)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    used: dict[str, list[int]] = field(default_factory=dict)

    def buffer(self, name: str, ctype: str, count: int) -> str:
        """Ask for a buffer; a name that is taken gets a number."""
        number, unique = 1, name
        while unique in self.buffers:
            number += 1
            unique = f"{name}_{number}"
        self.buffers[unique] = Buffer(unique, ctype, count)
        self.used[unique] = []
        return unique

    def line(self, text: str, *uses: str) -> None:
        """Append a line that uses some buffers; names that are no buffers do not matter."""
        for name in uses:
            if name in self.used:
                self.used[name].append(len(self.lines))
        self.lines.append(text)

    def arena(self) -> tuple[dict[str, int], int]:
        """Return the offset of every buffer, and the size of the arena.

        The largest buffer is placed first, each at the lowest address at which nothing lies that
        lives at the same time (greedy by size, as TensorFlow Lite Micro plans).

        Example:
            >>> program = Program()
            >>> a, b, c = (program.buffer(n, "int8_t", 16) for n in "abc")
            >>> program.line("b = f(a);", a, b)
            >>> program.line("c = f(b);", b, c)
            >>> program.arena()
            ({'a': 0, 'b': 16, 'c': 0}, 32)
        """
        offsets: dict[str, int] = {}
        placed: list[tuple[Buffer, int]] = []
        for buffer in sorted(self.buffers.values(), key=lambda b: -b.size):
            offset = 0
            for other, start in sorted(placed, key=lambda pair: pair[1]):
                meets = offset < start + other.size and start < offset + buffer.size
                if meets and self._live_together(buffer.name, other.name):
                    offset = start + other.size
            offsets[buffer.name] = offset
            placed.append((buffer, offset))
        total = max((offset + buffer.size for buffer, offset in placed), default=0)
        return {name: offsets[name] for name in self.buffers}, total

    def body(self) -> Sequence[str]:
        """Return the lines, after the declarations of all buffers."""
        offsets, _ = self.arena()
        pointers = [
            f"{b.ctype} *const {name} = ({b.ctype} *)(void *)(arena.bytes + {offsets[name]});"
            for name, b in self.buffers.items()
        ]
        return [*pointers, *self.lines]

    def _live_together(self, a: str, b: str) -> bool:
        first, second = self.used[a], self.used[b]
        if not first or not second:
            return True
        return first[0] <= second[-1] and second[0] <= first[-1]
