"""The forward pass: the network's nodes as calls of an emitter."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgetrain import inference
from edgetrain.blocks import Block
from edgetrain.exporters.step_writing.emitter import Emitter, Tensor
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import Model, Weights
from edgetrain.scheme import Scheme
from edgetrain.state import constants

Values = dict[str, Tensor]


@dataclass(frozen=True)
class Network:
    """A model whose parameters are values of a step; `edgetrain.inference` runs it.

    Attributes:
        model: for graph, scales and everything else that is constant.
        params: weights and biases by node.
        emit: what appends its operations.
    """

    model: Model
    params: Mapping[str, Weights]
    emit: Emitter

    @property
    def graph(self) -> Graph:
        """The network's shape."""
        return self.model.graph

    @property
    def scheme(self) -> Scheme:
        """The network's scales."""
        return self.model.scheme

    def zero(self, name: str) -> int:
        """Return the zero point of a value."""
        return self.scheme.activations[name].zero_point

    def with_params(self, params: Mapping[str, Weights]) -> "Network":
        """Return the network with some nodes' parameters exchanged."""
        return Network(self.model, {**self.params, **params}, self.emit)

    def ends_linear(self, node: Node) -> bool:
        """Whether a node leaves its sums: see `edgetrain.inference.ends_linear`."""
        return inference.ends_linear(self.model, node)

    def accumulate(self, node: Node, values: Mapping[str, Tensor]) -> Tensor:
        """Append the sums of a node with weights."""
        run: Any = inference.accumulate
        return run(self, node, values[node.inputs[0]], self.emit)

    def finish(self, node: Node, acc: Tensor) -> Tensor:
        """Append what makes codes of a node's sums."""
        run: Any = inference.finish
        return run(self.scheme, node, acc, self.emit)

    def result(self, node: Node, values: Mapping[str, Tensor]) -> Tensor:
        """Append a node: its codes, or the sums of a linear last layer."""
        if self.ends_linear(node):
            return self.accumulate(node, values)
        if node.op == "flatten":
            shape = (-1, math.prod(self.graph.shapes[node.name]))
            return self.emit.reshape(values[node.inputs[0]], shape)
        run: Any = inference.apply
        return run(self, node, values, self.emit)

    def block(self, block: Block, values: Values) -> Tensor:
        """Append a block; its values are added to values. Return what leaves it."""
        for node in block.nodes:
            values[node.name] = self.result(node, values)
        return values[block.output]

    def outputs_q10(self, result: Tensor) -> Tensor:
        """Append `edgetrain.outputs.outputs_q10`."""
        emit, node = self.emit, self.graph.output
        if not self.ends_linear(node):
            wide = emit.codes(emit.reshape(result, (-1, self.graph.output_size)))
            result = emit.minus(wide, self.zero(node.name))
        return emit.logits_q10(result, *constants(self.model).outputs)

    def predict(self, x: Tensor) -> Tensor:
        """Append `edgetrain.outputs.predict`."""
        values = {INPUT: x}
        for node in self.graph.nodes:
            values[node.name] = self.result(node, values)
        return self.outputs_q10(values[self.graph.output.name])
