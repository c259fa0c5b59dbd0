"""Run an int8 network, node by node."""

from collections.abc import Mapping, Sequence
from types import ModuleType

from edgetrain.arithmetic.probabilities import probabilities
from edgetrain.arithmetic.rounding import Int8, Int32
from edgetrain.graph import INPUT, Node
from edgetrain.model import Model
from edgetrain.scheme import Scheme


def ends_linear(model: Model, node: Node) -> bool:
    """Whether a node is the network's output and a dense layer without activation."""
    return node == model.graph.output and node.op == "dense" and not node.activation


def accumulate(model: Model, node: Node, x: Int8, ops: ModuleType) -> Int32:
    """Return the int32 accumulators (batch, ..., n_out) of a node with weights."""
    zero_point = model.scheme.activations[node.inputs[0]].zero_point
    w, b = model.params[node.name]
    if node.op == "dense":
        return ops.dense_acc(x, w, b, zero_point)
    return ops.conv2d_acc(x, w, b, zero_point, node.moving)


def finish(scheme: Scheme, node: Node, acc: Int32, ops: ModuleType) -> Int8:
    """Requantize a node's accumulators to its int8 result."""
    zero_point = scheme.activations[node.name].zero_point
    low, high = scheme.output_limits[node.name]
    return ops.requantize(acc, *scheme.requantize[node.name], zero_point, low, high)


def apply(model: Model, node: Node, values: Mapping[str, Int8], ops: ModuleType) -> Int8:
    """Compute one node's int8 result from the values it reads."""
    scheme, x = model.scheme, values[node.inputs[0]]
    if node.has_weights:
        return finish(scheme, node, accumulate(model, node, x, ops), ops)
    if node.op == "flatten":
        return x.reshape(len(x), -1)
    if node.op == "activation":
        return ops.look_up(x, scheme.tables[node.name])
    if node.op == "average_pool":
        return ops.average_pool(x, node.moving)
    if node.op == "max_pool":
        return ops.max_pool(x, node.moving)
    zero_points = [scheme.activations[name].zero_point for name in node.inputs]
    target = scheme.activations[node.name]
    if node.op == "global_average_pool":
        scale = scheme.global_pools[node.name]
        return ops.global_average_pool(x, zero_points[0], *scale, target.zero_point)
    a, b, y = scheme.adds[node.name]
    other = values[node.inputs[1]]
    return ops.add(
        x, zero_points[0], a, other, zero_points[1], b,
        target.zero_point, y, *scheme.output_limits[node.name],
    )  # fmt: skip


def infer(model: Model, x: Int8, ops: ModuleType) -> Int8:
    """Run the network on int8 codes.

    Args:
        model: the network.
        x: int8 (batch, *input_shape), from `Model.quantize_input`.
        ops: a backend, `edgetrain.fixed` for one.

    Returns:
        int8 (batch, *output shape).
    """
    values = {INPUT: x}
    nodes = model.graph.nodes
    for i, node in enumerate(nodes):
        values[node.name] = apply(model, node, values, ops)
        values = still_needed(values, nodes[i + 1 :], node)
    return values[model.graph.output.name]


def output(model: Model, x: Int8, ops: ModuleType) -> Int8:
    """Run the network and return what an exported model gives: probabilities, if it is to.

    Args:
        model: the network.
        x: int8 (batch, *input_shape).
        ops: a backend.

    Returns:
        int8 (batch, *output shape): the result of `infer`, or with `Model.softmax` probabilities
        of the scale 1/256 and the zero point -128.
    """
    y = infer(model, x, ops)
    return probabilities(y, *model.scheme.softmax) if model.softmax else y


def still_needed(values: Mapping[str, Int8], later: Sequence[Node], node: Node) -> dict[str, Int8]:
    """Forget the values that no later node reads; the newest, that of node, is kept."""
    names = {node.name, *(name for other in later for name in other.inputs)}
    return {name: value for name, value in values.items() if name in names}
