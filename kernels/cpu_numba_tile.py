"""The micro-kernel of the backend "numba": a register tile of integer dot products, as LLVM IR.

    c[m, n] = sum over segments and k of a[m, k] * b[k, n]

A row of ``a`` is a few segments of adjacent numbers, so one kernel serves a dense layer (one
segment), a convolution that reads its padded image in place (a segment a kernel row) and weight
gradients. ``b`` is packed as [step][column][k within a step]. Row m may lie behind the last one:
what it computes is not stored, but the memory must be there.

With the lowering ``each`` a step multiplies a vector of a by a vector of b, lane by lane: a
depthwise convolution, whose lanes are channels and whose rows are pixels.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from edgetrain.kernels.cpu_numba_target import Shape

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
STEPS = {"vnni8": 4, "sdot8": 4, "pair8": 2, "each": 1}
"""Products that one step adds to a lane."""
VECTOR_OF_OCTETS = ("vnni8", "sdot8")
VNNI = {16: "llvm.x86.avx512.vpdpbusd.512", 8: "llvm.x86.avx512.vpdpbusd.256"}


class Writer:
    """Writes one tile; its methods need a builder that stands where their code belongs."""

    def __init__(
        self, builder: ir.IRBuilder, shape: Shape, lanes: int, lowering: str, b_unsigned: bool
    ) -> None:
        self.builder, self.shape, self.lanes, self.lowering = builder, shape, lanes, lowering
        self.b_unsigned = b_unsigned
        self.vector = ir.VectorType(I32, lanes)

    def splat(self, value: int, kind: ir.Type = I32) -> ir.Constant:
        """Return a vector of one number."""
        return ir.Constant(ir.VectorType(kind, self.lanes), [value] * self.lanes)

    def spread(self, scalar: ir.Value) -> ir.Value:
        """Copy a scalar to every lane."""
        kind = ir.VectorType(scalar.type, self.lanes)
        first = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, I32(0))
        undefined = ir.Constant(kind, ir.Undefined)
        return self.builder.shuffle_vector(first, undefined, self.splat(0))

    def load(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        """Load from any address."""
        found = self.builder.load(self.builder.inttoptr(address, ir.PointerType(kind)))
        found.align = 1
        return found

    def store(self, value: ir.Value, address: ir.Value) -> None:
        """Store to any address."""
        pointer = self.builder.inttoptr(address, ir.PointerType(value.type))
        self.builder.store(value, pointer).align = 1

    def load_b(self, address: ir.Value) -> ir.Value:
        """Load one vector of columns of b; what is not multiplied as int8 is widened."""
        if self.lowering in VECTOR_OF_OCTETS:
            return self.load(address, self.vector)
        count = STEPS[self.lowering] * self.lanes
        return self.builder.sext(
            self.load(address, ir.VectorType(I8, count)), ir.VectorType(I32, count)
        )

    def load_a(self, address: ir.Value) -> ir.Value:
        """Load one step of a row and copy it to every lane, or a vector of channels."""
        if self.lowering == "each":
            return self.builder.sext(
                self.load(address, ir.VectorType(I16, self.lanes)), self.vector
            )
        spread = self.spread(self.load(address, I32))
        if self.lowering != "pair8":
            return spread
        pairs = self.builder.bitcast(spread, ir.VectorType(I16, 2 * self.lanes))
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
             b: ir.Value, b_step: ir.Value, steps: ir.Value) -> list[list[ir.Value]]:  # fmt: skip
        """Write both loops; return the sums, a list a row."""
        builder, (rows, vectors) = self.builder, self.shape
        b_bytes = self.lanes * STEPS[self.lowering]
        a_step = builder.mul(b_step, I64(2)) if self.lowering == "each" else I64(4)
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
        new = []
        for m in range(rows):
            left = self.load_a(builder.add(at_a, builder.mul(row, I64(m))))
            new.append([self.multiply_add(acc[m][n], left, columns[n]) for n in range(vectors)])
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
                totals[m][n].add_incoming(ir.Constant(self.vector, [0] * self.lanes), before)
                totals[m][n].add_incoming(new[m][n], after)
                acc[m][n].add_incoming(totals[m][n], outer)
                acc[m][n].add_incoming(new[m][n], inner)
        builder.cbranch(builder.icmp_signed("<", number, segments), outer, done)
        builder.position_at_end(done)
        return new

    def store_rows(self, values: list[list[ir.Value]], c: ir.Value, row: ir.Value, rows: ir.Value,
                   size: int) -> None:  # fmt: skip
        """Store the rows that exist; a number has size bytes."""
        for m, line in enumerate(values):
            with self.builder.if_then(self.builder.icmp_signed("<", I64(m), rows)):
                start = self.builder.add(c, self.builder.mul(row, I64(m)))
                for n, value in enumerate(line):
                    self.store(value, self.builder.add(start, I64(n * size * self.lanes)))

    def requantize(
        self, values: list[list[ir.Value]], bias: ir.Value, multiplier: ir.Value, shift: ir.Value,
        zero: ir.Value, low: ir.Value, high: ir.Value,
    ) -> None:  # fmt: skip
        """Replace sums by their int8 results: `edgetrain.fixed.requantize` of sum plus bias.

        The second rounding works in int32: ``(h - (h < 0)) >> (right - 1)``, plus one, halved.
        """
        builder = self.builder
        narrow = ir.VectorType(I8, self.lanes)
        limits = (builder.sub(v, zero) for v in (low, high))  # what is clipped has no zero point
        zero, low, high = (self.spread(builder.trunc(v, I32)) for v in (zero, *limits))
        for n in range(self.shape.vectors):
            biases, multipliers, shifts = (
                self.load(builder.add(base, I64(4 * n * self.lanes)), self.vector)
                for base in (bias, multiplier, shift)
            )
            is_right = builder.icmp_signed("<", shifts, self.splat(0))
            left = builder.select(is_right, self.splat(0), shifts)
            right = builder.select(is_right, builder.not_(shifts), self.splat(0))
            factors = self.halves(multipliers)
            for line in values:
                acc = builder.shl(builder.add(line[n], biases), left)
                first = self.rounded_product(self.halves(acc), factors)
                moved = builder.add(first, builder.ashr(first, self.splat(31)))
                half = builder.add(builder.ashr(moved, right), self.splat(1))
                rounded = builder.ashr(half, self.splat(1))
                result = builder.select(is_right, rounded, first)
                result = builder.select(builder.icmp_signed("<", result, low), low, result)
                result = builder.select(builder.icmp_signed(">", result, high), high, result)
                line[n] = builder.trunc(builder.add(result, zero), narrow)

    def halves(self, value: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Return the even and the odd int32 lanes as int64."""
        builder = self.builder
        half = self.lanes // 2
        pairs = builder.bitcast(value, ir.VectorType(I64, half))
        by = ir.Constant(pairs.type, [32] * half)
        return builder.ashr(builder.shl(pairs, by), by), builder.ashr(pairs, by)

    def rounded_product(
        self, a: tuple[ir.Value, ir.Value], b: tuple[ir.Value, ir.Value]
    ) -> ir.Value:
        """Return ``(a * b + 2**30) >> 31`` as int32 lanes, a and b from `halves`."""
        builder, half = self.builder, self.lanes // 2
        even, odd = (
            builder.add(builder.mul(x, y), ir.Constant(x.type, [1 << 30] * half))
            for x, y in zip(a, b, strict=True)
        )
        even = builder.lshr(even, ir.Constant(even.type, [31] * half))
        return self.join(even, builder.shl(odd, ir.Constant(odd.type, [1] * half)))

    def join(self, even: ir.Value, odd: ir.Value) -> ir.Value:
        """Return the low halves of the even lanes and the high halves of the odd ones."""
        take = [i + self.lanes * (i % 2) for i in range(self.lanes)]
        lanes = (self.builder.bitcast(v, self.vector) for v in (even, odd))
        return self.builder.shuffle_vector(*lanes, ir.Constant(self.vector, take))

    def largest(self, value: ir.Value) -> ir.Value:
        """Return the largest lane, none of which is negative."""
        builder, lanes = self.builder, self.lanes
        while lanes > 1:
            lanes //= 2
            kind = ir.VectorType(I32, lanes)
            halves = (
                builder.shuffle_vector(
                    value, ir.Constant(value.type, ir.Undefined),
                    ir.Constant(kind, list(range(start, start + lanes))),
                )
                for start in (0, lanes)
            )  # fmt: skip
            a, b = halves
            value = builder.select(builder.icmp_signed(">", a, b), a, b)
        return builder.extract_element(value, I32(0))


