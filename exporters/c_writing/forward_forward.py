"""One training step of Forward-Forward with a channel a class; `channel_labels.learn` in C."""

from functools import partial

from edgetrain.arithmetic.goodness import CHANNEL_BITS
from edgetrain.arithmetic.losses import LOGIT_BITS, PROBABILITY_BITS
from edgetrain.blocks import Plan
from edgetrain.exporters.c_writing import input_labels
from edgetrain.exporters.c_writing.backward import Backward
from edgetrain.exporters.c_writing.forward import Forward
from edgetrain.exporters.c_writing.kept import run
from edgetrain.exporters.c_writing.learn import block_by_block, start_of_head, teach_head
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.unit import Unit, head_name
from edgetrain.heads import feature_count, pixels
from edgetrain.rules.channel_labels import EARLY_RATE, plans
from edgetrain.rules.forward_forward import ForwardForward
from edgetrain.settings import FULL_RATE

ZERO_POINT = -128
"""Of the channels, which are int8 in C."""


def step_program(unit: Unit, rule: ForwardForward) -> Program:
    """Return the body of the function that learns from one batch; see `learn.step_program`."""
    if rule.labels_in_input(unit.model):
        return input_labels.Labels(unit, rule).learn()
    found = plans(unit.model, rule.settings, rule.blocks)
    return block_by_block(unit, rule.settings, found, partial(_learn_block, rule))


def _learn_block(
    rule: ForwardForward, plan: Plan, forward: Forward, backward: Backward, number: int
) -> None:
    """Append a block that learns from its channels."""
    unit = forward.unit
    name, head, program = plan.block.output, head_name(number), forward.program
    x, classes, image = run(forward, plan), unit.graph.output_size, pixels(unit.model, name)
    features, rows = feature_count(unit.model, name), unit.batch * image
    start = start_of_head(forward, name, number)
    sums = program.buffer(f"{head}_channel_sums", "int32_t", classes)
    channels = program.buffer(f"{head}_channels", "int8_t", rows * classes)
    forth = unit.state.tensors[f"head/{name}/scale"][0]
    forward.call(
        f"et_class_channels({x}, {head}_w, {start}, {forth[0]}, {forth[1]}, {sums}, {channels}, "
        f"{rows}, {features}, {classes});",
        x, start, sums, channels,
    )  # fmt: skip
    slopes = _slopes(rule, forward, channels, head, image)
    call = (
        f"et_goodness_error({channels}, {ZERO_POINT}, {slopes}, SCALING, {channels}, {unit.batch}, "
        f"{image}, {classes})"
    )
    multiplier, shift = unit.state.tensors[f"goodness/{name}"]
    error = backward.scaled(
        backward.row(name, 2), (int(multiplier), int(shift)),
        str(-PROBABILITY_BITS - CHANNEL_BITS), call, channels, slopes,
    )  # fmt: skip
    sent = teach_head(backward, name, number, x, rows, error)
    if plan.trained:
        backward.block(plan, sent, f"{EARLY_RATE} * rate / {FULL_RATE}")
    else:
        forward.call(f"(void){sent.exponent};")


def _slopes(rule: ForwardForward, forward: Forward, channels: str, head: str, image: int) -> str:
    """Append what turns channels into the slopes of a right and a wrong class."""
    unit = forward.unit
    classes, batch = unit.graph.output_size, unit.batch
    goodness = forward.program.buffer(f"{head}_goodness", "int32_t", batch * classes)
    forward.call(
        f"et_class_goodness({channels}, {goodness}, {batch}, {image}, {classes});",
        channels, goodness,
    )  # fmt: skip
    weights = "NULL"
    if rule.negatives == "hard":
        weights = forward.program.buffer(f"{head}_shares", "int32_t", batch * classes)
        losses = forward.program.buffer(f"{head}_losses", "int32_t", batch)
        forward.call(
            f"(void)et_cross_entropy({goodness}, y, {weights}, {losses}, {batch}, {classes});",
            goodness, weights, losses,
        )  # fmt: skip
    wrong = input_labels.draw_wrong(forward, weights)
    symmetric = int(rule.goodness_loss == "symmetric")
    forward.call(
        f"et_class_slopes({goodness}, y, {wrong}, {symmetric}, {1 << LOGIT_BITS}, {batch}, "
        f"{classes});",
        goodness, wrong,
    )  # fmt: skip
    return goodness
