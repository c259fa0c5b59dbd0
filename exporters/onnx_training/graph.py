"""A graph of ONNX that is being written: values with a type and a shape, every node once."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgetrain import __version__
from edgetrain.exporters.onnx_writing.write import IR_VERSION, OPSET, Step, Writer, onnx_type

Shape = tuple[int, ...]
OFFSET = 128
"""Of uint8 values from int8 codes: products of uint8 are exact and fast on every x86."""
FREE = -1
"""A batch of any size in a shape."""


class Value(NamedTuple):
    """A value of the graph.

    Attributes:
        name: unique.
        dtype: uint8 for int8 codes (128 above them), int32 or int64 for integers, bool for
            conditions, uint32 for words.
        shape: as ONNX has it; of four dimensions, images and filters, channels come second.
    """

    name: str
    dtype: np.dtype
    shape: Shape


Operand = Value | NDArray[Any] | int


class End(NamedTuple):
    """An input or output of the graph."""

    name: str
    value: Value


class Book:
    """Collects nodes, constants, inputs and outputs.

    Args:
        batch: samples, or FREE.

    Attributes:
        reaches: largest magnitude of those values of which it is known, by name.
    """

    def __init__(self, batch: int = FREE) -> None:
        self.batch = batch
        self.write = Writer("n")
        self.inputs: list[End] = []
        self.outputs: list[End] = []
        self.reaches: dict[str, int] = {}
        self._made: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def op(self, op: str, *operands: Operand, dtype: Any, shape: Shape, **attributes: Any) -> Value:
        """Append a node, or find the one that is there; arrays are constants of their type."""
        (name,) = self.several(op, *operands, count=1, **attributes)
        return Value(name, np.dtype(dtype), shape)

    def several(
        self, op: str, *operands: Operand, count: int, **attributes: Any
    ) -> tuple[str, ...]:
        """Append a node with several results; return their names."""
        inputs = tuple(self.name(operand) for operand in operands)
        key = (op, inputs, tuple(sorted(attributes.items())))
        if key not in self._made:
            self._made[key] = self.write.several(op, inputs, count, attributes)
        return self._made[key]

    def name(self, operand: Operand) -> str:
        """Return the name of a value or of a constant."""
        if isinstance(operand, Value):
            return operand.name
        return self.write.constant(np.asarray(operand))

    def cast(self, value: Value, dtype: Any) -> Value:
        """Append a Cast, which discards high bits."""
        if value.dtype == dtype:
            return value
        to = onnx_type(dtype)
        return self.op("Cast", value, dtype=dtype, shape=value.shape, to=to)

    def shaped(self, value: Value, shape: Shape) -> Value:
        """Append a Reshape, in the order that the value has."""
        if value.shape == shape:
            return value
        wanted = np.array(shape, np.int64)
        return self.op("Reshape", value, wanted, dtype=value.dtype, shape=shape)

    def turned(self, value: Value, order: Sequence[int]) -> Value:
        """Append a Transpose; a Reshape where nothing moves."""
        shape = tuple(value.shape[axis] for axis in order)
        moved = [axis for axis in order if value.shape[axis] != 1]
        if moved == sorted(moved):
            return self.shaped(value, shape)
        perm = tuple(order)
        return self.op("Transpose", value, dtype=value.dtype, shape=shape, perm=perm)

    def channels_last(self, value: Value) -> Value:
        """Append what puts channels behind pixels."""
        return self.turned(value, (0, 2, 3, 1)) if len(value.shape) == 4 else value

    def channels_first(self, value: Value) -> Value:
        """Append what puts channels before pixels."""
        return self.turned(value, (0, 3, 1, 2)) if len(value.shape) == 4 else value

    def enter(self, name: str, dtype: Any, shape: Shape) -> Value:
        """Declare an input, channels last."""
        value = Value(name, np.dtype(dtype), shape)
        self.write.taken.add(name)
        self.inputs.append(End(name, value))
        return value

    def leave(self, name: str, value: Value) -> None:
        """Declare an output, channels last."""
        self.outputs.append(End(name, value))

    def file(self, properties: Mapping[str, str]) -> bytes:
        """Return the contents of a file; "name" of the properties names the graph."""
        steps = self._needed()
        read = {name for step in steps for name in step.inputs}
        nodes = [
            helper.make_node(s.op, s.inputs, s.results, name=s.name, **s.attributes) for s in steps
        ]
        constants = [
            numpy_helper.from_array(value, name)
            for name, value in self.write.constants.values()
            if name in read
        ]
        graph = helper.make_graph(
            nodes, properties["name"], [_info(e) for e in self.inputs],
            [_info(e) for e in self.outputs], constants,
        )  # fmt: skip
        made = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
            producer_name="edgetrain", producer_version=__version__,
        )  # fmt: skip
        helper.set_model_props(made, dict(properties))
        contents: bytes = made.SerializeToString(deterministic=True)
        return contents

    def _needed(self) -> list[Step]:
        """Return the nodes that an output depends on, in order; the last ones name the outputs."""
        ends = [Step("Identity", e.name, (e.value.name,), (e.name,), {}) for e in self.outputs]
        wanted = {end.name for end in self.outputs}
        kept = []
        for step in reversed([*self.write.steps, *ends]):
            if wanted.intersection(step.results):
                wanted.update(step.inputs)
                kept.append(step)
        return kept[::-1]


def _info(end: End) -> TensorProto:
    shape = ["batch" if size == FREE else size for size in end.value.shape]
    return helper.make_tensor_value_info(end.name, onnx_type(end.value.dtype), shape)