def write_tile(
    builder: ir.IRBuilder, shape: Shape, lanes: int, lowering: str, given: Sequence[ir.Value], *,
    finish: bool = False, b_unsigned: bool = False,
) -> None:  # fmt: skip
    """Write a tile where a builder stands; see `make_tile`, given are the arguments."""
    a, row, segment, segments, b, b_step, steps, c, c_row, rows, *scales = given
    writer = Writer(builder, shape, lanes, lowering, b_unsigned)
    values = writer.sums(a, row, segment, segments, b, b_step, steps)
    if finish:
        writer.requantize(values, *scales)
    writer.store_rows(values, c, c_row, rows, 1 if finish else 4)


def make_tile(
    shape: Shape, lanes: int, lowering: str, *, finish: bool = False, b_unsigned: bool = False
) -> Callable[..., Any]:
    """Return a tile as a function for compiled code; all its arguments are whole numbers.

    Args:
        shape: rows, and vectors of columns.
        lanes: int32 numbers in a vector.
        lowering: a key of STEPS.
        finish: whether to requantize sums to int8 rather than store them as int32.
        b_unsigned: with ``vnni8``, whether b is uint8 and a int8 rather than the reverse.

    Returns:
        ``tile(a, row, segment, segments, b, b_step, steps, c, c_row, rows)``: address of a, bytes
        from row to row and from segment to segment, segments, address of b, bytes from step to
        step, steps a segment, address of the result, bytes from row to row, rows to store. With
        finish also the addresses of int32 bias, multiplier and shift a column, then zero point,
        low and high.
    """

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        write_tile(builder, shape, lanes, lowering, given, finish=finish, b_unsigned=b_unsigned)
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
