# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Whole vectors of the backend "numba" as LLVM IR: what LLVM does not find in a loop by itself."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from edgetrain.kernels.cpu_numba_target import current
from edgetrain.kernels.cpu_numba_tile import STEPS
from edgetrain.kernels.cpu_numba_writer import I8, I16, I32, I64, Vectors

LANES = current().lanes
STEP_TYPE = {4: I32, 2: I16}[STEPS[current().lowering]]
"""What holds the numbers of one step of packed weights."""


@intrinsic
def step_vector(typing, acc, scale, octets, w, out):
    """Step LANES int8 weights: `edgetrain.fixed.update_int8`; return how many saturated.

    Arguments are addresses of int32 sums, int32 multipliers, random octets, int8 weights and
    the new ones.
    """

    def code(context, builder, signature, given):
        acc, scale, octets, w, out = given
        writer = Vectors(builder, LANES)
        narrow, count = ir.VectorType(I8, LANES), LANES // 2
        drawn = builder.zext(writer.load(octets, narrow), writer.vector)
        fraction = builder.add(builder.shl(drawn, writer.splat(24)), writer.splat(1 << 23))
        pairs = builder.bitcast(fraction, ir.VectorType(I64, count))
        by = ir.Constant(pairs.type, [32] * count)
        low_half = ir.Constant(pairs.type, [2**32 - 1] * count)
        fractions = builder.and_(pairs, low_half), builder.lshr(pairs, by)
        numbers = (writer.halves(writer.load(a, writer.vector)) for a in (acc, scale))
        even, odd = (
            builder.add(builder.mul(a, b), f) for a, b, f in zip(*numbers, fractions, strict=True)
        )
        steps = writer.join(builder.lshr(even, by), odd)
        clipped = writer.clip(steps, writer.splat(-128), writer.splat(127))
        lost = builder.icmp_signed("!=", steps, clipped)
        before = builder.sext(writer.load(w, narrow), writer.vector)
        after = writer.clip(builder.sub(before, clipped), writer.splat(-127), writer.splat(127))
        writer.store(builder.trunc(after, narrow), out)
        bits = builder.bitcast(lost, ir.IntType(LANES))
        return builder.zext(builder.ctpop(bits), I64)

    return types.int64(*[types.int64] * 5), code


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


@intrinsic
def turn_block(typing, source, row, target, column):
    """Turn LANES rows of LANES steps of weights into columns.

    Arguments are the address of the first row and bytes from row to row, then the address of the
    first column and bytes from column to column.
    """

    def code(context, builder, signature, given):
        source, row, target, column = given
        writer = Vectors(builder, LANES)
        kind = ir.VectorType(STEP_TYPE, LANES)
        rows = [
            writer.load(builder.add(source, builder.mul(row, I64(i))), kind) for i in range(LANES)
        ]
        distance = LANES // 2
        while distance:
            for i in range(LANES):
                if not i & distance:
                    a, b = rows[i], rows[i | distance]
                    rows[i] = _shuffle(builder, a, b, distance, 0)
                    rows[i | distance] = _shuffle(builder, a, b, distance, distance)
            distance //= 2
        for i, value in enumerate(rows):
            writer.store(value, builder.add(target, builder.mul(column, I64(i))))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), code


def _shuffle(builder, a, b, distance, start):
    """Exchange blocks of lanes: those of b behind those of a, both from start on."""
    lanes = [e - (e & distance) + start + (LANES if e & distance else 0) for e in range(LANES)]
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, LANES), lanes))


SIGNS = 32
"""Signs in a word."""


def _signed(builder, bits, value):
    """Spread a number over SIGNS lanes, negated where the bit of a word is set."""
    kind = ir.VectorType(value.type, SIGNS)
    undefined = ir.Constant(kind, ir.Undefined)
    zeros = ir.Constant(ir.VectorType(I32, SIGNS), [0] * SIGNS)
    plus, minus = (
        builder.shuffle_vector(builder.insert_element(undefined, v, I32(0)), undefined, zeros)
        for v in (value, builder.neg(value))
    )
    mask = builder.bitcast(builder.trunc(bits, I32), ir.VectorType(ir.IntType(1), SIGNS))
    return builder.select(mask, minus, plus)


@intrinsic
def perturb_vector(typing, bits, size, w, out):
    """Move SIGNS int8 weights by a size, at most 2**14, along the signs of a word, to [-127, 127].

    Arguments are the word, the size, and the addresses of the weights and of the new ones.
    """

    def code(context, builder, signature, given):
        bits, size, w, out = given
        writer = Vectors(builder, LANES)
        moves = _signed(builder, bits, builder.trunc(size, I16))
        narrow = ir.VectorType(I8, SIGNS)
        moved = builder.add(builder.sext(writer.load(w, narrow), moves.type), moves)
        limits = (ir.Constant(moves.type, [v] * SIGNS) for v in (-127, 127))
        writer.store(builder.trunc(writer.clip(moved, *limits), narrow), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), code


@intrinsic
def sign_vector(typing, bits, slope, adds, out):
    """Write a slope along the signs of a word to SIGNS int32 numbers, or add it to them.

    Arguments are the word, the slope, whether to add, and the address of the numbers.
    """

    def code(context, builder, signature, given):
        bits, slope, adds, out = given
        writer = Vectors(builder, LANES)
        signed = _signed(builder, bits, builder.trunc(slope, I32))
        before = writer.load(out, signed.type)
        kept = builder.select(
            builder.icmp_signed("!=", adds, I64(0)), before, ir.Constant(signed.type, [0] * SIGNS)
        )
        writer.store(builder.add(kept, signed), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), code
