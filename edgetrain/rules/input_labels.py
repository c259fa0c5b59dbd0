"""Forward-Forward with the label in the input: the first values of a sample are its label.

Goodness of a layer is its mean square; it is 1 (times the sharpness) at the length that
`normalize` gives. The first C features of every sample, one a class, are overwritten: leave room
for them where a sample has none to spare.
"""

from collections.abc import Iterator
from types import ModuleType

import numpy as np

from edgetrain.arithmetic.goodness import (
    NORMAL_CODE,
    normalize,
    pair_loss,
    scaled_goodness,
    sum_of_squares,
    threshold_q10,
)
from edgetrain.arithmetic.losses import LOGIT_BITS, PROBABILITY_BITS, softmax
from edgetrain.arithmetic.randomness import CONTRAST, random_words, stream_key
from edgetrain.arithmetic.rounding import (
    INT8_MAX,
    Int8,
    Int32,
    Int64,
    Ints,
    quantize_multiplier,
)
from edgetrain.backward import gradients
from edgetrain.blocks import select
from edgetrain.compiled import contrastive
from edgetrain.errors import RuleError
from edgetrain.graph import INPUT, Node
from edgetrain.inference import accumulate, ends_linear, finish
from edgetrain.model import Model
from edgetrain.outputs import loss_error, outputs_q10
from edgetrain.settings import Settings
from edgetrain.state import State
from edgetrain.state import initial as initial_state
from edgetrain.step import Step

NEUTRAL_SHARE = 10
"""In a neutral sample every class has a tenth of a label."""


def initial(model: Model, settings: Settings, sharpness: float) -> State:
    """Check that the network is a chain of ReLU layers, and prepare the scales of goodness.

    Raises:
        RuleError: if a node is of another kind, or there is no room for a label; it is named.
    """
    for node in model.graph.nodes[:-1]:
        if not (node.op == "flatten" or (node.op == "dense" and node.activation == "relu")):
            raise RuleError(
                f"forward_forward with the label in the input cannot train node {node.name!r} "
                f"({node.op} {node.activation}): it needs dense layers with ReLU; "
                "use labels='channel'"
            )
    last = model.graph.output
    hidden = hidden_layers(model)
    if not ends_linear(model, last) or not hidden:
        raise RuleError(
            f"forward_forward needs hidden layers and a linear classifier at the end, node "
            f"{last.name!r} is {last.op} {last.activation}"
        )
    features = int(np.prod(model.graph.input_shape))
    if model.graph.output_size > features:
        raise RuleError(
            f"a label of {model.graph.output_size} classes does not fit into {features} features"
        )
    tensors = initial_state(model, settings, select(model.graph, settings.train))
    tensors["threshold"] = np.array([threshold_q10(sharpness)], np.int32)
    for node in hidden:
        norm = node.n_out * NORMAL_CODE**2
        scale = model.scheme.activations[node.name].scale
        forth = quantize_multiplier(sharpness * 2**LOGIT_BITS / norm)
        back = quantize_multiplier(2 * sharpness / (norm * scale))
        tensors[f"goodness/{node.name}"] = np.array([forth, back], np.int32)
    return State(0, tensors)


def hidden_layers(model: Model) -> tuple[Node, ...]:
    """Return the layers that have a goodness: all but the classifier."""
    return model.graph.trainable[:-1]


def first_that_counts(model: Model) -> int:
    """Return the hidden layer from which on goodness predicts: the second, where there is one."""
    return 1 if len(hidden_layers(model)) > 1 else 0


def neutral(model: Model) -> int:
    """Return the code of every class in a sample without a label."""
    zero = model.scheme.activations[INPUT].zero_point
    return zero + (INT8_MAX - zero) // NEUTRAL_SHARE


def embed(model: Model, x: Int8, y: Ints | None) -> Int8:
    """Overwrite the first features of samples with labels, or with no label.

    Args:
        model: the network.
        x: int8 (batch, *input_shape).
        y: labels (batch,), or None for neutral samples.

    Returns:
        int8 (batch, features).
    """
    zero = model.scheme.activations[INPUT].zero_point
    classes = model.graph.output_size
    flat = x.reshape(len(x), -1).copy()
    flat[:, :classes] = neutral(model) if y is None else zero
    if y is not None:
        flat[np.arange(len(x)), y] = INT8_MAX
    return flat


