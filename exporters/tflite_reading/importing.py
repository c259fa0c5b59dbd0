"""A network while it is made out of a TensorFlow Lite file."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import Window
from edgetrain.arithmetic.rounding import Ints
from edgetrain.errors import FileError, ModelError
from edgetrain.exporters.names import unique_name
from edgetrain.exporters.tflite_reading.read import Net, Operator, Tensor
from edgetrain.graph import INPUT, Node, Shape
from edgetrain.model import Weights
from edgetrain.scheme import Quantization

Padding = tuple[int, int, int, int]
BORDER = ("QUANTIZE", "DEQUANTIZE")
"""Operators that change the type at the input and at the output."""


@dataclass
class Importing:
    """A network while it is made; operators append to it."""

    net: Net
    quantized: bool
    input_shape: Shape
    values: dict[int, str] = field(default_factory=dict)  # tensor to the value it is
    shapes: dict[str, Shape] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    params: dict[str, Weights] = field(default_factory=dict)
    scales: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    activations: dict[str, Quantization] = field(default_factory=dict)
    pads: dict[int, tuple[Padding, float]] = field(default_factory=dict)  # of a padded tensor
    constants: dict[int, NDArray[np.float32]] = field(default_factory=dict)  # dequantized
    softmax: bool = False

    def __post_init__(self) -> None:
        self.shapes[INPUT] = self.input_shape

    def name_of(self, operator: Operator) -> str:
        """Name an operator in messages, by what it makes."""
        return self.net.tensors[operator.outputs[0]].name[:80] if operator.outputs else "?"

    def refuse(self, operator: Operator, what: str) -> ModelError:
        """Make the error for an operator that is not as it must be."""
        return ModelError(f"operator {self.name_of(operator)!r}: {operator.op} {what}")

    def input(self, operator: Operator, position: int = 0) -> str:
        """Name the value that an operator reads."""
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        if index not in self.values:
            if index >= 0 and self.net.tensors[index].data is not None:
                raise self.refuse(operator, "must read what other operators make, got a constant")
            raise FileError(f"operator {self.name_of(operator)!r} reads what nothing has made")
        if self.softmax and operator.op not in BORDER:
            raise self.refuse(operator, "must not follow a SOFTMAX, which must be the last")
        return self.values[index]

    def output(self, operator: Operator) -> Tensor:
        """Return the tensor that an operator makes."""
        if len(operator.outputs) != 1:
            raise self.refuse(operator, f"must have one output, got {len(operator.outputs)}")
        return self.net.tensors[operator.outputs[0]]

    def constant(self, operator: Operator, position: int, kind: str) -> Ints | None:
        """Return a constant input, or None where it was left out."""
        index = operator.inputs[position] if position < len(operator.inputs) else -1
        if index < 0:
            return None
        if index in self.constants:
            return self.constants[index]
        tensor = self.net.tensors[index]
        if tensor.data is None or tensor.type != kind:
            state = "not constant" if tensor.data is None else tensor.type
            raise self.refuse(operator, f"needs {kind} constants, got {tensor.name!r:.80}: {state}")
        return tensor.data

    def alias(self, operator: Operator) -> None:
        """Let an operator's output be what it reads."""
        self.values[operator.outputs[0]] = self.input(operator)

    def quantize(self, value: str, tensor: Tensor) -> None:
        """Record the quantization of a value."""
        if len(tensor.scales) != 1 or not -128 <= tensor.zero_points[0] <= 127:
            raise FileError(f"tensor {tensor.name!r:.80} must have one scale and int8 zero point")
        self.activations[value] = Quantization(float(tensor.scales[0]), int(tensor.zero_points[0]))

    def append(
        self, operator: Operator, op: str, inputs: tuple[str, ...], shape: Shape,
        n_out: int = 0, window: Window | None = None, activation: str = "",
    ) -> str:  # fmt: skip
        """Append the node that an operator becomes."""
        tensor = self.output(operator)
        name = unique_name(tensor.name.split(";")[0], self.shapes, op)
        self.nodes.append(Node(name, op, inputs, n_out, window, activation))
        self.shapes[name], self.values[operator.outputs[0]] = shape, name
        if self.quantized:
            self.quantize(name, tensor)
        return name


def sample_shape(tensor: Tensor) -> Shape:
    """Return the shape of one sample of a tensor; a signal is an image of height 1."""
    if -1 in tensor.dynamic[1:] or not 2 <= len(tensor.shape) <= 4 or min(tensor.shape[1:]) < 1:
        raise ModelError(
            f"tensor {tensor.name!r:.80} must be (batch, ...) with 1 to 3 fixed sizes, "
            f"got {tensor.dynamic}"
        )
    return (1, *tensor.shape[1:]) if len(tensor.shape) == 3 else tensor.shape[1:]
