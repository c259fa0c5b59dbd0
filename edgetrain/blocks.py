"""Cut a network into blocks that learn by themselves, and say what a block must remember.

Errors flow only inside a block. One block a layer is right for fully connected networks; two
blocks are level with backpropagation on small convolutional ones; one block is backpropagation.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from edgetrain.errors import RuleError
from edgetrain.graph import INPUT, Graph, Node

Choice = str | int | tuple[str, ...]
"""How to cut: "auto", "layer", "residual", "network", a number of blocks, or names of the nodes
after which to cut."""


@dataclass(frozen=True)
class Block:
    """A run of nodes between two values that nothing bypasses.

    Attributes:
        nodes: in topological order.
        source: name of the value that enters.
    """

    nodes: tuple[Node, ...]
    source: str

    @property
    def output(self) -> str:
        """Name of the value that leaves."""
        return self.nodes[-1].name


def is_convolutional(graph: Graph) -> bool:
    """Whether any node is a convolution."""
    return any(node.op == "conv2d" for node in graph.nodes)


@lru_cache(maxsize=64)
def split(graph: Graph, choice: Choice = "auto") -> tuple[Block, ...]:
    """Cut a graph into blocks.

    Args:
        graph: the network.
        choice: "layer" cuts before every node with weights, where only one value crosses;
            "residual" keeps depthwise and pointwise together; a number K cuts into K blocks of
            about equal work; "network" does not cut; names cut after those nodes; "auto" is
            "layer" for fully connected networks and 2 for convolutional ones.

    Returns:
        The blocks, in order; together they hold every node once.

    Raises:
        RuleError: if there is no such choice, or the graph cannot be cut so.

    Example:
        >>> from edgetrain.architectures import resnet8
        >>> [block.output for block in split(resnet8((32, 32, 3), 10).graph, 2)]
        ['res1', 'classifier']
    """
    if choice == "auto":
        choice = 2 if is_convolutional(graph) else "layer"
        choice = min(choice, len(_cuts(graph, "residual")) + 1) if choice == 2 else choice
    cuts = _cuts(graph, choice)
    edges = [0, *(c + 1 for c in cuts), len(graph.nodes)]
    blocks = []
    for start, stop in pairwise(edges):
        source = graph.nodes[start - 1].name if start else INPUT
        blocks.append(Block(graph.nodes[start:stop], source))
    return tuple(blocks)


def _cuts(graph: Graph, choice: Choice) -> list[int]:
    """Positions of the nodes after which to cut."""
    if choice == "network":
        return []
    possible = _possible_cuts(graph)
    if choice == "layer":
        return possible
    if isinstance(choice, tuple):
        return _named_cuts(graph, choice)
    whole = [c for c in possible if not _is_depthwise(graph, graph.nodes[c])]
    if choice == "residual":
        return whole
    if not (isinstance(choice, int) and choice >= 1):
        raise RuleError(
            "blocks must be 'auto', 'layer', 'residual', 'network', a number of at least 1 or "
            f"names of nodes, got {choice!r}"
        )
    if choice > len(whole) + 1:
        raise RuleError(
            f"this network can be cut into at most {len(whole) + 1} blocks, got {choice}"
        )
    return _equal_work(graph, whole, choice)


def _possible_cuts(graph: Graph) -> list[int]:
    """Positions just before a node with weights where a single value crosses.

    Not before the first, where nothing could learn, nor between a pool and its classifier.
    """
    cuts = []
    last = graph.trainable[-1]
    for i in range(graph.nodes.index(graph.trainable[0]) + 1, len(graph.nodes)):
        node = graph.nodes[i]
        feeds_classifier = node == last and is_convolutional(graph) and node.op == "dense"
        if node.has_weights and not feeds_classifier and _single_value_crosses(graph, i - 1):
            cuts.append(i - 1)
    return cuts


def _single_value_crosses(graph: Graph, position: int) -> bool:
    """Whether nodes after position read only the result of the node at position."""
    inside = {INPUT, *(node.name for node in graph.nodes[:position])}
    return not any(name in inside for node in graph.nodes[position + 1 :] for name in node.inputs)


def _is_depthwise(graph: Graph, node: Node) -> bool:
    return node.op == "conv2d" and node.moving.groups == graph.shapes[node.inputs[0]][2] > 1


def _named_cuts(graph: Graph, names: tuple[str, ...]) -> list[int]:
    positions = {node.name: i for i, node in enumerate(graph.nodes[:-1])}
    for name in names:
        if name not in positions or not _single_value_crosses(graph, positions[name]):
            allowed = [n for n, i in positions.items() if _single_value_crosses(graph, i)]
            raise RuleError(f"blocks can be cut after one of {allowed}, got {name!r}")
    return sorted(positions[name] for name in names)


def _equal_work(graph: Graph, possible: list[int], count: int) -> list[int]:
    """Choose count - 1 cuts so that every block has about the same work."""
    done = [sum(graph.node_macs(n) for n in graph.nodes[: c + 1]) for c in possible]
    chosen: list[int] = []
    for k in range(1, count):
        goal = graph.macs * k / count
        first = possible.index(chosen[-1]) + 1 if chosen else 0
        rest = range(first, len(possible) - (count - 1 - k))
        chosen.append(possible[min(rest, key=lambda i: abs(done[i] - goal))])
    return chosen


@dataclass(frozen=True)
class Plan:
    """What one block remembers from its forward to its backward pass.

    Attributes:
        block: the block.
        trained: names of its nodes whose weights learn.
        active: names of its nodes that an error must reach.
        values: names of the int8 values that are kept: inputs of trained nodes.
        masks: names of the ReLU nodes whose mask is kept, one bit a value.
        indices: names of the max pools whose winners are kept, one byte a value.
        codes: names of the activations whose derivative codes are kept, `bits` each.
        bits: bits a derivative code has, 1 to 4, or 8 for the int8 input itself.
    """

    block: Block
    trained: frozenset[str]
    active: frozenset[str]
    values: tuple[str, ...]
    masks: tuple[str, ...]
    indices: tuple[str, ...]
    codes: tuple[str, ...]
    bits: int

    def kept_bytes(self, graph: Graph, batch: int = 1) -> Mapping[str, int]:
        """Bytes of everything that is kept, by the key under which the runtime keeps it.

        The block's own input is not counted where it is the network's input: the caller has it.
        """
        sizes = {name: batch * math.prod(shape) for name, shape in graph.shapes.items()}
        kept = {f"value/{n}": sizes[n] for n in self.values if n != INPUT}
        kept |= {f"mask/{n}": -(-sizes[n] // 8) for n in self.masks}
        kept |= {f"index/{n}": sizes[n] for n in self.indices}
        kept |= {f"code/{n}": -(-sizes[n] * self.bits // 8) for n in self.codes}
        return kept


@lru_cache(maxsize=256)
def plan(block: Block, trained: frozenset[str], bits: int) -> Plan:
    """Decide what a block must keep so that the named nodes can learn.

    A ReLU's mask costs nothing where its result is kept anyway; a max pool keeps which pixel won;
    a smooth activation keeps a few bits a value.

    Args:
        block: the block.
        trained: names of nodes with weights; those outside the block are ignored.
        bits: bits of a derivative code, 1 to 4, or 8.

    Returns:
        The plan.
    """
    mine = frozenset(n.name for n in block.nodes if n.name in trained)
    active: set[str] = set()
    for node in block.nodes:
        if node.name in mine or any(name in active for name in node.inputs):
            active.add(node.name)
    values = tuple(dict.fromkeys(n.inputs[0] for n in block.nodes if n.name in mine))
    inner = [node for node in block.nodes if node.name in active]
    relus = [n.name for n in inner if n.activation in ("relu", "relu6")]
    return Plan(
        block,
        mine,
        frozenset(active),
        values,
        masks=tuple(name for name in relus if name not in values),
        indices=tuple(n.name for n in inner if n.op == "max_pool" and _reads(n, active)),
        codes=tuple(n.name for n in inner if n.op == "activation" and _reads(n, active)),
        bits=bits,
    )


def _reads(node: Node, names: Collection[str]) -> bool:
    return any(name in names for name in node.inputs)


def select(graph: Graph, train: str | int | tuple[str, ...]) -> frozenset[str]:
    """Say which nodes learn.

    Args:
        graph: the network.
        train: "all", the number of last nodes with weights, or names.

    Returns:
        Names of nodes with weights.

    Raises:
        RuleError: if a name has no weights, or the number does not fit; it says what would.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> sorted(select(mlp((4,), 2).graph, 1))
        ['classifier']
    """
    names = [node.name for node in graph.trainable]
    if train == "all":
        return frozenset(names)
    if isinstance(train, int) and 0 <= train <= len(names):
        return frozenset(names[len(names) - train :])
    if isinstance(train, tuple) and train and set(train) <= set(names):
        return frozenset(train)
    raise RuleError(
        f"train must be 'all', a number of last layers up to {len(names)}, or some of {names}, "
        f"got {train!r}"
    )
