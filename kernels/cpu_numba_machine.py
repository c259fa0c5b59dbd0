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
from edgetrain.kernels import cpu_numba_machine_errors as errors
from edgetrain.kernels import cpu_numba_machine_layers as layers
from edgetrain.kernels import cpu_numba_machine_signs as signs
from edgetrain.kernels.cpu_numba_gemm import LEFT_TYPE
from edgetrain.kernels.cpu_numba_jit import callable_by_address, jit
from edgetrain.kernels.cpu_numba_memory import GIVEN, NEW, OLD, OUT, SIGNATURE, TARGETS, X, call

EACH = 0
"""What stands for the address of the instruction "each"."""
P = FIRST
AREA = LEFT_TYPE
"""Type of activations as the micro-kernel reads them, which decides how much room they need."""


@cache
def _compiled(name):
    """Compile an instruction, and keep it."""
    function = next(f for m in (layers, errors, signs, learn) if (f := getattr(m, name, None)))
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
        places: int64 (6,), room for the addresses of all these.
    """
    places[OLD], places[NEW] = old.ctypes.data, new.ctypes.data
    places[X], places[OUT] = x.ctypes.data, out.ctypes.data
    places[TARGETS], places[GIVEN] = targets.ctypes.data, given.ctypes.data
    start, row_bytes, at = program.ctypes.data, 8 * program.shape[1], places.ctypes.data
    batch, i = given[0], 0
    while i < program.shape[0]:
        first, length, samples = 0, 1, batch
        if program[i, 0] == EACH:
            length, samples = program[i, P], program[i, P + 1]
            i += 1
        while first < batch:
            count = min(samples, batch - first)
            for j in range(i, i + length):
                call(program[j, 0], start + j * row_bytes, first, count, at)
            first += samples
        i += length
