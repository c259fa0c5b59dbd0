"""The forward pass of a block that keeps what its backward pass needs."""

from edgetrain.blocks import Plan
from edgetrain.exporters.c_writing.forward import Forward
from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.graph import Node
from edgetrain.inference import ends_linear

ABOVE, BELOW = 128, -129
"""What no int8 reaches."""


def open_between(unit: Unit, node: Node) -> tuple[int, int]:
    """Return the two codes between which a node's activation lets an error through."""
    low, high = unit.model.scheme.output_limits[node.name]
    if not node.activation:
        return BELOW, ABOVE
    return low, high if node.activation == "relu6" else ABOVE


def _keep_open(forward: Forward, node: Node) -> None:
    """Append what keeps one bit an output: whether the activation was open."""
    unit = forward.unit
    low, high = open_between(unit, node)
    size, y = forward.size(node.name), forward.values[node.name]
    bits = forward.program.buffer(f"{unit.names[node.name]}_open", "uint8_t", -(-size // 8))
    forward.call(f"et_keep_open({y}, {low}, {high}, {bits}, {size});", y, bits)


def run(forward: Forward, plan: Plan) -> str:
    """Append the forward pass of a block that keeps what its backward pass needs.

    Returns:
        The buffer of the value that leaves; of the network's linear last layer its accumulators.
    """
    unit = forward.unit
    for node in plan.block.nodes:
        if ends_linear(unit.model, node):
            target = forward.program.buffer("logits", "int32_t", forward.size(node.name))
            forward.accumulate(node, target)
            return target
        if node.name in plan.indices:
            _keep_index(forward, node)
            continue
        forward.node(node)
        if node.name in plan.masks:
            _keep_open(forward, node)
        if node.name in plan.codes:
            forward.values[f"{node.name} input"] = forward.values[node.inputs[0]]
    return forward.values[plan.block.output]


def _keep_index(forward: Forward, node: Node) -> None:
    unit, x = forward.unit, forward.values[node.inputs[0]]
    size = forward.size(node.name)
    index = forward.program.buffer(f"{unit.names[node.name]}_index", "uint8_t", size)
    y = forward.result(node)
    forward.call(f"et_max_pool({x}, {y}, {index}, {unit.batch}, {unit.window(node)});", x, y, index)
    forward.values[f"{node.name} index"] = index
