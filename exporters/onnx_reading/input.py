"""Which dimension of an ONNX input is height, width and channels: the first layer tells.

The import starts with PyTorch's order, (channels, height, width). A layer that sees the input in
another order, behind a Transpose or Reshape, raises `OtherLayoutError`; the import starts again.
"""

from collections.abc import Sequence

from edgetrain.exporters.onnx_reading.graph import OnnxGraph
from edgetrain.exporters.onnx_reading.values import Dims, Value, axis_sizes, dims_of
from edgetrain.graph import INPUT, Shape


class OtherLayoutError(Exception):
    """The input's axes are not what they were taken for.

    Attributes:
        shape: of one sample, as it should be taken.
        dims: of ONNX's input over its axes.
    """

    def __init__(self, shape: Shape, dims: Dims) -> None:
        super().__init__(shape, dims)
        self.shape, self.dims = shape, dims


def first_guess(graph: OnnxGraph) -> OtherLayoutError:
    """Return the layout of an input as PyTorch has it.

    A sample (features,) is flat, (channels, length) a signal, (channels, height, width) an image.
    """
    given = graph.input_shape
    if len(given) == 1:
        return OtherLayoutError(given, dims_of("f", given))
    shape = (1 if len(given) == 2 else given[1], given[-1], given[0])
    return OtherLayoutError(shape, dims_of("cw" if len(given) == 2 else "chw", shape))


def seen_as_image(start: Dims, shape: Shape, value: Value) -> OtherLayoutError | None:
    """Rename the input's axes so that a view of it is (channels, height, width).

    Args:
        start: dimensions of ONNX's input.
        shape: of the input as it is taken now.
        value: what a layer sees of it: three dimensions, or channels and length.

    Returns:
        The layout; None if there is none, or none that is new.

    Example:
        >>> nchw = (("c",), ("h",), ("w",))
        >>> seen = Value(INPUT, (("w",), ("c",), ("h",)))  # after a Transpose from NHWC
        >>> found = seen_as_image(nchw, (10, 3, 49), seen)
        >>> found.shape, found.dims
        ((49, 10, 3), (('h',), ('w',), ('c',)))
    """
    axes = {2: "cw", 3: "chw"}.get(len(value.dims), "")
    if value.source != INPUT or len(shape) != 3 or not axes or max(map(len, value.dims)) > 1:
        return None
    names = {group[0]: axis for group, axis in zip(value.dims, axes, strict=True) if group}
    free = [axis for axis in "hwc" if axis not in names.values()]
    names |= dict(zip((axis for axis in "hwc" if axis not in names), free, strict=True))
    sizes = {names[axis]: size for axis, size in axis_sizes(shape).items()}
    found = (sizes["h"], sizes["w"], sizes["c"])
    dims = tuple(tuple(names[axis] for axis in group) for group in start)
    return None if (found, dims) == (shape, start) else OtherLayoutError(found, dims)


def cut_to_image(value: Value, wanted: Sequence[int]) -> OtherLayoutError | None:
    """Take a flat input for the image that a Reshape makes of it."""
    if value.source != INPUT or value.dims != (("f",),) or len(wanted) not in (2, 3):
        return None
    shape = (1 if len(wanted) == 2 else wanted[1], wanted[-1], wanted[0])
    order = tuple(axis for group in dims_of("chw", shape) for axis in group)
    return OtherLayoutError(shape, (order,))
