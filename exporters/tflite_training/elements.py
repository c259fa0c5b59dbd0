"""Integers element by element, and their shapes, as an emitter appends them."""

from collections.abc import Sequence

import numpy as np

from edgetrain.exporters.step_writing.emitter import Shape
from edgetrain.exporters.tflite_training import losses, words
from edgetrain.exporters.tflite_training.operations import concatenate, joined, select
from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant
from edgetrain.exporters.tflite_writing.file import Subgraph


class Elements:
    """The part of `TfliteEmitter` that has no namesake in `edgetrain.fixed`.

    Args:
        graph: the subgraph.
    """

    def __init__(self, graph: Subgraph) -> None:
        self.graph = graph

    # integers
    def _alike(self, a: Operand, b: Operand) -> tuple[Tensor, Tensor]:
        """Return two operands as int32, or as int64 if one of them is."""
        given = [value for value in (a, b) if isinstance(value, Tensor)]
        kind = np.int64 if any(value.dtype == np.int64 for value in given) else np.int32
        first, second = (constant(self.graph, value, kind).cast(kind) for value in (a, b))
        return first, second

    def plus(self, a: Operand, b: Operand) -> Tensor:
        """Append ``a + b``."""
        first, second = self._alike(a, b)
        return first + second

    def minus(self, a: Operand, b: Operand) -> Tensor:
        """Append ``a - b``."""
        first, second = self._alike(a, b)
        return first - second

    def times(self, a: Operand, b: Operand) -> Tensor:
        """Append ``a * b``."""
        first, second = self._alike(a, b)
        return first * second

    def divide(self, a: Operand, b: Operand) -> Tensor:
        """Append the floor of ``a / b``."""
        first, second = self._alike(a, b)
        if first.dtype == np.int64 and isinstance(b, int):
            return words.divide(first, b)
        return first // second

    def floor_divide(self, a: Operand, b: Operand) -> Tensor:
        """Append the floor of ``a / b``."""
        return self.divide(a, b)

    def clip(self, a: Tensor, low: int, high: int) -> Tensor:
        """Append a within limits, int32."""
        return a.clip(low, high).cast(np.int32)

    def minimum(self, a: Operand, b: Operand) -> Tensor:
        """Append the smaller."""
        first, second = self._alike(a, b)
        return first.minimum(second)

    def maximum(self, a: Operand, b: Operand) -> Tensor:
        """Append the larger."""
        first, second = self._alike(a, b)
        return first.maximum(second)

    def less(self, a: Operand, b: Operand) -> Tensor:
        """Append ``a < b``."""
        first, second = self._alike(a, b)
        return first.less(second)

    def equal(self, a: Operand, b: Operand) -> Tensor:
        """Append ``a == b``."""
        first, second = self._alike(a, b)
        return first.equal(second)

    def shift_right(self, a: Tensor, bits: Operand) -> Tensor:
        """Append ``a >> bits``."""
        return a.cast(np.int32) >> bits

    def sign(self, a: Tensor) -> Tensor:
        """Append -1, 0 or 1."""
        return a.clip(-1, 1).cast(np.int32)

    def both(self, a: Tensor, b: Tensor) -> Tensor:
        """Append the condition that both hold."""
        shape = np.broadcast_shapes(a.shape, b.shape)
        return a.made("LOGICAL_AND", [b], shape, "LogicalAndOptions")

    def every(self, condition: Tensor) -> Tensor:
        """Append the condition that all elements hold."""
        return condition.all()

    def choose(self, condition: Tensor, a: Operand, b: Operand) -> Tensor:
        """Append a where a condition holds, else b."""
        given = [value for value in (a, b) if isinstance(value, Tensor)]
        kind = given[0].dtype if given else np.dtype(np.int32)
        return select(condition, constant(self.graph, a, kind), constant(self.graph, b, kind))

    # shapes
    def reshape(self, x: Tensor, shape: Shape) -> Tensor:
        """Append a reshape."""
        return x.reshape(*shape)

    def spread(self, x: Tensor, shape: Shape) -> Tensor:
        """Give every pixel the value of its channel."""
        return x.reshape(x.shape[0], 1, 1, -1).spread(*shape)

    def total(self, x: Tensor, axis: int | None = None) -> Tensor:
        """Sum up over an axis, or over everything: int64 (1,)."""
        if axis is None:
            return x.cast(np.int64).reshape(-1).sum(0, keep=True)
        return x.sum(axis)

    def running_total(self, x: Tensor) -> Tensor:
        """Sum up along the last axis, by a triangle: one interpreter has no operator for it."""
        triangle = np.triu(np.ones((x.shape[-1],) * 2, np.int32)).T
        return (x.reshape(-1, 1, x.shape[-1]) * triangle).sum(2)

    def pick(self, x: Tensor, index: Tensor) -> Tensor:
        """Take an element a row."""
        return (x * losses.one_hot(index, x.shape[1])).sum(1)

    def place(self, values: Tensor, index: Tensor, width: int) -> Tensor:
        """Put an element a row, zeros elsewhere."""
        return losses.one_hot(index, width) * values.reshape(-1, 1)

    def best(self, x: Tensor) -> Tensor:
        """Return where each row is largest."""
        return x.argmax(1)

    def stack(self, numbers: Sequence[Operand]) -> Tensor:
        """Make a vector of scalars."""
        return joined(self.graph, numbers, np.int32)

    def join(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        """Concatenate."""
        return concatenate(parts, axis)

    def cut(self, x: Tensor, start: int, stop: int, axis: int) -> Tensor:
        """Slice along an axis."""
        return x.cut(start, stop, axis)

    def item(self, x: Tensor, *index: int) -> Tensor:
        """Take one element as a scalar."""
        return x.reshape(-1).gather(np.array([np.ravel_multi_index(index, x.shape)]))

    def column(self, x: Tensor, rows: Sequence[int], column: int) -> Tensor:
        """Take some rows of one column."""
        return x.reshape(-1).gather(np.array(rows) * x.shape[1] + column)

    def with_rows(self, x: Tensor, rows: Sequence[int], columns: Sequence[Tensor]) -> Tensor:
        """Exchange some rows of a matrix."""
        new = concatenate([values.reshape(-1, 1) for values in columns], 1)
        source = np.arange(x.shape[0])
        source[list(rows)] = x.shape[0] + np.arange(len(rows))
        return concatenate([x, new], 0).gather(source)
