"""Arithmetic of constants, as exporters leave it in a graph: shapes, transposed weights.

ONNX's own reference evaluator does it; here it is decided what is small enough.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from edgetrain.errors import ModelError
from edgetrain.exporters.onnx_reading.graph import MAX_RANK, Op
from edgetrain.exporters.onnx_reading.tensors import MAX_ELEMENTS

Array = NDArray[np.generic]
Arrays = Sequence[Array]


def _largest(inputs: Arrays) -> int:
    return max(a.size for a in inputs)


def _broadcast(inputs: Arrays) -> int:
    rank = max(a.ndim for a in inputs)
    shapes = [(1,) * (rank - a.ndim) + a.shape for a in inputs]
    return math.prod(max(sizes) for sizes in zip(*shapes, strict=True))


def _total(inputs: Arrays) -> int:
    return sum(a.size for a in inputs)


def _gathered(inputs: Arrays) -> int:
    return inputs[0].size * max(inputs[-1].size, 1)


def _named(inputs: Arrays) -> int:
    """Size of a result whose shape is the last input."""
    sizes = [int(size) for size in inputs[-1].ravel()[: MAX_RANK + 1]]
    return math.prod(sizes) * max(inputs[0].size, 1) if min(sizes, default=0) >= 0 else 0


FOLDED: dict[str, Callable[[Arrays], int]] = {
    **dict.fromkeys(
        ("Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Flatten",
         "Neg", "Sqrt", "Reciprocal", "Floor", "Ceil", "Abs", "Shape", "ReduceProd"), _largest),
    **dict.fromkeys(
        ("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Max", "Min", "QuantizeLinear"), _broadcast),
    "Concat": _total, "Gather": _gathered, "ConstantOfShape": _named, "Expand": _named,
}  # fmt: skip
"""Operator on constants → a bound for the size of its result."""
VIEWS = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity")
"""Operators that only move elements."""
PICK = (*VIEWS, "Cast", "Concat", "Gather", "Slice")
"""Operators that can work on a shape of which the batch is not known."""


def fold(op: Op, inputs: Arrays, opset: int) -> Array:
    """Compute an operation on constants.

    Args:
        op: its kind is in FOLDED.
        inputs: what it reads, in its order, without those that are left out.
        opset: version of the operators.

    Raises:
        ModelError: if the result would be too large, or the operation cannot be computed.
    """
    if any(a.ndim > MAX_RANK for a in inputs) or FOLDED[op.kind](inputs) > MAX_ELEMENTS:
        raise ModelError(
            f"node {op.name!r}: a constant may have {MAX_ELEMENTS} elements, this {op.kind} of "
            f"{[a.shape for a in inputs]} makes more"
        )
    try:
        feeds = dict(zip(filter(None, op.inputs), inputs, strict=True))
        names = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in feeds]
        result = helper.make_tensor_value_info(op.outputs[0], TensorProto.UNDEFINED, None)
        graph = helper.make_graph([op.proto], "constants", names, [result])
        with np.errstate(all="ignore"):
            (found,) = ReferenceEvaluator(graph, opsets={"": opset}).run(None, feeds)
    except Exception as error:  # the evaluator raises whatever NumPy does
        raise ModelError(
            f"node {op.name!r}: {op.kind} of constants cannot be computed: {error}"
        ) from error
    if np.asarray(found).dtype.kind not in "biuf":
        raise ModelError(f"node {op.name!r}: {op.kind} of constants must make numbers")
    return np.asarray(found)
