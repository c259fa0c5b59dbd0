"""The network that an ONNX graph becomes, while it is read node by node."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import Window
from edgetrain.errors import ModelError
from edgetrain.exporters.names import unique_name
from edgetrain.exporters.onnx_reading.graph import MAX_RANK, OnnxGraph, Op
from edgetrain.exporters.onnx_reading.tensors import MAX_ELEMENTS, array
from edgetrain.exporters.onnx_reading.values import Dims, Reals, Value, dims_of
from edgetrain.graph import INPUT, Graph, Node, Shape
from edgetrain.scheme import Quantization

MAX_TOTAL = 1 << 27
"""Elements of all constants and parameters together."""
LIMITS = {"relu": (0.0, math.inf), "relu6": (0.0, 6.0), "sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0)}
"""What the result of an activation lies between."""
KEEPS_LIMITS = ("max_pool", "average_pool", "global_average_pool", "flatten")
FUSES = {"relu": ("",), "relu6": ("", "relu")}
"""Activation → those of a layer that it replaces when it is fused into the layer."""


@dataclass(frozen=True)
class Constant:
    """A tensor that does not depend on the input.

    Attributes:
        array: its elements.
        unit: if it was stored as integers, the real value of one, for every element.
        batch: whether one of its elements stands for the batch, of which only Reshape knows.
    """

    array: NDArray[Any]
    unit: Reals | None = None
    batch: bool = False


@dataclass(frozen=True)
class Layer:
    """Parameters of a node in float64, as edgetrain lays them out.

    Attributes:
        w: (n_out, ...).
        b: (n_out,).
        unit: of w, the shape of w; None if w was not stored as integers.
        bias_unit: (n_out,), likewise of b.
    """

    w: Reals
    b: Reals
    unit: Reals | None = None
    bias_unit: Reals | None = None


@dataclass
class Builder:
    """Collects nodes and parameters; names of ONNX tensors lead to values and constants.

    Attributes:
        graph: what is read.
        start: the dimensions of ONNX's input.
        shapes: of one sample of every value, by node or INPUT.
        nodes: by name, in topological order.
        layers: parameters by node.
        values: computed tensors by their ONNX names.
        constants: constant tensors by their ONNX names.
        sole: the nodes that alone read what they read.
        quantizations: of nodes and INPUT, where the graph has them.
        flattened: image → the flatten node that reads it.
        total: elements of constants and parameters so far.
    """

    graph: OnnxGraph
    shapes: dict[str, Shape]
    start: Dims
    nodes: dict[str, Node] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    constants: dict[str, Constant] = field(default_factory=dict)
    sole: set[str] = field(default_factory=set)
    quantizations: dict[str, Quantization] = field(default_factory=dict)
    flattened: dict[str, str] = field(default_factory=dict)
    total: int = 0

    def value(self, op: Op, i: int = 0, moved: bool = False) -> Value:
        """Return the computed tensor that an operation reads as its input i.

        Args:
            op: the operation.
            i: which of its inputs.
            moved: whether it only moves elements, so that they may be codes or probabilities.
        """
        name = op.inputs[i]
        if name not in self.values:
            raise ModelError(
                f"node {op.name!r}: input {i} of {op.kind} must be computed from the network's "
                f"input, {name!r} is a constant or an output that is not supported"
            )
        value = self.values[name]
        if value.softmax and not moved:
            raise ModelError(
                f"node {op.name!r}: {op.kind} reads probabilities; a softmax must be the last node"
            )
        if value.codes and not moved:
            raise ModelError(
                f"node {op.name!r}: {op.kind} reads integers; a DequantizeLinear must be before it"
            )
        return replace(value, exclusive=value.exclusive and self.graph.readers[name] == 1)

    def constant(self, op: Op, i: int, batch: bool = False) -> Constant | None:
        """Return the constant that an operation reads as its input i; None if it has none."""
        name = op.inputs[i] if i < len(op.inputs) else ""
        if not name:
            return None
        found = self.known(name)
        if found is None:
            raise ModelError(
                f"node {op.name!r}: input {i} of {op.kind} must be constant, {name!r} is computed"
            )
        if found.batch and not batch:
            raise ModelError(f"node {op.name!r}: {op.kind} must not depend on the size of a batch")
        return found

    def needed(self, op: Op, i: int) -> Constant:
        """Return a constant that an operation cannot do without."""
        found = self.constant(op, i)
        if found is None:
            raise ModelError(f"node {op.name!r}: {op.kind} needs its input {i}, got none")
        return found

    def integers(self, op: Op, i: int, attribute: str) -> list[int] | None:
        """Return a short list of whole numbers that is an input, or in old opsets an attribute.

        Raises:
            ModelError: if they are no whole numbers, or more than two for each dimension.
        """
        given = self.constant(op, i, batch=op.kind == "Reshape")
        numbers = np.array(op.attributes.get(attribute, ())) if given is None else given.array
        if given is None and attribute not in op.attributes:
            return None
        if (numbers.size and numbers.dtype.kind not in "iu") or numbers.size > 2 * MAX_RANK:
            raise ModelError(
                f"node {op.name!r}: {attribute} of {op.kind} must be at most {2 * MAX_RANK} whole "
                f"numbers, got {numbers.size} of {numbers.dtype}"
            )
        return [int(n) for n in numbers.ravel()]

    def known(self, name: str) -> Constant | None:
        """Return a constant by its name, if it is one."""
        if name not in self.constants and name in self.graph.initializers:
            self.keep(name, Constant(array(self.graph.initializers[name], self.graph.folder)))
        return self.constants.get(name)

    def keep(self, name: str, constant: Constant) -> None:
        """Remember a constant."""
        self.count(constant.array.size)
        self.constants[name] = constant

    def count(self, elements: int) -> None:
        """Raise ModelError if constants and parameters become too many."""
        self.total += elements
        if self.total > MAX_TOTAL:
            raise ModelError(f"a model may have {MAX_TOTAL} constants in all, this one has more")

    def name(self, label: str, kind: str) -> str:
        """Make a name for a node."""
        return unique_name(label, self.shapes, kind)

    def append(
        self, label: str, op: str, sources: tuple[Value, ...], n_out: int = 0,
        window: Window | None = None, activation: str = "", layer: Layer | None = None,
    ) -> str:  # fmt: skip
        """Append a node that reads the sources of values; return its name."""
        names = tuple(value.source for value in sources)
        node = Node(self.name(label, op), op, names, n_out, window, activation)
        alone = Graph(self.shapes[names[0]], (replace(node, inputs=(INPUT,) * len(names)),))
        shape = alone.shapes[node.name]
        if math.prod(shape) > MAX_ELEMENTS:
            raise ModelError(
                f"node {node.name!r}: a value may have {MAX_ELEMENTS} elements, got {shape}"
            )
        if layer is not None:
            if layer.w.shape != alone.weight_shape(alone.nodes[0]) or layer.b.shape != (n_out,):
                raise ModelError(
                    f"node {node.name!r}: weights {layer.w.shape} and biases {layer.b.shape} do "
                    f"not fit samples of shape {self.shapes[names[0]]}"
                )
            self.count(layer.w.size)
            self.layers[node.name] = layer
        self.nodes[node.name], self.shapes[node.name] = node, shape
        if all(value.exclusive for value in sources):
            self.sole.add(node.name)
        return node.name

    def flat(self, value: Value, label: str) -> tuple[Value, tuple[str, ...]]:
        """Return a flattened value and the order in which ONNX reads the image's axes."""
        (order,) = value.dims
        shape = self.shapes[value.source]
        if len(shape) == 1:
            return value, order
        if value.source not in self.flattened:
            self.flattened[value.source] = self.append(f"{label}_flatten", "flatten", (value,))
        name = self.flattened[value.source]
        return replace(value, source=name, dims=dims_of("f", self.shapes[name])), order

    def limits(self, source: str) -> tuple[float, float]:
        """Return what the elements of a value surely lie between."""
        while source in self.nodes and self.nodes[source].op in KEEPS_LIMITS:
            source = self.nodes[source].inputs[0]
        activation = self.nodes[source].activation if source in self.nodes else ""
        return LIMITS.get(activation, (-math.inf, math.inf))

    def fuse(self, value: Value, activation: str) -> bool:
        """Fuse a ReLU into the layer that made a value, through max pools; say if it went."""
        name, passed = value.source, [value.source]
        if not value.exclusive:
            return False
        while name in self.sole and self.nodes[name].op == "max_pool":
            name = self.nodes[name].inputs[0]
            passed.append(name)
        node = self.nodes.get(name)
        if node is None or not (node.has_weights or node.op == "add"):
            return False
        if node.activation not in FUSES[activation]:
            return False
        self.nodes[name] = replace(node, activation=activation)
        for between in passed:
            self.quantizations.pop(between, None)
        return True

    def scale(self, value: Value, scale: Reals, shift: Reals) -> bool:
        """Fold a factor and an offset into the layer that made a value; say if they went."""
        node = self.nodes.get(value.source)
        small = scale.ndim <= 1 and shift.ndim <= 1
        if node is None or not (small and value.exclusive and node.has_weights):
            return False
        layer = self.layers[node.name]
        if node.activation or layer.unit is not None:
            return False
        factor = np.broadcast_to(scale, (node.n_out,))
        w = layer.w * factor.reshape(-1, *[1] * (layer.w.ndim - 1))
        self.layers[node.name] = Layer(w, layer.b * factor + shift)
        return True
