"""Forward gradients as programs: pairs of perturbed passes, then one that learns."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgetrain.arithmetic import rooms
from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.compiled.builder import Buffer, Operand, Place
from edgetrain.compiled.forward import (
    Packed,
    Parameters,
    Values,
    groups_of,
    layer,
    logits,
    node_result,
    pack,
    packed_room,
    requantize,
    sums,
    take_input,
)
from edgetrain.compiled.learning import EVERYWHERE, Error, Learning
from edgetrain.graph import INPUT, Node
from edgetrain.inference import ends_linear
from edgetrain.step import tensor_number


def write(learning: Learning, space: str, nodes: Sequence[Node], queries: int, uses_sign: bool,
          exact: bool) -> None:  # fmt: skip
    """Write a step of `edgetrain.rules.forward_gradient`.

    Args:
        learning: the step.
        space: "activity" or "weight".
        nodes: that are perturbed.
        queries: pairs of passes.
        uses_sign: whether only the signs of differences count.
        exact: whether the last layer learns from its exact error.

    The loss is that of the clean pass; without one it is the sum over all perturbed passes.
    """
    net, last = learning.net, learning.net.graph.output
    differences = net.builder.state([0] * queries * learning.batch)
    has_clean_pass = space == "activity" or exact
    packed: dict[str, Packed] = {}
    for query in range(queries):
        for sign in (1, -1):
            packed = _pass(learning, space, nodes, query, queries, sign, differences,
                           not has_clean_pass, packed)  # fmt: skip
    given = {"queries": queries, "capacity": learning.batch, "uses_sign": int(uses_sign)}
    if has_clean_pass:
        _clean_pass(learning, space, nodes, exact, {"difference": differences, **given}, packed)
    if space == "weight":
        learning.differences = differences
        for node in nodes:
            where = learning.target(f"node/{node.name}")
            limit = net.model.scheme.bias_limits[node.name]
            sizes = net.weight_geometry(node)
            room = net.builder.array(rooms.learning_signs(sizes))
            net.builder.emit("learn_signs", sizes, difference=differences, limit=limit, room=room,
                             **given, **where)  # fmt: skip
    trained = {node.name for node in nodes} | ({last.name} if exact else set())
    learning.conclude(frozenset(trained))


def _clean_pass(learning: Learning, space: str, nodes: Sequence[Node], exact: bool,
                given: Mapping[str, Operand], packed: Mapping[str, Packed]) -> None:  # fmt: skip
    """Run the network as it is; let perturbed nodes learn in activity space, and an exact head."""
    net, last = learning.net, learning.net.graph.output
    with net.builder.each(net.samples):
        values: Values = {INPUT: take_input(net)}
        weights = {
            n.name: packed.get(n.name) or pack(net, n, net.parameters(n), True)
            for n in net.graph.trainable
        }
        for node in net.graph.nodes:
            values[node.name] = result = node_result(net, node, values, weights)
            if node in nodes and space == "activity":
                error = _estimate(learning, node, result, given)
                learning.node(node, values[node.inputs[0]], error)
        error = learning.loss(last.name, logits(net, result), counts=True)
        if exact:
            learning.node(last, values[last.inputs[0]], error)


def _pass(learning: Learning, space: str, nodes: Sequence[Node], query: int, queries: int,
          sign: int, differences: Buffer, counts: bool,
          packed: Mapping[str, Packed]) -> dict[str, Packed]:  # fmt: skip
    """Run the network with all nodes perturbed, and keep the losses.

    Weights in packed are laid out already; returned are those that the next pass can use, too.
    """
    net = learning.net
    way = {"sign": sign, "query": query, "queries": queries}
    with net.builder.each(net.samples):
        values: Values = {INPUT: take_input(net)}
        weights, same = {}, {}
        for node in net.graph.trainable:
            if node in nodes and space == "weight":
                weights[node.name] = _perturb(learning, node, way)
            else:
                found = packed.get(node.name)
                same[node.name] = found or pack(net, node, net.parameters(node), True)
        weights |= same
        for node in net.graph.nodes:
            if node in nodes and space == "activity":
                result = _shaken(learning, node, values[node.inputs[0]], weights[node.name], way)
            else:
                result = node_result(net, node, values, weights)
            values[node.name] = result
        learning.loss(
            net.graph.output.name, logits(net, result), counts=counts, sign=sign,
            difference=Place(differences, 8 * query * learning.batch), wants_error=False,
        )  # fmt: skip
    if learning.settings.loss == "squared_error":  # its error is scaled in every pass
        learning.settle(learning.row(net.graph.output.name, 2), 1)
    return same


def _perturb(learning: Learning, node: Node, way: Mapping[str, int]) -> Packed:
    """Lay out a node's weights moved along their signs: `edgetrain.rules.weight_space.outputs`."""
    net = learning.net
    source, sizes = net.parameters(node), net.weight_geometry(node)
    given: dict[str, Operand] = {
        "w": source.w, "b": source.b, "size": int(learning.state[f"perturb/{node.name}"][0]),
        "limit": net.model.scheme.bias_limits[node.name],
        "tensor": tensor_number(f"node/{node.name}"), **way,
    }  # fmt: skip
    if groups_of(node) > 1:
        moved = Parameters(net.builder.array(node.n_out * net.graph.fan_in(node) + rooms.SLACK),
                           net.builder.array(node.n_out, np.int32))  # fmt: skip
        net.builder.prepare("perturb", sizes, room=net.builder.array(rooms.signs(sizes)),
                            w_out=moved.w, b_out=moved.b, **given)  # fmt: skip
        return pack(net, node, moved, False)
    packed = packed_room(net, node)
    net.builder.prepare("pack_perturbed", net.geometry(node), zero=net.zero(node.inputs[0]),
                        room=net.builder.array(rooms.perturbed(sizes)), packed=packed.packed,
                        bias=packed.bias, **given)  # fmt: skip
    return packed


