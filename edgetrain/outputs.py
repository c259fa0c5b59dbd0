"""The network's own output as fixed-point numbers, and the error of a loss on it."""

from types import ModuleType

import numpy as np

from edgetrain.arithmetic.losses import LOGIT_BITS, LOGIT_MAX
from edgetrain.arithmetic.rounding import (
    Int8,
    Int32,
    Ints,
)
from edgetrain.backward import backward, forward
from edgetrain.blocks import Plan
from edgetrain.errors import RuleError
from edgetrain.graph import INPUT
from edgetrain.inference import accumulate, apply, ends_linear, still_needed
from edgetrain.model import Float, Model
from edgetrain.state import PROBABILITY_EXPONENT, constants, output_span
from edgetrain.step import ONE, Step

PROBABILITY_ERROR = (2**30, -7)
"""The factor 2**-8 from Q15 errors to Q7."""


def outputs_q10(model: Model, y: Int8 | Int32, ops: ModuleType) -> Int32:
    """Return the network's outputs as Q10 numbers.

    Args:
        model: the network.
        y: what its last node leaves: int32 accumulators of a linear dense layer, else int8.
        ops: the backend.

    Returns:
        int32 (batch, outputs), in units of `output_span`.
    """
    node = model.graph.output
    if not ends_linear(model, node):
        y = y.reshape(len(y), -1).astype(np.int32) - model.scheme.activations[node.name].zero_point
    return ops.logits_q10(y, *constants(model).outputs)


def predict(model: Model, x: Int8, ops: ModuleType) -> Int32:
    """Run the network and return its outputs, int32 (batch, outputs), Q10."""
    values = {INPUT: x}
    nodes = model.graph.nodes
    for i, node in enumerate(nodes):
        if ends_linear(model, node):
            return outputs_q10(model, accumulate(model, node, values[node.inputs[0]], ops), ops)
        values[node.name] = apply(model, node, values, ops)
        values = still_needed(values, nodes[i + 1 :], node)
    return outputs_q10(model, values[model.graph.output.name], ops)


def targets_q10(model: Model, y: Float) -> Int32:
    """Turn real targets (batch, outputs) into the Q10 numbers that a regression compares with."""
    scaled = np.rint(y / output_span(model, model.graph.output) * 2**LOGIT_BITS)
    return np.clip(scaled, -LOGIT_MAX, LOGIT_MAX).astype(np.int32)


def check_labels(y: Ints, batch: int, classes: int) -> None:
    """Raise RuleError unless y holds a class for every sample."""
    if y.shape != (batch,) or y.dtype.kind not in "iu":
        raise RuleError(f"labels must be {batch} integers, got {y.dtype} {y.shape}")
    labels = y.tolist()
    if labels and not (min(labels) >= 0 and max(labels) < classes):
        raise RuleError(f"labels must be in [0, {classes}), got {y.min()} to {y.max()}")


def loss_error(step: Step, name: str, outputs: Int32, y: Ints) -> tuple[Int8, int, Int32]:
    """Return the error of a loss as int8, its exponent, and the loss of every sample.

    Args:
        step: the working copy of the training step.
        name: the value on which the loss sits; it names the row of a regression's exponent.
        outputs: int32 (batch, outputs), Q10.
        y: labels (batch,), or int32 targets (batch, outputs) in Q10.

    Raises:
        RuleError: if labels or targets do not fit the outputs.
    """
    if step.settings.loss == "squared_error":
        if y.shape != outputs.shape:
            raise RuleError(f"targets must have the shape {outputs.shape}, got {y.shape}")
        error, loss = step.ops.squared_error(outputs, y)
        return *step.scale(step.row(name, 2), error, ONE, -LOGIT_BITS), loss
    check_labels(y, *outputs.shape)
    error, loss = step.ops.cross_entropy(outputs, y)
    e, _ = step.ops.scale_error(error, *PROBABILITY_ERROR)
    return e, PROBABILITY_EXPONENT, loss


def learn_last_block(step: Step, plan: Plan, x: Int8, y: Ints) -> Int32:
    """Let the block that ends with the network's output learn; return the loss.

    Args:
        step: collects the new weights.
        plan: of the last block.
        x: int8 (batch, ...), the value that enters the block.
        y: labels or targets.

    Returns:
        int32 (batch,), Q10.
    """
    result, kept = forward(step.model, plan, x, step.ops)
    outputs = outputs_q10(step.model, result, step.ops)
    e, exponent, loss = loss_error(step, plan.block.output, outputs, y)
    if plan.trained:
        backward(step, plan, kept, e.reshape(result.shape), exponent)
    return loss