def layers(model: Model, x: Int8, ops: ModuleType) -> Iterator[tuple[Node, Int8, Int8]]:
    """Run the hidden layers; yield each with what it reads and what it makes.

    What a layer reads is normalized, but for the first one.
    """
    for node in hidden_layers(model):
        y = finish(model.scheme, node, accumulate(model, node, x, ops), ops)
        yield node, x, y
        x = normalize(y, model.scheme.activations[node.name].zero_point)


def goodness(model: Model, state_tensors: State, node: Node, y: Int8) -> Int32:
    """Return the goodness of a layer, int32 (batch,), Q10."""
    squares = sum_of_squares(y, model.scheme.activations[node.name].zero_point)
    multiplier, shift = state_tensors.tensors[f"goodness/{node.name}"][0]
    return scaled_goodness(squares, int(multiplier), int(shift))


def learn(step: Step, x: Int8, y: Ints, symmetric: bool, hard: bool) -> Int64:
    """Learn from a batch: a neutral pass for the classifier, then right and wrong labels."""
    model = step.model
    probabilities, loss = _learn_classifier(step, x, y)
    wrong = wrong_labels(step, probabilities if hard else np.ones_like(probabilities), y)
    pair = np.concatenate([embed(model, x, y), embed(model, x, wrong)])
    threshold = 0 if symmetric else int(step.tensors["threshold"][0])
    trained = select(model.graph, step.settings.train)
    state = State(step.number, step.tensors)
    for node, source, result in layers(model, pair, step.ops):
        value = goodness(model, state, node, result) - threshold
        slopes = pair_loss(value[: len(x)], value[len(x) :], symmetric)[:2]
        if node.name in trained:
            above = result.astype(np.int32) - model.scheme.activations[node.name].zero_point
            acc = np.concatenate(slopes)[:, None] * above
            multiplier, shift = step.tensors[f"goodness/{node.name}"][1]
            factor = (int(multiplier), int(shift))
            e, exponent = step.scale(step.row(node.name, 2), acc, factor, -PROBABILITY_BITS)
            step.update_node(node, *gradients(model, node, source, e, step.ops), exponent)
    return loss.astype(np.int64)


def _learn_classifier(step: Step, x: Int8, y: Ints) -> tuple[Int32, Int32]:
    """Let the last layer learn from neutral samples; return its probabilities and loss."""
    model, ops, last = step.model, step.ops, step.model.graph.output
    pooled = _last_hidden(model, embed(model, x, None), ops)
    outputs = outputs_q10(model, accumulate(model, last, pooled, ops), ops)
    e, exponent, loss = loss_error(step, last.name, outputs, y)
    if last.name in select(model.graph, step.settings.train):
        step.update_node(last, *gradients(model, last, pooled, e, ops), exponent)
    return softmax(outputs), loss


def _last_hidden(model: Model, x: Int8, ops: ModuleType) -> Int8:
    """Return the normalized result of the last hidden layer."""
    *_, (node, _, result) = layers(model, x, ops)
    return normalize(result, model.scheme.activations[node.name].zero_point)


def wrong_labels(step: Step, weights: Ints, y: Ints) -> Int64:
    """Draw a wrong label for every sample, in proportion to weights.

    Args:
        step: whose seed and number make the stream.
        weights: not negative (batch, classes); the right label's weight does not count.
        y: right labels (batch,).

    Returns:
        int64 (batch,).
    """
    shares = weights.astype(np.int64) + 1
    shares[np.arange(len(y)), y] = 0
    words = random_words(stream_key(step.seed, step.number, 0, CONTRAST), np.arange(len(y)))
    sums = shares.cumsum(axis=1)
    drawn = (words.astype(np.int64) * sums[:, -1]) >> 32
    return (sums <= drawn[:, None]).sum(axis=1)


def predict(model: Model, state: State, x: Int8, ops: ModuleType) -> Int32:
    """Try every label; return the goodness of all layers, or of all but the first."""
    skip = first_that_counts(model)
    counting = [node.name for node in hidden_layers(model)[skip:]]
    scales = {name: state.tensors[f"goodness/{name}"][0] for name in counting}
    compiled = contrastive.predict(model, scales, x, ops)
    if compiled is not None:
        return compiled
    classes = model.graph.output_size
    total = np.zeros((len(x), classes), np.int32)
    for label in range(classes):
        sample = embed(model, x, np.full(len(x), label))
        for i, (node, _, result) in enumerate(layers(model, sample, ops)):
            if i >= skip:
                total[:, label] += goodness(model, state, node, result)
    return total
