"""Straight-line C: calls in order, and buffers that share one arena by their lifetimes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgetrain.exporters.c_writing.forms import FORMS, Scratch

SIZES = {"int8_t": 1, "uint8_t": 1, "int16_t": 2, "int32_t": 4, "int64_t": 8}
ALIGNMENT = 8
TRIES = 32
ALWAYS = (-math.inf, math.inf)
"""The life of a buffer that no line uses."""


class Buffer(NamedTuple):
    """An array in the arena.

    Attributes:
        name: of a pointer in C.
        ctype: what it points to.
        sizes: bytes by form of the kernels, in the order of `FORMS`.
    """

    name: str
    ctype: str
    sizes: tuple[int, ...]


@dataclass
class Program:
    """Collects the lines of one function.

    Attributes:
        name: of the function, the first part of the names of its offsets.
        lines: of C.
        buffers: by name.
        used: the numbers of the lines that use a buffer, by its name.
        scratches: what its calls were given, by macro.
    """

    name: str
    lines: list[str] = field(default_factory=list)
    buffers: dict[str, Buffer] = field(default_factory=dict)
    used: dict[str, list[int]] = field(default_factory=dict)
    scratches: dict[str, Scratch] = field(default_factory=dict)

    def buffer(self, name: str, ctype: str, count: int) -> str:
        """Ask for a buffer; a name that is taken gets a number."""
        return self._reserve(name, ctype, (count * SIZES[ctype],) * len(FORMS))

    def scratch(self, name: str, wanted: Scratch) -> str:
        """Ask for the scratch memory of one call."""
        self.scratches[wanted.macro] = wanted
        return self._reserve(f"{name}_scratch", "void", wanted.sizes)

    def _reserve(self, name: str, ctype: str, sizes: tuple[int, ...]) -> str:
        number, unique = 1, name
        while unique in self.buffers:
            number += 1
            unique = f"{name}_{number}"
        aligned = tuple(-(-size // ALIGNMENT) * ALIGNMENT for size in sizes)
        self.buffers[unique] = Buffer(unique, ctype, aligned)
        self.used[unique] = []
        return unique

    def line(self, text: str, *uses: str) -> None:
        """Append a line that uses some buffers; names that are no buffers do not matter."""
        for name in uses:
            if name in self.used:
                self.used[name].append(len(self.lines))
        self.lines.append(text)

    def arena(self, form: str) -> tuple[dict[str, int], int]:
        """Return the offset of every buffer, and the size of the arena, with a form of kernels.

        Buffers are placed one by one, the largest first (as TensorFlow Lite Micro plans), each at
        the lowest address at which nothing lies that lives at the same time. While that takes
        more than what lives at one time, the buffer that ends highest is placed before all others.

        Example:
            >>> program = Program("infer")
            >>> a, b, c = (program.buffer(n, "int8_t", 16) for n in "abc")
            >>> program.line("b = f(a);", a, b)
            >>> program.line("c = f(b);", b, c)
            >>> program.arena("plain")
            ({'a': 0, 'b': 16, 'c': 0}, 32)
        """
        sizes = {name: b.sizes[FORMS.index(form)] for name, b in self.buffers.items()}
        lives = {name: (used[0], used[-1]) if used else ALWAYS for name, used in self.used.items()}
        least = max((_alive(line, sizes, lives) for line in range(len(self.lines))), default=0)
        order = sorted(sizes, key=lambda name: -sizes[name])
        plans: list[tuple[int, dict[str, int]]] = [] if order else [(0, {})]
        while order and len(plans) < TRIES:
            offsets = _place(order, sizes, lives)
            highest = max(order, key=lambda name: offsets[name] + sizes[name])
            plans.append((offsets[highest] + sizes[highest], offsets))
            if plans[-1][0] <= least:
                break
            order.remove(highest)
            order.insert(0, highest)
        total, offsets = min(plans, key=lambda plan: plan[0])
        return {name: offsets[name] for name in self.buffers}, total

    def offset(self, name: str) -> str:
        """Return the C name of a buffer's offset; no value of a node is called so."""
        return f"{self.name}__at_{name}"

    def body(self) -> Sequence[str]:
        """Return the lines, after the declarations of all buffers."""
        pointers = [
            f"{b.ctype} *const {name} = ({b.ctype} *)(void *)(arena.bytes + {self.offset(name)});"
            for name, b in self.buffers.items()
        ]
        return [*pointers, *self.lines]


Lives = dict[str, tuple[float, float]]


def _alive(line: int, sizes: dict[str, int], lives: Lives) -> int:
    """Return the bytes of all buffers that live at a line."""
    return sum(sizes[name] for name, (born, dead) in lives.items() if born <= line <= dead)


def _place(order: Sequence[str], sizes: dict[str, int], lives: Lives) -> dict[str, int]:
    """Place buffers in an order, each as low as it can lie; return their offsets."""
    offsets: dict[str, int] = {}
    for name in order:
        born, dead = lives[name]
        offset = 0
        for start, other in sorted((start, other) for other, start in offsets.items()):
            meets = offset < start + sizes[other] and start < offset + sizes[name]
            if meets and born <= lives[other][1] and lives[other][0] <= dead:
                offset = start + sizes[other]
        offsets[name] = offset
    return offsets
