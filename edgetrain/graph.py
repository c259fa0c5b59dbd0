"""A network's shape: nodes in topological order, without parameters."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from edgetrain.arithmetic.activations import FUNCTIONS
from edgetrain.arithmetic.layers import Window
from edgetrain.errors import ModelError

INPUT = "input"
"""The name of the network's input among the values that nodes read."""

Shape = tuple[int, ...]

MAX_POOL = 256
"""Most pixels under the window of a pool."""
FUSED = ("", "relu", "relu6")
"""Activations that `dense`, `conv2d` and `add` nodes can carry."""


@dataclass(frozen=True)
class Node:
    """One operation.

    Attributes:
        name: unique in its graph.
        op: a key of OPERATIONS.
        inputs: names of the nodes it reads, or INPUT; two for `add`, else one.
        n_out: outputs of a dense layer, output channels of a convolution; else 0.
        window: kernel, stride, padding and groups of a convolution or a pool.
        activation: fused activation ("", "relu", "relu6"), or the function of an `activation`.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    n_out: int = 0
    window: Window | None = None
    activation: str = ""

    @property
    def has_weights(self) -> bool:
        """Whether the node has parameters."""
        return self.op in ("dense", "conv2d")

    @property
    def moving(self) -> Window:
        """The window of a convolution or pool, which always has one."""
        if self.window is None:
            raise ModelError(f"node {self.name!r}: {self.op} needs a window, got None")
        return self.window


@dataclass(frozen=True)
class Graph:
    """A network without parameters; a value, checked when it is made.

    Attributes:
        input_shape: of one sample: (features,) or (height, width, channels).
        nodes: in topological order; the last one is the output.

    Raises:
        ModelError: if names repeat, an input is unknown or shapes do not fit; it names the node.

    Example:
        >>> graph = Graph((4,), (Node("hidden", "dense", (INPUT,), 8, activation="relu"),))
        >>> graph.shapes["hidden"], graph.parameters, graph.macs
        ((8,), 40, 32)
    """

    input_shape: Shape
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        if len(self.input_shape) not in (1, 3) or min(self.input_shape) < 1:
            raise ModelError(
                "input_shape must be (features,) or (height, width, channels), "
                f"got {self.input_shape}"
            )
        if not self.nodes:
            raise ModelError("a graph needs at least one node, got none")
        _ = self.shapes

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """The hash of all nodes; graphs are looked up at every step."""
        return hash((self.input_shape, self.nodes))

    @cached_property
    def shapes(self) -> Mapping[str, Shape]:
        """Shape of one sample of every value, by name."""
        shapes: dict[str, Shape] = {INPUT: self.input_shape}
        for node in self.nodes:
            if node.name in shapes:
                raise ModelError(f"node {node.name!r}: another value has this name already")
            shapes[node.name] = _output_shape(node, shapes)
        return shapes

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        """The nodes by their names."""
        return {node.name: node for node in self.nodes}

    @property
    def output(self) -> Node:
        """The last node."""
        return self.nodes[-1]

    @cached_property
    def output_size(self) -> int:
        """Number of outputs for one sample."""
        return math.prod(self.shapes[self.output.name])

    @cached_property
    def trainable(self) -> tuple[Node, ...]:
        """The nodes that have weights."""
        return tuple(node for node in self.nodes if node.has_weights)

    def weight_shape(self, node: Node) -> Shape:
        """Shape of a node's weights: (n_out, n_in) or (n_out, kh, kw, n_in / groups)."""
        source = self.shapes[node.inputs[0]]
        if node.op == "dense":
            return (node.n_out, source[0])
        return (node.n_out, *node.moving.kernel, source[2] // node.moving.groups)

    def fan_in(self, node: Node) -> int:
        """Products that are summed into one output of a node with weights."""
        return math.prod(self.weight_shape(node)[1:])

    def node_macs(self, node: Node) -> int:
        """Multiply-accumulates of one node for one sample."""
        if not node.has_weights:
            return 0
        return math.prod(self.shapes[node.name]) * self.fan_in(node)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference."""
        return sum(self.node_macs(node) for node in self.nodes)

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(math.prod(self.weight_shape(n)) + n.n_out for n in self.trainable)

    def consumers(self, name: str) -> Iterator[Node]:
        """The nodes that read a value."""
        return (node for node in self.nodes if name in node.inputs)


def _output_shape(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    """Check one node and return the shape it makes."""
    if node.op not in OPERATIONS:
        raise ModelError(f"node {node.name!r}: op must be one of {OPERATIONS}, got {node.op!r}")
    for name in node.inputs:
        if name not in shapes:
            raise ModelError(f"node {node.name!r}: no earlier node is named {name!r}")
    wanted = 2 if node.op == "add" else 1
    if len(node.inputs) != wanted:
        raise ModelError(f"node {node.name!r}: {node.op} reads {wanted}, got {node.inputs}")
    allowed = tuple(FUNCTIONS) if node.op == "activation" else FUSED
    if node.activation not in allowed:
        raise ModelError(
            f"node {node.name!r}: activation must be one of {allowed}, got {node.activation!r}"
        )
    source = shapes[node.inputs[0]]
    if node.op in ("dense", "conv2d") and node.n_out < 1:
        raise ModelError(f"node {node.name!r}: n_out must be at least 1, got {node.n_out}")
    dimensions = {"dense": 1, "activation": 0, "add": 0, "flatten": 0}.get(node.op, 3)
    if dimensions and len(source) != dimensions:
        raise ModelError(
            f"node {node.name!r}: {node.op} reads {dimensions}-dimensional samples, got {source}"
        )
    if node.op == "dense":
        return (node.n_out,)
    if node.op == "flatten":
        return (math.prod(source),)
    if node.op == "global_average_pool":
        return (source[2],)
    if node.op == "activation":
        return source
    if node.op == "add":
        if shapes[node.inputs[1]] != source:
            raise ModelError(
                f"node {node.name!r}: both inputs of an add must have one shape, "
                f"got {source} and {shapes[node.inputs[1]]}"
            )
        return source
    return _window_shape(node, source)


def _window_shape(node: Node, source: Shape) -> Shape:
    """Return the shape that a convolution or pool makes."""
    window, channels = node.moving, source[2]
    moves = min(*window.kernel, *window.stride) >= 1 and min(window.padding) >= 0
    height, width = window.output_size(source[0], source[1]) if moves else (0, 0)
    if min(height, width) < 1:
        raise ModelError(f"node {node.name!r}: {window} does not fit a sample of shape {source}")
    if node.op == "conv2d":
        if window.groups < 1 or channels % window.groups or node.n_out % window.groups:
            raise ModelError(
                f"node {node.name!r}: groups must divide {channels} input and {node.n_out} output "
                f"channels, got {window.groups}"
            )
        return (height, width, node.n_out)
    rows, columns, (top, bottom, left, right) = *window.kernel, window.padding
    if max(top, bottom) >= rows or max(left, right) >= columns or rows * columns > MAX_POOL:
        raise ModelError(
            f"node {node.name!r}: a pool needs a kernel of at most {MAX_POOL}, got {window}"
        )
    return (height, width, channels)


OPERATIONS = (
    "dense",
    "conv2d",
    "average_pool",
    "max_pool",
    "global_average_pool",
    "add",
    "flatten",
    "activation",
)
