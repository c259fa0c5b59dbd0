"""One training step of local classifiers and of backpropagation; `MonoForward.step` in C."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.rounding import INT32_MAX, WEIGHT_MAX
from edgetrain.blocks import Plan
from edgetrain.exporters.c_writing.backward import Backward, Error, spread
from edgetrain.exporters.c_writing.forward import Forward, average
from edgetrain.exporters.c_writing.kept import run
from edgetrain.exporters.c_writing.learner import declare, learning, sending
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.unit import LAYER_BYTES, Unit, head_name
from edgetrain.graph import INPUT
from edgetrain.heads import feature_count, pixels
from edgetrain.inference import ends_linear
from edgetrain.outputs import PROBABILITY_ERROR
from edgetrain.rules.mono_forward import MonoForward
from edgetrain.settings import FULL_RATE, Settings
from edgetrain.state import PROBABILITY_EXPONENT, UNIT_RATIO, constants
from edgetrain.step import ONE

ACTIVATION_RANGE = 255
LearnBlock = Callable[[Plan, Forward, Backward, int], None]
"""Appends what a block and its head, which has a number, learn."""


def step_program(unit: Unit, rule: MonoForward) -> Program:
    """Return the body of the function that learns from one batch ``x``, ``y``.

    It reads ``rate``, the schedule's factor in Q8, and adds to ``loss`` and ``saturated``.
    """
    return block_by_block(unit, rule.settings, rule.plans(unit.model), partial(_learn_head, rule))


def block_by_block(
    unit: Unit, settings: Settings, plans: Sequence[Plan], learn_block: LearnBlock
) -> Program:
    """Write a step in which every block but the last learns in some way of its own."""
    program = Program("train")
    forward = Forward(unit, program, {INPUT: "x"})
    backward = Backward(unit, program, forward, settings)
    *early, last = plans
    for number, plan in enumerate(early):
        learn_block(plan, forward, backward, number)
    _learn_last(last, forward, backward)
    return program


def loss(
    unit: Unit, forward: Forward, backward: Backward, logits: str, name: str, counts: bool
) -> tuple[Error, str]:
    """Append a loss on Q10 outputs; return its error as int8, and the buffer of the losses."""
    outputs, batch = unit.graph.output_size, unit.batch
    e = forward.program.buffer("e_loss", "int8_t", batch * outputs)
    losses = forward.program.buffer("losses", "int32_t", batch)
    n = batch * outputs
    if backward.settings.loss == "squared_error":
        forward.call(
            f"et_squared_error({logits}, y, {logits}, {losses}, {batch}, {outputs});",
            logits, losses,
        )  # fmt: skip
        call = (f"et_scale_error({logits}, SCALING->multiplier, SCALING->shift, {e}, {n})").replace(
            "SCALING->", "(SCALING)->"
        )
        row = backward.row(name, 2)
        error = backward.scaled(row, ONE, str(-LOGIT_BITS), call, e, logits)
    else:
        forward.call(
            f"(void)et_cross_entropy({logits}, y, {logits}, {losses}, {batch}, {outputs});",
            logits, losses,
        )  # fmt: skip
        m, s = PROBABILITY_ERROR
        forward.call(f"(void)et_scale_error({logits}, {m}, {s}, {e}, {n});", logits, e)
        error = Error(e, str(PROBABILITY_EXPONENT))
    if counts:
        forward.call(f"for (int32_t i = 0; i < {batch}; i++) loss += {losses}[i];", losses)
    return error, losses


def to_q10(
    unit: Unit, forward: Forward, acc: str, name: str, multiplier: np.ndarray, shift: np.ndarray
) -> None:
    """Append what turns accumulators into Q10 numbers, in place."""
    outputs = unit.graph.output_size
    m = unit.constant(f"{name}_q10", np.resize(multiplier, outputs).astype(np.int32))
    s = unit.constant(f"{name}_q10_shift", np.resize(shift, outputs).astype(np.int8))
    forward.call(f"et_logits_q10({acc}, {m}, {s}, {acc}, {unit.batch}, {outputs});", acc)


def outputs_q10(unit: Unit, forward: Forward, result: str) -> str:
    """Append what turns what the last node left into Q10 numbers; return their buffer."""
    node, logits = unit.graph.output, result
    if not ends_linear(unit.model, node):
        zero_point, n = forward.zero_point(node.name), forward.size(node.name)
        logits = forward.program.buffer("logits", "int32_t", n)
        forward.call(
            f"for (int32_t i = 0; i < {n}; i++) {logits}[i] = {result}[i] - {zero_point};",
            logits, result,
        )  # fmt: skip
    to_q10(unit, forward, logits, "outputs", *constants(unit.model).outputs)
    return logits


def _learn_last(plan: Plan, forward: Forward, backward: Backward) -> None:
    """Append the block that ends with the network's output."""
    unit = forward.unit
    logits = outputs_q10(unit, forward, run(forward, plan))
    error, _ = loss(unit, forward, backward, logits, unit.graph.output.name, counts=True)
    if plan.trained:
        backward.block(plan, error, "rate")


