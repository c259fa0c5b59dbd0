"""What a rule predicts: `Rule.predict` as calls of an emitter."""

from collections.abc import Mapping

import numpy as np

from edgetrain.blocks import split
from edgetrain.exporters.step_writing import input_labels
from edgetrain.exporters.step_writing.emitter import Tensor
from edgetrain.exporters.step_writing.network import Network
from edgetrain.graph import Node
from edgetrain.rules import ForwardForward, MonoForward, Rule
from edgetrain.rules.input_labels import first_that_counts
from edgetrain.step import ONE


def answer(net: Network, rule: Rule, tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Append what a rule predicts with: int32 (batch, outputs), Q10.

    Args:
        net: the network.
        rule: from `edgetrain.exporters.step_writing.program.chosen`.
        tensors: of its state.
        x: codes of a batch.
    """
    if isinstance(rule, ForwardForward) and rule.labels_in_input(net.model):
        return _by_label(net, tensors, x)
    classes = rule.settings.loss == "cross_entropy"
    if classes and isinstance(rule, MonoForward) and rule.predict_with == "sum":
        return _by_all_heads(net, rule, tensors, x)
    return net.predict(x)


def _by_all_heads(
    net: Network, rule: MonoForward, tensors: Mapping[str, Tensor], x: Tensor
) -> Tensor:
    """Append the sum of all log-softmaxes."""
    emit, total = net.emit, None
    for block in split(net.graph, rule.blocks):
        name = block.output
        x = net.block(block, {block.source: x})
        if name == net.graph.output.name:
            found = emit.log_softmax(net.outputs_q10(x))
        else:
            found = emit.log_softmax(_head(net, tensors, name, x))
        total = found if total is None else emit.plus(total, found)
    return total


def _head(net: Network, tensors: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    emit, key, zero = net.emit, f"head/{name}", net.zero(name)
    if len(net.graph.shapes[name]) == 3:
        x = emit.global_average_pool(x, zero, *ONE, zero)
    multiplier, shift = np.asarray(tensors[f"{key}/scale"])[0]
    acc = emit.dense_acc(x, tensors[f"{key}/w"], tensors[f"{key}/b"], zero)
    return emit.logits_q10(acc, int(multiplier), int(shift))


def _by_label(net: Network, tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """Append the goodness of every label: `edgetrain.rules.input_labels.predict`."""
    emit, skip = net.emit, first_that_counts(net.model)
    flat = input_labels.flattened(net, x)
    columns = []
    for label in range(net.graph.output_size):
        total: Tensor = None
        sample = input_labels.embed(net, flat, label)
        for i, (node, _, result) in enumerate(input_labels.layers(net, sample)):
            if i >= skip:
                found = _goodness(net, tensors, node, result)
                total = found if total is None else emit.plus(total, found)
        columns.append(emit.reshape(total, (-1, 1)))
    return emit.join(columns, 1)


def _goodness(net: Network, tensors: Mapping[str, Tensor], node: Node, y: Tensor) -> Tensor:
    forth = np.asarray(tensors[f"goodness/{node.name}"])[0]
    return input_labels.goodness(net, forth, node, y)
