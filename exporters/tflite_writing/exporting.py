"""A TensorFlow Lite file while it is made out of a model."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgetrain.architectures import same_padding
from edgetrain.arithmetic.probabilities import PROBABILITY_SCALE, PROBABILITY_ZERO_POINT
from edgetrain.arithmetic.rounding import INT8_MIN
from edgetrain.errors import ModelError
from edgetrain.exporters.tflite_writing.write import Writer
from edgetrain.graph import Graph, Node
from edgetrain.model import FloatModel, Model

SAME, VALID = 0, 1


@dataclass
class Exporting:
    """A file while it is made."""

    model: FloatModel | Model
    writer: Writer
    tensors: dict[str, int] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The network's shape."""
        return self.model.graph

    def quantization(self, value: str) -> dict[str, Any]:
        """Return scale and zero point of a value of ours, nothing of a float network."""
        if not isinstance(self.model, Model):
            return {}
        scale, zero_point = self.model.scheme.activations[value]
        return {"scales": (scale,), "zero_point": zero_point}

    def value(self, value: str, shape: tuple[int, ...], name: str) -> int:
        """Add a tensor quantized as a value of ours; the value's own has its name."""
        index = self.writer.tensor(name, (1, *shape), **self.quantization(value))
        self.tensors.setdefault(value, index)
        return index

    def result(self, node: Node) -> int:
        """Add the tensor that a node makes."""
        return self.value(node.name, self.graph.shapes[node.name], node.name)

    def read(self, node: Node) -> list[int]:
        """Return the tensors that a node reads."""
        return [self.tensors[name] for name in node.inputs]

    def constant(self, name: str, values: list[int] | list[list[int]]) -> int:
        """Add int32 numbers."""
        data = np.array(values, np.int32)
        return self.writer.tensor(name, data.shape, data)

    def parameters(self, node: Node, depthwise: bool) -> list[int]:
        """Add a node's weights and biases; scales are one number where all are equal."""
        w, b = self.model.params[node.name]
        axis = 3 if depthwise else 0
        w = np.moveaxis(w[..., 0], 0, 2)[None] if depthwise else w
        scales = bias_scales = np.zeros(0)
        if isinstance(self.model, Model):
            scales = self.model.scheme.weights[node.name]
            bias_scales = self.model.scheme.acc_scale(node)
            if node.op == "dense" and len(set(scales)) == 1:
                scales, bias_scales = scales[:1], bias_scales[:1]
        return [
            self.writer.tensor(
                f"{node.name}/w", w.shape, np.ascontiguousarray(w), scales, axis=axis
            ),
            self.writer.tensor(f"{node.name}/b", b.shape, b, bias_scales),
        ]

    def padded(self, node: Node) -> tuple[int, int]:
        """Return what a window reads, and SAME or VALID, after a PAD where neither pads right."""
        source, window = node.inputs[0], node.moving
        shape, index = self.graph.shapes[source], self.tensors[source]
        if not any(window.padding):
            return index, VALID
        if window.padding == same_padding(shape, window.kernel, window.stride):
            return index, SAME
        if node.op == "average_pool":
            raise ModelError(
                f"node {node.name!r}: TensorFlow Lite has no average pool with the padding "
                f"{window.padding}: pad as 'same', or not at all"
            )
        top, bottom, left, right = window.padding
        amounts = [[0, 0], [top, bottom], [left, right], [0, 0]]
        inputs = [index, self.constant(f"{node.name}/padding", amounts)]
        lowest = node.op == "max_pool"
        if lowest:
            inputs.append(self.lowest(node))
        size = (shape[0] + top + bottom, shape[1] + left + right, shape[2])
        index = self.value(source, size, f"{node.name}/padded")
        self.writer.operator("PADV2" if lowest else "PAD", inputs, index)
        return index, VALID

    def lowest(self, node: Node) -> int:
        """Add the number that never wins a maximum."""
        data = np.array([INT8_MIN], np.int8)
        if not self.writer.int8:
            data = np.array([np.finfo(np.float32).min], np.float32)
        found = self.quantization(node.inputs[0])
        return self.writer.tensor(f"{node.name}/lowest", (1,), data, **found)

    def softmax(self, logits: int) -> int:
        """Add the softmax at the end."""
        shape = (1, self.graph.output_size)
        found = {"scales": (PROBABILITY_SCALE,), "zero_point": PROBABILITY_ZERO_POINT}
        index = self.writer.tensor("probabilities", shape, **(found if self.writer.int8 else {}))
        self.writer.operator("SOFTMAX", [logits], index, "SoftmaxOptions", beta=1.0)
        return index
