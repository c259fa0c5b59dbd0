"""How much room the instructions of a machine need beside their operands, in numbers.

All take the sizes of a layer, GEOMETRY in `edgetrain.arithmetic.instructions`. Kernels work in
whole tiles: rows and columns that do not exist are read, as far as `behind` says, and not stored.
"""

from collections.abc import Sequence

Sizes = Sequence[int]
ROWS, COLUMNS, STEP = 16, 64, 4
"""The largest tile, and the most products that one step adds."""
VECTORS = 4 * COLUMNS
"""Bytes that may be read behind any array."""
VECTOR = 16
"""The most lanes of a vector of int32."""
TURNED = 48
"""Channels that are turned at a time: whole tiles and vectors of every target."""
SIGNED = 8192
"""Weights that step along signs at a time, where an output has fewer."""
DRAWN = 1024
"""Words of signs that are drawn at a time, where a tile has fewer."""
LINES = 5
"""Lines of an image that errors are sent back to at a time."""
TOGETHER = 24
"""Pixels that errors are sent back to at a time where the kernel has one pixel."""
SLACK = 64
"""Bytes behind an array that kernels write whole vectors to."""


def whole(count: int, size: int) -> int:
    """Return count, filled up to a multiple of size.

    Example:
        >>> whole(10, 4)
        12
    """
    return -(-count // size) * size


def is_joined(sizes: Sizes) -> bool:
    """Whether pixels of all samples are rows of one matrix: a kernel of one pixel."""
    return tuple(sizes[:2]) == tuple(sizes[3:5]) and tuple(sizes[6:10]) == (1, 1, 1, 1)


def is_depthwise(sizes: Sizes, groups: int) -> bool:
    """Whether every channel of a convolution has one filter, its own."""
    return 1 < groups == sizes[2] == sizes[5]


def padded(sizes: Sizes) -> tuple[int, int]:
    """Return lines of a padded image and numbers in a line."""
    height, width, channels, out_h, out_w, _, kh, kw, sh, sw, top, left, _ = sizes
    lines = max(top + height, (out_h - 1) * sh + kh)
    return lines, max(left + width, (out_w - 1) * sw + kw) * channels


def area(sizes: Sizes) -> int:
    """What a layer reads, padded, in the type of the micro-kernel."""
    lines, line = padded(sizes)
    return (sizes[12] if is_joined(sizes) else 1) * lines * line


def centred(sizes: Sizes) -> int:
    """int16: what a depthwise layer reads, padded, a vector of channels at a time."""
    lines, line = padded(sizes)
    return lines * line // sizes[2] * VECTOR


def behind(sizes: Sizes) -> int:
    """Bytes that may be read behind any array of a layer: rows of a tile, and vectors.

    Example:
        >>> behind((25, 5, 64, 25, 5, 64, 1, 1, 1, 1, 0, 0, 1))
        2304
    """
    return 2 * ROWS * max(sizes[9] * whole(sizes[2], VECTOR), sizes[5]) + VECTORS


def columns(count: int) -> int:
    """Columns that are packed of a matrix: whole tiles, or vectors where one tile is too wide.

    Example:
        >>> columns(12), columns(40), columns(65)
        (16, 64, 128)
    """
    return whole(count, VECTOR if count <= COLUMNS // 2 else COLUMNS)


def packed(sizes: Sizes) -> int:
    """int8: weights of a layer."""
    return columns(sizes[5]) * sizes[6] * whole(sizes[7] * sizes[2], STEP)


def packed_channels(sizes: Sizes) -> int:
    """int8: weights of a depthwise layer."""
    return sizes[6] * whole(sizes[7], STEP) * sizes[5]


def packed_back(sizes: Sizes) -> int:
    """int8: weights through which errors flow back."""
    scattered = whole(sizes[7] * sizes[2], COLUMNS) * whole(sizes[5], 2)
    return sizes[6] * max(scattered, whole(sizes[2], COLUMNS) * whole(sizes[7] * sizes[5], 2))


def is_neighbourly(sizes: Sizes) -> bool:
    """Whether errors go back as a convolution with the reversed kernel, without scattering."""
    height, width, _, out_h, out_w, _, kh, kw, sh, sw, top, left, _ = sizes
    small = top < kh and left < kw and out_h <= height + top and out_w <= width + left
    return small and (sh, sw) == (1, 1)


def back(sizes: Sizes) -> int:
    """int8: int16 errors times their channel's ratio, and int32 sums, of lines or a few rows."""
    width, channels, pixels, depth = sizes[1], sizes[2], sizes[4], whole(sizes[5], 2)
    if is_joined(sizes):
        return TOGETHER * (2 * depth + 4 * channels)
    if is_neighbourly(sizes):
        errors = (LINES + sizes[6] - 1) * (width + sizes[7] - 1) * sizes[5]
        return 2 * errors + 4 * LINES * width * channels
    return pixels * max(2 * depth, 4 * channels)


def image(sizes: Sizes) -> int:
    """int32: one padded image of errors; none where nothing is scattered."""
    lines, line = padded(sizes)
    return 1 if is_joined(sizes) or is_neighbourly(sizes) else lines * line


def turned_image(sizes: Sizes) -> int:
    """In that type: TURNED channels of an image one by one, lines by the remainder of their stride.

    Behind them a line of all channels, where it is padded.
    """
    height, width, channels, _, _, _, _, _, _, stride, _, _, samples = sizes
    rows = min(TURNED, channels + ROWS - 1)
    if is_joined(sizes):
        return rows * whole(samples * height * width + 1, STEP)
    lines, numbers = padded(sizes)
    line = stride * whole(-(-numbers // channels // stride) + 1, STEP)
    return rows * lines * line + SLACK + line * channels


def packed_errors(sizes: Sizes) -> int:
    """int8: errors of a layer as its weight gradient reads them."""
    lines, pixels = sizes[3:5]
    if is_joined(sizes):
        lines, pixels = 1, sizes[12] * lines * pixels
    return columns(sizes[5]) * lines * whole(pixels, STEP)


def learning(sizes: Sizes) -> int:
    """int8: gradients and random octets of the outputs that learn at a time."""
    return 5 * ROWS * whole(sizes[6] * sizes[7] * sizes[2], COLUMNS) + 4 * SLACK


def drawn_together(size: int, outputs: int) -> int:
    """Outputs of so many weights whose signs are drawn at a time: whole tiles, one at least.

    Example:
        >>> drawn_together(64, 64), drawn_together(784, 512)
        (64, 32)
    """
    tiles = min(DRAWN // (ROWS * (size // 32 + 1)), -(-outputs // ROWS))
    return ROWS * max(tiles, 1)


def stepped_together(size: int, outputs: int) -> int:
    """Outputs of so many weights that step along signs at a time.

    Example:
        >>> stepped_together(9, 64), stepped_together(784, 512)
        (64, 10)
    """
    return min(max(SIGNED // max(size, 1), 1), outputs)


def _weights(sizes: Sizes) -> int:
    return sizes[6] * sizes[7] * sizes[2]


def signs(sizes: Sizes) -> int:
    """int8: words of signs of the outputs that are perturbed at a time."""
    size = _weights(sizes)
    return 4 * (drawn_together(size, sizes[5]) * (size // 32 + 1) + SLACK)


def perturbed(sizes: Sizes) -> int:
    """int8: these words, and the weights of a tile."""
    return signs(sizes) + ROWS * _weights(sizes) + SLACK


def learning_signs(sizes: Sizes) -> int:
    """int8: rates, signs and octets of outputs that learn at a time, and the gradient of one."""
    size, outputs = _weights(sizes), sizes[5]
    together = stepped_together(size, outputs)
    drawn = 4 * (together * (size // 32 + 1) + SLACK) + together * size + 3 * SLACK
    return 4 * (3 * together + size + SLACK) + drawn


def turned_errors(sizes: Sizes) -> int:
    """In that type, uint8 standing for int8: errors of a dense layer, output by output."""
    return (sizes[5] + ROWS) * whole(sizes[12], STEP)


def packed_inputs(sizes: Sizes) -> int:
    """int8: inputs of a dense layer as its weight gradient reads them."""
    return whole(sizes[2], COLUMNS) * whole(sizes[12], STEP)
