# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Blocks of LANES rows turned into columns, as LLVM IR: how weights and gradients are laid out."""

from functools import reduce

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from edgetrain.kernels.cpu_numba_octets import as_weights, saturating
from edgetrain.kernels.cpu_numba_target import Shape, current
from edgetrain.kernels.cpu_numba_tile import STEPS, Writer
from edgetrain.kernels.cpu_numba_writer import I8, I16, I32, I64, Vectors

LANES, LOWERING = current().lanes, current().lowering
STEP_TYPE = {4: I32, 2: I16}[STEPS[LOWERING]]
"""What holds the numbers of one step of packed weights."""
CHAINS = 4
"""Sums that grow side by side, so that none waits for the one before."""


@intrinsic
def turn_block(typing, source, row, count, have, last, target, column, totals):
    """Turn rows of steps of weights into columns, LANES of each, and add the weights of each row.

    Arguments are the address of the first row, bytes from row to row, how many rows and how many
    steps exist, what is kept of the last step, the address of the first column, bytes from column
    to column, and the address of LANES sums. Columns without a step are not stored.
    """

    def code(context, builder, signature, given):
        source, row, count, have, last, target, column, totals = given
        writer = Writer(builder, Shape(1, 1), LANES, LOWERING)
        kind = ir.VectorType(STEP_TYPE, LANES)
        rows = [writer.load(at, kind) for at in _existing(builder, source, row, count)]
        _turn_steps(writer, rows, have, last, target, column, totals)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), code


@intrinsic
def turn_moved(typing, source, row, count, have, last, signs, line, size, target, column, totals):
    """Turn rows as `turn_block` does, with their weights moved by a size along their signs.

    Arguments are those of `turn_block`, and before the target the address of the signs of the
    first row, bits that are 0 for 1 and 1 for -1, bytes from row to row of signs, and the size in
    [-127, 127].
    """

    def code(context, builder, signature, given):
        source, row, count, have, last, signs, line, size, target, column, totals = given
        writer = Writer(builder, Shape(1, 1), LANES, LOWERING)
        octets, kind = Vectors(builder, LANES * STEPS[LOWERING]), ir.VectorType(STEP_TYPE, LANES)
        weights, bits = (ir.VectorType(ir.IntType(width), octets.lanes) for width in (8, 1))
        plus, minus = (octets.spread(builder.trunc(v, I8)) for v in (size, builder.neg(size)))
        rows = []
        for at, drawn in zip(
            *(_existing(builder, *own, count) for own in ((source, row), (signs, line))),
            strict=True,
        ):
            is_minus = builder.bitcast(octets.load(drawn, ir.IntType(octets.lanes)), bits)
            step = builder.select(is_minus, minus, plus)
            moved = saturating(builder, "sadd", octets.load(at, weights), step)
            rows.append(builder.bitcast(as_weights(octets, moved), kind))
        _turn_steps(writer, rows, have, last, target, column, totals)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 11), code


def _existing(builder, first, distance, count):
    """Return the addresses of LANES rows; those of rows that do not exist are the first one's."""
    return [
        builder.select(
            builder.icmp_signed("<", I64(i), count),
            builder.add(first, builder.mul(distance, I64(i))),
            first,
        )
        for i in range(LANES)
    ]


def _turn_steps(writer, rows, have, last, target, column, totals):
    """Turn rows of steps; see `turn_block`."""
    builder, kind = writer.builder, ir.VectorType(STEP_TYPE, LANES)
    lanes = ir.Constant(writer.vector, list(range(LANES)))
    ends = writer.spread(builder.trunc(builder.sub(have, I64(1)), I32))
    inside, at_end = (builder.icmp_signed(op, lanes, ends) for op in ("<", "=="))
    none, every = (ir.Constant(kind, [value] * LANES) for value in (0, -1))
    kept = builder.select(at_end, writer.spread(builder.trunc(last, STEP_TYPE)), none)
    kept = builder.select(inside, every, kept)
    columns = _turned(builder, [builder.and_(row, kept) for row in rows])
    sums = [writer.load(totals, writer.vector), *[writer.splat(0)] * (CHAINS - 1)]
    for i, value in enumerate(columns):
        own = i % CHAINS
        sums[own] = writer.multiply_add(sums[own], writer.ones(), writer.widen(value))
    writer.store(reduce(builder.add, sums), totals)
    for i, value in enumerate(columns):
        with builder.if_then(builder.icmp_signed("<", I64(i), have)):
            writer.store(value, builder.add(target, builder.mul(column, I64(i))))


@intrinsic
def turn_ints(typing, source, row, count, target, column, stored):
    """Turn rows of LANES int32 numbers into columns.

    Arguments are the address of the first row, bytes from row to row, how many rows exist, the
    address of the first column, bytes from column to column, and how many numbers of a column are
    stored.
    """

    def code(context, builder, signature, given):
        source, row, count, target, column, stored = given
        writer = Vectors(builder, LANES)
        lanes = ir.Constant(writer.vector, list(range(LANES)))
        kept = builder.icmp_signed("<", lanes, writer.spread(builder.trunc(stored, I32)))
        rows = [writer.load(at, writer.vector) for at in _existing(builder, source, row, count)]
        for i, value in enumerate(_turned(builder, rows)):
            writer.store_some(value, builder.add(target, builder.mul(column, I64(i))), kept)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 6), code


def _turned(builder, rows):
    """Turn LANES rows of LANES numbers into columns: quads of 4 lanes first, then whole quads.

    Processors join the halves of quads of two vectors faster than any other lanes.
    """
    for distance in (1, 2):
        for i in range(LANES):
            if not i & distance:
                a, b = rows[i], rows[i | distance]
                rows[i], rows[i | distance] = (
                    _shuffle(builder, a, b, _joined_halves(start, distance)) for start in (0, 2)
                )
    columns = [None] * LANES
    for c, first in enumerate((0, 2, 1, 3)):
        columns[c::4] = _deal(builder, rows[first::4])
    return columns


def _joined_halves(start, count):
    """Lanes of every quad from start on, so many of a and of b in turn."""
    return [
        quad + start + lane + other
        for quad in range(0, LANES, 4)
        for pair in range(0, 2, count)
        for other in (0, LANES)
        for lane in range(pair, pair + count)
    ]


def _deal(builder, vectors):
    """Return vectors of the first quad of each, of the second quad of each, and so on."""
    if len(vectors) == 1:
        return vectors
    found = [None] * len(vectors)
    for odd in (0, 1):
        lanes = [q + i for q in range(4 * odd, 2 * LANES, 8) for i in range(4)]
        pairs = zip(vectors[::2], vectors[1::2], strict=True)
        found[odd::2] = _deal(builder, [_shuffle(builder, a, b, lanes) for a, b in pairs])
    return found


def _shuffle(builder, a, b, lanes):
    """Take lanes of two vectors, those of b behind those of a."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, LANES), lanes))
