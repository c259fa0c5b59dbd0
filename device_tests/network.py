"""Exported networks on boards: the frames of `support/driver.c`."""

import re
import struct
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.device_tests.build import build, support
from edgetrain.device_tests.program import Program, Reply
from edgetrain.exporters.to_c import to_c
from edgetrain.model import Model
from edgetrain.rules import Rule

INIT, TRAIN, INFER, SAVE, LOAD, TENSOR = range(6)
DRIVER = ("driver.c", "flash.h", "power.c")
ALWAYS = -1
"""Steps of power of a save that is not cut."""
SHOWN = 64
"""Bytes of a tensor in the answer to TENSOR."""
HEADER = struct.Struct("<iiIIiIII")


class Answer(NamedTuple):
    """What the driver says after each frame.

    Attributes:
        status: et_status or et_store_status of the call; of TENSOR the tensor's bytes.
        loss: of a training step, Q10.
        trace: CRC-32 of parameters and state, as `edgetrain.state.trace`; 0 without traces; of
            TENSOR the tensor's CRC-32.
        saturated: updates that were saturated so far.
        slot: of the newest record after SAVE and LOAD, -1 without one; this and what follows stay
            as they are until the next.
        saves: number of the newest save.
        erases: of every page of each slot.
        y: int8 (outputs,), of an inference.
    """

    status: int
    loss: int
    trace: str
    saturated: int
    slot: int
    saves: int
    erases: tuple[int, int]
    y: Int8


def build_network(
    board: str, model: Model, rule: Rule, folder: Path, batch: int = 1, seed: int = 0,
    traced: bool = True,
) -> Program:  # fmt: skip
    """Export a network with a learning rule and build it with the driver for a board."""
    flags = ("-O2", "-DEDGETRAIN_TRACE") if traced else ("-O2",)
    sources = export_network(model, rule, batch, seed) | support(*DRIVER, "flash.c")
    return build(board, sources, folder, flags=flags)


def export_network(model: Model, rule: Rule, batch: int, seed: int) -> dict[str, bytes]:
    """Export a network under the name that the driver knows."""
    return to_c(model, "net", rule, batch, seed)


def saved_bytes(sources: Mapping[str, bytes]) -> int:
    """Return the bytes of what a save of an exported network holds."""
    (found,) = re.findall(rb"NET_SAVED = (\d+)", sources["net.h"])
    return int(found)


def identity(model: Model, rule: Rule, batch: int, seed: int) -> int:
    """Return the CRC-32 of an exported network: equal means that the same is trained the same."""
    sources = export_network(model, rule, batch, seed)
    return zlib.crc32(b"".join(sources[name] for name in sorted(sources)))


def firmware(model: Model, rule: Rule, batch: int, seed: int) -> dict[str, bytes]:
    """Write what a board behind a serial port is to run; `support/serial.h` says what it lacks.

    Returns:
        Contents by file name.
    """
    files = export_network(model, rule, batch, seed)
    files["net.h"] = b"#define EDGETRAIN_TRACE\n" + files["net.h"]
    number = identity(model, rule, batch, seed)
    files["identity.h"] = f"#define SERIAL_IDENTITY 0x{number:08x}u\n".encode()
    files |= support(*DRIVER, "frames.h", "serial.h", "serial_main.c")
    return files | {"flash.c": support("no_flash.c")["no_flash.c"]}


def question(model: Model, batch: int, command: int, x: Int8 | None = None,
             y: Ints | Sequence[int] = ()) -> bytes:  # fmt: skip
    """Write a frame: command, targets, samples; what is not given is 0.

    Args:
        model: the network.
        batch: samples of a training step.
        command: INIT, TRAIN, INFER, SAVE, LOAD or TENSOR.
        x: int8 (batch, ...) to train, (1, ...) to infer.
        y: labels (batch,), or Q10 targets (batch, outputs); for SAVE the steps of power, or
            ALWAYS; for TENSOR its number and an offset.
    """
    inputs, outputs = int(np.prod(model.graph.input_shape)), model.graph.output_size
    numbers = np.asarray(y, "<i4").ravel()
    targets, samples = np.zeros(max(batch * outputs, 2), "<i4"), np.zeros(batch * inputs, np.int8)
    targets[: numbers.size] = numbers
    if x is not None:
        samples[: x.size] = x.ravel()
    frame = struct.pack("<i", command) + targets.tobytes() + samples.tobytes()
    return frame + bytes(-len(frame) % 4)


def answer(model: Model, reply: Reply) -> Answer:
    """Read the answer to a frame."""
    status, loss, trace, saturated, slot, saves, *erases = HEADER.unpack_from(reply.data)
    y = np.frombuffer(reply.data, np.int8, model.graph.output_size, HEADER.size)
    return Answer(
        status, loss, f"{trace:08x}", saturated, slot, saves, (erases[0], erases[1]), y
    )  # fmt: skip


def shown(reply: Reply) -> bytes:
    """Return what the answer to TENSOR shows: SHOWN bytes, of which those of the tensor count."""
    return reply.data[HEADER.size : HEADER.size + SHOWN]
