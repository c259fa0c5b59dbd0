"""The form "float": a plain float32 network; its nodes are those of the form "qdq" too."""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np

from edgetrain.exporters.onnx_writing.layout import filters, flatten, sliding
from edgetrain.exporters.onnx_writing.write import Operand, Writer
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel


def real(write: Writer, model: FloatModel) -> str:
    """Append a network that reads and gives float32.

    Args:
        write: to an empty graph.
        model: the network.

    Returns:
        The name of the result.
    """
    values: dict[str, Operand] = {INPUT: INPUT}
    for node in model.graph.nodes:
        inputs = [values[name] for name in node.inputs]
        if node.has_weights:
            w, b = model.params[node.name]
            inputs += [filters(w) if node.op == "conv2d" else w, b]
        at = write.at(node.name)
        values[node.name] = squeezed(at, model.graph, node, apply(at, model.graph, node, inputs))
    result = str(values[model.graph.output.name])
    return write.at("softmax").op("Softmax", result, axis=1) if model.softmax else result


def apply(write: Writer, graph: Graph, node: Node, inputs: Sequence[Operand]) -> str:
    """Append one of our nodes with its fused activation.

    Args:
        write: where to.
        graph: ours.
        node: of the graph.
        inputs: float32 values, and of a node with weights these (as ONNX has them) and biases.

    Returns:
        The name of the result; `squeezed` makes it what our node gives.
    """
    return FUSED[node.activation if node.op != "activation" else ""](
        write, OPERATIONS[node.op](write, graph, node, inputs)
    )


def squeezed(write: Writer, graph: Graph, node: Node, value: str) -> str:
    """Append what makes the image of one pixel that a global pool leaves a vector."""
    if node.op != "global_average_pool":
        return value
    return write.op("Reshape", value, np.array([0, graph.shapes[node.name][0]], np.int64))


def _window(op: str, **attributes: Any) -> "Operation":
    def operation(write: Writer, graph: Graph, node: Node, inputs: Sequence[Operand]) -> str:
        return write.op(op, *inputs, main=True, **sliding(node.moving), **attributes)

    return operation


def _conv2d(write: Writer, graph: Graph, node: Node, inputs: Sequence[Operand]) -> str:
    return write.op("Conv", *inputs, main=True, group=node.moving.groups, **sliding(node.moving))


def _dense(write: Writer, graph: Graph, node: Node, inputs: Sequence[Operand]) -> str:
    return write.op("Gemm", *inputs, main=True, transB=1)


def _add(write: Writer, graph: Graph, node: Node, inputs: Sequence[Operand]) -> str:
    return write.op("Add", *inputs, main=True)


def _global_pool(write: Writer, graph: Graph, node: Node, inputs: Sequence[Operand]) -> str:
    return write.op("GlobalAveragePool", *inputs, main=True)


def _flatten(write: Writer, graph: Graph, node: Node, inputs: Sequence[Operand]) -> str:
    return flatten(write, graph, node, str(inputs[0]))


def _activation(write: Writer, graph: Graph, node: Node, inputs: Sequence[Operand]) -> str:
    return ACTIVATIONS[node.activation](write, inputs[0])


def _gelu(write: Writer, x: Operand) -> str:
    erf = write.op("Erf", write.op("Div", x, np.float32(sqrt(2))))
    twice = write.op("Mul", x, write.op("Add", erf, np.float32(1)))
    return write.op("Mul", twice, np.float32(0.5), main=True)


Operation = Callable[[Writer, Graph, Node, Sequence[Operand]], str]
OPERATIONS: Mapping[str, Operation] = {
    "dense": _dense,
    "conv2d": _conv2d,
    "average_pool": _window("AveragePool"),
    "max_pool": _window("MaxPool"),
    "global_average_pool": _global_pool,
    "add": _add,
    "flatten": _flatten,
    "activation": _activation,
}
ACTIVATIONS: Mapping[str, Callable[[Writer, Operand], str]] = {
    "sigmoid": lambda write, x: write.op("Sigmoid", x, main=True),
    "tanh": lambda write, x: write.op("Tanh", x, main=True),
    "gelu": _gelu,
    "silu": lambda write, x: write.op("Mul", x, write.op("Sigmoid", x), main=True),
    "hard_swish": lambda write, x: write.op("HardSwish", x, main=True),
}
FUSED: Mapping[str, Callable[[Writer, str], str]] = {
    "": lambda write, x: x,
    "relu": lambda write, x: write.op("Relu", x),
    "relu6": lambda write, x: write.op("Clip", x, np.float32(0), np.float32(6)),
}
