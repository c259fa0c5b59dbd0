"""Saving on a board whose power fails: the old or the new record, never a mixture."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgetrain import fixed
from edgetrain.device_tests.difference import Run
from edgetrain.device_tests.lesson import Lesson, ask
from edgetrain.device_tests.network import ALWAYS, INIT, LOAD, SAVE, TRAIN, Answer, answer
from edgetrain.state import trace

OK, BAD_ARGUMENT, FLASH_FAILED = 0, -1, -5
PAGE, UNIT = 256, 8
"""Bytes of an erase and of a write of the flash of `support/flash.c`."""


@dataclass(frozen=True)
class Saving:
    """How saves ended.

    Attributes:
        problem: "" or what is wrong, in words.
        cut: saves whose power failed.
        saved: saves that were whole.
        erases: of every page of each slot.
        has_flash: whether there is a flash at all.
    """

    problem: str
    cut: int = 0
    saved: int = 0
    erases: tuple[int, int] = (0, 0)
    has_flash: bool = True


def steps_of_power(bytes_: int, cuts: int) -> list[int]:
    """Spread power cuts over a save of so many bytes; the last is a step before its end.

    Example:
        >>> steps_of_power(1000, 4)
        [0, 44, 89, 134]
    """
    record = 32 + bytes_
    units = -(-record // UNIT) + 1
    pages = -(-(record + UNIT) // PAGE)
    last = pages + units - 1
    return [last * i // (cuts - 1) for i in range(cuts)]


def power_cuts(lesson: Lesson, bytes_: int, run: Run, cuts: int = 12) -> Saving:
    """Train, save, cut, start again and load; over and over.

    Args:
        lesson: the network; its first batch is what is learned each time.
        bytes_: of a record.
        run: the board.
        cuts: saves that are cut.
    """
    power = [ALWAYS, *steps_of_power(bytes_, cuts), ALWAYS]
    x, y = lesson.batches[0]
    frames = [ask(lesson, INIT)]
    for steps in power:
        frames += [ask(lesson, TRAIN, x, y), ask(lesson, SAVE, y=(steps,))]
        frames += [ask(lesson, INIT), ask(lesson, LOAD)]
    return _judge(lesson, power, [answer(lesson.model, reply) for reply in run(frames)])


def _judge(lesson: Lesson, power: Sequence[int], answers: Sequence[Answer]) -> Saving:
    """Follow in NumPy what a board says."""
    if answers[2].status == BAD_ARGUMENT:
        return Saving("", has_flash=False)
    model, state = lesson.model, lesson.rule.init(lesson.model)
    saved = 0
    for i, steps in enumerate(power):
        trained, save, _, load = answers[1 + 4 * i : 5 + 4 * i]
        x, y = lesson.batches[0]
        new = lesson.rule.step(model, state, x, y, fixed, lesson.seed)[:2]
        name = f"save {i}, {'whole' if steps == ALWAYS else f'cut after {steps} steps'}"
        if trained.trace != trace(*new):
            return Saving(f"{name}: what was trained before it is not what NumPy trains")
        if save.status not in ((OK,) if steps == ALWAYS else (OK, FLASH_FAILED)):
            return Saving(f"{name}: the board returns status {save.status}")
        if save.status == OK:
            model, state = new
            saved += 1
        if (load.status, load.trace) != (OK, trace(model, state)):
            which = "the new" if save.status == OK else "the old"
            return Saving(
                f"{name}: a load returns status {load.status} and trace {load.trace}, "
                f"{which} record has {trace(model, state)}"
            )
    cut = len(power) - saved
    if not cut:
        return Saving("no save was cut: the power does not fail")
    return Saving("", cut, saved, answers[-1].erases)
