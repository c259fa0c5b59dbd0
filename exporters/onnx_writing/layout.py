"""Our shapes and windows as ONNX has them: images are channels first there, channels last here."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import Window
from edgetrain.exporters.onnx_writing.write import Writer
from edgetrain.graph import Graph, Node, Shape


def filters(w: NDArray[Any]) -> NDArray[Any]:
    """Return the weights of a convolution, (n_out, kh, kw, n_in / groups), channels first."""
    return w.transpose(0, 3, 1, 2)


def channels(values: NDArray[Any], shape: Shape) -> NDArray[Any]:
    """Return values of channels so that they broadcast over a batch; a scalar if all are equal.

    Example:
        >>> channels(np.arange(4), (8, 6, 4)).shape, channels(np.ones(4), (4,)).shape
        ((1, 4, 1, 1), ())
    """
    if (values == values[0]).all():
        return np.asarray(values[0])
    return values.reshape(1, -1, *[1] * (len(shape) - 1))


def sliding(window: Window) -> dict[str, Any]:
    """Return the attributes of a window."""
    top, bottom, left, right = window.padding
    pads = (top, left, bottom, right)
    return {"kernel_shape": window.kernel, "strides": window.stride, "pads": pads}


def flatten(write: Writer, graph: Graph, node: Node, value: str) -> str:
    """Append what flattens a value in our order, channels last."""
    shape = graph.shapes[node.inputs[0]]
    if len(shape) == 1:
        return value
    if shape[2] > 1 and shape[:2] != (1, 1):
        value = write.op("Transpose", value, perm=(0, 2, 3, 1))
    return write.op("Reshape", value, np.array([0, math.prod(shape)], np.int64), main=True)
