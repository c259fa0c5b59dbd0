"""Integers, an element at a time, and shapes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgetrain.exporters.onnx_training.graph import FREE, OFFSET, Book, Operand, Shape, Value

INT32, INT64, UINT8, UINT32, UINT64, BOOL = map(
    np.dtype, (np.int32, np.int64, np.uint8, np.uint32, np.uint64, np.bool_)
)
NO_AXES = np.zeros(0, np.int64)
_MIDDLE = 1 << 31
"""Added, it makes a number unsigned; int32 sums wrap."""
CONSTANT = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.floor_divide,
    "Min": np.minimum, "Max": np.maximum,
}  # fmt: skip


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape of a result; a batch of any size stays one.

    Example:
        >>> broadcast((-1, 1), (1, 4), ())
        (-1, 4)
    """
    rank = max(map(len, shapes))
    wide = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(FREE if FREE in sizes else max(sizes) for sizes in zip(*wide, strict=True))


class Integers(Book):
    """Offers the arithmetic of `Emitter`."""

    def numbers(self, *operands: Operand) -> tuple[list[Operand], np.dtype, Shape]:
        """Bring operands to one type: int64 if any has it, else int32; and their shape.

        Where the last size is 1, ONNX Runtime is slow unless numbers have as many axes.
        """
        values = [operand for operand in operands if isinstance(operand, Value)]
        assert all(value.dtype in (INT32, INT64, BOOL) for value in values), operands
        dtype = INT64 if any(value.dtype == INT64 for value in values) else INT32
        same: list[Any] = [
            self.cast(operand, dtype) if isinstance(operand, Value)
            else np.asarray(operand, dtype)
            for operand in operands
        ]  # fmt: skip
        shape = broadcast(*(o.shape for o in same))
        if shape[-1:] == (1,):
            rank = (1,) * len(shape)
            same = [o if isinstance(o, Value) or o.shape else o.reshape(rank) for o in same]
        return same, dtype, shape

    def _apply(self, op: str, *operands: Operand) -> Any:
        """Append an operation, or compute it of constants."""
        same, dtype, shape = self.numbers(*operands)
        if not any(isinstance(operand, Value) for operand in same):
            return CONSTANT[op](*(np.asarray(o, np.int64) for o in operands))
        return self.op(op, *same, dtype=dtype, shape=shape)

    def plus(self, a: Operand, b: Operand) -> Value:
        """Append ``a + b``."""
        return self._apply("Add", a, b)

    def also(self, total: Operand, part: Value) -> Value:
        """Append ``total + part``, where total may still be 0."""
        return part if isinstance(total, int) else self.plus(total, part)

    def minus(self, a: Operand, b: Operand) -> Value:
        """Append ``a - b``."""
        return self._apply("Sub", a, b)

    def times(self, a: Operand, b: Operand) -> Value:
        """Append ``a * b``."""
        return self._apply("Mul", a, b)

    def divide(self, a: Operand, b: Operand) -> Value:
        """Append the whole part of ``a / b`` for a >= 0."""
        return self._apply("Div", a, b)

    def floor_divide(self, a: Operand, b: Operand) -> Value:
        """Append the floor of ``a / b``."""
        down = self.minus(a, self.minus(b, 1)) if isinstance(b, Value) else self.minus(a, b - 1)
        return self.divide(self.choose(self.less(a, 0), down, a), b)

    def minimum(self, a: Operand, b: Operand) -> Value:
        """Append the smaller."""
        return self._apply("Min", a, b)

    def maximum(self, a: Operand, b: Operand) -> Value:
        """Append the larger."""
        return self._apply("Max", a, b)

    def clip(self, a: Value, low: int, high: int) -> Value:
        """Append a kept within limits, as int32."""
        limits = (np.asarray(limit, a.dtype) for limit in (low, high))
        kept = self.op("Clip", a, *limits, dtype=a.dtype, shape=a.shape)
        return self.cast(kept, INT32)

    def sign(self, a: Value) -> Value:
        """Append -1, 0 or 1."""
        return self.op("Sign", a, dtype=a.dtype, shape=a.shape)

    def shift_right(self, a: Value, bits: Operand) -> Value:
        """Append ``a >> bits``: ONNX shifts unsigned numbers only."""
        shifted = self.unsigned_shift(self.plus(a, -_MIDDLE), bits)
        return self.minus(shifted, self.unsigned_shift(np.array(_MIDDLE, np.uint32), bits))

    def unsigned_shift(self, a: Operand, bits: Operand) -> Any:
        """Append ``a >> bits`` of the bits of int32 numbers."""
        places, by = self.as_type(a, UINT32), self.as_type(bits, UINT32)
        if not isinstance(places, Value) and not isinstance(by, Value):
            return (places >> by).astype(np.int32)
        shape = broadcast(places.shape, by.shape)
        found = self.op("BitShift", places, by, dtype=UINT32, shape=shape, direction="RIGHT")
        return self.cast(found, INT32)

    def as_type(self, a: Operand, dtype: Any) -> Any:
        """Return an operand of a type: a Cast, or another constant."""
        return self.cast(a, dtype) if isinstance(a, Value) else np.asarray(a).astype(dtype)

    def bit_length(self, a: Value) -> Value:
        """Append the number of bits of integers from 0, by counting the powers they reach."""
        powers = (np.int64(1) << np.arange(31)).astype(a.dtype)
        column = self.shaped(a, (*a.shape, 1))
        shape = (*a.shape, 31)
        below = self.op("GreaterOrEqual", column, powers, dtype=BOOL, shape=shape)
        return self.total(self.cast(below, INT32), len(a.shape))

    def less(self, a: Operand, b: Operand) -> Value:
        """Append the condition ``a < b``."""
        return self._condition("Less", a, b)

    def equal(self, a: Operand, b: Operand) -> Value:
        """Append the condition ``a == b``."""
        return self._condition("Equal", a, b)

    def _condition(self, op: str, a: Operand, b: Operand) -> Value:
        same, _, shape = self.numbers(a, b)
        return self.op(op, *same, dtype=BOOL, shape=shape)

    def both(self, a: Value, b: Value) -> Value:
        """Append the condition that two hold."""
        return self.op("And", a, b, dtype=BOOL, shape=broadcast(a.shape, b.shape))

    def every(self, condition: Value) -> Value:
        """Append the condition that all elements of one hold."""
        least = self.op("ReduceMin", self.cast(condition, INT32), dtype=INT32, shape=(), keepdims=0)
        return self.cast(least, BOOL)

    def choose(self, condition: Value, a: Operand, b: Operand) -> Value:
        """Append a where a condition holds, else b."""
        if isinstance(a, Value) and a.dtype == BOOL:
            a = self.cast(a, INT32)
        if isinstance(a, int) and isinstance(b, int) and (a, b) == (1, 0):
            return self.cast(condition, INT32)
        same, dtype, shape = self.numbers(a, b)
        return self.op("Where", condition, *same, dtype=dtype,
                       shape=broadcast(condition.shape, shape))  # fmt: skip

    # shapes
    def codes(self, x: Value) -> Value:
        """Append the integers of codes."""
        wide = self.cast(x, INT32)
        return self.minus(wide, OFFSET) if x.dtype == UINT8 else wide

    def as_codes(self, x: Value) -> Value:
        """Append the codes of integers in [-128, 127]."""
        return x if x.dtype == UINT8 else self.cast(self.plus(x, OFFSET), UINT8)

    def reshape(self, x: Value, shape: Shape) -> Value:
        """Append a reshape in NHWC order."""
        flat = self.shaped(self.channels_last(x), _resolved(x.shape, shape))
        return self.channels_first(flat)

    def spread(self, x: Value, shape: Shape) -> Value:
        """Give every pixel of an image the value of its channel."""
        batch, height, width, n = shape
        wanted = (batch, n, height, width)
        column = self.shaped(x, (batch, n, 1, 1))
        return self.op("Expand", column, np.array(wanted, np.int64), dtype=x.dtype, shape=wanted)

    def total(self, x: Value, axis: int | None = None) -> Value:
        """Sum up over an axis, or over everything in int64."""
        if axis is None:
            return self.op("ReduceSum", self.cast(x, INT64), dtype=INT64, shape=(), keepdims=0)
        shape = x.shape[:axis] + x.shape[axis + 1 :]
        axes = np.array([axis], np.int64)
        return self.op("ReduceSum", x, axes, dtype=x.dtype, shape=shape, keepdims=0)

    def running_total(self, x: Value) -> Value:
        """Sum up along the last axis."""
        axis = np.array(len(x.shape) - 1, np.int64)
        return self.op("CumSum", x, axis, dtype=x.dtype, shape=x.shape)

    def _hits(self, index: Value, width: int) -> Value:
        column = self.shaped(index, (*index.shape, 1))
        return self.equal(column, np.arange(width))

    def pick(self, x: Value, index: Value) -> Value:
        """Take an element a row; 0 where the index is out of range."""
        return self.total(self.choose(self._hits(index, x.shape[1]), x, 0), 1)

    def place(self, values: Value, index: Value, width: int) -> Value:
        """Put an element a row, zeros elsewhere."""
        column = self.shaped(values, (*values.shape, 1))
        return self.choose(self._hits(index, width), column, 0)

    def best(self, x: Value) -> Value:
        """Append where each row is largest."""
        found = self.op("ArgMax", x, dtype=INT64, shape=x.shape[:1], axis=1, keepdims=0)
        return self.cast(found, INT32)

    def stack(self, numbers: Sequence[Operand]) -> Any:
        """Make a vector of scalars."""
        return self.join([self._vector(number) for number in numbers], 0)

    def _vector(self, number: Operand) -> Operand:
        if isinstance(number, Value):
            return self.shaped(number, (1,))
        return np.asarray(number).reshape(1)

    def join(self, parts: Sequence[Operand], axis: int) -> Any:
        """Concatenate; constants give a constant."""
        same: Sequence[Any] = parts
        if not any(isinstance(part, Value) for part in parts):
            return np.concatenate(same, axis)
        dtype: np.dtype = next(part.dtype for part in parts if isinstance(part, Value))
        if dtype in (INT32, INT64):
            same, dtype, _ = self.numbers(*parts)
        shapes = [part.shape for part in same]
        long = sum(shape[axis] for shape in shapes)
        shape = (*shapes[0][:axis], long, *shapes[0][axis + 1 :])
        if len(same) == 1 and isinstance(same[0], Value):
            return same[0]
        return self.op("Concat", *same, dtype=dtype, shape=shape, axis=axis)

    def cut(self, x: Value, start: int, stop: int, axis: int) -> Value:
        """Slice along an axis."""
        ends = (np.array([end], np.int64) for end in (start, stop, axis))
        shape = (*x.shape[:axis], stop - start, *x.shape[axis + 1 :])
        return x if shape == x.shape else self.op("Slice", x, *ends, dtype=x.dtype, shape=shape)

    def parted(self, x: Value, sizes: Sequence[int]) -> Sequence[Value]:
        """Append what takes vectors that lie one behind the other apart."""
        if len(sizes) == 1:
            return [x]
        names = self.several("Split", x, np.array(sizes, np.int64), count=len(sizes))
        return [Value(name, x.dtype, (int(n),)) for name, n in zip(names, sizes, strict=True)]

    def item(self, x: Value, *index: int) -> Value:
        """Take one element."""
        return self.op("GatherND", x, np.array(index, np.int64), dtype=x.dtype, shape=())

    def column(self, x: Value, rows: Sequence[int], column: int) -> Value:
        """Take some rows of a column."""
        places = np.array([(row, column) for row in rows], np.int64)
        return self.op("GatherND", x, places, dtype=x.dtype, shape=(len(rows),))

    def with_rows(self, x: Value, rows: Sequence[int], columns: Sequence[Value]) -> Value:
        """Exchange some rows, whose new values are given a column each."""
        places = [(row, column) for column in range(len(columns)) for row in rows]
        new = self.cast(self.join(columns, 0), x.dtype)
        return self.op(
            "ScatterND", x, np.array(places, np.int64), new, dtype=x.dtype, shape=x.shape
        )


def _resolved(old: Shape, new: Shape) -> Shape:
    """Return a new shape with its -1 written out where it is known."""
    if -1 not in new or FREE in old:
        return new
    size = math.prod(old) // -math.prod(new)
    return tuple(size if n == -1 else n for n in new)
