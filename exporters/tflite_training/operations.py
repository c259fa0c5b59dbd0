"""Operations on several tensors, and the tensors that no operand decides."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from edgetrain.exporters.tflite_training.tensor import EXACT, Operand, Tensor, constant
from edgetrain.exporters.tflite_writing.file import Subgraph


def counted(graph: Subgraph, count: int) -> Tensor:
    """Return the numbers from 0, int32 (count,): an operator, for they would fill the file."""
    ends = [constant(graph, np.array(end), np.int32) for end in (0, count, 1)]
    return ends[0].made("RANGE", ends[1:], (count,), "RangeOptions")


def select(condition: Tensor, yes: Tensor, no: Operand) -> Tensor:
    """Return ``yes`` where a condition holds, else ``no``."""
    other = constant(yes.graph, no, yes.dtype)
    shape = np.broadcast_shapes(condition.shape, yes.shape, other.shape)
    return condition.made("SELECT_V2", [yes, other], shape, "SelectV2Options", yes.dtype)


def concatenate(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Join tensors along an axis."""
    if len(parts) == 1:
        return parts[0]
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    first, *others = parts
    return first.made("CONCATENATION", others, shape, "ConcatenationOptions", axis=axis)


def joined(graph: Subgraph, values: Sequence[Operand], dtype: DTypeLike) -> Tensor:
    """Join vectors, tensors and constants, to one."""
    return concatenate([constant(graph, value, dtype) for value in values], 0)


def parted(vector: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    """Cut a vector into parts."""
    ends = np.cumsum(sizes).tolist()
    return [vector.cut(end - size, end, 0) for end, size in zip(ends, sizes, strict=True)]


def matmul(a: Tensor, b: Tensor, turn_a: bool = False, turn_b: bool = False) -> Tensor:
    """Multiply int8 matrices, or as many pairs of them, exactly: int32.

    Args:
        a: int8 (..., rows, inner), or (..., inner, rows) with turn_a.
        b: int8 (..., inner, columns), or (..., columns, inner) with turn_b.
        turn_a: whether a is transposed.
        turn_b: whether b is.
    """
    rows, columns = a.shape[-1 if turn_a else -2], b.shape[-2 if turn_b else -1]
    shape = (*a.shape[:-2], rows, columns)
    index = a.graph.tensor("products", np.int32, shape, scales=EXACT)
    a.graph.operator(
        "BATCH_MATMUL", 3, [a.index, b.index], [index], "BatchMatMulOptions",
        adjX=turn_a, adjY=turn_b, asymmetricQuantizeInputs=False,
    )  # fmt: skip
    return Tensor(a.graph, index, shape, np.dtype(np.int32))
