"""Forward gradients of weights: sign-m-SPSA, with nothing but an inference engine.

    w <- w - learning_rate * rms(w) / m * sum_i sign(loss(w + eps u_i) - loss(w - eps u_i)) u_i

The signs u_i are drawn again from their counter, so a run is its seed and a sign a query.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.randomness import PERTURB, stream_key
from edgetrain.arithmetic.rounding import (
    WEIGHT_MAX,
    Int8,
    Int32,
    Int64,
    Ints,
    quantize_multipliers,
)
from edgetrain.backward import gradients
from edgetrain.errors import RuleError
from edgetrain.graph import INPUT, Node
from edgetrain.inference import accumulate, apply, ends_linear, still_needed
from edgetrain.model import Model, Weights
from edgetrain.outputs import loss_error, outputs_q10, predict
from edgetrain.settings import Settings
from edgetrain.state import carried
from edgetrain.step import Step, tensor_number

BIAS_INPUT = 64
"""A bias is perturbed and stepped like the weight of an input with this code."""
SIGN_BITS = 10
"""A sign counts 1, written with this many fraction bits: enough that the update is in the range of
its fast forms while a step is smaller than two int8 steps, few enough for the rates of biases."""
DIFFERENCE_MAX = 2**24


def initial(
    model: Model, node: Node, size: float, queries: int, settings: Settings, uses_sign: bool
) -> dict[str, NDArray]:
    """Return the perturbation of a node's weights in int8 steps, and its rates.

    Args:
        model: the network.
        node: with weights.
        size: of the perturbation as a fraction of the root mean square weight.
        queries: pairs of passes a step.
        settings: learning rate and form of the weights.
        uses_sign: whether only the sign of a difference counts.

    Raises:
        RuleError: if the learning rate rounds to zero or overflows.
    """
    w = model.params[node.name].w
    rms = max(math.sqrt(float(np.mean(w.astype(np.float64) ** 2))), 1.0)
    eps = max(round(size * rms), 1)
    rate = settings.learning_rate
    if uses_sign:
        steps = np.full(node.n_out, rate * rms / queries)
    else:
        steps = rate / (2 * eps * queries * model.scheme.weights[node.name] ** 2)
    if steps.max() < 2**-20 or steps.max() >= 2**24:
        verb, cure = ("rounds to zero", "larger") if steps.max() < 1 else ("overflows", "smaller")
        raise RuleError(f"learning_rate {rate:g} {verb} for {node.name!r}: choose a {cure} one")
    name = f"node/{node.name}"
    return {
        f"perturb/{node.name}": np.array([eps], np.int32),
        f"rate/{name}/w": np.stack(quantize_multipliers(steps)),
        f"rate/{name}/b": np.stack(quantize_multipliers(steps * BIAS_INPUT)),
        **carried(name, w, settings),
    }


def signs(step: Step, node: Node, query: int) -> tuple[Int8, Int8]:
    """Draw the signs of a node's weights, and of its biases behind them: a row a channel."""
    shape = step.model.graph.weight_shape(node)
    key = stream_key(step.seed, query, tensor_number(f"node/{node.name}"), PERTURB)
    drawn = step.ops.random_signs(key, node.n_out, math.prod(shape[1:]) + 1)
    return drawn[:, :-1].reshape(shape), drawn[:, -1]


def outputs(step: Step, nodes: Sequence[Node], query: int, sign: int, x: Int8) -> Int32:
    """Return the network's Q10 outputs with the weights of nodes perturbed by ``sign * u``."""
    shaken = {}
    for node in nodes:
        w, b = step.model.params[node.name]
        u_w, u_b = signs(step, node, query)
        eps = sign * int(step.tensors[f"perturb/{node.name}"][0])
        moved = np.clip(w.astype(np.int16) + np.int16(eps) * u_w, -WEIGHT_MAX, WEIGHT_MAX)
        limit = step.model.scheme.bias_limits[node.name]
        bias = np.clip(b.astype(np.int64) + eps * BIAS_INPUT * u_b.astype(np.int64), -limit, limit)
        shaken[node.name] = Weights(moved.astype(np.int8), bias.astype(np.int32))
    return predict(step.model.replace_params(shaken), x, step.ops)


def learn(
    step: Step, nodes: Sequence[Node], differences: Sequence[Int64], uses_sign: bool, exact: bool,
    x: Int8, y: Ints,
) -> Int32 | None:  # fmt: skip
    """Step along the signs of every query; see `activity_space.learn` for the arguments.

    Returns:
        The loss of a clean pass, int32 (batch,), Q10, from which the last layer learns; None,
        without such a pass, where no layer learns exactly.
    """
    descend(step, nodes, slopes([int(d.sum()) for d in differences], uses_sign), uses_sign)
    return _exact_head(step, x, y) if exact else None


def slopes(differences: Sequence[int], uses_sign: bool) -> tuple[int, ...]:
    """Return all that a step learns from a batch: a number a query.

    Args:
        differences: a number a query: summed loss of the samples at +u minus that at -u, Q10.
        uses_sign: whether only the sign of a difference counts.

    Returns:
        -1, 0 or 1; without `uses_sign` the sums, in [-DIFFERENCE_MAX, DIFFERENCE_MAX].

    Example:
        >>> slopes([-4, 4], uses_sign=True)
        (-1, 1)
    """
    if uses_sign:
        return tuple((d > 0) - (d < 0) for d in differences)
    return tuple(min(max(d, -DIFFERENCE_MAX), DIFFERENCE_MAX) for d in differences)


def descend(step: Step, nodes: Sequence[Node], slopes: Sequence[int], uses_sign: bool) -> None:
    """Step along the signs of every query, from nothing but its slope."""
    first = step.number * len(slopes)
    exponent, batch = (-SIGN_BITS, 1) if uses_sign else (-LOGIT_BITS, 0)
    for node in nodes:
        acc_w = np.zeros(step.model.graph.weight_shape(node), np.int64)
        acc_b = np.zeros(node.n_out, np.int64)
        for query, slope in enumerate(slopes):
            factor = slope << SIGN_BITS if uses_sign else slope
            u_w, u_b = signs(step, node, first + query)
            acc_w += factor * u_w.astype(np.int64)
            acc_b += factor * u_b.astype(np.int64)
        step.update_node(
            node, acc_w.astype(np.int32), acc_b.astype(np.int32), exponent, batch=batch
        )


def _exact_head(step: Step, x: Int8, y: Ints) -> Int32:
    """Return the loss without perturbation, from which the last layer learns."""
    model, ops = step.model, step.ops
    values: dict[str, Int8] = {INPUT: x}
    result: Int8 | Int32 = x
    for i, node in enumerate(model.graph.nodes):
        values = still_needed(values, model.graph.nodes[i:], node)
        source = values[node.inputs[0]]
        if ends_linear(model, node):
            result = accumulate(model, node, source, ops)
        else:
            result = values[node.name] = apply(model, node, values, ops)
    last = model.graph.output
    e, exponent, loss = loss_error(step, last.name, outputs_q10(model, result, ops), y)
    step.update_node(last, *gradients(model, last, source, e, ops), exponent)
    return loss
