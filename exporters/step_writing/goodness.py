"""Forward-Forward, a channel a class: `edgetrain.rules.channel_labels`; and what pairs share."""

import math

from edgetrain.arithmetic.goodness import CHANNEL_BITS, CHANNEL_MAX
from edgetrain.arithmetic.losses import LOGIT_BITS, PROBABILITY_BITS
from edgetrain.arithmetic.randomness import CONTRAST
from edgetrain.blocks import Plan
from edgetrain.exporters.step_writing import blocks
from edgetrain.exporters.step_writing.emitter import Stream, Tensor
from edgetrain.exporters.step_writing.learning import Learning
from edgetrain.exporters.step_writing.network import Values
from edgetrain.exporters.step_writing.scaling import Error
from edgetrain.rules import channel_labels
from edgetrain.rules.forward_forward import ForwardForward


def write(learning: Learning, rule: ForwardForward, x: Tensor) -> None:
    """Append a step of `edgetrain.rules.channel_labels.learn`."""
    *early, last = channel_labels.plans(learning.net.model, rule.settings, rule.blocks)
    for plan in early:
        values = {plan.block.source: x}
        x = learning.net.block(plan.block, values)
        _learn_block(learning, rule, plan, values)
    blocks.last_block(learning, last, x)


def _learn_block(learning: Learning, rule: ForwardForward, plan: Plan, values: Values) -> None:
    """Append `channel_labels._learn_block`."""
    emit, name, batch = learning.emit, plan.block.output, learning.batch
    classes, shape = learning.net.graph.output_size, learning.net.graph.shapes[name]
    pixels = math.prod(shape[:-1])
    rows = emit.reshape(values[name], (batch * pixels, shape[-1]))
    outputs = blocks.logits(learning, name, rows)
    bits = LOGIT_BITS - CHANNEL_BITS
    channels = emit.clip(emit.shift_right(outputs, bits), 0, CHANNEL_MAX)
    channels = emit.reshape(channels, (batch, pixels, classes))
    error = _channel_error(learning, rule, name, channels)
    e, exponent = blocks.teach_head(learning, name, rows, error)
    if plan.trained:
        found = Error(emit.reshape(e, (batch, *shape)), exponent)
        backward = blocks.Backward(learning, plan, values, channel_labels.EARLY_RATE, None)
        backward.run(found)


def _channel_error(learning: Learning, rule: ForwardForward, name: str, channels: Tensor) -> Error:
    """Append `channel_labels._channel_error`."""
    emit, batch, y = learning.emit, learning.batch, learning.y
    classes = learning.net.graph.output_size
    pixels = math.prod(learning.net.graph.shapes[name][:-1])
    squares = emit.divide(emit.total(emit.times(channels, channels), 1), pixels)
    value = emit.times(squares, 1 << (LOGIT_BITS - 2 * CHANNEL_BITS))
    symmetric = rule.goodness_loss == "symmetric"
    wrong = wrong_labels(learning, emit.softmax(value) if rule.negatives == "hard" else None)
    threshold = 0 if symmetric else 1 << LOGIT_BITS
    right, other = (emit.minus(emit.pick(value, label), threshold) for label in (y, wrong))
    up, down = pair_slopes(learning, right, other, symmetric)
    slope = emit.plus(emit.place(up, y, classes), emit.place(down, wrong, classes))
    spread = emit.reshape(learning.if_valid(slope), (batch, 1, classes))
    acc = emit.reshape(emit.times(channels, spread), (batch * pixels, classes))
    share = learning.factor(f"goodness/{name}")
    exponent = -PROBABILITY_BITS - CHANNEL_BITS
    return learning.scale(learning.row(name, 2), acc, share, exponent)


def pair_slopes(
    learning: Learning, positive: Tensor, negative: Tensor, symmetric: bool
) -> tuple[Tensor, Tensor]:
    """Append the derivatives of `edgetrain.arithmetic.goodness.pair_loss`."""
    emit = learning.emit
    if symmetric:
        slope = _logistic(learning, emit.minus(positive, negative))
        return slope, emit.minus(0, slope)
    other = _logistic(learning, emit.minus(0, negative))
    return _logistic(learning, positive), emit.minus(0, other)


def _logistic(learning: Learning, logit: Tensor) -> Tensor:
    """Append the derivative of ``ln(1 + exp(-logit))``: cross-entropy of two classes."""
    emit, batch = learning.emit, learning.batch
    column = emit.reshape(logit, (batch, 1))
    logits = emit.join([column, emit.minus(column, column)], 1)
    first = emit.reshape(emit.cut(emit.softmax(logits), 0, 1, 1), (batch,))
    return emit.minus(first, 1 << PROBABILITY_BITS)


def wrong_labels(learning: Learning, weights: Tensor) -> Tensor:
    """Append `edgetrain.rules.input_labels.wrong_labels`; weights None for 1 a class."""
    emit, y = learning.emit, learning.y
    classes = learning.net.graph.output_size
    ones = emit.place(emit.minus(1, emit.minus(y, y)), y, classes)
    shares = emit.plus(1 if weights is None else weights, 1)
    shares = emit.times(emit.minus(1, ones), shares)
    sums = emit.running_total(shares)
    total = emit.reshape(emit.cut(sums, classes - 1, classes, 1), (learning.batch,))
    drawn = emit.random_below(Stream(learning.number, 0, CONTRAST), total)
    below = emit.less(emit.reshape(drawn, (learning.batch, 1)), sums)
    return emit.total(emit.choose(below, 0, 1), 1)
