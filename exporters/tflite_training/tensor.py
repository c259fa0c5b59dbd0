"""Tensors of a graph that is being written: arithmetic on them adds operators."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Union

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edgetrain.exporters.tflite_writing.file import TYPES, Subgraph

Operand = Union["Tensor", NDArray[Any], int]
EXACT = (1.0,)
"""The scale of int8 tensors and of their products: the numbers themselves."""


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a subgraph; broadcasting is that of NumPy, in at most four dimensions.

    Attributes:
        graph: that it belongs to.
        index: in the graph.
        shape: of the tensor.
        dtype: of the tensor.
    """

    __array_ufunc__ = None  # an array on the left leaves the operation to the tensor on the right

    graph: Subgraph
    index: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __add__(self, other: Operand) -> "Tensor":
        return self._pair("ADD", other, "AddOptions")

    def __sub__(self, other: Operand) -> "Tensor":
        return self._pair("SUB", other, "SubOptions")

    def __rsub__(self, other: Operand) -> "Tensor":
        return constant(self.graph, other, self.dtype) - self

    def __mul__(self, other: Operand) -> "Tensor":
        return self._pair("MUL", other, "MulOptions")

    def __xor__(self, other: Operand) -> "Tensor":
        return self._pair("BITWISE_XOR", other)

    def __rshift__(self, other: Operand) -> "Tensor":
        return self._pair("RIGHT_SHIFT", other)

    def __floordiv__(self, other: Operand) -> "Tensor":
        return self._pair("FLOOR_DIV", other, "FloorDivOptions", version=2)

    def __mod__(self, other: Operand) -> "Tensor":
        return self._pair("FLOOR_MOD", other, "FloorModOptions", version=2)

    __radd__, __rmul__ = __add__, __mul__

    def maximum(self, other: Operand) -> "Tensor":
        """Return the larger of two numbers."""
        return self._pair("MAXIMUM", other, "MaximumMinimumOptions")

    def minimum(self, other: Operand) -> "Tensor":
        """Return the smaller of two numbers."""
        return self._pair("MINIMUM", other, "MaximumMinimumOptions")

    def clip(self, low: int, high: int) -> "Tensor":
        """Saturate. The ends are filled tensors: comparing with one number is ten times slower."""
        return self.maximum(full(self, low)).minimum(full(self, high))

    def greater(self, other: Operand) -> "Tensor":
        """Return where a number is larger, as bool."""
        return self._pair("GREATER", other, "GreaterOptions", np.bool_)

    def less(self, other: Operand) -> "Tensor":
        """Return where a number is smaller, as bool."""
        return self._pair("LESS", other, "LessOptions", np.bool_)

    def equal(self, other: Operand) -> "Tensor":
        """Return where two numbers are equal, as bool."""
        return self._pair("EQUAL", other, "EqualOptions", np.bool_)

    def differs(self, other: Operand) -> "Tensor":
        """Return where two numbers differ, as bool."""
        return self._pair("NOT_EQUAL", other, "NotEqualOptions", np.bool_)

    def cast(self, dtype: DTypeLike) -> "Tensor":
        """Convert; whole numbers that do not fit lose their high bits."""
        if self.dtype == dtype:
            return self
        types = {"inDataType": TYPES[self.dtype], "outDataType": TYPES[np.dtype(dtype)]}
        return self.made("CAST", [], self.shape, "CastOptions", dtype, **types)

    def bits_as(self, dtype: DTypeLike) -> "Tensor":
        """Read the same bytes as another type; a smaller one adds an axis at the end."""
        ratio = self.dtype.itemsize // np.dtype(dtype).itemsize
        shape = self.shape if ratio == 1 else (*self.shape, ratio)
        return self.made("BITCAST", [], shape, "BitcastOptions", dtype)

    def reshape(self, *shape: int) -> "Tensor":
        """Give the same numbers another shape; one size may be -1."""
        if -1 in shape:
            rest = math.prod(self.shape) // -math.prod(shape)
            shape = tuple(rest if size == -1 else size for size in shape)
        if shape == self.shape:
            return self
        size = np.array(shape)
        return self.made("RESHAPE", [size], shape, "ReshapeOptions", newShape=list(shape))

    def transpose(self, *axes: int) -> "Tensor":
        """Order the axes otherwise."""
        shape = tuple(self.shape[axis] for axis in axes)
        return self.made("TRANSPOSE", [np.array(axes)], shape, "TransposeOptions")

    def gather(self, indices: Operand, axis: int = 0) -> "Tensor":
        """Take the entries at some positions of an axis."""
        at = constant(self.graph, indices, np.int32)
        shape = (*self.shape[:axis], *at.shape, *self.shape[axis + 1 :])
        return self.made("GATHER", [at], shape, "GatherOptions", version=2, axis=axis, batchDims=0)

    def cut(self, start: int, stop: int, axis: int) -> "Tensor":
        """Take the entries from start up to stop of an axis."""
        if (start, stop) == (0, self.shape[axis]):
            return self
        shape = [stop - start if i == axis else size for i, size in enumerate(self.shape)]
        begin = [start if i == axis else 0 for i in range(len(shape))]
        return self.made("SLICE", [np.array(begin), np.array(shape)], shape, "SliceOptions")

    def spread(self, *shape: int) -> "Tensor":
        """Broadcast to a shape."""
        return self.made("BROADCAST_TO", [np.array(shape)], shape, "BroadcastToOptions", version=2)

    def padded(self, amounts: Sequence[tuple[int, int]], value: int) -> "Tensor":
        """Add entries of one value before and behind those of each axis."""
        if not np.any(amounts):
            return self
        shape = tuple(size + sum(two) for size, two in zip(self.shape, amounts, strict=True))
        filler = constant(self.graph, np.array([value], self.dtype), self.dtype)
        return self.made("PADV2", [np.array(amounts), filler], shape, "PadV2Options")

    def sum(self, *axes: int, keep: bool = False) -> "Tensor":
        """Add up the numbers along axes."""
        return self._reduced("SUM", axes, keep)

    def max(self, *axes: int, keep: bool = False) -> "Tensor":
        """Return the largest number along axes."""
        return self._reduced("REDUCE_MAX", axes, keep)

    def min(self, *axes: int, keep: bool = False) -> "Tensor":
        """Return the smallest number along axes."""
        return self._reduced("REDUCE_MIN", axes, keep)

    def all(self) -> "Tensor":
        """Return whether all conditions of a vector hold, bool (1,)."""
        return self._reduced("REDUCE_ALL", (0,), True)

    def argmax(self, axis: int) -> "Tensor":
        """Return the position of the largest number along an axis, the first of equals: int32."""
        shape = tuple(size for i, size in enumerate(self.shape) if i != axis)
        kind = np.dtype(np.int32)
        at = np.array(axis)
        return self.made(
            "ARG_MAX", [at], shape, "ArgMaxOptions", kind, version=2, outputType=TYPES[kind]
        )

    def made(
        self, op: str, others: Sequence[Operand], shape: Sequence[int], options: str = "",
        dtype: DTypeLike | None = None, version: int = 1, **values: Any,
    ) -> "Tensor":  # fmt: skip
        """Add an operator that reads this tensor and others.

        Args:
            op: name of the operator.
            others: tensors; arrays become constants, whole numbers of Python's size int32.
            shape: of the result.
            options: name of the operator's table of options.
            dtype: of the result; None for that of this tensor.
            version: of the operator.
            values: the options.
        """
        inputs = [self, *(constant(self.graph, other, np.int32) for other in others)]
        kind = self.dtype if dtype is None else dtype
        result = tensor(self.graph, op.lower(), kind, shape)
        indices = [value.index for value in inputs]
        self.graph.operator(op, version, indices, [result.index], options, **values)
        return result

    def _pair(
        self, op: str, other: Operand, options: str = "", dtype: DTypeLike | None = None,
        version: int = 1,
    ) -> "Tensor":  # fmt: skip
        right = constant(self.graph, other, self.dtype)
        if right.dtype != self.dtype:
            raise TypeError(f"{op} needs one type, got {self.dtype} and {right.dtype}")
        shape = np.broadcast_shapes(self.shape, right.shape)
        return self.made(op, [right], shape, options, dtype, version)

    def _reduced(self, op: str, axes: tuple[int, ...], keep: bool) -> "Tensor":
        axes = tuple(axis % len(self.shape) for axis in axes)
        shape = [1 if i in axes else size for i, size in enumerate(self.shape)]
        if not keep:
            shape = [size for i, size in enumerate(self.shape) if i not in axes]
        return self.made(op, [np.array(axes)], shape, "ReducerOptions", keepDims=keep)


