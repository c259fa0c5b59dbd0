"""Where a board first differs from NumPy: the step, the tensor and the index."""

import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.device_tests.lesson import Lesson, Wanted, ask, walk
from edgetrain.device_tests.network import SHOWN, TENSOR, TRAIN, Answer, answer, shown
from edgetrain.device_tests.program import Reply
from edgetrain.state import traced

Run = Callable[[Sequence[bytes]], list[Reply]]
"""Gives a board frames, from a fresh start, and returns its replies."""


def first_difference(lesson: Lesson, wants: Sequence[Wanted], run: Run) -> str:
    """Run a lesson on a board.

    Args:
        lesson: the network.
        wants: what is asked, and what NumPy answers.
        run: the board.

    Returns:
        "" if the board answers as NumPy does, else what differs first, in words.
    """
    frames = [want.frame for want in wants]
    for i, (want, reply) in enumerate(zip(wants, run(frames), strict=True)):
        found = answer(lesson.model, reply)
        differences = list(_differences(want, found))
        if found.trace != want.trace and not found.status:
            differences.insert(0, _tensor(lesson, frames[: i + 1], run))
        if differences:
            return f"{want.name}: {'; '.join(differences)}"
    return ""


def _differences(want: Wanted, found: Answer) -> Iterator[str]:
    """Compare all but the trace."""
    if found.status:
        yield f"the board returns status {found.status}"
        return
    if want.y is not None and (found.y != want.y).any():
        yield f"output {compare(want.y, found.y)}"
    if found.loss != want.loss:
        yield f"the board's loss is {found.loss}, NumPy's {want.loss} (Q10)"


def _tensor(lesson: Lesson, frames: Sequence[bytes], run: Run) -> str:
    """Run up to a difference again, and compare the tensors after it."""
    wanted = _tensors(lesson, sum(frame[:4] == TRAIN.to_bytes(4, "little") for frame in frames))
    questions = [ask(lesson, TENSOR, y=(i, 0)) for i in range(len(wanted))]
    answers = [answer(lesson.model, r) for r in run([*frames, *questions])[len(frames) :]]
    for i, (name, array) in enumerate(wanted.items()):
        if answers[i].status != array.nbytes:
            return f"{name!r} has {answers[i].status} bytes on the board, {array.nbytes} in NumPy"
        if answers[i].trace == f"{zlib.crc32(array.tobytes()):08x}":
            continue
        parts = [ask(lesson, TENSOR, y=(i, at)) for at in range(0, array.nbytes, SHOWN)]
        data = b"".join(map(shown, run([*frames, *parts])[len(frames) :]))[: array.nbytes]
        return f"{name!r} {compare(array, np.frombuffer(data, array.dtype).reshape(array.shape))}"
    return "no tensor differs, so the count of steps does"


def _tensors(lesson: Lesson, steps: int) -> dict[str, NDArray[Any]]:
    """Return all parameters and state after so many steps of NumPy."""
    *_, (model, state, _) = islice(walk(lesson), 1 + steps)
    return traced(model, state)


def compare(wanted: NDArray[Any], found: NDArray[Any]) -> str:
    """Name the first index at which two arrays of one shape differ.

    Example:
        >>> compare(np.array([[1, 2], [3, 4]]), np.array([[1, 2], [5, 6]]))
        'at [1, 0]: the board has 5, NumPy 3; 2 of 4 differ'
    """
    places = np.argwhere(wanted != found)
    if not len(places):
        return "is the same now: the board does not repeat itself"
    first = tuple(int(i) for i in places[0])
    return (
        f"at {list(first)}: the board has {found[first]}, NumPy {wanted[first]}; "
        f"{len(places)} of {wanted.size} differ"
    )
