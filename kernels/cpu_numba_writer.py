"""Vectors of int32 lanes as LLVM IR: what the kernels of the backend "numba" write theirs with.

Products of int32 numbers are taken for even and odd lanes apart, which is what processors have.
"""

from llvmlite import ir
from numba.core import cgutils

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


class Vectors:
    """Writes operations on vectors; a builder stands where their code belongs."""

    def __init__(self, builder: ir.IRBuilder, lanes: int) -> None:
        self.builder, self.lanes = builder, lanes
        self.vector = ir.VectorType(I32, lanes)
        self.is_mixed = False

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

    def columns(self, address: ir.Value, count: int) -> list[ir.Value]:
        """Load vectors of int32 numbers, a number a column."""
        size = 4 * self.lanes
        found = [
            self.load(self.builder.add(address, I64(n * size)), self.vector) for n in range(count)
        ]
        return self.mixed(found) if self.is_mixed else found

    def mixed(self, vectors: list[ir.Value]) -> list[ir.Value]:
        """Exchange blocks of 4 lanes of 4 vectors: what unpacking octets to lanes does to them.

        Packing lanes to octets does the reverse.
        """
        builder, whole, found = self.builder, ir.Constant(self.vector, list(range(16))), []
        for q in range(4):
            blocks = [4 * q + k % 4 + 16 * (k // 4) for k in range(8)]
            order = ir.Constant(ir.VectorType(I32, 8), blocks)
            low, high = (builder.shuffle_vector(*vectors[i : i + 2], order) for i in (0, 2))
            found.append(builder.shuffle_vector(low, high, whole))
        return found

    def store(self, value: ir.Value, address: ir.Value) -> None:
        """Store to any address."""
        pointer = self.builder.inttoptr(address, ir.PointerType(value.type))
        self.builder.store(value, pointer).align = 1

    def store_some(self, value: ir.Value, address: ir.Value, kept: ir.Value) -> None:
        """Store int32 lanes where kept is true."""
        pointer = self.builder.inttoptr(address, ir.PointerType(value.type))
        kind = ir.FunctionType(ir.VoidType(), [value.type, pointer.type, I32, kept.type])
        name = f"llvm.masked.store.v{self.lanes}i32.p0"
        store = cgutils.get_or_insert_function(self.builder.module, kind, name)
        self.builder.call(store, [value, pointer, I32(4), kept])

    def clip(self, value: ir.Value, low: ir.Value, high: ir.Value) -> ir.Value:
        """Keep lanes within limits."""
        builder = self.builder
        value = builder.select(builder.icmp_signed("<", value, low), low, value)
        return builder.select(builder.icmp_signed(">", value, high), high, value)

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
