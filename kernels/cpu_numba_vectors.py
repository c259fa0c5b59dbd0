# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Whole vectors of the backend "numba" as LLVM IR: what LLVM does not find in a loop by itself."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from edgetrain.kernels.cpu_numba_target import current
from edgetrain.kernels.cpu_numba_writer import I8, I16, I32, I64, Vectors

LANES = current().lanes


@intrinsic
def scale_vectors(typing, acc, multiplier, right, out, count):
    """Scale vectors of int32 errors by one factor to [-127, 127]; return their largest magnitude.

    Arguments are the address of the errors, the multiplier, one less than the bits to shift right
    (-1 for none), the address of the int8 results, and how many vectors, at least 1.
    """

    def code(context, builder, signature, given):
        acc, multiplier, right, out, count = given
        writer = Vectors(builder, LANES)
        factor, bits = (writer.spread(builder.trunc(v, I32)) for v in (multiplier, right))
        is_right = builder.icmp_signed(">=", bits, writer.splat(0))
        bits = writer.clip(bits, writer.splat(0), writer.splat(31))
        factors, before = writer.halves(factor), builder.block
        loop, done = (builder.append_basic_block(name) for name in ("vector", "done"))
        builder.branch(loop)
        builder.position_at_end(loop)
        i, peak = builder.phi(I64), builder.phi(writer.vector)
        i.add_incoming(I64(0), before)
        peak.add_incoming(writer.splat(0), before)
        at = builder.add(acc, builder.mul(i, I64(4 * LANES)))
        first = writer.rounded_product(writer.halves(writer.load(at, writer.vector)), factors)
        moved = builder.add(first, builder.ashr(first, writer.splat(31)))
        half = builder.add(builder.ashr(moved, bits), writer.splat(1))
        scaled = builder.select(is_right, builder.ashr(half, writer.splat(1)), first)
        is_negative = builder.icmp_signed("<", scaled, writer.splat(0))
        size = builder.select(is_negative, builder.neg(scaled), scaled)
        most = builder.select(builder.icmp_signed(">", size, peak), size, peak)
        clipped = writer.clip(scaled, writer.splat(-127), writer.splat(127))
        narrow = builder.trunc(clipped, ir.VectorType(I8, LANES))
        writer.store(narrow, builder.add(out, builder.mul(i, I64(LANES))))
        following = builder.add(i, I64(1))
        i.add_incoming(following, loop)
        peak.add_incoming(most, loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, done)
        builder.position_at_end(done)
        return builder.zext(writer.largest(most), I64)

    return types.int64(*[types.int64] * 5), code


@intrinsic
def add_vector(typing, a, a_zero, a_multiplier, a_shift, b, b_zero, b_multiplier, b_shift, bits,
               zero, multiplier, shift, low, high, out):  # fmt: skip
    """Add LANES int8 numbers of different scales: `edgetrain.fixed.add`.

    Arguments are the address of numbers, their zero point, multiplier and shift, twice; bits that
    both are shifted left first; zero point, multiplier and shift of the result, its limits and
    its address.
    """

    def code(context, builder, signature, given):
        writer = Vectors(builder, LANES)
        *inputs, bits, zero, multiplier, shift, low, high, out = given
        narrow = ir.VectorType(I8, LANES)

        def spread(value):
            return writer.spread(builder.trunc(value, I32))

        def rescaled(value, multiplier, shift):
            shift, none = spread(shift), writer.splat(0)
            is_right = builder.icmp_signed("<", shift, none)
            left = builder.select(is_right, none, shift)
            right = builder.select(is_right, builder.not_(shift), none)
            factors = writer.halves(spread(multiplier))
            first = writer.rounded_product(writer.halves(builder.shl(value, left)), factors)
            moved = builder.add(first, builder.ashr(first, writer.splat(31)))
            half = builder.add(builder.ashr(moved, right), writer.splat(1))
            return builder.select(is_right, builder.ashr(half, writer.splat(1)), first)

        parts = []
        for address, own_zero, own_multiplier, own_shift in (inputs[:4], inputs[4:]):
            octets = builder.sext(writer.load(address, narrow), writer.vector)
            centred = builder.shl(builder.sub(octets, spread(own_zero)), spread(bits))
            parts.append(rescaled(centred, own_multiplier, own_shift))
        total = builder.add(rescaled(builder.add(*parts), multiplier, shift), spread(zero))
        writer.store(builder.trunc(writer.clip(total, spread(low), spread(high)), narrow), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 15), code


@intrinsic
def weigh_vector(typing, e, ratio, out):
    """Multiply LANES int8 errors by int16 ratios; all three are addresses."""

    def code(context, builder, signature, given):
        e, ratio, out = given
        writer = Vectors(builder, LANES)
        wide = ir.VectorType(I16, LANES)
        errors = builder.sext(writer.load(e, ir.VectorType(I8, LANES)), wide)
        writer.store(builder.mul(errors, writer.load(ratio, wide)), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), code


@intrinsic
def centre_vector(typing, x, zero, out):
    """Take a zero point off LANES int8 numbers, to int16; x and out are addresses."""

    def code(context, builder, signature, given):
        x, zero, out = given
        writer = Vectors(builder, LANES)
        wide = ir.VectorType(I16, LANES)
        numbers = builder.sext(writer.load(x, ir.VectorType(I8, LANES)), wide)
        writer.store(builder.sub(numbers, writer.spread(builder.trunc(zero, I16))), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), code


@intrinsic
def join_vector(typing, first, second, third, fourth, mask, flip, out):
    """Lay LANES numbers of four rows side by side: number t of every row in one word.

    Arguments are the addresses of the rows, what is kept of a word and then flipped, and the
    address of the words.
    """

    def code(context, builder, signature, given):
        *rows, mask, flip, out = given
        writer = Vectors(builder, LANES)
        word = writer.splat(0)
        for place, row in enumerate(rows):
            octets = writer.load(row, ir.VectorType(I8, LANES))
            wide = builder.zext(octets, writer.vector)
            word = builder.or_(word, builder.shl(wide, writer.splat(8 * place)))
        mask, flip = (writer.spread(builder.trunc(v, I32)) for v in (mask, flip))
        writer.store(builder.xor(builder.and_(word, mask), flip), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), code
