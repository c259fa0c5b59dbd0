# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Updates of the backend "numba" on OCTETS int8 weights at a time, as LLVM IR.

Signs are bits in memory, the lowest first: 0 is 1, 1 is -1. All read and write whole vectors.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from edgetrain.kernels.cpu_numba_writer import I8, I16, I32, I64, Vectors

OCTETS = 64
"""Weights in a vector of int8; what a target has less is split."""
NARROW = ir.VectorType(I8, OCTETS)
MASK = ir.VectorType(ir.IntType(1), OCTETS)


def _writer(builder):
    return Vectors(builder, OCTETS)


def _spread(writer, scalar, kind):
    """Copy a whole number to all lanes."""
    return writer.spread(writer.builder.trunc(scalar, kind))


def saturating(builder, name, a, b):
    """Add or subtract ("sadd", "ssub") vectors of int8, clipped to int8."""
    kind = ir.FunctionType(a.type, [a.type, a.type])
    name = f"llvm.{name}.sat.v{a.type.count}i8"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b])


def _signs(writer, address):
    """Load the bits of signs as a mask: where they are -1."""
    return writer.builder.bitcast(writer.load(address, I64), MASK)


def as_weights(writer, value):
    """Return int8 weights: -127 for -128."""
    least = writer.splat(-127, I8)
    return writer.builder.select(writer.builder.icmp_signed("<", value, least), least, value)


@intrinsic
def perturb_octets(typing, signs, size, more, w, out):
    """Move weights by ``size + more`` along signs, both in [-127, 127] and not opposed, clipped.

    Arguments are the address of the signs, both sizes, and the addresses of the weights and of
    the new ones.
    """

    def code(context, builder, signature, given):
        signs, size, more, w, out = given
        writer = _writer(builder)
        negative, value = _signs(writer, signs), writer.load(w, NARROW)
        for step in (size, more):
            plus, minus = (_spread(writer, v, I8) for v in (step, builder.neg(step)))
            value = saturating(builder, "sadd", value, builder.select(negative, minus, plus))
        writer.store(as_weights(writer, value), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), code


@intrinsic
def step_along_signs(typing, signs, octets, plus, plus_most, minus, minus_most, w, out):
    """Step weights by one number where the sign is 1 and another where it is -1.

    A step is one larger where its random octet is larger than a bound. Arguments are the address
    of the signs, that of the octets, the step for 1 in [-128, 126] and its bound in [0, 255], the
    same for -1, and the addresses of the weights and of the new ones.
    """

    def code(context, builder, signature, given):
        signs, octets, plus, plus_most, minus, minus_most, w, out = given
        writer = _writer(builder)
        negative = _signs(writer, signs)
        step, most = (
            builder.select(negative, _spread(writer, b, I8), _spread(writer, a, I8))
            for a, b in ((plus, minus), (plus_most, minus_most))
        )
        is_more = builder.icmp_unsigned(">", writer.load(octets, NARROW), most)
        step = builder.select(is_more, builder.add(step, writer.splat(1, I8)), step)
        new = saturating(builder, "ssub", writer.load(w, NARROW), step)
        writer.store(as_weights(writer, new), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 8), code


@intrinsic
def step_octets(typing, acc, high, low, bits, octets, w, out):
    """Step weights: `edgetrain.fixed.update_int8` where no step saturates.

    The multiplier is ``high * 2**bits + low``; products with both parts fit in int32. Arguments
    are the address of int32 sums, the parts and bits, at most 23, then the addresses of random
    octets, weights and new ones.
    """

    def code(context, builder, signature, given):
        acc, high, low, bits, octets, w, out = given
        writer = _writer(builder)
        sums, (highs, lows) = (
            writer.load(acc, writer.vector),
            (_spread(writer, v, I32) for v in (high, low)),
        )
        by = _spread(writer, bits, I32)
        product = builder.add(
            builder.mul(sums, highs), builder.ashr(builder.mul(sums, lows), by)
        )  # acc * multiplier / 2**bits, rounded down
        half = _spread(writer, builder.shl(I64(1), builder.sub(I64(23), bits)), I32)
        rest = _spread(writer, builder.sub(I64(24), bits), I32)
        shorts = ir.VectorType(I16, OCTETS)
        fine = builder.trunc(builder.ashr(builder.add(product, half), rest), shorts)
        drawn = builder.zext(writer.load(octets, NARROW), shorts)
        steps = builder.ashr(builder.add(fine, drawn), writer.splat(8, I16))
        step = builder.trunc(steps, NARROW)
        new = saturating(builder, "ssub", writer.load(w, NARROW), step)
        writer.store(as_weights(writer, new), out)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 7), code
