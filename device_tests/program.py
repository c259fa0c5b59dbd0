"""What goes between building and running: a program, its replies, its faults."""

from dataclasses import dataclass
from pathlib import Path

from edgetrain.device_tests.boards import Board
from edgetrain.errors import EdgetrainError


class BoardError(EdgetrainError, RuntimeError):
    """A program could not be built, or did not run to its end."""


class BoardFaultError(BoardError):
    """A program did what its core or its memory does not allow; with address and registers."""


class BoardTimeoutError(BoardError):
    """A program did not come back in time."""


class BoardLineError(BoardError):
    """There is no line to a board, or another program behind it than there should be."""


@dataclass(frozen=True)
class Program:
    """A linked program.

    Attributes:
        name: of its board, for messages.
        board: what it was built for.
        path: of the executable; not used where a board has it already.
        identity: of the network in it, where a board is asked; see `network.identity`.
    """

    name: str
    board: Board
    path: Path
    identity: int = 0


@dataclass(frozen=True)
class Reply:
    """What a program made of one frame.

    Attributes:
        data: its answer.
        instructions: executed for it; None unless they were counted.
        stack_bytes: the deepest stack so far; None where it is not measured.
    """

    data: bytes
    instructions: int | None = None
    stack_bytes: int | None = None
