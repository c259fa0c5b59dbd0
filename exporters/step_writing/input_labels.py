"""Forward-Forward with the label in the input: `edgetrain.rules.input_labels`."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from edgetrain.arithmetic.goodness import NORMAL_CODE, ROOT_BITS
from edgetrain.arithmetic.losses import PROBABILITY_BITS
from edgetrain.arithmetic.rounding import INT8_MAX
from edgetrain.blocks import select
from edgetrain.exporters.step_writing.emitter import Emitter, Tensor
from edgetrain.exporters.step_writing.goodness import pair_slopes, wrong_labels
from edgetrain.exporters.step_writing.learning import Learning
from edgetrain.exporters.step_writing.network import Network
from edgetrain.graph import INPUT, Node
from edgetrain.rules import input_labels
from edgetrain.rules.forward_forward import ForwardForward

ROOT_DIGITS, DIGIT = 3, 16
"""A root is at most 4080: three digits, each found by counting."""


class Layer(NamedTuple):
    """A hidden layer that has run: what it reads and what it makes."""

    node: Node
    source: Tensor
    result: Tensor


def write(learning: Learning, rule: ForwardForward, x: Tensor) -> None:
    """Append a step of `edgetrain.rules.input_labels.learn`."""
    emit, net, batch = learning.emit, learning.net, learning.batch
    flat = flattened(net, x)
    probabilities = _learn_classifier(learning, flat)
    wrong = wrong_labels(learning, probabilities if rule.negatives == "hard" else None)
    pair = emit.join([embed(net, flat, learning.y), embed(net, flat, wrong)], 0)
    symmetric = rule.goodness_loss == "symmetric"
    threshold = 0 if symmetric else int(learning.constant("threshold")[0])
    trained = select(net.graph, learning.settings.train)
    for node, source, result in layers(net, pair):
        if node.name not in trained:
            continue
        forth = learning.constant(f"goodness/{node.name}")[0]
        value = emit.minus(goodness(net, forth, node, result), threshold)
        halves = (emit.cut(value, i * batch, (i + 1) * batch, 0) for i in (0, 1))
        slopes = emit.join(list(pair_slopes(learning, *halves, symmetric)), 0)
        column = emit.reshape(learning.if_valid(slopes), (2 * batch, 1))
        acc = emit.times(above(net, node, result), column)
        back = learning.constant(f"goodness/{node.name}")[1]
        factor = (int(back[0]), int(back[1]))
        e, exponent = learning.scale(learning.row(node.name, 2), acc, factor, -PROBABILITY_BITS)
        learning.update_node(node, learning.gradients(node, source, e), exponent)


def _learn_classifier(learning: Learning, flat: Tensor) -> Tensor:
    """Append `input_labels._learn_classifier`; return its probabilities."""
    emit, net, last = learning.emit, learning.net, learning.net.graph.output
    *_, layer = layers(net, embed(net, flat, None))
    pooled = normalize(net, layer.node, layer.result)
    outputs = net.outputs_q10(net.accumulate(last, {last.inputs[0]: pooled}))
    (e, exponent), loss = learning.loss(last.name, outputs)
    learning.report(loss, outputs)
    if last.name in select(net.graph, learning.settings.train):
        learning.update_node(last, learning.gradients(last, pooled, e), exponent)
    return emit.softmax(outputs)


def flattened(net: Network, x: Tensor) -> Tensor:
    """Append what makes a vector of each sample."""
    return net.emit.reshape(x, (-1, math.prod(net.graph.input_shape)))


def embed(net: Network, flat: Tensor, y: Tensor | int | None) -> Tensor:
    """Append `edgetrain.rules.input_labels.embed`.

    Args:
        net: the network.
        flat: int8 (batch, features).
        y: labels, one label for all samples, or None for neutral samples.
    """
    emit, zero, classes = net.emit, net.zero(INPUT), net.graph.output_size
    old = emit.codes(emit.cut(flat, 0, classes, 1))
    if y is None:
        neutral = input_labels.neutral(net.model)
        first = emit.plus(emit.times(old, 0), neutral)
    elif isinstance(y, int):
        row = np.full((1, classes), zero, np.int32)
        row[0, y] = INT8_MAX
        first = emit.plus(emit.times(old, 0), row)
    else:
        labels = np.arange(classes, dtype=np.int32)
        first = emit.choose(emit.equal(emit.reshape(y, (-1, 1)), labels), INT8_MAX, zero)
    rest = emit.cut(flat, classes, math.prod(net.graph.input_shape), 1)
    return emit.join([emit.as_codes(first), rest], 1)


def layers(net: Network, x: Tensor) -> Iterator[Layer]:
    """Append the hidden layers, each normalized for the next: `input_labels.layers`."""
    for node in input_labels.hidden_layers(net.model):
        y = net.finish(node, net.accumulate(node, {node.inputs[0]: x}))
        yield Layer(node, x, y)
        x = normalize(net, node, y)


def above(net: Network, node: Node, y: Tensor) -> Tensor:
    """Append how far codes are above their zero point."""
    return net.emit.minus(net.emit.codes(y), net.zero(node.name))


def squares(net: Network, node: Node, y: Tensor) -> Tensor:
    """Append `edgetrain.arithmetic.goodness.sum_of_squares`."""
    wide = above(net, node, y)
    return net.emit.total(net.emit.times(wide, wide), 1)


def normalize(net: Network, node: Node, y: Tensor) -> Tensor:
    """Append `edgetrain.arithmetic.goodness.normalize`; the mean in two digits, to fit."""
    emit, total, base = net.emit, squares(net, node, y), 1 << 2 * ROOT_BITS
    whole = emit.divide(total, node.n_out)
    rest = emit.minus(total, emit.times(whole, node.n_out))
    digits = emit.times(whole, base), emit.divide(emit.times(rest, base), node.n_out)
    mean = emit.plus(*digits)
    root = emit.maximum(root_of(emit, emit.reshape(mean, (-1, 1))), 1)
    scaled = emit.times(above(net, node, y), NORMAL_CODE << ROOT_BITS)
    normal = emit.divide(emit.plus(scaled, emit.divide(root, 2)), root)
    codes = emit.minimum(emit.plus(normal, net.zero(node.name)), INT8_MAX)
    return emit.as_codes(codes)


def root_of(emit: Emitter, value: Tensor) -> Tensor:
    """Append `edgetrain.arithmetic.goodness.integer_root` of a column below 2**24."""
    root: Tensor = 0
    for place in range(ROOT_DIGITS - 1, -1, -1):
        steps = np.arange(1, DIGIT, dtype=np.int32)[None] * np.int32(DIGIT**place)
        tried = emit.plus(steps, root) if place < ROOT_DIGITS - 1 else steps
        larger = emit.less(value, emit.times(tried, tried))
        count = emit.reshape(emit.total(emit.choose(larger, 0, 1), 1), (-1, 1))
        digit = emit.times(count, DIGIT**place)
        root = digit if place == ROOT_DIGITS - 1 else emit.plus(root, digit)
    return root


def goodness(net: Network, forth: np.ndarray, node: Node, y: Tensor) -> Tensor:
    """Append `edgetrain.rules.input_labels.goodness`; forth is its multiplier and shift."""
    return net.emit.logits_q10(squares(net, node, y), int(forth[0]), int(forth[1]))
