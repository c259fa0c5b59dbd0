"""How much memory an exported network is seen to use on an emulated Cortex-M4."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgetrain.device_tests import unicorn_board
from edgetrain.device_tests.boards import BOARDS, Board
from edgetrain.device_tests.elf import read_elf
from edgetrain.device_tests.network import INFER, INIT, TRAIN, build_network, question
from edgetrain.model import Model
from edgetrain.rules import Rule

STEPS = 2


@dataclass(frozen=True)
class Seen:
    """Bytes that a program used.

    Attributes:
        variables: weights, state and arena, as the linker placed them.
        stack: the deepest, of what was painted before.
    """

    variables: int
    stack: int


def built_by_gcc() -> Board:
    """Return QEMU's Cortex-M4 as Unicorn runs it, which can look at the stack."""
    return replace(BOARDS["qemu-cortex-m4"], flash=BOARDS["cortex-m4"].flash, core="CORTEX_M4")


def seen(board: str, model: Model, rule: Rule, folder: Path) -> Seen:
    """Run an inference and a few steps of one sample, and return what they used.

    Args:
        board: a name of `boards.BOARDS`; Unicorn must be able to run it.
        model: to export.
        rule: that learns.
        folder: for objects.
    """
    program = build_network(board, model, rule, folder, traced=False)
    x, y = np.zeros((1, *model.graph.input_shape), np.int8), np.zeros(1, np.int32)
    frames = [question(model, 1, INIT), question(model, 1, INFER, x)]
    frames += [question(model, 1, TRAIN, x, y)] * STEPS
    stack = unicorn_board.run(program, frames)[-1].stack_bytes or 0
    elf = read_elf(program.path)
    return Seen(len(elf.region("state")) + len(elf.region("arena")), stack)
