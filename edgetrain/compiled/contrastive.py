"""Forward-Forward as programs: `edgetrain.rules.input_labels` and `channel_labels`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import NamedTuple

import numpy as np

from edgetrain.arithmetic.goodness import CHANNEL_BITS
from edgetrain.arithmetic.losses import PROBABILITY_BITS
from edgetrain.arithmetic.rounding import INT8_MIN, Int8, Int32, Ints
from edgetrain.blocks import Plan
from edgetrain.compiled import local
from edgetrain.compiled.builder import Buffer, Operand
from edgetrain.compiled.forward import Network, Packed, layer, logits, machine_of, pack, sums
from edgetrain.compiled.inference import DENSE_SAMPLES, Inference, fits
from edgetrain.compiled.learning import Error, Learning
from edgetrain.graph import INPUT, Node
from edgetrain.model import Model


class Contrast(NamedTuple):
    """How right labels are told from wrong ones.

    Attributes:
        symmetric: whether goodnesses are compared with each other; else with the threshold.
        hard: whether wrong labels that look right are drawn more often.
        threshold: Q10, of a goodness.
    """

    symmetric: bool
    hard: bool
    threshold: int

    @property
    def loss(self) -> dict[str, int]:
        """The operands of an instruction for slopes."""
        return {"symmetric": int(self.symmetric), "threshold": self.threshold}


def write_pairs(
    learning: Learning, trained: frozenset[str], contrast: Contrast, neutral: int
) -> None:
    """Write a step of `edgetrain.rules.input_labels`: all samples neutral, then all pairs.

    Args:
        learning: the step; its network sees pairs of samples from now on.
        trained: names of the nodes that learn.
        contrast: how labels are told apart.
        neutral: code of every class in a sample without a label.
    """
    batch = learning.batch
    net = learning.net = replace(learning.net, samples=2 * batch)
    *hidden, last = net.graph.trainable
    labels = net.builder.array(2 * batch, np.int32)
    with net.builder.each(batch):
        weights = {n.name: pack(net, n, net.parameters(n), True) for n in net.graph.trainable}
        *_, (node, _, y) = _layers(net, hidden, _embed(net, neutral), weights)
        x = _normalize(net, node, y)
        outputs = logits(net, sums(net, last, x, weights[last.name]))
        error = learning.loss(last.name, outputs, counts=True)
        if last.name in trained:
            learning.node(last, x, error)
        _draw(net, contrast, outputs, labels)
    learners = [i for i, node in enumerate(hidden, 1) if node.name in trained]
    if learners:
        with net.builder.each(2 * batch, passes=2):
            pairs = _embed(net, net.zero(INPUT), labels=labels)
            for node, x, y in _layers(net, hidden[: learners[-1]], pairs, weights):
                if node.name in trained:
                    learning.node(node, x, _pair_error(learning, node, y, contrast))
    learning.conclude(trained)


def _embed(net: Network, low: int, labels: Operand = -1, tries: bool = False) -> Buffer:
    """Take samples, their first features overwritten with a label.

    Args:
        net: the network.
        low: code of a class that is not the label.
        labels: place of the labels, -1 for none.
        tries: whether the label is the number of the pass.
    """
    x = net.value(INPUT)
    net.builder.emit("embed", labels=labels, tries=int(tries), low=low, size=net.size(INPUT),
                     classes=net.graph.output_size, y=x)  # fmt: skip
    return x


def _layers(
    net: Network, nodes: Sequence[Node], x: Buffer, weights: Mapping[str, Packed]
) -> Iterator[tuple[Node, Buffer, Buffer]]:
    """Write layers that read each other normalized; yield each with what it reads and makes."""
    y = x
    for i, node in enumerate(nodes):
        x = _normalize(net, nodes[i - 1], y) if i else x
        y = layer(net, node, x, weights[node.name])
        yield node, x, y


def _normalize(net: Network, node: Node, y: Buffer) -> Buffer:
    """Divide a layer by its length."""
    x = net.value(node.name)
    net.builder.emit("normalize", x=y, zero=net.zero(node.name), size=node.n_out, y=x)
    return x


def _goodness(net: Network, node: Node, y: Buffer, scale: Ints, total: Buffer) -> None:
    """Add the goodness of a layer to that of every sample."""
    net.builder.emit("goodness", x=y, zero=net.zero(node.name), size=node.n_out,
                     multiplier=int(scale[0]), shift=int(scale[1]), y=total)  # fmt: skip


def _draw(net: Network, contrast: Contrast, outputs: Buffer, labels: Buffer) -> None:
    """Draw a wrong label of every sample."""
    net.builder.emit("wrong_labels", x=outputs if contrast.hard else -1,
                     width=net.graph.output_size, y=labels)  # fmt: skip


def _pair_error(learning: Learning, node: Node, y: Buffer, contrast: Contrast) -> Error:
    """Compute the error of a layer's sums, of right and wrong samples."""
    net = learning.net
    forth, back = learning.state[f"goodness/{node.name}"]
    value = net.builder.array(net.samples, np.int32)
    learning.clear(value, 4 * net.samples, True)
    _goodness(net, node, y, forth, value)
    net.builder.emit("pair_slopes", x=value, **contrast.loss)
    found, how = learning.scaled(learning.row(node.name, 2), node.n_out, back,
                                 learning.fixed_exponent(-PROBABILITY_BITS))  # fmt: skip
    net.builder.emit("goodness_error", x=y, zero=net.zero(node.name), slopes=value,
                     pixels=node.n_out, width=1, y=found.e, **how)  # fmt: skip
    return found


