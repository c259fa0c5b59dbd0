"""Forward-Forward with a channel a class: one pass, a goodness a class in every block.

Behind each block but the last an auxiliary 1x1 convolution makes one channel a class, with ReLU;
a class's goodness is the mean square of its channel over the image. The right class's is raised
and a wrong one's lowered. The last block keeps the network's own classifier. The auxiliary
weights are a head of `edgetrain.heads`, applied to every pixel.
"""

from types import ModuleType

import numpy as np

from edgetrain import heads
from edgetrain.arithmetic.goodness import CHANNEL_BITS, CHANNEL_MAX, pair_loss
from edgetrain.arithmetic.losses import LOGIT_BITS, PROBABILITY_BITS, softmax
from edgetrain.arithmetic.randomness import PERTURB, random_below, stream_key
from edgetrain.arithmetic.rounding import INT32_MAX, Int8, Int32, Int64, Ints, quantize_multiplier
from edgetrain.backward import backward, forward
from edgetrain.blocks import Choice, Plan, plan, select, split
from edgetrain.errors import RuleError
from edgetrain.model import Model
from edgetrain.outputs import check_labels, learn_last_block
from edgetrain.rules.input_labels import wrong_labels
from edgetrain.settings import Settings
from edgetrain.state import State
from edgetrain.state import initial as initial_state
from edgetrain.step import Step, tensor_number

THRESHOLD = 1 << LOGIT_BITS
"""Of a class's goodness."""
EARLY_RATE = 26
"""Blocks before the last learn at a tenth of the rate (Q8), as in `MonoForward`."""
FRESH_WEIGHT = 4
"""New auxiliary weights are drawn from -4 to 4: with zeros nothing would ever learn."""


def initial(model: Model, settings: Settings, blocks: Choice) -> State:
    """Make the auxiliary weights.

    Raises:
        RuleError: if the sums of a block's gradient could overflow; it names the node.
    """
    tensors = initial_state(model, settings, select(model.graph, settings.train))
    for block in split(model.graph, blocks)[:-1]:
        name = block.output
        count = settings.batch * heads.pixels(model, name)
        if count * CHANNEL_MAX * 128 > INT32_MAX:
            raise RuleError(
                f"node {name!r}: the gradient of {settings.batch} samples of "
                f"{heads.pixels(model, name)} pixels could overflow int32: use a smaller batch"
            )
        tensors |= heads.initial(model, name, settings, _fresh(model, name))
        share = quantize_multiplier(2 / heads.pixels(model, name))
        tensors[f"goodness/{name}"] = np.array(share, np.int32)
    return State(0, tensors)


def _fresh(model: Model, name: str) -> Int8:
    """Draw auxiliary weights, int8 (classes, features)."""
    shape = (model.graph.output_size, heads.feature_count(model, name))
    key = stream_key(0, 0, tensor_number(f"head/{name}"), PERTURB)
    drawn = random_below(key, np.arange(shape[0] * shape[1]), 2 * FRESH_WEIGHT + 1)
    return (drawn - FRESH_WEIGHT).astype(np.int8).reshape(shape)


def plans(model: Model, settings: Settings, blocks: Choice) -> tuple[Plan, ...]:
    """Return what each block keeps."""
    trained = select(model.graph, settings.train)
    return tuple(plan(b, trained, settings.bits) for b in split(model.graph, blocks))


def learn(step: Step, x: Int8, y: Ints, symmetric: bool, hard: bool, blocks: Choice) -> Int64:
    """Learn from a batch in one pass."""
    model = step.model
    check_labels(y, len(x), model.graph.output_size)
    *early, last = plans(model, step.settings, blocks)
    state = State(step.number, dict(step.tensors))
    for current in early:
        x = _learn_block(step, current, state, x, y, symmetric, hard)
    return learn_last_block(step, last, x, y).astype(np.int64)


def _learn_block(
    step: Step, plan: Plan, state: State, x: Int8, y: Ints, symmetric: bool, hard: bool
) -> Int8:
    """Let a block learn from its channels; return its result, and forget all else of it."""
    model, name = step.model, plan.block.output
    result, kept = forward(model, plan, x, step.ops)
    rows = result.reshape(-1, result.shape[-1])
    channels = _channels(model, state, name, rows, len(x), step.ops)
    e, exponent = _channel_error(step, name, channels, y, symmetric, hard)
    e, exponent = heads.learn(step, name, rows, rows.shape, e, exponent)
    if plan.trained:
        backward(step, plan, kept, e.reshape(result.shape), exponent, EARLY_RATE)
    return result


def _channels(
    model: Model, state: State, name: str, rows: Int8, batch: int, ops: ModuleType
) -> Int32:
    """Return the channel of every class at every pixel: int32 (batch, pixels, classes), Q4."""
    return class_channels(heads.logits(model, state, name, rows, ops), batch)


def class_channels(outputs: Int32, batch: int) -> Int32:
    """Rectify Q10 outputs (batch * pixels, classes); see `_channels`."""
    channels = np.clip(outputs >> (LOGIT_BITS - CHANNEL_BITS), 0, CHANNEL_MAX)
    return channels.reshape(batch, -1, outputs.shape[1])


def class_goodness(channels: Int32) -> Int32:
    """Mean square of every class's channel, int32 (batch, classes), Q10."""
    squares = (channels.astype(np.int64) ** 2).sum(axis=1) // channels.shape[1]
    return (squares << (LOGIT_BITS - 2 * CHANNEL_BITS)).astype(np.int32)


def _channel_error(
    step: Step, name: str, channels: Int32, y: Ints, symmetric: bool, hard: bool
) -> tuple[Int8, int]:
    """Return the error of the channels, int8 (batch * pixels, classes), and its exponent."""
    value, rows = class_goodness(channels), np.arange(len(y))
    wrong = wrong_labels(step, softmax(value) if hard else np.ones_like(value), y)
    threshold = 0 if symmetric else THRESHOLD
    up, down, _ = pair_loss(value[rows, y] - threshold, value[rows, wrong] - threshold, symmetric)
    slope = np.zeros(value.shape, np.int32)
    slope[rows, y], slope[rows, wrong] = up, down
    acc = (slope[:, None, :] * channels).reshape(-1, value.shape[1])
    multiplier, shift = step.tensors[f"goodness/{name}"]
    share = (int(multiplier), int(shift))
    return step.scale(step.row(name, 2), acc, share, -PROBABILITY_BITS - CHANNEL_BITS)
