"""What the importer knows of an ONNX tensor: which value of our graph it is, seen how.

ONNX keeps images as (batch, channels, height, width), our graphs as (height, width, channels).
No operation is spent on that: flatten, reshape and transpose only change how a tensor's
dimensions run over the axes "h", "w", "c" of an image or the axis "f" of a flat value, until a
layer reads it. Axes of size 1 are left out, so they can stand anywhere.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.activations import FUNCTIONS
from edgetrain.graph import Shape

Dims = tuple[tuple[str, ...], ...]
Reals = NDArray[np.float64]
Curve = Callable[[Reals], Reals]
Padding = tuple[int, int, int, int]

MARGIN: Padding = (0, 0, 0, 0)
"""No zeros around an image."""

_FAR = np.array([20.0, 100.0, 1e3, 1e6, 1e30])
GRID = np.concatenate([-_FAR[::-1], np.linspace(-12, 12, 801), _FAR])
"""Where a function of one number is compared with those that have a name."""
NAMED: Mapping[str, Curve] = {
    "": lambda z: z,
    "relu": lambda z: np.maximum(z, 0),
    "relu6": lambda z: np.clip(z, 0, 6),
    **FUNCTIONS,
}
"""Functions that a graph has: fused ones, and nodes of their own."""


@dataclass(frozen=True)
class Pending:
    """Arithmetic on a value's elements that is no node yet: ``curve(scale * x + shift)``.

    Attributes:
        scale: (), (channels,) or the shape of the value.
        shift: likewise.
        curve: results of a function of one number at GRID; None for none.
        whole: results of everything for x at GRID; None unless it is the same for all elements.
        label: name of the newest ONNX node in it.
        kind: its operator.
    """

    scale: Reals
    shift: Reals
    curve: Reals | None
    whole: Reals | None
    label: str
    kind: str


@dataclass(frozen=True)
class Value:
    """A tensor that is computed from the network's input.

    Attributes:
        source: the node of our graph that makes it, or INPUT.
        dims: the axes of the source that each dimension, but the batch, runs over.
        exclusive: whether nothing else reads the source.
        pending: what is still to be done to the source.
        margin: zeros around the image: rows above, below, columns left, right.
        softmax: whether it is the network's probabilities.
        codes: whether ONNX has integers here, between QuantizeLinear and DequantizeLinear.
    """

    source: str
    dims: Dims
    exclusive: bool = True
    pending: Pending | None = None
    margin: Padding = MARGIN
    softmax: bool = False
    codes: bool = False


def axis_sizes(shape: Shape) -> dict[str, int]:
    """Name the axes of a value of our graph.

    Example:
        >>> axis_sizes((4, 5, 3))
        {'h': 4, 'w': 5, 'c': 3}
    """
    return dict(zip("hwc" if len(shape) == 3 else "f", shape, strict=True))


def dims_of(axes: Sequence[str], shape: Shape) -> Dims:
    """Give each axis a dimension; "" and axes of size 1 run over nothing.

    Example:
        >>> dims_of("chw", (1, 5, 3))
        (('c',), (), ('w',))
    """
    sizes = axis_sizes(shape)
    return tuple((a,) if sizes.get(a, 1) > 1 else () for a in axes)


def lengths(dims: Dims, shape: Shape) -> tuple[int, ...]:
    """Return the sizes of a tensor's dimensions, batch left out."""
    sizes = axis_sizes(shape)
    return tuple(math.prod(sizes[a] for a in group) for group in dims)


def regroup(dims: Dims, shape: Shape, wanted: Sequence[int]) -> Dims | None:
    """Reshape: let dimensions of the wanted sizes run over the same axes in the same order.

    Returns:
        None if an axis had to be cut.

    Example:
        >>> regroup((("c",), ("h",), ("w",)), (4, 5, 3), [3, 20])
        (('c',), ('h', 'w'))
    """
    sizes = axis_sizes(shape)
    rest = [axis for group in dims for axis in group]
    found = []
    for size in wanted:
        group: list[str] = []
        while rest and math.prod(sizes[a] for a in group) < size:
            group.append(rest.pop(0))
        if math.prod(sizes[a] for a in group) != size:
            return None
        found.append(tuple(group))
    return None if rest else tuple(found)


def in_source_order(constant: Reals, dims: Dims, shape: Shape) -> Reals | None:
    """Lay a constant that ONNX broadcasts over a tensor out over its source.

    Returns:
        () or (channels,) if that is all it depends on, else the source's shape; None if the
        constant does not fit, or depends on the sample.

    Example:
        >>> in_source_order(np.array([[[1.0]], [[2.0]]]), (("c",), ("h",), ("w",)), (4, 5, 2))
        array([1., 2.])
    """
    if constant.size == 1:
        return constant.reshape(()).astype(np.float64)
    sample = lengths(dims, shape)
    if constant.ndim == len(sample) + 1:
        if len(constant) != 1:
            return None
        constant = constant[0]
    if constant.ndim > len(sample):
        return None
    padded = (1,) * (len(sample) - constant.ndim) + constant.shape
    if any(size not in (1, whole) for size, whole in zip(padded, sample, strict=True)):
        return None
    varying = [group for group, size in zip(dims, padded, strict=True) if size > 1]
    if varying in ([("c",)], [("f",)]):
        return constant.ravel().astype(np.float64)
    order = [axis for group in dims for axis in group]
    sizes = axis_sizes(shape)
    spread = np.broadcast_to(constant.reshape(padded), sample)
    spread = spread.reshape([sizes[a] for a in order]).astype(np.float64)
    spread = spread.transpose([order.index(a) for a in sizes if a in order]).reshape(shape)
    channels = spread.reshape(-1, shape[-1])
    return channels[0] if (channels == channels[0]).all() else spread


def recognise(results: Reals) -> str | None:
    """Return the name of a function by its results at GRID, or None.

    Example:
        >>> recognise(GRID * np.clip(GRID / 6 + 0.5, 0, 1))
        'hard_swish'
    """
    for name, known in _named_results().items():
        if np.allclose(results, known, rtol=1e-5, atol=1e-5):
            return name
    return None


@functools.cache
def _named_results() -> Mapping[str, Reals]:
    with np.errstate(over="ignore"):
        return {name: known(GRID) for name, known in NAMED.items()}
