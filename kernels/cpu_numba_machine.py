# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The machine of the backend "numba": executes the programs of `edgetrain.compiled`.

Every instruction is a function of its own, compiled when a program first needs it and called by
its address: a program is data, so nothing is compiled a network. Operands are those of
`edgetrain.arithmetic.instructions`.
"""

from functools import cache

import numpy as np

from edgetrain.arithmetic.instructions import COLUMNS, FIRST, INSTRUCTIONS
from edgetrain.kernels import cpu_numba_learn as learn
from edgetrain.kernels import cpu_numba_learn_signs as learn_signs
from edgetrain.kernels import cpu_numba_machine_errors as errors
from edgetrain.kernels import cpu_numba_machine_goodness as goodness
from edgetrain.kernels import cpu_numba_machine_layers as layers
from edgetrain.kernels import cpu_numba_machine_signs as signs
from edgetrain.kernels import cpu_numba_perturb as perturb
from edgetrain.kernels.cpu_numba_gemm import LEFT_TYPE
from edgetrain.kernels.cpu_numba_jit import callable_by_address, jit, part
from edgetrain.kernels.cpu_numba_memory import (
    GIVEN,
    GIVEN_COUNT,
    LENGTH,
    NEW,
    OLD,
    OUT,
    PLACES,
    PROGRAM,
    SIGNATURE,
    TARGETS,
    X,
    call,
    longs,
)

EACH = 0
"""What stands for the address of the instruction "each"."""
P, ROW_BYTES = FIRST, 8 * COLUMNS
AREA = LEFT_TYPE
"""Type of activations as the micro-kernel reads them, which decides how much room they need."""


@cache
def _compiled(name):
    """Compile an instruction, and keep it."""
    modules = layers, errors, signs, goodness, learn, learn_signs, perturb
    function = next(f for m in modules if (f := getattr(m, name, None)))
    return callable_by_address(function, SIGNATURE)


def instruction(name):
    """Return the address of an instruction, which is compiled if need be."""
    return EACH if name == "each" else _compiled(name).address


def assemble(rows):
    """Turn (name, geometry, operands) into a table that `run` executes."""
    table = np.zeros((len(rows), COLUMNS), np.int64)
    for line, (name, geometry, operands) in zip(table, rows, strict=True):
        assert len(operands) == len(INSTRUCTIONS[name]), name
        line[0] = instruction(name)
        line[1 : 1 + len(geometry)] = geometry
        line[P : P + len(operands)] = operands
    return table


@jit
def run(program, old, new, x, out, targets, given, places):
    """Execute a program.

    Args:
        program: int64 (rows, COLUMNS), from `assemble`.
        old: uint8, the parameters that are read.
        new: uint8, the parameters that are written.
        x: int8, the samples.
        out: int8, the results, whatever their type.
        targets: int32, labels or Q10 targets.
        given: int64, see GIVEN.
        places: int64 (PLACES,), room for the addresses of all these.
    """
    places[OLD], places[NEW] = old.ctypes.data, new.ctypes.data
    places[X], places[OUT] = x.ctypes.data, out.ctypes.data
    places[TARGETS], places[GIVEN] = targets.ctypes.data, given.ctypes.data
    places[PROGRAM], places[LENGTH] = program.ctypes.data, program.shape[0]
    _execute(places.ctypes.data)


@jit
def again(places):
    """Execute a program with the arrays of its last `run`, at the address of their places.

    A whole number instead of eight arrays: what Python does for a call takes a fifth of the time.
    """
    _execute(places)


@part
def _execute(at):
    places = longs(at, PLACES)
    row, end = places[PROGRAM], places[PROGRAM] + places[LENGTH] * ROW_BYTES
    batch = longs(places[GIVEN], GIVEN_COUNT)[0]
    while row < end:
        first, length, samples, total = 0, 1, batch, batch
        own = longs(row, COLUMNS)
        if own[0] == EACH:
            length, samples, total = own[P], own[P + 1], batch * own[P + 2]
            row += ROW_BYTES
        while first < total:
            count = min(samples, total - first)
            for j in range(row, row + length * ROW_BYTES, ROW_BYTES):
                call(longs(j, 1)[0], j, first, count, at)
            first += samples
        row += length * ROW_BYTES
