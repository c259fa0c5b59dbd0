"""Pixels that follow each other, side by side in the lanes of their channels, as LLVM IR."""

from llvmlite import ir

from edgetrain.kernels.cpu_numba_writer import I8, I32, I64, Vectors


def joined(writer: Vectors, address: ir.Value, distance: ir.Value, step: int) -> ir.Value:
    """Load the same channels of a few pixels, and join them in each lane.

    Args:
        writer: writes vectors.
        address: of the first pixel's first channel, as many bits wide as a lane has for each.
        distance: bytes from pixel to pixel.
        step: pixels, 2 or 4.
    """
    kind = ir.VectorType(ir.IntType(32 // step), writer.lanes)
    pixels = _pixels(writer, address, distance, kind, step)
    while len(pixels) > 1:  # first ones beside second ones, and these pairs beside each other
        pixels = [_beside(writer, *pixels[q : q + 2]) for q in range(0, len(pixels), 2)]
    return pixels[0]


def unpacked(writer: Vectors, address: ir.Value, distance: ir.Value) -> list[ir.Value]:
    """Join 64 channels of four pixels of octets, in the order of `Vectors.mixed`."""
    first, second, third, fourth = _pixels(writer, address, distance, ir.VectorType(I8, 64), 4)
    return [
        writer.builder.bitcast(
            _unpack(
                writer,
                _unpack(writer, first, second, part),
                _unpack(writer, third, fourth, part),
                half,
            ),
            writer.vector,
        )
        for part in (0, 1)
        for half in (0, 1)
    ]


def _pixels(
    writer: Vectors, address: ir.Value, distance: ir.Value, kind: ir.Type, count: int
) -> list[ir.Value]:
    builder = writer.builder
    return [
        writer.load(builder.add(address, builder.mul(distance, I64(q))), kind) for q in range(count)
    ]


def _beside(writer: Vectors, a: ir.Value, b: ir.Value) -> ir.Value:
    """Join each lane of a with that of b to a lane twice as wide."""
    count, width = a.type.count, a.type.element.width
    order = [k // 2 + count * (k % 2) for k in range(2 * count)]
    both = ir.Constant(ir.VectorType(I32, 2 * count), order)
    mixed = writer.builder.shuffle_vector(a, b, both)
    return writer.builder.bitcast(mixed, ir.VectorType(ir.IntType(2 * width), count))


def _unpack(writer: Vectors, a: ir.Value, b: ir.Value, part: int) -> ir.Value:
    """Join the low (0) or the high (1) halves of blocks of 16 octets to lanes twice as wide.

    The result is hidden from LLVM, which would make slower shuffles of several of these.
    """
    builder, count = writer.builder, a.type.count
    block = count // 4
    order = [
        k // block * block + part * block // 2 + k % block // 2 + count * (k % 2)
        for k in range(count)
    ]
    mixed = builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, count), order))
    kind = ir.VectorType(ir.IntType(2 * a.type.element.width), count // 2)
    hidden = ir.InlineAsm(ir.FunctionType(kind, [kind]), "", "=v,0", side_effect=False)
    return builder.call(hidden, [builder.bitcast(mixed, kind)])