def _learn_head(
    rule: MonoForward, plan: Plan, forward: Forward, backward: Backward, number: int
) -> None:
    """Append a block that learns from a head of its own."""
    unit, name = forward.unit, plan.block.output
    graph = unit.graph
    tensors, head = unit.state.tensors, head_name(number)
    result = run(forward, plan)
    features, outputs = feature_count(unit.model, name), graph.output_size
    zero_point, batch = forward.zero_point(name), unit.batch
    pooled = result
    if len(graph.shapes[name]) == 3:
        pooled = forward.program.buffer(f"{head}_features", "int8_t", batch * features)
        average(forward, name, pooled, ONE, zero_point)
    start = forward.program.buffer(f"{head}_start", "int32_t", outputs)
    logits = forward.program.buffer(f"{head}_logits", "int32_t", batch * outputs)
    layer = head_layer(unit, name, number)
    forward.call(
        f"et_dense_pass_acc({layer}, {pooled}, {logits}, {batch}, {start});", pooled, start, logits
    )
    forth = tensors[f"head/{name}/scale"][0]
    to_q10(unit, forward, logits, head, forth[:1], forth[1:])
    error, _ = loss(unit, forward, backward, logits, name, counts=False)
    sent = teach_head(backward, name, number, pooled, batch, error)
    if not plan.trained:
        forward.call(f"(void){sent.exponent};")
        return
    early, warmup = int(tensors["early_rate"][0]), rule._warmup(unit.model, plan.block)
    forward.call(f"if (step >= {warmup}) {{")
    if pooled != result:
        target = forward.program.buffer(f"{unit.names[name]}__e", "int8_t", forward.size(name))
        sent = spread(backward, sent, target, pixels(unit.model, name), features)
    rate = f"{early} * rate / {FULL_RATE}"
    backward.block(plan, sent, rate)
    forward.call("}")


def head_layer(unit: Unit, name: str, number: int) -> str:
    """Declare the layer of a head on a value, and return a pointer to it."""
    head, zero_point = head_name(number), unit.model.scheme.activations[name].zero_point
    window = unit.dense_window(head, feature_count(unit.model, name), unit.graph.output_size)
    fields = (f"{head}_w", f"{head}_b", "NULL", window, zero_point)
    return unit.struct("et_layer", f"{head}_layer", LAYER_BYTES, fields)


def start_of_head(forward: Forward, name: str, number: int) -> str:
    """Append what the accumulators of a head on a value begin with; return its buffer."""
    unit = forward.unit
    head, outputs = head_name(number), unit.graph.output_size
    start = forward.program.buffer(f"{head}_start", "int32_t", outputs)
    sizes = f"{forward.zero_point(name)}, {outputs}, {feature_count(unit.model, name)}"
    forward.call(f"et_start({head}_w, {head}_b, {sizes}, {start});", start)
    return start


def teach_head(
    backward: Backward, name: str, number: int, x: str, rows: int, error: Error
) -> Error:
    """Append what a head learns; return the error of what it reads.

    Args:
        backward: of the program.
        name: of the value on which the head sits.
        number: of the head.
        x: buffer of what it reads, int8 (rows, features).
        rows: samples, or pixels of all samples.
        error: of its outputs, int8 (rows, outputs).
    """
    unit, program, head = backward.unit, backward.program, head_name(number)
    features, outputs = feature_count(unit.model, name), unit.graph.output_size
    narrow = program.buffer(f"{head}_error", "int8_t", rows * features)
    sums = program.buffer(f"{head}_sums", "int32_t", features)
    ratio = unit.constant("head__ratio", np.full(outputs, UNIT_RATIO, np.int16))
    multiplier, shift = map(int, unit.state.tensors[f"head/{name}/scale"][1])
    row, settings = backward.row(name, 1), backward.settings
    limit = INT32_MAX - features * ACTIVATION_RANGE * WEIGHT_MAX
    learner = declare(
        unit, head, head_layer(unit, name, number), rows,
        learning(unit, settings, f"head/{name}", head, limit),
        sending(settings, ratio, row, (multiplier, shift)),
    )  # fmt: skip
    sent = backward.back("dense", learner, error, sums, narrow)
    backward.step("dense", learner, x, error, sums)
    return sent
