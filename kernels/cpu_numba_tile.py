"""The micro-kernel of the backend "numba": a register tile of integer dot products, as LLVM IR.

    c[m, n] = sum over segments and k of a[m, k] * b[k, n]

A row of ``a`` is a few segments of adjacent numbers, so one kernel serves a dense layer (one
segment), a convolution that reads its padded image in place (a segment a kernel row) and weight
gradients. ``b`` is packed as [step][column][k within a step]. Row m may lie behind the last one:
what it computes is not stored, but the memory must be there.

Two kinds of tiles have channels in their lanes, pixels in their rows and kernel pixels for steps:

* ``channels``: a depthwise convolution. Pixels that follow each other in a lie side by side in a
  step, as b has its weights: [step][channel][k within a step].
* ``each``: a step multiplies a vector of a by a vector of b, lane by lane: gradients. From step
  to step a moves as from row to row.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from edgetrain.kernels.cpu_numba_join import joined, unpacked
from edgetrain.kernels.cpu_numba_requantize import Scales, requantize
from edgetrain.kernels.cpu_numba_target import Shape
from edgetrain.kernels.cpu_numba_writer import I8, I16, I32, I64, Vectors

STEPS = {"vnni8": 4, "sdot8": 4, "pair8": 2, "each": 1}
"""Products that one step adds to a lane."""
VECTOR_OF_OCTETS = ("vnni8", "sdot8")
VNNI = {16: "llvm.x86.avx512.vpdpbusd.512", 8: "llvm.x86.avx512.vpdpbusd.256"}


class Writer(Vectors):
    """Writes one tile."""

    def __init__(
        self, builder: ir.IRBuilder, shape: Shape, lanes: int, lowering: str,
        b_unsigned: bool = False, is_channels: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(builder, lanes)
        self.shape, self.lowering, self.b_unsigned = shape, lowering, b_unsigned
        self.is_channels = is_channels
        self.is_mixed = is_channels and lowering == "vnni8" and (lanes, shape.vectors) == (16, 4)

    def load_b(self, address: ir.Value) -> ir.Value:
        """Load one vector of columns of b."""
        if self.lowering in VECTOR_OF_OCTETS:
            return self.load(address, self.vector)
        return self.widen(self.load(address, ir.VectorType(I8, STEPS[self.lowering] * self.lanes)))

    def widen(self, octets: ir.Value) -> ir.Value:
        """Return columns of b as they are multiplied: what is not int8 is widened."""
        if self.lowering in VECTOR_OF_OCTETS:
            return octets
        count = STEPS[self.lowering] * self.lanes
        narrow = self.builder.bitcast(octets, ir.VectorType(I8, count))
        return self.builder.sext(narrow, ir.VectorType(I32, count))

    def ones(self) -> ir.Constant:
        """Return a step of ones, as `load_a` would load it."""
        if self.lowering in VECTOR_OF_OCTETS:
            return self.splat(0x01010101)
        count = STEPS[self.lowering] * self.lanes
        return ir.Constant(ir.VectorType(I32, count), [1] * count)

    def load_a(self, address: ir.Value, distance: ir.Value) -> list[ir.Value]:
        """Load one step of a row for every vector of columns: spread to its lanes, or channels.

        distance are bytes between pixels of ``channels``.
        """
        count = self.shape.vectors
        if self.lowering == "each":
            channels = self.load(address, ir.VectorType(I16, self.lanes))
            return [self.builder.sext(channels, self.vector)] * count
        if not self.is_channels:
            return [self.pairs(self.spread(self.load(address, I32)))] * count
        if self.is_mixed:
            return unpacked(self, address, distance)
        step = STEPS[self.lowering]
        return [
            self.pairs(joined(self, self.builder.add(address, I64(start)), distance, step))
            for start in range(0, count * self.lanes * 4 // step, self.lanes * 4 // step)
        ]

    def pairs(self, step: ir.Value) -> ir.Value:
        """Widen a step of a as it is multiplied, where that is not int8."""
        if self.lowering != "pair8":
            return step
        pairs = self.builder.bitcast(step, ir.VectorType(I16, 2 * self.lanes))
        return self.builder.sext(pairs, ir.VectorType(I32, 2 * self.lanes))

    def multiply_add(self, acc: ir.Value, a: ir.Value, b: ir.Value) -> ir.Value:
        """Add the products of one step."""
        builder = self.builder
        if self.lowering == "each":
            return builder.add(acc, builder.mul(a, b))
        if self.lowering == "pair8":
            product = builder.mul(a, b)
            undefined = ir.Constant(product.type, ir.Undefined)
            halves = [
                builder.shuffle_vector(
                    product, undefined,
                    ir.Constant(self.vector, list(range(first, 2 * self.lanes, 2))),
                )
                for first in (0, 1)
            ]  # fmt: skip
            return builder.add(acc, builder.add(*halves))
        if self.lowering == "vnni8":
            kind = ir.FunctionType(self.vector, [self.vector] * 3)
            function = cgutils.get_or_insert_function(builder.module, kind, VNNI[self.lanes])
            return builder.call(function, [acc, b, a] if self.b_unsigned else [acc, a, b])
        octets = ir.VectorType(I8, 16)
        kind = ir.FunctionType(self.vector, [self.vector, octets, octets])
        name = "llvm.aarch64.neon.sdot.v4i32.v16i8"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [acc, builder.bitcast(b, octets), builder.bitcast(a, octets)])

    def sums(self, a: ir.Value, row: ir.Value, segment: ir.Value, segments: ir.Value,
             b: ir.Value, b_step: ir.Value, steps: ir.Value,
             first: list[ir.Value]) -> list[list[ir.Value]]:  # fmt: skip
        """Write both loops; return the sums, a list a row, that start with a vector a column."""
        builder, (rows, vectors) = self.builder, self.shape
        b_bytes = self.lanes * STEPS[self.lowering]
        distance, a_step = I64(0), I64(4)
        if self.lowering == "each":
            a_step = row
        elif self.is_channels:
            a_step = b_step if self.lowering in VECTOR_OF_OCTETS else builder.mul(b_step, I64(2))
            distance = builder.udiv(a_step, I64(STEPS[self.lowering]))
        before = builder.block
        outer, inner, after, done = (
            builder.append_basic_block(name) for name in ("segment", "step", "next", "done")
        )
        builder.branch(outer)
        builder.position_at_end(outer)
        places = [builder.phi(I64) for _ in range(3)]  # segment number, address in a, in b
        totals = [[builder.phi(self.vector) for _ in range(vectors)] for _ in range(rows)]
        for place, start in zip(places, (I64(0), a, b), strict=True):
            place.add_incoming(start, before)
        builder.branch(inner)
        builder.position_at_end(inner)
        _, at_a, at_b = inside = [builder.phi(I64) for _ in range(3)]
        acc = [[builder.phi(self.vector) for _ in range(vectors)] for _ in range(rows)]
        for place, start in zip(inside, (I64(0), *places[1:]), strict=True):
            place.add_incoming(start, outer)
        columns = [self.load_b(builder.add(at_b, I64(n * b_bytes))) for n in range(vectors)]
        if self.is_mixed:
            columns = self.mixed(columns)
        new = []
        for m in range(rows):
            left = self.load_a(builder.add(at_a, builder.mul(row, I64(m))), distance)
            new.append([self.multiply_add(acc[m][n], left[n], columns[n]) for n in range(vectors)])
        following = [
            builder.add(place, size)
            for place, size in zip(inside, (I64(1), a_step, b_step), strict=True)
        ]
        for place, value in zip(inside, following, strict=True):
            place.add_incoming(value, inner)
        builder.cbranch(builder.icmp_signed("<", following[0], steps), inner, after)
        builder.position_at_end(after)
        number = builder.add(places[0], I64(1))
        nexts = (number, builder.add(places[1], segment), following[2])
        for place, value in zip(places, nexts, strict=True):
            place.add_incoming(value, after)
        for m in range(rows):
            for n in range(vectors):
                totals[m][n].add_incoming(first[n], before)
                totals[m][n].add_incoming(new[m][n], after)
                acc[m][n].add_incoming(totals[m][n], outer)
                acc[m][n].add_incoming(new[m][n], inner)
        builder.cbranch(builder.icmp_signed("<", number, segments), outer, done)
        builder.position_at_end(done)
        return new

    def store_rows(self, parts: Sequence[Sequence[ir.Value]], c: ir.Value, row: ir.Value,
                   rows: ir.Value) -> None:  # fmt: skip
        """Store the rows that exist, each of a few vectors."""
        for m, line in enumerate(parts):
            with self.builder.if_then(self.builder.icmp_signed("<", I64(m), rows)):
                place = self.builder.add(c, self.builder.mul(row, I64(m)))
                for value in line:
                    self.store(value, place)
                    size = value.type.count * value.type.element.width // 8
                    place = self.builder.add(place, I64(size))


def write_tile(
    builder: ir.IRBuilder, shape: Shape, lanes: int, lowering: str, given: Sequence[ir.Value], *,
    finish: bool = False, b_unsigned: bool = False, is_channels: bool = False,
) -> None:  # fmt: skip
    """Write a tile where a builder stands; see `make_tile`, given are the arguments."""
    a, row, segment, segments, b, b_step, steps, c, c_row, rows, *scales = given
    writer = Writer(builder, shape, lanes, lowering, b_unsigned, is_channels)
    first = [writer.splat(0)] * shape.vectors
    if finish:
        bias, *scales = scales
        first = writer.columns(bias, shape.vectors)
    values = writer.sums(a, row, segment, segments, b, b_step, steps, first)
    if finish:
        values = requantize(writer, values, Scales(*scales))
    writer.store_rows(values, c, c_row, rows)


def make_tile(
    shape: Shape, lanes: int, lowering: str, *, finish: bool = False, b_unsigned: bool = False,
    is_channels: bool = False,
) -> Callable[..., Any]:  # fmt: skip
    """Return a tile as a function for compiled code; all its arguments are whole numbers.

    Args:
        shape: rows, and vectors of columns.
        lanes: int32 numbers in a vector.
        lowering: a key of STEPS.
        finish: whether to requantize sums to int8 rather than store them as int32.
        b_unsigned: with ``vnni8``, whether b is uint8 and a int8 rather than the reverse.
        is_channels: whether lanes are channels of a depthwise convolution.

    Returns:
        ``tile(a, row, segment, segments, b, b_step, steps, c, c_row, rows)``: address of a, bytes
        from row to row and from segment to segment, segments, address of b, bytes from step to
        step, steps a segment, address of the result, bytes from row to row, rows to store. With
        finish also the addresses of int32 bias, multiplier and shift (at most -1) a column, then
        zero point, low and high.
    """

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        write_tile(builder, shape, lanes, lowering, given, finish=finish, b_unsigned=b_unsigned,
                   is_channels=is_channels)  # fmt: skip
        return context.get_dummy_value()

    word = types.int64
    if finish:

        @intrinsic
        def tile(  # type: ignore[no-untyped-def]
            typing, a, row, segment, segments, b, b_step, steps, c, c_row, rows, bias, multiplier,
            shift, zero, low, high,
        ):  # fmt: skip
            return types.void(*[word] * 16), code
    else:

        @intrinsic
        def tile(  # type: ignore[no-untyped-def]
            typing, a, row, segment, segments, b, b_step, steps, c, c_row, rows
        ):  # fmt: skip
            return types.void(*[word] * 10), code

    return tile
