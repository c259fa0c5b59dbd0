"""Real boards: frames over a serial port, as `support/serial_main.c` answers them."""

import struct
import time
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import serial

from edgetrain.device_tests.program import BoardLineError, BoardTimeoutError, Program, Reply

VERSION = 1
HELLO, FRAME, READY, ANSWER, DAMAGED = range(5)
SYNC = b"eT"
HEADER = struct.Struct("<2sBBII")
CRC = struct.Struct("<I")
TRIES = 16
"""How often a question is sent until the line counts as broken."""
HELLO_S = 4.0
"""Seconds to find the board."""
PATIENCE_S = 0.5
"""Seconds, and those that the bytes take, until a question is sent a second time; then doubled."""


class Message(NamedTuple):
    """A frame on the line.

    Attributes:
        version: of the frames.
        kind: HELLO, FRAME, READY, ANSWER or DAMAGED.
        sequence: number of the question.
        data: what it carries.
    """

    version: int
    kind: int
    sequence: int
    data: bytes


def run(
    program: Program, frames: Sequence[bytes], *, count: bool = False, uncounted: int = 0,
    timeout_s: float = 60,
) -> list[Reply]:  # fmt: skip
    """Ask a board that runs the firmware of a network; see `run.run`. Nothing is counted.

    Raises:
        BoardLineError: if the port does not open, the board is silent, or runs other firmware.
        BoardTimeoutError: if a frame is not answered in time.
    """
    place, baud = program.board.launcher
    try:
        with serial.serial_for_url(place, int(baud), timeout=0) as port:
            port.reset_input_buffer()
            line = Line(program, port, timeout_s)
            line.meet(len(frames[0]))
            return [Reply(line.ask(FRAME, frame, timeout_s)) for frame in frames]
    except (serial.SerialException, OSError) as error:
        raise BoardLineError(
            f"{program.name} does not open or was closed: {error}; "
            "`python -m serial.tools.list_ports` lists the ports"
        ) from error


class Line:
    """A port with a board behind it.

    Args:
        program: what the board should run.
        port: open, and never waiting.
        timeout_s: seconds in which a frame must be answered.
    """

    def __init__(self, program: Program, port: Any, timeout_s: float) -> None:
        self.program, self.port, self.timeout_s = program, port, timeout_s
        self.sequence, self.received, self.pending = 0, 0, bytearray()

    def meet(self, size: int) -> None:
        """Find out whether the board runs what it should; frames have so many bytes."""
        data = self.ask(HELLO, b"", HELLO_S)
        identity, frame_size, _ = struct.unpack("<III", data)
        if (identity, frame_size) != (self.program.identity, size):
            raise BoardLineError(
                f"{self.program.name} runs firmware {identity:08x}, and these model, rule, batch "
                f"and seed are {self.program.identity:08x}: write it with --write-firmware DIR, "
                "flash it and try again"
            )

    def ask(self, kind: int, data: bytes, timeout_s: float) -> bytes:
        """Send a question, again where it or its answer is damaged, and return the answer."""
        self.sequence += 1
        packet = packed(Message(VERSION, kind, self.sequence, data))
        before, deadline = self.received, time.monotonic() + timeout_s
        wait = PATIENCE_S + 20 * len(packet) / self.port.baudrate
        for _ in range(TRIES):
            if (now := time.monotonic()) >= deadline:
                break
            self.pending.clear()
            self.port.write(packet)
            if (found := self._answer(min(now + wait, deadline))) is not None:
                return found
            wait *= 2
        if self.received == before == 0:
            raise BoardLineError(
                f"{self.program.name} is silent: not a byte in {timeout_s:g} s; is the firmware "
                "running, and are speed and port right?"
            )
        if kind == HELLO:
            raise BoardLineError(
                f"{self.program.name} sent {self.received} bytes in {timeout_s:g} s and no answer "
                "among them: are the speed and the firmware right?"
            )
        raise BoardTimeoutError(
            f"{self.program.name} gave no whole answer to a frame in {timeout_s:g} s and {TRIES} "
            f"tries; {self.received - before} bytes came"
        )

    def _answer(self, deadline: float) -> bytes | None:
        """Wait for the answer to the last question; None if it is damaged or does not come."""
        while time.monotonic() < deadline:
            message = self._message(deadline)
            if message is None:
                continue
            if message.version != VERSION:
                raise BoardLineError(
                    f"{self.program.name} speaks version {message.version} of the frames, this "
                    f"edgetrain version {VERSION}: write its firmware anew with --write-firmware"
                )
            if message.sequence == self.sequence:
                return None if message.kind == DAMAGED else message.data
        return None

    def _message(self, deadline: float) -> Message | None:
        """Read until a message ends; one whose data are damaged counts as DAMAGED."""
        while (found := unpacked(self.pending)) is None and time.monotonic() < deadline:
            data = self.port.read(max(1, self.port.in_waiting))
            self.received += len(data)
            self.pending += data
            if not data:
                time.sleep(0.0005)
        return found


def packed(message: Message) -> bytes:
    """Write a message as it goes over the line."""
    head = HEADER.pack(SYNC, message.version, message.kind, len(message.data), message.sequence)
    return head + CRC.pack(zlib.crc32(head)) + message.data + CRC.pack(zlib.crc32(message.data))


def unpacked(pending: bytearray) -> Message | None:
    """Take the first whole message out of what came; drop what is no part of one.

    Example:
        >>> line = bytearray(b"noise, eT" + packed(Message(1, ANSWER, 7, b"data")) + b"eT..")
        >>> unpacked(line), bytes(line)
        (Message(version=1, kind=3, sequence=7, data=b'data'), b'eT..')
    """
    while (at := pending.find(SYNC)) >= 0 or pending:
        del pending[: at if at >= 0 else max(len(pending) - 1, 0)]
        if at < 0 or len(pending) < HEADER.size + CRC.size:
            return None
        head = bytes(pending[: HEADER.size])
        (crc,) = CRC.unpack_from(pending, HEADER.size)
        if crc != zlib.crc32(head):
            del pending[:1]
            continue
        _, version, kind, size, sequence = HEADER.unpack(head)
        start, stop = HEADER.size + CRC.size, HEADER.size + CRC.size + size
        if len(pending) < stop + CRC.size:
            return None
        data = bytes(pending[start:stop])
        (crc,) = CRC.unpack_from(pending, stop)
        if crc != zlib.crc32(data):
            del pending[:1]
            return Message(version, DAMAGED, sequence, b"")
        del pending[: stop + CRC.size]
        return Message(version, kind, sequence, data)
    return None
