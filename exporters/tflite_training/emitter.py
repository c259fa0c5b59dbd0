"""The emitter of TensorFlow Lite: parameters are variables, numbers have the shape (1,)."""

from collections.abc import Callable, Sequence
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
from edgetrain.exporters.tflite_training.elements import Elements
from edgetrain.exporters.tflite_training.operations import concatenate
from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant, tensor
from edgetrain.exporters.tflite_training.variables import assign, read
from edgetrain.exporters.tflite_writing.file import Subgraph

NEXT = "next/"


class TfliteEmitter(Elements):
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
        super().__init__(graph)
        self.batch = batch
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self.parameters: dict[str, Tensor] = {}
        self._bases: dict[Tensor, Tensor] = {}

    # what enters and leaves
    def samples(self, shape: Shape) -> Tensor:
        """Declare ``x``."""
        return self._input("x", np.int8, (self.batch, *shape))

    def labels(self) -> Tensor:
        """Declare ``y``."""
        return self._input("y", np.int32, (self.batch,))

    def targets(self, outputs: int) -> Tensor:
        """Declare ``y`` of a regression."""
        return self._input("y", np.int32, (self.batch, outputs))

    def step_number(self) -> Tensor:
        """Declare ``seed`` and ``step``."""
        self._input("seed", np.int32, (1,))
        return self._input("step", np.int32, (1,))

    def _input(self, name: str, dtype: Any, shape: Shape) -> Tensor:
        self.inputs[name] = tensor(self.graph, name, dtype, shape)
        return self.inputs[name]

    def parameter(self, name: str, value: NDArray[Any]) -> Tensor:
        """Read a variable."""
        self.parameters[name] = read(self.graph, name, value)
        return self.parameters[name]

    def output(self, name: str, value: Operand) -> None:
        """Let a number leave; give a variable its next value."""
        variable = name.removeprefix(NEXT)
        if variable in self.parameters:
            if value is not self.parameters[variable]:
                assign(self.graph, variable, value)
        elif name != "next/step":
            number = constant(self.graph, value, np.int32)
            self.outputs[name] = number.cast(np.int64 if name == "loss" else np.int32)

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
    visible = staticmethod(updates.visible)
    update_biases = staticmethod(updates.update_biases)
    momentum = staticmethod(updates.momentum)

    def update_int8(self, *layers: Sequence[Tensor]) -> tuple[list[Tensor], Operand]:
        """Append the updates of all layers."""
        return self._updated(updates.update_int8, layers)

    def update_int16(self, *layers: Sequence[Tensor]) -> tuple[list[Tensor], Operand]:
        """Append the updates of the masters of all layers."""
        return self._updated(updates.update_int16, layers)

    @staticmethod
    def _updated(
        update: Callable[..., tuple[Tensor, Tensor]], layers: Sequence[Sequence[Tensor]]
    ) -> tuple[list[Tensor], Operand]:
        found = [update(*layer) for layer in zip(*layers, strict=True)]
        total: Operand = 0
        for _, saturated in found:
            total = saturated if isinstance(total, int) else total + saturated
        return [new for new, _ in found], total

    def codes(self, x: Tensor) -> Tensor:
        """Read int8 codes as integers."""
        return x.cast(np.int32)

    def as_codes(self, x: Tensor) -> Tensor:
        """Read integers as int8 codes."""
        return x.cast(np.int8)

    def opened(self, y: Tensor, low: int, high: int | None) -> Tensor:
        """Say where codes are within limits: 1 or 0."""
        wide = y.cast(np.int32)
        inside = wide.greater(low)
        if high is not None:
            inside = self.both(inside, wide.less(high))
        return inside.cast(np.int32)

    # randomness
    def _keys(self, streams: Sequence[Stream]) -> list[randomness.Key]:
        """Derive the keys of streams; those of one number share their first half."""
        seed = self.inputs["seed"].bits_as(np.uint32)
        for stream in streams:
            if stream.number not in self._bases:
                number = stream.number.bits_as(np.uint32)
                self._bases[stream.number] = randomness.base(seed, number)
        bases = concatenate([self._bases[stream.number] for stream in streams], 0)
        tensors, purposes = [s.tensor for s in streams], [s.purpose for s in streams]
        return randomness.stream_keys(bases, tensors, purposes)

    def random_octets(self, streams: Sequence[tuple[Stream, int]]) -> Sequence[Tensor]:
        """Draw the bytes of all streams together."""
        keys = self._keys([stream for stream, _ in streams])
        return randomness.random_octets(keys, [count for _, count in streams])

    def random_signs(self, stream: Stream, rows: int, columns: int) -> Tensor:
        """Draw the signs of a stream."""
        return randomness.random_signs(*self._keys([stream]), rows, columns)

    def random_below(self, stream: Stream, bounds: Tensor) -> Tensor:
        """Draw numbers below bounds."""
        return randomness.random_below(*self._keys([stream]), bounds)
