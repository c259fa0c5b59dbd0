"""Programs ready to run: memory, table, and what they are given."""

from types import ModuleType
from typing import Any

import numpy as np

from edgetrain.arithmetic.instructions import GIVEN
from edgetrain.arithmetic.rounding import Ints
from edgetrain.compiled.block import Bytes
from edgetrain.compiled.builder import ALIGNMENT, Builder, resolve

NOTHING = np.zeros(1, np.uint8)
NO_TARGETS = np.zeros(1, np.int32)
TAIL = 1 << 16
"""Bytes behind the memory: a tile may read rows that do not exist."""


class Program:
    """A table of instructions and its memory.

    Attributes:
        given: int64, see `edgetrain.arithmetic.instructions.GIVEN`.
        nbytes: of the memory.
    """

    def __init__(self, builder: Builder, ops: ModuleType) -> None:
        self._machine: Any = ops.machine
        rows, self.nbytes = builder.finish()
        self._memory = np.zeros(self.nbytes + ALIGNMENT + TAIL, np.uint8)
        base = -(-self._memory.ctypes.data // ALIGNMENT) * ALIGNMENT
        start = base - self._memory.ctypes.data
        for buffer in builder.lasting:
            if buffer.data is not None:
                raw = buffer.data.reshape(-1).view(np.uint8)
                self._memory[start + buffer.start :][: raw.size] = raw
        table = self._machine.assemble(resolve(rows, base))
        self._whole, self._body = table, table[builder.loops[0][0] - 1 :]
        self.given = np.zeros(len(GIVEN), np.int64)
        self._places = np.zeros(6, np.int64)

    def run(self, old: Bytes, new: Bytes, x: Ints, out: Ints = NOTHING,
            targets: Ints = NO_TARGETS, is_prepared: bool = False) -> None:  # fmt: skip
        """Run on the samples x, int8; out is filled with bytes, whatever its type.

        With is_prepared the rows before the first loop are left out.
        """
        given = self.given
        given[0], given[4], given[5] = len(x), 0, 0
        flat = np.ascontiguousarray(x, np.int8).reshape(-1)
        raw = out.reshape(-1).view(np.int8)
        table = self._body if is_prepared else self._whole
        self._machine.run(table, old, new, flat, raw, targets, given, self._places)
