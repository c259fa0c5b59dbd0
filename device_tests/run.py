"""Run a program on its board, whichever kind it is."""

from collections.abc import Sequence
from importlib import import_module

from edgetrain.device_tests.boards import missing
from edgetrain.device_tests.program import BoardError, Program, Reply


def run(
    program: Program, frames: Sequence[bytes], *, count: bool = False, uncounted: int = 0,
    timeout_s: float = 60,
) -> list[Reply]:  # fmt: skip
    """Give a program one frame after the other and return its replies.

    Args:
        program: of `build.build`.
        frames: each of the program's `frame_in_size` bytes.
        count: whether to count instructions, where the board can; it costs time.
        uncounted: frames at the beginning that are not counted.
        timeout_s: seconds for all frames together; in Unicorn and over a serial line for each.

    Returns:
        A reply a frame.

    Raises:
        BoardFaultError: if the program faults or writes where nothing is.
        BoardTimeoutError: if it does not end in time.
        BoardLineError: if the board at a serial port does not answer, or runs something else.
        BoardError: if the board lacks a tool or the emulator fails.
    """
    if lacks := missing(program.board):
        raise BoardError(f"{program.name} cannot run here: {'; '.join(lacks)}")
    runner = import_module(f"edgetrain.device_tests.{program.board.kind}_board")
    replies: list[Reply] = runner.run(
        program, frames, count=count, uncounted=uncounted, timeout_s=timeout_s
    )
    return replies
