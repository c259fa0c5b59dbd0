"""Forward gradients of activities: signs on the accumulators of every layer.

A dense layer gets a sign a sample and unit, a convolution a sign a sample and channel:

    e = (loss(a + p u) - loss(a - p u)) / (2 p) * u * relu'(a),    dW = e.T @ x

A convolution's estimate is shared by its active pixels: behind a global pool the error is nearly
the same on all of them. The sign u is drawn again from its counter, so two losses a sample are
all that is remembered from the perturbed passes.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.randomness import PERTURB, Key, stream_key
from edgetrain.arithmetic.rounding import Int8, Int32, Int64, Ints, quantize_multiplier
from edgetrain.backward import gradients, opened
from edgetrain.graph import INPUT, Node
from edgetrain.inference import accumulate, apply, ends_linear, finish, still_needed
from edgetrain.model import Model
from edgetrain.outputs import loss_error, outputs_q10
from edgetrain.settings import Settings
from edgetrain.step import Step, tensor_number

SHARE_BITS = 6
"""Fraction bits of an estimate while it is divided by the active pixels."""
DIFFERENCE_MAX = 2**18
SIGN_DIFFERENCE = 2**7
"""What a difference counts where only its sign does: 1/8."""


def initial(
    model: Model, node: Node, size: float, queries: int, settings: Settings, uses_sign: bool
) -> dict[str, NDArray]:
    """Return the perturbation of a node in accumulator units, and the factor of its estimate.

    Args:
        model: the network.
        node: with weights.
        size: of the perturbation in int8 steps of the node's result.
        queries: pairs of passes a step.
        settings: not used here; the learning rate is that of every node.
        uses_sign: not used here.
    """
    real = size * model.scheme.activations[node.name].scale
    units = np.rint(real / model.scheme.acc_scale(node))
    factor = quantize_multiplier(1 / (2 * real * queries * 2**SHARE_BITS))
    return {
        f"perturb/{node.name}": np.clip(units, 1, 2**28).astype(np.int32),
        f"factor/{node.name}": np.array(factor, np.int32),
    }


def key(step: Step, node: Node, query: int) -> Key:
    """Return the stream of a node's signs in one query."""
    return stream_key(step.seed, query, tensor_number(f"node/{node.name}"), PERTURB)


def outputs(step: Step, nodes: Sequence[Node], query: int, sign: int, x: Int8) -> Int32:
    """Return the network's Q10 outputs with all nodes perturbed by ``sign * u``."""
    model, ops = step.model, step.ops
    values: dict[str, Int8] = {INPUT: x}
    for i, node in enumerate(model.graph.nodes):
        values = still_needed(values, model.graph.nodes[i:], node)
        if not node.has_weights:
            values[node.name] = apply(model, node, values, ops)
            continue
        acc = accumulate(model, node, values[node.inputs[0]], ops)
        if node in nodes:
            signs = ops.random_signs(key(step, node, query), len(x), node.n_out)
            shake = sign * signs.astype(np.int32) * step.tensors[f"perturb/{node.name}"]
            acc = acc + shake.reshape(len(x), *[1] * (acc.ndim - 2), -1)
        if ends_linear(model, node):
            return outputs_q10(model, acc, ops)
        values[node.name] = finish(model.scheme, node, acc, ops)
    return outputs_q10(model, values[model.graph.output.name], ops)


def learn(
    step: Step, nodes: Sequence[Node], differences: Sequence[Int64], uses_sign: bool, exact: bool,
    x: Int8, y: Ints,
) -> Int32:  # fmt: skip
    """Run the clean pass, in which each layer learns as soon as it is computed.

    Args:
        step: collects the new weights.
        nodes: that were perturbed.
        differences: of the losses of a pair of passes, Q10 (batch,), a query.
        uses_sign: whether only their signs count.
        exact: whether the last layer learns from its exact error.
        x: int8 (batch, ...), the input.
        y: labels or targets.

    Returns:
        The loss of the clean pass, int32 (batch,), Q10.
    """
    model, ops = step.model, step.ops
    values: dict[str, Int8] = {INPUT: x}
    result: Int8 | Int32 = x
    for i, node in enumerate(model.graph.nodes):
        values = still_needed(values, model.graph.nodes[i:], node)
        if ends_linear(model, node):
            result = accumulate(model, node, values[node.inputs[0]], ops)
        else:
            result = values[node.name] = apply(model, node, values, ops)
        if node in nodes:
            _learn_layer(step, node, differences, uses_sign, values[node.inputs[0]], result)
    last = model.graph.output
    e, exponent, loss = loss_error(step, last.name, outputs_q10(model, result, ops), y)
    if exact:
        source = values[last.inputs[0]]
        step.update_node(last, *gradients(model, last, source, e, ops), exponent)
    return loss


def _learn_layer(
    step: Step, node: Node, differences: Sequence[Int64], uses_sign: bool, source: Int8,
    result: Int8 | Int32,
) -> None:  # fmt: skip
    """Let a layer learn from its estimated error, which is forgotten then."""
    e, exponent = estimate(step, node, differences, uses_sign, result)
    step.update_node(node, *gradients(step.model, node, source, e, step.ops), exponent)


def estimate(
    step: Step, node: Node, differences: Sequence[Int64], uses_sign: bool, result: Int8 | Int32
) -> tuple[Int8, int]:
    """Return the estimated error of a node's accumulators, int8, and its exponent."""
    first = step.number * len(differences)
    acc = np.zeros((len(result), node.n_out), np.int64)
    for query, difference in enumerate(differences):
        signs = step.ops.random_signs(key(step, node, first + query), len(result), node.n_out)
        slope = np.clip(difference, -DIFFERENCE_MAX, DIFFERENCE_MAX)
        if uses_sign:
            slope = np.sign(difference) * SIGN_DIFFERENCE
        acc += slope[:, None] * signs
    acc <<= SHARE_BITS
    inside = opened(step.model, node, result)
    if inside.ndim == 4:
        acc //= np.maximum(inside.sum(axis=(1, 2), dtype=np.int64), 1)
    multiplier, shift = step.tensors[f"factor/{node.name}"]
    e, exponent = step.scale(
        step.row(node.name, 0), acc, (int(multiplier), int(shift)), -LOGIT_BITS
    )
    return e.reshape(len(e), *[1] * (inside.ndim - 2), -1) * inside, exponent
