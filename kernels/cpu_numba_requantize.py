"""Requantizing a tile of the backend "numba", as LLVM IR: int32 sums to int8 results.

`edgetrain.fixed.requantize` rounds twice. With ``d = 2 * multiplier - 2**32``, which fits in int32
for a multiplier of at least 2**30, the first rounding is ``acc + ((acc * d + 2**31) >> 32)``: the
high halves of products. The second one is ``((h - (h < 0)) >> (right - 1)``, plus one, halved``;
the zero point is added before halving, twice, and clipping is what packing to int8 does.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from llvmlite import ir
from numba.core import cgutils

from edgetrain.kernels.cpu_numba_writer import I8, I16, I32, I64, Vectors

PACKED = 4
"""Vectors that processors with 16 lanes pack to int8 together."""


class Scales(NamedTuple):
    """How sums are scaled: addresses of int32 numbers a column, and numbers.

    Attributes:
        multiplier: in [0, 2**31).
        shift: in [-31, -1].
        zero: zero point of the result.
        low: lower end of the result.
        high: upper end of the result.
    """

    multiplier: ir.Value
    shift: ir.Value
    zero: ir.Value
    low: ir.Value
    high: ir.Value


def requantize(
    writer: Vectors, lines: Sequence[Sequence[ir.Value]], scales: Scales
) -> list[list[ir.Value]]:
    """Turn rows of sums, a vector a column, into rows of int8 results."""
    vectors = len(lines[0])
    scaled = [
        [_scale(writer, line[n], *columns) for line in lines]
        for n, columns in enumerate(_columns(writer, vectors, scales))
    ]
    rows = [list(row) for row in zip(*scaled, strict=True)]
    together = PACKED // vectors
    packed = len(rows) // together * together if writer.lanes == 16 else 0
    found = []
    for m in range(0, packed, together):
        octets = _packed(writer, [v for row in rows[m : m + together] for v in row], scales)
        size = vectors * writer.lanes
        found += [[_part(writer, octets, i * size, size)] for i in range(together)]
    return found + [[_narrowed(writer, v, scales) for v in row] for row in rows[packed:]]


def _columns(
    writer: Vectors, vectors: int, scales: Scales
) -> Iterator[tuple[tuple[ir.Value, ir.Value], ir.Value, ir.Value]]:
    """Yield the factors of a column, where they have wrapped around, and bits to shift right."""
    builder = writer.builder
    multipliers, shifts = (writer.columns(v, vectors) for v in (scales.multiplier, scales.shift))
    for multiplier, shift in zip(multipliers, shifts, strict=True):
        doubled = builder.shl(multiplier, writer.splat(1))
        wrapped = builder.icmp_signed("<", doubled, writer.splat(0))
        yield writer.halves(doubled), wrapped, builder.not_(shift)


def _scale(writer: Vectors, acc: ir.Value, factors: tuple[ir.Value, ir.Value], wrapped: ir.Value,
           right: ir.Value) -> ir.Value:  # fmt: skip
    """Return a vector scaled, but for the last bit to shift right."""
    builder = writer.builder
    even, odd = (
        builder.add(builder.mul(a, b), ir.Constant(a.type, [1 << 31] * (writer.lanes // 2)))
        for a, b in zip(writer.halves(acc), factors, strict=True)
    )
    high = writer.join(builder.lshr(even, ir.Constant(even.type, [32] * even.type.count)), odd)
    first = builder.select(wrapped, builder.add(high, acc), high)
    return builder.ashr(builder.add(first, builder.ashr(first, writer.splat(31))), right)


def _packed(writer: Vectors, vectors: Sequence[ir.Value], scales: Scales) -> ir.Value:
    """Halve, add the zero point and clip, with the instructions of x86 that pack four vectors."""
    builder = writer.builder
    shorts, octets = ir.VectorType(I16, 32), ir.VectorType(I8, 64)
    added = builder.trunc(builder.add(builder.shl(scales.zero, I64(1)), I64(1)), I16)
    adding = _call(builder, "llvm.sadd.sat.v32i16", shorts, shorts)
    to_shorts = _call(builder, "llvm.x86.avx512.packssdw.512", shorts, writer.vector)
    to_octets = _call(builder, "llvm.x86.avx512.packsswb.512", octets, shorts)
    halves = [
        builder.ashr(
            builder.call(adding, [builder.call(to_shorts, pair), _spread(writer, added, 32)]),
            ir.Constant(shorts, [1] * 32),
        )
        for pair in (vectors[:2], vectors[2:])
    ]
    ordered = builder.bitcast(builder.call(to_octets, halves), writer.vector)
    if not writer.is_mixed:
        order = ir.Constant(writer.vector, [4 * (i % 4) + i // 4 for i in range(16)])
        ordered = builder.shuffle_vector(ordered, ir.Constant(ordered.type, ir.Undefined), order)
    limits = (_spread(writer, builder.trunc(v, I8), 64) for v in (scales.low, scales.high))
    return writer.clip(builder.bitcast(ordered, octets), *limits)


def _narrowed(writer: Vectors, value: ir.Value, scales: Scales) -> ir.Value:
    """Halve, add the zero point and clip."""
    builder = writer.builder
    limits = (builder.sub(v, scales.zero) for v in (scales.low, scales.high))
    zero, low, high = (writer.spread(builder.trunc(v, I32)) for v in (scales.zero, *limits))
    half = builder.ashr(builder.add(value, writer.splat(1)), writer.splat(1))
    whole = builder.add(writer.clip(half, low, high), zero)
    return builder.trunc(whole, ir.VectorType(I8, writer.lanes))


def _part(writer: Vectors, value: ir.Value, start: int, count: int) -> ir.Value:
    """Return lanes that follow each other."""
    if count == value.type.count:
        return value
    order = ir.Constant(ir.VectorType(I32, count), list(range(start, start + count)))
    return writer.builder.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), order)


def _spread(writer: Vectors, scalar: ir.Value, count: int) -> ir.Value:
    """Copy a scalar to all lanes of a vector."""
    undefined = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    first = writer.builder.insert_element(undefined, scalar, I32(0))
    order = ir.Constant(ir.VectorType(I32, count), [0] * count)
    return writer.builder.shuffle_vector(first, undefined, order)


def _call(builder: ir.IRBuilder, name: str, result: ir.Type, given: ir.Type) -> ir.Function:
    """Declare an intrinsic of two vectors."""
    kind = ir.FunctionType(result, [given, given])
    return cgutils.get_or_insert_function(builder.module, kind, name)
