"""Honest times on a machine that does other things too: bursts in turn, medians of ratios."""

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Call = Callable[[], object]
BURST = 0.003
"""Seconds that one candidate runs before the next one's turn."""


class Timing(NamedTuple):
    """What one candidate takes."""

    seconds: float  # median over all rounds
    ratio: float  # median over all rounds of its time over the first candidate's


def compare(calls: Mapping[str, Call], rounds: int, burst: float = BURST) -> dict[str, Timing]:
    """Time calls in turn, a burst each a round.

    Whatever slows the machine down for a while slows all of a round, so ratios are taken within
    rounds. The first two calls of each candidate are not timed.

    Args:
        calls: by name; the first one is what the others are compared with.
        rounds: bursts a candidate.
        burst: seconds of a burst.

    Returns:
        Median seconds a call and median ratio to the first, by name.

    Raises:
        ValueError: if there are no calls or no rounds.
    """
    if not calls or rounds < 1:
        raise ValueError(f"there must be calls and rounds, got {len(calls)} and {rounds}")
    repeats = {name: _repeats(call, burst) for name, call in calls.items()}
    times: dict[str, NDArray[np.float64]] = {name: np.zeros(rounds) for name in calls}
    for i in range(rounds):
        for name, call in calls.items():
            times[name][i] = _burst(call, repeats[name])
    first = times[next(iter(calls))]
    return {
        name: Timing(float(np.median(own)), float(np.median(own / first)))
        for name, own in times.items()
    }


def _repeats(call: Call, burst: float) -> int:
    """Return how many calls fill a burst."""
    call()
    call()
    return max(round(burst / max(_burst(call, 1), 1e-7)), 1)


def _burst(call: Call, repeats: int) -> float:
    """Return seconds a call."""
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats
