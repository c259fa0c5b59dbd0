"""The emitter of TensorFlow Lite: parameters are variables, numbers have the shape (1,)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.exporters.step_writing.emitter import Shape, Stream
from edgetrain.exporters.tflite_training import (
    gradients,
    layers,
    losses,
    randomness,
    updates,
    words,
)
from edgetrain.exporters.tflite_training.operations import concatenate, joined, select
from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant, tensor
from edgetrain.exporters.tflite_training.variables import assign, read
from edgetrain.exporters.tflite_writing.file import Subgraph

NEXT = "next/"


class TfliteEmitter:
    """Appends operations to a subgraph; see `edgetrain.exporters.step_writing.emitter`.

    Args:
        graph: the subgraph.
        batch: samples.

    Attributes:
        inputs: tensors that a caller gives, by name.
        outputs: tensors that a caller gets, by name.
        parameters: variables that are read, by name.
    """

    def __init__(self, graph: Subgraph, batch: int) -> None:
        self.graph, self.batch = graph, batch
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self.parameters: dict[str, Tensor] = {}
        self._bases: dict[Tensor, Tensor] = {}

    # what enters and leaves
    def samples(self, shape: Shape) -> Tensor:
        return self._input("x", np.int8, (self.batch, *shape))

    def labels(self) -> Tensor:
        return self._input("y", np.int32, (self.batch,))

    def targets(self, outputs: int) -> Tensor:
        return self._input("y", np.int32, (self.batch, outputs))

    def step_number(self) -> Tensor:
        self._input("seed", np.int32, (1,))
        return self._input("step", np.int32, (1,))

    def _input(self, name: str, dtype: Any, shape: Shape) -> Tensor:
        self.inputs[name] = tensor(self.graph, name, dtype, shape)
        return self.inputs[name]

    def parameter(self, name: str, value: NDArray[Any]) -> Tensor:
        self.parameters[name] = read(self.graph, name, value)
        return self.parameters[name]

    def output(self, name: str, value: Operand) -> None:
        variable = name.removeprefix(NEXT)
        if variable in self.parameters:
            if value is not self.parameters[variable]:
                assign(self.graph, variable, value)
        elif name != "next/step":
            self.outputs[name] = constant(self.graph, value, np.int32)

    # namesakes
    dense_acc = staticmethod(layers.dense_acc)
    conv2d_acc = staticmethod(layers.conv2d_acc)
    requantize = staticmethod(words.requantize)
    average_pool = staticmethod(layers.average_pool)
    max_pool = staticmethod(layers.max_pool)
    global_average_pool = staticmethod(layers.global_average_pool)
    add = staticmethod(layers.add)
    look_up = staticmethod(layers.look_up)
    logits_q10 = staticmethod(losses.logits_q10)
    softmax = staticmethod(losses.softmax)
    log_softmax = staticmethod(losses.log_softmax)
    cross_entropy = staticmethod(losses.cross_entropy)
    squared_error = staticmethod(losses.squared_error)
    scale_error = staticmethod(losses.scale_error)
    bit_length = staticmethod(losses.bit_length)
    dense_grad_x = staticmethod(gradients.dense_grad_x)
    dense_grad_w = staticmethod(gradients.dense_grad_w)
    conv2d_grad_x = staticmethod(gradients.conv2d_grad_x)
    conv2d_grad_w = staticmethod(gradients.conv2d_grad_w)
    grad_b = staticmethod(gradients.grad_b)
    average_pool_grad = staticmethod(gradients.average_pool_grad)
    max_pool_index = staticmethod(gradients.max_pool_index)
    max_pool_grad = staticmethod(gradients.max_pool_grad)
    rate_multipliers = staticmethod(updates.rate_multipliers)
    update_int8 = staticmethod(updates.update_int8)
    update_int16 = staticmethod(updates.update_int16)
    visible = staticmethod(updates.visible)
    update_biases = staticmethod(updates.update_biases)
    momentum = staticmethod(updates.momentum)

    def codes(self, x: Tensor) -> Tensor:
        return x.cast(np.int32)

    def as_codes(self, x: Tensor) -> Tensor:
        return x.cast(np.int8)

    def opened(self, y: Tensor, low: int, high: int | None) -> Tensor:
        wide = y.cast(np.int32)
        inside = wide.greater(low)
        if high is not None:
            inside = self.both(inside, wide.less(high))
        return inside.cast(np.int32)

    # randomness
    def _keys(self, streams: Sequence[Stream]) -> list[randomness.Key]:
        seed = self.inputs["seed"].bits_as(np.uint32)
        for stream in streams:
            if stream.number not in self._bases:
                number = stream.number.bits_as(np.uint32)
                self._bases[stream.number] = randomness.base(seed, number)
        bases = concatenate([self._bases[stream.number] for stream in streams], 0)
        tensors, purposes = [s.tensor for s in streams], [s.purpose for s in streams]
        return randomness.stream_keys(bases, tensors, purposes)

    def random_octets(self, streams: Sequence[tuple[Stream, int]]) -> Sequence[Tensor]:
        keys = self._keys([stream for stream, _ in streams])
        return randomness.random_octets(keys, [count for _, count in streams])

    def random_signs(self, stream: Stream, rows: int, columns: int) -> Tensor:
        return randomness.random_signs(*self._keys([stream]), rows, columns)

    def random_below(self, stream: Stream, bounds: Tensor) -> Tensor:
        return randomness.random_below(*self._keys([stream]), bounds)

    # integers
    def _alike(self, a: Operand, b: Operand) -> tuple[Tensor, Tensor]:
        """Return two operands as int32, or as int64 if one of them is."""
        given = [value for value in (a, b) if isinstance(value, Tensor)]
        kind = np.int64 if any(value.dtype == np.int64 for value in given) else np.int32
        first, second = (constant(self.graph, value, kind).cast(kind) for value in (a, b))
        return first, second

    def plus(self, a: Operand, b: Operand) -> Tensor:
        first, second = self._alike(a, b)
        return first + second

    def minus(self, a: Operand, b: Operand) -> Tensor:
        first, second = self._alike(a, b)
        return first - second

    def times(self, a: Operand, b: Operand) -> Tensor:
        first, second = self._alike(a, b)
        return first * second

    def divide(self, a: Operand, b: Operand) -> Tensor:
        first, second = self._alike(a, b)
        if first.dtype == np.int64 and isinstance(b, int):
            return words.divide(first, b)
        return first // second

    def floor_divide(self, a: Operand, b: Operand) -> Tensor:
        return self.divide(a, b)

    def clip(self, a: Tensor, low: int, high: int) -> Tensor:
        return a.clip(low, high).cast(np.int32)

    def minimum(self, a: Operand, b: Operand) -> Tensor:
        first, second = self._alike(a, b)
        return first.minimum(second)

    def maximum(self, a: Operand, b: Operand) -> Tensor:
        first, second = self._alike(a, b)
        return first.maximum(second)

    def less(self, a: Operand, b: Operand) -> Tensor:
        first, second = self._alike(a, b)
        return first.less(second)

    def equal(self, a: Operand, b: Operand) -> Tensor:
        first, second = self._alike(a, b)
        return first.equal(second)

    def shift_right(self, a: Tensor, bits: Operand) -> Tensor:
        return a.cast(np.int32) >> bits

    def sign(self, a: Tensor) -> Tensor:
        return a.clip(-1, 1).cast(np.int32)

    def both(self, a: Tensor, b: Tensor) -> Tensor:
        shape = np.broadcast_shapes(a.shape, b.shape)
        return a.made("LOGICAL_AND", [b], shape, "LogicalAndOptions")

    def every(self, condition: Tensor) -> Tensor:
        return condition.all()

    def choose(self, condition: Tensor, a: Operand, b: Operand) -> Tensor:
        given = [value for value in (a, b) if isinstance(value, Tensor)]
        kind = given[0].dtype if given else np.dtype(np.int32)
        return select(condition, constant(self.graph, a, kind), constant(self.graph, b, kind))

    # shapes
    def reshape(self, x: Tensor, shape: Shape) -> Tensor:
        return x.reshape(*shape)

    def spread(self, x: Tensor, shape: Shape) -> Tensor:
        return x.reshape(x.shape[0], 1, 1, -1).spread(*shape)

    def total(self, x: Tensor, axis: int | None = None) -> Tensor:
        if axis is None:
            return x.cast(np.int64).reshape(-1).sum(0, keep=True)
        return x.sum(axis)

    def running_total(self, x: Tensor) -> Tensor:
        triangle = np.triu(np.ones((x.shape[-1],) * 2, np.int32)).T
        return (x.reshape(-1, 1, x.shape[-1]) * triangle).sum(2)

    def pick(self, x: Tensor, index: Tensor) -> Tensor:
        return (x * losses.one_hot(index, x.shape[1])).sum(1)

    def place(self, values: Tensor, index: Tensor, width: int) -> Tensor:
        return losses.one_hot(index, width) * values.reshape(-1, 1)

    def best(self, x: Tensor) -> Tensor:
        return x.argmax(1)

    def stack(self, numbers: Sequence[Operand]) -> Tensor:
        return joined(self.graph, numbers, np.int32)

    def join(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        return concatenate(parts, axis)

    def cut(self, x: Tensor, start: int, stop: int, axis: int) -> Tensor:
        return x.cut(start, stop, axis)

    def item(self, x: Tensor, *index: int) -> Tensor:
        return x.reshape(-1).gather(np.array([np.ravel_multi_index(index, x.shape)]))

    def column(self, x: Tensor, rows: Sequence[int], column: int) -> Tensor:
        return x.reshape(-1).gather(np.array(rows) * x.shape[1] + column)

    def with_rows(self, x: Tensor, rows: Sequence[int], columns: Sequence[Tensor]) -> Tensor:
        new = concatenate([values.reshape(-1, 1) for values in columns], 1)
        source = np.arange(x.shape[0])
        source[list(rows)] = x.shape[0] + np.arange(len(rows))
        return concatenate([x, new], 0).gather(source)