def tensor(
    graph: Subgraph, name: str, dtype: DTypeLike, shape: Sequence[int], data: Any = None
) -> Tensor:
    """Add a tensor to a graph; int8 numbers stand for themselves."""
    kind = np.dtype(dtype)
    scales = EXACT if kind == np.int8 else ()
    index = graph.tensor(name, kind, shape, data, scales=scales)
    return Tensor(graph, index, tuple(map(int, shape)), kind)


def constant(graph: Subgraph, value: Operand, dtype: DTypeLike) -> Tensor:
    """Return a tensor as it is, and numbers as a constant of the type; a number has one entry."""
    if isinstance(value, Tensor):
        return value
    data = np.array([value] if isinstance(value, int) else value).astype(dtype)
    key = (data.tobytes(), data.shape, data.dtype)
    if key not in graph.known:
        graph.known[key] = tensor(graph, "constant", dtype, data.shape, data)
    found: Tensor = graph.known[key]
    return found


def full(like: Tensor, value: int) -> Tensor:
    """Return a tensor of one number, with the shape and type of another."""
    graph, key = like.graph, (value, like.shape, like.dtype)
    if key not in graph.known:
        number = constant(graph, np.array(value), like.dtype)
        shape = constant(graph, np.array(like.shape), np.int32)
        graph.known[key] = shape.made("FILL", [number], like.shape, "FillOptions", like.dtype)
    found: Tensor = graph.known[key]
    return found
