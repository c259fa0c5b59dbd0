"""How a kernel moves: the attributes that convolutions and pools share."""

import math
from collections.abc import Iterable
from dataclasses import replace

from edgetrain.arithmetic.layers import Window
from edgetrain.errors import ModelError
from edgetrain.exporters.onnx_reading.builder import Builder
from edgetrain.exporters.onnx_reading.graph import Op
from edgetrain.exporters.onnx_reading.input import seen_as_image
from edgetrain.exporters.onnx_reading.pending import settle
from edgetrain.exporters.onnx_reading.values import MARGIN, Padding, Value, dims_of

LARGEST = 1 << 20
"""Of strides, kernels and paddings."""


def image(build: Builder, op: Op, value: Value) -> Value:
    """Return a value whose dimensions are (channels, height, width) or (channels, length).

    Raises:
        ModelError: if it is another view of an image, or flat.
    """
    shape = build.shapes[value.source]
    axes = {2: "cw", 3: "chw"}.get(len(value.dims), "")
    whole = axes == "chw" or shape[0] == 1
    if len(shape) == 3 and axes and whole and value.dims == dims_of(axes, shape):
        return settle(build, replace(value, margin=MARGIN))
    other = seen_as_image(build.start, shape, value)
    if other is not None:
        raise other
    raise ModelError(
        f"node {op.name!r}: {op.kind} must read an image as (batch, channels, height, width) or a "
        f"signal as (batch, channels, length), got {_view(value)} of samples of shape {shape}: "
        "a Transpose or Reshape before it is missing or not supported"
    )


def image_dims(value: Value) -> str:
    """Name the axes of an image's or a signal's dimensions."""
    return "chw" if len(value.dims) == 3 else "cw"


def numbers(op: Op, name: str, count: int, default: int) -> tuple[int, ...]:
    """Return an attribute of count whole numbers.

    Raises:
        ModelError: if there are more or fewer, or one is negative or huge.
    """
    given = tuple(op.attributes.get(name, (default,) * count))
    if len(given) != count or not all(0 <= n <= LARGEST for n in given):
        raise ModelError(
            f"node {op.name!r}: {name} of {op.kind} must be {count} numbers from 0 to {LARGEST}, "
            f"got {list(given)[:16]}"
        )
    return given


def two(sizes: tuple[int, ...]) -> tuple[int, int]:
    """Give a signal's size a height of 1."""
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])


def four(sizes: Iterable[int]) -> Padding:
    """Make a padding of four sizes."""
    top, bottom, left, right = sizes
    return top, bottom, left, right


def moving(op: Op, kernel: tuple[int, ...], sizes: tuple[int, int], margin: Padding) -> Window:
    """Read strides and padding; dilations are the caller's.

    Args:
        op: a convolution or pool.
        kernel: as many numbers as ONNX's tensor has spatial axes.
        sizes: height and width of the image.
        margin: padding that a node before it made.

    Raises:
        ModelError: if an attribute is malformed.
    """
    count = len(kernel)
    stride = two(numbers(op, "strides", count, 1))
    pads = numbers(op, "pads", 2 * count, 0)
    starts, ends = two(pads[:count]), two(pads[count:])
    padding = (starts[0], ends[0], starts[1], ends[1])
    if count == 1:
        padding = (0, 0, starts[1], ends[1])
        stride = (1, stride[1])
    auto = op.attributes.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        padding = _same(two(kernel), stride, sizes, auto == "SAME_LOWER")
    elif auto == "VALID":
        padding = MARGIN
    elif auto != "NOTSET":
        raise ModelError(f"node {op.name!r}: auto_pad of {op.kind} is unknown, got {auto!r}")
    total = four(p + m for p, m in zip(padding, margin, strict=True))
    return Window(two(kernel), stride, total)


def rounded_up(window: Window, sizes: tuple[int, int]) -> Window:
    """Pad below and to the right so that sizes are rounded up, as ceil_mode has it.

    Example:
        >>> rounded_up(Window((2, 2), (2, 2), MARGIN), (4, 5)).padding
        (0, 0, 0, 1)
    """
    top, bottom, left, right = window.padding
    padding = []
    ends = (bottom, right)
    for size, before, after, k, s in zip(
        sizes, (top, left), ends, window.kernel, window.stride, strict=True
    ):
        steps = math.ceil((size + before + after - k) / max(s, 1))
        if steps * s >= size + before:
            steps -= 1
        padding += [before, max(0, steps * s + k - size - before)]
    return window._replace(padding=four(padding))


def _same(
    kernel: tuple[int, int], stride: tuple[int, int], sizes: tuple[int, int], lower: bool
) -> Padding:
    """Pad so that the result has ``ceil(size / stride)`` pixels."""
    padding = []
    for size, k, s in zip(sizes, kernel, stride, strict=True):
        total = max((-(-size // max(s, 1)) - 1) * s + k - size, 0)
        small, large = total // 2, total - total // 2
        padding += [large, small] if lower else [small, large]
    return four(padding)


def _view(value: Value) -> str:
    """Describe a view for a message."""
    return "(batch, " + ", ".join("*".join(group) or "1" for group in value.dims) + ")"