def _shaken(learning: Learning, node: Node, x: Buffer, weights: Packed,
            way: Mapping[str, int]) -> Buffer:  # fmt: skip
    """Compute a node with its sums perturbed: `edgetrain.rules.activity_space.outputs`."""
    net = learning.net
    units = net.constant(("perturb", node.name), learning.state[f"perturb/{node.name}"])
    given: dict[str, Operand] = {"size": units, "tensor": tensor_number(f"node/{node.name}"), **way}
    if net.samples == 1 and not ends_linear(net.model, node):
        bias = net.builder.array(rooms.whole(node.n_out, rooms.COLUMNS), np.int32)
        net.builder.emit("shake", net.geometry(node), bias=weights.bias, y=bias, **given)
        return layer(net, node, x, Packed(weights.packed, bias))
    acc = sums(net, node, x, weights)
    net.builder.emit("shake_sums", x=acc, width=node.n_out, **given)
    if ends_linear(net.model, node):
        return acc
    return requantize(net, node, acc)


def _estimate(learning: Learning, node: Node, result: Buffer,
              given: Mapping[str, Operand]) -> Error:  # fmt: skip
    """Estimate the error of a node's sums: `edgetrain.rules.activity_space.estimate`."""
    net, key = learning.net, f"node/{node.name}"
    low, high = EVERYWHERE
    if node.activation:
        low, most = net.model.scheme.output_limits[node.name]
        high = most if node.activation == "relu6" else high
    pixels = net.size(node.name) // node.n_out
    limits = {"low": low, "high": high, "width": node.n_out}
    acc = net.builder.array(net.samples * node.n_out, np.int32)
    is_image = node.op == "conv2d"
    net.builder.emit("estimate", tensor=tensor_number(key), x=result, y=acc,
                     pixels=pixels if is_image else 0, **limits, **given)  # fmt: skip
    factor = learning.state[f"factor/{node.name}"]
    small = learning.scale(learning.row(node.name, 0), acc, node.n_out, factor,
                           learning.fixed_exponent(-LOGIT_BITS))  # fmt: skip
    if ends_linear(net.model, node):
        return small
    e = net.value(node.name)
    net.builder.emit("opened", e=small.e, x=result, pixels=pixels, y=e, **limits)
    return Error(e, small.exponent)
