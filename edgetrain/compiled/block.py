"""All parameters that a step changes, as one array: models and states are views of it.

A new block is made only while an older model or state still needs the others: a training loop
that keeps the newest alone runs in two.
"""

import math
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import Ints
from edgetrain.compiled.builder import ALIGNMENT
from edgetrain.model import Weights

Bytes = NDArray[np.uint8]
BEHIND = 256
"""Bytes behind the last array: kernels read on to the end of a vector, of 64 int32 at most."""
ONLY_THE_POOL = 3
"""References to a block that nobody uses: the pool's, the loop's and the count's own."""


class Slot(NamedTuple):
    """Where an array lies in a block."""

    start: int
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


class Layout:
    """Names, places and shapes of the arrays of a block; and the blocks of that layout."""

    def __init__(self, arrays: Mapping[str, Ints]) -> None:
        self.slots: dict[str, Slot] = {}
        self.size = 0
        for name, array in arrays.items():
            self.slots[name] = Slot(self.size, array.dtype, array.shape)
            self.size += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        self.size += BEHIND
        self._blocks: list[Bytes] = []

    @property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return self.size * len(self._blocks)

    def fresh(self) -> Bytes:
        """Return a block that nobody uses."""
        for block in self._blocks:
            if sys.getrefcount(block) <= ONLY_THE_POOL:
                return block
        self._blocks.append(np.zeros(self.size, np.uint8))
        return self._blocks[-1]

    def view(self, block: Bytes, name: str) -> Ints:
        """Return one array of a block."""
        start, dtype, shape = self.slots[name]
        return np.ndarray(shape, dtype, block, start)

    def filled(self, arrays: Mapping[str, Ints]) -> Bytes:
        """Return a block with copies of arrays."""
        block = self.fresh()
        for name in self.slots:
            self.view(block, name)[...] = arrays[name]
        return block


class BlockParams(Mapping[str, Weights]):
    """A model's parameters in a block."""

    def __init__(self, layout: Layout, block: Bytes, names: tuple[str, ...]) -> None:
        self.layout, self.block, self._names = layout, block, names

    def __getitem__(self, name: str) -> Weights:
        if name not in self._names:
            raise KeyError(name)
        w, b = (self.layout.view(self.block, f"node/{name}/{part}") for part in "wb")
        return Weights(w, b)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class BlockTensors(Mapping[str, Ints]):
    """A training state: what changes in a block, and what does not."""

    def __init__(self, layout: Layout, block: Bytes, constant: Mapping[str, Ints],
                 names: tuple[str, ...]) -> None:  # fmt: skip
        self.layout, self.block, self.constant, self._names = layout, block, constant, names

    def __getitem__(self, name: str) -> Ints:
        if name in self.constant:
            return self.constant[name]
        if name not in self._names:
            raise KeyError(name)
        return self.layout.view(self.block, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
