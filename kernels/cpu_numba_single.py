"""Single instructions of the machine on arrays: the operations of the backend "numba"."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgetrain.arithmetic.instructions import GIVEN, INSTRUCTIONS
from edgetrain.arithmetic.rooms import VECTORS
from edgetrain.arithmetic.rounding import Ints
from edgetrain.kernels import cpu_numba_machine as machine

NO_BLOCK, NO_CODES = np.zeros(1, np.uint8), np.zeros(1, np.int8)
NO_TARGETS = np.zeros(1, np.int32)


def ready(a: Ints, dtype: Any) -> Ints:
    """Return a with the one type and layout that kernels are compiled for."""
    return np.ascontiguousarray(a, dtype)


def with_slack(a: Ints, behind: int = VECTORS) -> Ints:
    """Return the int8 numbers of a, and so many behind them that kernels may read."""
    held = room(a.size, behind=behind)
    held[: a.size] = a.reshape(-1)
    return held


def need(name: str, a: Ints, shape: tuple[int, ...]) -> None:
    """Stop before a loop would leave an array: compiled code does not check its indices."""
    if a.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {a.shape}")


def room(count: int, dtype: Any = np.int8, behind: int = VECTORS) -> Ints:
    """Return an array of count numbers; so many behind them kernels may read."""
    return np.empty(count + behind, dtype)


def execute(
    name: str, geometry: Sequence[int] = (), *, batch: int = 1, **operands: Ints | int
) -> None:
    """Execute one instruction.

    Args:
        name: of the instruction.
        geometry: sizes of a layer.
        batch: samples.
        operands: contiguous arrays, or numbers.
    """
    given = np.zeros(len(GIVEN), np.int64)
    given[0] = batch
    numbers = [
        value.ctypes.data if isinstance(value := operands[key], np.ndarray) else int(value)
        for key in INSTRUCTIONS[name]
    ]
    table = machine.assemble([(name, geometry, numbers)])
    places = np.empty(machine.PLACES, np.int64)
    machine.run(table, NO_BLOCK, NO_BLOCK, NO_CODES, NO_CODES, NO_TARGETS, given, places)
