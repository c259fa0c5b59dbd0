"""Programs ready to run: memory, table, and what they are given."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from edgetrain.arithmetic.instructions import GIVEN
from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.compiled.block import Bytes
from edgetrain.compiled.builder import ALIGNMENT, Buffer, Builder, resolve

NOTHING, NO_RESULT = np.zeros(1, np.uint8), np.zeros(1, np.int8)
NO_TARGETS = np.zeros(1, np.int32)


def aligned(size: int) -> Bytes:
    """Return zeros that start at a multiple of ALIGNMENT."""
    whole = np.zeros(size + ALIGNMENT, np.uint8)
    return whole[-whole.ctypes.data % ALIGNMENT :][:size]


class Program:
    """A table of instructions and its memory.

    Attributes:
        given: int64, see `edgetrain.arithmetic.instructions.GIVEN`.
        nbytes: of the memory.
        reported: int64, numbers of the memory that a run leaves.
    """

    def __init__(self, builder: Builder, ops: ModuleType, reported: Buffer | None = None) -> None:
        self._machine: Any = ops.machine
        rows, size = builder.finish()
        self._memory, self.nbytes = aligned(size), size + ALIGNMENT
        for buffer in builder.lasting:
            if buffer.data is not None:
                raw = buffer.data.reshape(-1).view(np.uint8)
                self._memory[buffer.start :][: raw.size] = raw
        table = self._machine.assemble(resolve(rows, self._memory.ctypes.data))
        self._whole, self._body = table, table[builder.loops[0][0] - 1 :]
        self.given = np.zeros(len(GIVEN), np.int64)
        self._places = np.zeros(self._machine.PLACES, np.int64)
        first, size = (reported.start, reported.size) if reported else (0, 0)
        self.reported = self._memory[first : first + size].view(np.int64)

    def run(self, old: Bytes, new: Bytes, x: Int8, out: Ints | None = None,
            targets: Ints = NO_TARGETS, is_prepared: bool = False) -> None:  # fmt: skip
        """Run on the samples x, int8; out is filled with bytes, whatever its type.

        With is_prepared the rows before the first loop are left out.
        """
        flat, raw = self._flat(x, out)
        table = self._body if is_prepared else self._whole
        self._machine.run(table, old, new, flat, raw, targets, self.given, self._places)

    def bound(self, x: Int8, out: Ints) -> Callable[[], object]:
        """Return a call that runs the rows after the preparations on these very arrays."""
        flat, raw = self._flat(x, out)
        given, places = self.given.copy(), np.zeros_like(self._places)
        held = (self._body, NOTHING, NOTHING, flat, raw, NO_TARGETS, given, places)
        again, address = self._machine.again, places.ctypes.data
        self._machine.run(*held)

        def call(held: tuple[Ints, ...] = held) -> None:
            """Hold the arrays, whose addresses the machine knows."""
            again(address)

        return call

    def _flat(self, x: Int8, out: Ints | None) -> tuple[Int8, Int8]:
        """Note the batch, and return samples and results as the machine takes them."""
        given = self.given
        given[0], given[4], given[5] = len(x), 0, 0
        if not x.flags.c_contiguous:
            x = np.ascontiguousarray(x)
        return x.reshape(-1), NO_RESULT if out is None else out.reshape(-1).view(np.int8)