def write_channels(
    learning: Learning, plans: tuple[Plan, ...], contrast: Contrast, rate: int
) -> None:
    """Write a step of `edgetrain.rules.channel_labels`.

    Args:
        learning: the step.
        plans: of the blocks.
        contrast: how labels are told apart.
        rate: factor of the learning rate before the last block, in Q8.
    """
    every = frozenset(plan.block.output for plan in plans)
    local.write(learning, plans, every, rate, channel_head(contrast))


def channel_head(contrast: Contrast) -> local.Head:
    """Return what lets a block learn from a channel a class, as `local.pooled_head` does."""

    def head(learning: Learning, name: str, y: Buffer) -> Error:
        geometry = local.head_geometry(learning.net, name, learning.net.graph.shapes[name][:-1])
        error = _channel_error(learning, name, geometry, y, contrast)
        return local.learn_head(learning, name, geometry, y, error)

    return head


def _channel_error(learning: Learning, name: str, geometry: tuple[int, ...], y: Buffer,
                   contrast: Contrast) -> Error:  # fmt: skip
    """Compute the error of a block's channels."""
    net, builder, width = learning.net, learning.net.builder, learning.net.graph.output_size
    pixels = geometry[0] * geometry[1]
    size, samples = pixels * width, net.samples
    channels = builder.array(samples * size)
    value = builder.array(samples * width, np.int32)
    labels = builder.array(2 * learning.batch, np.int32)
    forth, share = learning.state[f"head/{name}/scale"][0], learning.state[f"goodness/{name}"]
    builder.emit("class_channels", x=local.head_sums(net, name, geometry, y), y=channels,
                 multiplier=int(forth[0]), shift=int(forth[1]), size=size)  # fmt: skip
    builder.emit("class_goodness", x=channels, pixels=pixels, width=width, y=value)
    _draw(net, contrast, value, labels)
    builder.emit("class_slopes", x=value, labels=labels, width=width, **contrast.loss)
    exponent = learning.fixed_exponent(-PROBABILITY_BITS - CHANNEL_BITS)
    found, how = learning.scaled(learning.row(name, 2), size, share, exponent)
    builder.emit("goodness_error", x=channels, zero=INT8_MIN, slopes=value, pixels=pixels,
                 width=width, y=found.e, **how)  # fmt: skip
    return found


def predict(model: Model, scales: Mapping[str, Ints], x: Int8, ops: ModuleType) -> Int32 | None:
    """Try every label: `edgetrain.rules.input_labels.predict`.

    Args:
        model: the network.
        scales: multiplier and shift of the goodness of the layers that count.
        x: int8 (batch, *input_shape).
        ops: a backend.

    Returns:
        int32 (batch, classes), Q10; None where the backend has no machine.
    """
    if machine_of(ops) is None or not fits(model, x):
        return None
    classes = model.graph.output_size
    key = ("goodness", *((name, *scale.tolist()) for name, scale in scales.items()), ops)
    known = model.scheme.programs
    if key not in known:
        write = partial(_write_trials, scales=scales)
        known[key] = Inference(model, DENSE_SAMPLES, write, (classes,), np.int32, ops)
    return np.ascontiguousarray(known[key](model, x).reshape(classes, len(x)).T)


def _write_trials(net: Network, scales: Mapping[str, Ints]) -> None:
    """Write a pass a label: it leaves the goodness of all samples, label by label."""
    *hidden, _ = net.graph.trainable
    total = net.builder.array(net.samples, np.int32)
    with net.builder.each(net.samples, passes=net.graph.output_size):
        weights = {n.name: pack(net, n, net.parameters(n), True) for n in hidden}
        net.builder.emit("clear", y=total, size=4 * net.samples)
        samples = _embed(net, net.zero(INPUT), tries=True)
        for node, _, y in _layers(net, hidden, samples, weights):
            if node.name in scales:
                _goodness(net, node, y, scales[node.name], total)
        net.builder.emit("output", x=total, size=4)
