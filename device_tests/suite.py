"""The suite that a user runs on a model of their own: every check, every number, one board."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from edgetrain.device_tests import golden, golden_goodness, golden_layers, golden_training
from edgetrain.device_tests.boards import Board, board_named
from edgetrain.device_tests.difference import Run, first_difference
from edgetrain.device_tests.lesson import Lesson, Wanted, ask, inferences, walk, warm_up
from edgetrain.device_tests.measure import Measured, measure
from edgetrain.device_tests.network import (
    INFER,
    build_network,
    export_network,
    identity,
    saved_bytes,
)
from edgetrain.device_tests.program import BoardError, BoardLineError, Program
from edgetrain.device_tests.run import run
from edgetrain.device_tests.saving import power_cuts

Outcome = Literal["pass", "fail", "skip"]


@dataclass(frozen=True)
class Check:
    """One row of a verdict.

    Attributes:
        name: what was checked.
        outcome: pass, fail, or skip where a board cannot do it.
        detail: how much was compared; or what is wrong; or why it was left out.
        seconds: that it took.
    """

    name: str
    outcome: Outcome
    detail: str
    seconds: float


@dataclass(frozen=True)
class Verdict:
    """What a suite found on a board.

    Attributes:
        board: its name.
        checks: in their order.
        inference: instructions of one; None where they are not counted.
        step: instructions of the last training step; None where they are not counted.
        measured: bytes; None where they are not measured.
    """

    board: str
    checks: tuple[Check, ...]
    inference: int | None = None
    step: int | None = None
    measured: Measured | None = None

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return all(check.outcome != "fail" for check in self.checks)


class Skip(Exception):  # noqa: N818
    """A check that a board cannot do; with the reason."""


class Fail(Exception):  # noqa: N818
    """A check that failed; with what is wrong."""


@dataclass
class Bench:
    """A lesson on a board.

    Attributes:
        name: of the board.
        lesson: what is run.
        folder: for programs.
        timeout_s: seconds until a check counts as hanging.
    """

    name: str
    lesson: Lesson
    folder: Path
    timeout_s: float

    @cached_property
    def board(self) -> Board:
        """The board."""
        return board_named(self.name)

    @cached_property
    def lessons(self) -> tuple[list[Wanted], list[Wanted]]:
        """What is asked for inference, and for training, with NumPy's answers."""
        taught = list(walk(self.lesson))
        before, after = (
            list(inferences(self.lesson, model, state))
            for model, state, _ in (taught[0], taught[-1])
        )
        wants = [want for _, _, want in taught]
        after = [want._replace(name=f"{want.name} after training") for want in after]
        return [wants[0], *before], [*wants, *after]

    def program(self, traced: bool = True) -> Program:
        """Build what the board runs; a real one has it already."""
        lesson = self.lesson
        options = lesson.model, lesson.rule, lesson.batch, lesson.seed
        if self.board.kind == "serial":
            return Program(self.name, self.board, self.folder, identity(*options))
        model, rule, batch, seed = options
        return build_network(self.name, model, rule, self.folder, batch, seed, traced)

    @cached_property
    def run(self) -> Run:
        """Runs frames in the program with traces."""
        return partial(run, self.program(), timeout_s=self.timeout_s)


def _kernels(module: Callable[[str, Path, float], list[str]], bench: Bench) -> str:
    if bench.board.kind == "serial":
        raise Skip("the firmware holds the model only")
    lines = module(bench.name, bench.folder, bench.timeout_s)
    if wrong := [line for line in lines if ": 0 of " not in line]:
        raise Fail("; ".join(wrong))
    numbers = [re.search(r": 0 of (\d+) wrong$", line) for line in lines]
    return f"{sum(int(found[1]) for found in numbers if found):,} results"


def _inference(bench: Bench) -> str:
    wants, _ = bench.lessons
    if difference := first_difference(bench.lesson, wants, bench.run):
        raise Fail(difference)
    return f"{len(wants) - 1} samples"


def _training(bench: Bench) -> str:
    _, wants = bench.lessons
    if difference := first_difference(bench.lesson, wants, bench.run):
        raise Fail(difference)
    steps, warm = len(bench.lesson.batches), warm_up(bench.lesson.model, bench.lesson.rule)
    return f"{steps} steps" + (f", {warm} of them of warm-up" if warm else "")


def _saving(bench: Bench) -> str:
    lesson = bench.lesson
    sources = export_network(lesson.model, lesson.rule, lesson.batch, lesson.seed)
    saving = power_cuts(lesson, saved_bytes(sources), bench.run)
    if not saving.has_flash:
        raise Skip("the firmware has no flash: see flash.c")
    if saving.problem:
        raise Fail(saving.problem)
    wear = " and ".join(map(str, saving.erases))
    return f"{saving.cut} cuts, {saving.saved} whole saves; slots erased {wear} times"


CHECKS: dict[str, Callable[[Bench], str]] = {
    "kernels: rounding and updates": partial(_kernels, golden.check),
    "kernels: layers": partial(_kernels, golden_layers.check),
    "kernels: training": partial(_kernels, golden_training.check),
    "kernels: goodness and momentum": partial(_kernels, golden_goodness.check),
    "inference": _inference,
    "training": _training,
    "saving with power cuts": _saving,
}
"""Everything that is checked, in order; a check returns how much it compared."""


def examine(
    board: str, lesson: Lesson, folder: Path, timeout_s: float = 60,
    on_check: Callable[[int, int], None] = lambda done, total: None,
) -> Verdict:  # fmt: skip
    """Run the suite on a board.

    Args:
        board: its name in `boards.BOARDS`, or serial:PORT.
        lesson: a network, its rule and samples.
        folder: for programs; may be used again.
        timeout_s: seconds until a check counts as hanging.
        on_check: called after each with how many are done, and how many there are.

    Raises:
        BoardLineError: if there is no board at a serial port, or one with other firmware.
    """
    bench, checks = Bench(board, lesson, folder, timeout_s), []
    for name, check in CHECKS.items():
        checks.append(_outcome(bench, name, check))
        on_check(len(checks), len(CHECKS))
    verdict = Verdict(board, tuple(checks))
    if not verdict.passed or bench.board.kind == "serial":
        return verdict
    try:
        return _numbers(bench, verdict)
    except BoardError as problem:
        failed = Check("instructions and bytes", "fail", str(problem), 0.0)
        return Verdict(board, (*verdict.checks, failed))


def _outcome(bench: Bench, name: str, check: Callable[[Bench], str]) -> Check:
    began = time.monotonic()
    outcome: Outcome
    try:
        outcome, detail = "pass", check(bench)
    except Skip as reason:
        outcome, detail = "skip", str(reason)
    except BoardLineError:
        raise
    except (Fail, BoardError) as problem:
        outcome, detail = "fail", str(problem)
    return Check(name, outcome, detail, time.monotonic() - began)


def _numbers(bench: Bench, verdict: Verdict) -> Verdict:
    """Count and measure the program without traces, as it would be flashed."""
    program = bench.program(traced=False)
    frames = [want.frame for want in bench.lessons[1][: 1 + len(bench.lesson.batches)]]
    frames.append(ask(bench.lesson, INFER, bench.lesson.samples[:1]))
    replies = run(program, frames, count=True, uncounted=len(frames) - 2, timeout_s=bench.timeout_s)
    step, inference = (reply.instructions for reply in replies[-2:])
    return Verdict(verdict.board, verdict.checks, inference, step, measure(program, replies))
