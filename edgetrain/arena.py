"""How many bytes of activations, and how many multiplications, a pass needs.

The arena holds every int8 value and error that must exist at one time, what a block keeps for its
backward pass, and one row of int32 sums for a weight gradient. It is what the runtime keeps, not
what NumPy allocates for a moment.
"""

import math
from typing import NamedTuple

from edgetrain.blocks import Plan
from edgetrain.graph import INPUT, Graph, Node

SUM_BYTES = 4
"""An accumulator is int32."""


class Cost(NamedTuple):
    """What one training step costs."""

    arena_bytes: int
    macs: int  # multiply-accumulates of the whole batch


def size(graph: Graph, name: str, batch: int) -> int:
    """Bytes of a value: one a number.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> size(mlp((4,), 3).graph, "hidden1", 2)
        256
    """
    return batch * math.prod(graph.shapes[name])


def live_values(graph: Graph, nodes: tuple[Node, ...], source: str, keep: frozenset[str]) -> list[
    frozenset[str]
]:  # fmt: skip
    """Return, for each node, the values that exist while it runs.

    Args:
        graph: the network.
        nodes: that run, in order.
        source: the value that enters.
        keep: values that stay until the end.

    Returns:
        A set of names a node.
    """
    steps = []
    alive = {source}
    for i, node in enumerate(nodes):
        alive.add(node.name)
        steps.append(frozenset(alive))
        needed = {name for later in nodes[i + 1 :] for name in later.inputs}
        alive = {name for name in alive if name in needed or name in keep or name == node.name}
    return steps


def inference_arena(graph: Graph, batch: int = 1, extra: bool = False) -> int:
    """Return the largest sum of values that exist at one time in an inference.

    Args:
        graph: the network.
        batch: samples.
        extra: whether each node's result exists twice: a layer that learns as soon as it is
            computed needs an error of that size, and a row of sums.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> inference_arena(mlp((784,), 10).graph)
        912
    """
    peak = 0
    for node, alive in zip(
        graph.nodes, live_values(graph, graph.nodes, INPUT, frozenset()), strict=True
    ):
        total = sum(size(graph, name, batch) for name in alive)
        if extra and node.has_weights:
            total += size(graph, node.name, batch) + SUM_BYTES * graph.fan_in(node)
        peak = max(peak, total)
    return peak


def block_arena(graph: Graph, plan: Plan, batch: int = 1) -> int:
    """Return the peak of a block's forward and backward pass.

    Args:
        graph: the network.
        plan: of the block.
        batch: samples.

    Returns:
        Bytes.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.blocks import plan, select, split
        >>> graph = mlp((784,), 10).graph
        >>> whole = plan(split(graph, "network")[0], select(graph, "all"), 3)
        >>> block_arena(graph, whole)
        4240
    """
    return max(_forward_peak(graph, plan, batch), _backward_peak(graph, plan, batch))


def _forward_peak(graph: Graph, plan: Plan, batch: int) -> int:
    kept = plan.kept_bytes(graph, batch)
    nodes = plan.block.nodes
    peak = extras = 0
    for node, alive in zip(
        nodes, live_values(graph, nodes, plan.block.source, frozenset(plan.values)), strict=True
    ):
        extras += sum(kept.get(f"{kind}/{node.name}", 0) for kind in ("mask", "index", "code"))
        peak = max(peak, extras + sum(size(graph, name, batch) for name in alive))
    return peak


def _backward_peak(graph: Graph, plan: Plan, batch: int) -> int:
    kept = sum(plan.kept_bytes(graph, batch).values())
    if INPUT in plan.values:
        kept += size(graph, INPUT, batch)
    if plan.block.output != graph.output.name:
        kept += size(graph, plan.block.output, batch)  # the next block reads it
    errors = {plan.block.output: size(graph, plan.block.output, batch)}
    peak = 0
    for node in reversed(plan.block.nodes):
        if node.name not in plan.active:
            continue
        for name in set(node.inputs) & plan.active:
            errors[name] = errors.get(name, 0) + size(graph, name, batch)
        sums = SUM_BYTES * graph.fan_in(node) if node.name in plan.trained else 0
        peak = max(peak, kept + sums + sum(errors.values()))
        del errors[node.name]
    return peak


def block_macs(graph: Graph, plan: Plan) -> int:
    """Return the multiply-accumulates of a block for one sample: forward, errors, gradients."""
    total = 0
    for node in plan.block.nodes:
        passes = 1 + (node.name in plan.trained) + any(n in plan.active for n in node.inputs)
        total += passes * graph.node_macs(node)
    return total


def head_macs(graph: Graph, name: str) -> int:
    """Return the multiply-accumulates of a head on a value for one sample: three passes."""
    return 3 * graph.output_size * graph.shapes[name][-1]
