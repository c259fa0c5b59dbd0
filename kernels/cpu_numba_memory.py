# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Arrays at addresses, calls of functions at addresses: what the machine's instructions work on."""

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from edgetrain.arithmetic import instructions
from edgetrain.arithmetic.instructions import COLUMNS, FIRST
from edgetrain.kernels.cpu_numba_jit import part

SIGNATURE = types.void(types.CPointer(types.int64), types.int64, types.int64,
                       types.CPointer(types.int64))  # fmt: skip
"""An instruction: its row, the first sample, how many, and the places of OLD and so on."""
OLD, NEW, X, OUT, TARGETS, GIVEN, PROGRAM, LENGTH = range(8)
PLACES = 8
GIVEN_COUNT = len(instructions.GIVEN)
SCRATCH = 4096
"""Bytes on the stack."""
EVERYTHING = 2**60
"""Length of an array whose end nobody asks for."""


@intrinsic
def _pointer(typing, address):
    """Turn an address into a pointer."""

    def code(context, builder, signature, given):
        return builder.inttoptr(given[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), code


@intrinsic
def call(typing, function, row, first, count, places):
    """Call the function at an address with addresses of a row and of the places."""

    def code(context, builder, signature, given):
        word = ir.IntType(64)
        pointer = word.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, word, word, pointer])
        function, row, first, count, places = given
        target = builder.inttoptr(function, kind.as_pointer())
        given = (builder.inttoptr(row, pointer), first, count, builder.inttoptr(places, pointer))
        builder.call(target, given)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), code


@intrinsic
def copy(typing, target, source, count):
    """Copy bytes between places that do not overlap."""

    def code(context, builder, signature, given):
        octet = ir.IntType(8).as_pointer()
        target, source = (builder.inttoptr(v, octet) for v in given[:2])
        cgutils.raw_memcpy(builder, target, source, given[2], 1)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), code


@intrinsic
def scratch(typing):
    """Return the address of SCRATCH bytes that the calling function has while it runs."""

    def code(context, builder, signature, given):
        kind = ir.ArrayType(ir.IntType(8), SCRATCH)
        with builder.goto_entry_block():
            place = builder.alloca(kind)
        return builder.ptrtoint(place, ir.IntType(64))

    return types.int64(), code


@part
def bytes_at(address, count):
    """Array of uint8."""
    return carray(_pointer(address), (count,), np.uint8)


@part
def codes(address, count):
    """Array of int8."""
    return carray(_pointer(address), (count,), np.int8)


@part
def shorts(address, count):
    """Array of int16."""
    return carray(_pointer(address), (count,), np.int16)


@part
def ints(address, count):
    """Array of int32."""
    return carray(_pointer(address), (count,), np.int32)


@part
def words(address, count):
    """Array of uint32."""
    return carray(_pointer(address), (count,), np.uint32)


@part
def longs(address, count):
    """Array of int64."""
    return carray(_pointer(address), (count,), np.int64)


@part
def whole(row):
    """All numbers of an instruction's row."""
    return carray(row, (COLUMNS,))


@part
def sizes(row):
    """The geometry of an instruction."""
    return carray(row, (COLUMNS,))[1:FIRST]
