"""Exported networks on boards: the frames of `support/driver.c`."""

import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.device_tests.build import SUPPORT, build
from edgetrain.device_tests.program import Program, Reply
from edgetrain.exporters.to_c import to_c
from edgetrain.model import Model
from edgetrain.rules import Rule

INIT, TRAIN, INFER = range(3)


class Answer(NamedTuple):
    """What the driver says after each frame.

    Attributes:
        status: et_status of the call.
        loss: of a training step, Q10.
        trace: CRC-32 of parameters and state, as `edgetrain.state.trace`; 0 without traces.
        saturated: updates that were saturated so far.
        y: int8 (outputs,), of an inference.
    """

    status: int
    loss: int
    trace: str
    saturated: int
    y: Int8


def build_network(
    board: str, model: Model, rule: Rule, folder: Path, batch: int = 1, seed: int = 0,
    traced: bool = True,
) -> Program:  # fmt: skip
    """Export a network with a learning rule and build it with the driver for a board."""
    sources = to_c(model, "net", rule, batch, seed)
    sources["driver.c"] = (SUPPORT / "driver.c").read_bytes()
    flags = ("-O2", "-DEDGETRAIN_TRACE") if traced else ("-O2",)
    return build(board, sources, folder, flags=flags)


def question(model: Model, batch: int, command: int, x: Int8 | None = None,
             y: Ints | None = None) -> bytes:  # fmt: skip
    """Write a frame: command, targets, samples; what is not given is 0.

    Args:
        model: the network.
        batch: samples of a training step.
        command: INIT, TRAIN or INFER.
        x: int8 (batch, ...) to train, (1, ...) to infer.
        y: labels (batch,), or Q10 targets (batch, outputs).
    """
    inputs, outputs = int(np.prod(model.graph.input_shape)), model.graph.output_size
    targets, samples = np.zeros(batch * outputs, "<i4"), np.zeros(batch * inputs, np.int8)
    if y is not None:
        targets[: y.size] = y.ravel()
    if x is not None:
        samples[: x.size] = x.ravel()
    frame = struct.pack("<i", command) + targets.tobytes() + samples.tobytes()
    return frame + bytes(-len(frame) % 4)


def answer(model: Model, reply: Reply) -> Answer:
    """Read the answer to a frame."""
    status, loss, trace, saturated = struct.unpack_from("<iiII", reply.data)
    y = np.frombuffer(reply.data, np.int8, model.graph.output_size, offset=16)
    return Answer(status, loss, f"{trace:08x}", saturated, y)
