"""A training run as a few bits a step: base model and journal give the exact weights, without data.

A forward gradient in weight space learns from nothing but its seed and a sign (or value) a query.
Behind the header (see `edgetrain.journal_header`) a journal has frames:

| bytes | what |
|---|---|
| 1 | steps in this frame, 1 to 128 |
| n | two bits a sign, the lowest first: 0 none, 1 plus, 2 minus; or four bytes a value |
| 4 | trace of the weights after the last of these steps |
| 4 | CRC-32 of this frame, which goes on from the one before |

Numbers are little-endian. The chain of CRCs makes a frame valid at its own place only. A frame that
is not whole, and a tail of erased memory (only 0xFF or only 0x00), are what a power cut leaves:
they are dropped. A whole frame with another CRC is damage.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetrain.errors import EdgetrainError, FileError
from edgetrain.fewbit import pack, unpack
from edgetrain.files import read_bytes
from edgetrain.journal_header import Header, read_header
from edgetrain.model import Model
from edgetrain.rules import ForwardGradient
from edgetrain.state import State, trace

FRAME_STEPS = 128
SIGNS = (0, 1, -1)
"""The sign of every code of two bits; the code 3 does not occur."""
WITHOUT_CODE_3 = bytes(octet for octet in range(256) if not octet & octet >> 1 & 0x55)
TRACE_AND_CRC = 8
MAX_BYTES = 64 << 20
"""Largest journal that is read: 200 million steps of one query."""


class Frame(NamedTuple):
    """Some steps of a run: their packed slopes, and the trace of the weights after them."""

    steps: int
    payload: bytes
    trace: str


@dataclass(frozen=True)
class Journal:
    """What a journal holds.

    Attributes:
        header: what the run starts from.
        frames: its steps.
        size: bytes of the header and the frames; a writer goes on there.
        dropped: bytes behind them, which a power cut left.
        crc: of the last frame, or of the header.
    """

    header: Header
    frames: tuple[Frame, ...]
    size: int
    dropped: int
    crc: int

    @property
    def steps(self) -> int:
        """Number of steps."""
        return sum(frame.steps for frame in self.frames)


def weights_trace(model: Model, state: State, start: State) -> str:
    """Return the trace of all that a journal determines.

    It is `edgetrain.state.trace` with the exponents of errors as they were at the start: a
    regression moves them, and in weight space no weight depends on them.
    """
    tensors = {**state.tensors, "exponents": start.tensors["exponents"]}
    return trace(model, State(state.step, tensors))


def pack_frame(
    slopes: Sequence[Sequence[int]], uses_sign: bool, traced: str, previous: int
) -> tuple[bytes, int]:
    """Pack steps into a frame.

    Args:
        slopes: of 1 to 128 steps, a number a query each.
        uses_sign: whether they are signs.
        traced: `weights_trace` after the last of them.
        previous: CRC of the frame before, or of the header.

    Returns:
        The frame and its CRC.

    Example:
        >>> pack_frame([[1], [-1], [0]], True, "0000002a", previous=0)[0].hex(" ")
        '03 09 2a 00 00 00 26 fe c9 f5'
    """
    flat = np.array(slopes, np.int32).reshape(-1)
    packed = pack((flat % 3).astype(np.uint8), 2) if uses_sign else flat.astype("<i4")
    content = bytes([len(slopes)]) + packed.tobytes() + struct.pack("<I", int(traced, 16))
    crc = zlib.crc32(content, previous)
    return content + struct.pack("<I", crc), crc


def slopes_of(frame: Frame, rule: ForwardGradient) -> NDArray[np.int32]:
    """Return the slopes of a frame, int32 (steps, queries)."""
    count = frame.steps * rule.queries
    if rule.uses_sign:
        flat = np.array(SIGNS, np.int32)[unpack(np.frombuffer(frame.payload, np.uint8), 2, count)]
    else:
        flat = np.frombuffer(frame.payload, "<i4").astype(np.int32)
    return flat.reshape(frame.steps, rule.queries)


def all_slopes(journal: Journal) -> NDArray[np.int32]:
    """Return the slopes of all frames, int32 (steps, queries).

    Frames that follow each other and end with a whole octet are taken as one.
    """
    rule, found = journal.header.rule, [np.empty((0, journal.header.rule.queries), np.int32)]
    for ends_whole, run in groupby(journal.frames, lambda f: f.steps * rule.queries % 4 == 0):
        frames = list(run)
        if ends_whole:
            steps = sum(frame.steps for frame in frames)
            frames = [Frame(steps, b"".join(frame.payload for frame in frames), frames[-1].trace)]
        found += [slopes_of(frame, rule) for frame in frames]
    return np.concatenate(found)


def load_journal(path: str | Path, step: int | None = None) -> Journal:
    """Read the file of a journal; see `read_journal`.

    Raises:
        FileError: if it cannot be read, is too large, foreign or damaged.
    """
    content = read_bytes(path, MAX_BYTES)
    try:
        return read_journal(content, step)
    except EdgetrainError as error:
        raise FileError(f"{path} cannot be replayed: {error}") from error


def read_journal(content: bytes, step: int | None = None) -> Journal:
    """Read a journal.

    Args:
        content: of its file, or of a device's flash memory.
        step: read no frame behind the one with this step; None for all.

    Raises:
        FileError: if it is foreign or damaged.
    """
    header, size = read_header(content)
    crc = int.from_bytes(content[size - 4 : size], "little")
    frames: list[Frame] = []
    done = dropped = 0
    while size < len(content) and (step is None or done < step):
        found = _frame(content, size, header.rule, crc)
        if found is None and _is_cut(content[size:], header.rule):
            dropped = len(content) - size
            break
        if found is None:
            raise FileError(
                f"it is damaged at byte {size}; its first {done} steps are whole: "
                f"go up to them with --step {done}"
            )
        frame, crc = found
        frames.append(frame)
        done, size = done + frame.steps, size + _length(frame.steps, header.rule)
    return Journal(header, tuple(frames), size, dropped, crc)


def _length(steps: int, rule: ForwardGradient) -> int:
    slopes = steps * rule.queries
    return 1 + (-(-slopes // 4) if rule.uses_sign else 4 * slopes) + TRACE_AND_CRC


def _frame(
    content: bytes, start: int, rule: ForwardGradient, previous: int
) -> tuple[Frame, int] | None:
    """Return the frame that starts at a byte and its CRC, or None if it is not whole or wrong."""
    steps = content[start]
    length = _length(steps, rule)
    raw = content[start : start + length]
    if not 1 <= steps <= FRAME_STEPS or len(raw) < length:
        return None
    payload, (traced, crc) = raw[1:-TRACE_AND_CRC], struct.unpack("<II", raw[-TRACE_AND_CRC:])
    if crc != zlib.crc32(raw[:-4], previous):
        return None
    if rule.uses_sign and payload.translate(None, WITHOUT_CODE_3):
        return None
    return Frame(steps, payload, f"{traced:08x}"), crc


def _is_cut(rest: bytes, rule: ForwardGradient) -> bool:
    """Whether bytes are what a power cut leaves: less than one frame, then erased memory."""
    filler = rest[-1:]
    written = rest.rstrip(filler) if filler in (b"\x00", b"\xff") else rest
    return not written or (written[0] <= FRAME_STEPS and len(written) < _length(written[0], rule))
