"""The weights of many devices at once, from their common base model and their journals."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import TypeVar

import numpy as np

from edgetrain.errors import DeviceMemoryError, EdgetrainError
from edgetrain.journal import Journal, all_slopes
from edgetrain.model import Model
from edgetrain.replay import check_base, check_trace, replay
from edgetrain.replay_steps import Run, steps_again

MOST = 256
"""Devices in one batch."""
STEPS = 1 << 14
"""Steps taken at once."""
Key = TypeVar("Key")
Batch = Sequence[tuple[Key, Journal]]


def replay_many(
    base: Model,
    journals: Mapping[Key, Journal],
    *,
    ops: ModuleType,
    step: int | None = None,
    most: int = MOST,
    on_retry: Callable[[int], None] | None = None,
) -> Iterator[tuple[Key, Run | EdgetrainError]]:
    """Replay journals of one base model, in batches of those with the same rule and steps.

    Each device's weights are checked against the last trace of its journal; where they are wrong,
    it is replayed by itself, and the error names the first frame with another trace.

    Args:
        base: the model that all runs started from.
        journals: by any name.
        ops: the backend.
        step: as in `edgetrain.replay.replay`.
        most: devices in one batch.
        on_retry: called with the new size where a batch was too large for the device's memory.

    Yields:
        Each name, with model and state, or with what is wrong with its journal.
    """
    groups = defaultdict(list)
    for name, journal in journals.items():
        header = journal.header
        groups[header.rule, journal.steps, header.base].append((name, journal))
    for group in groups.values():
        for first in range(0, len(group), most):
            yield from _batch(base, group[first : first + most], ops, step, on_retry)


def _batch(
    base: Model,
    batch: Batch[Key],
    ops: ModuleType,
    step: int | None,
    on_retry: Callable[[int], None] | None,
) -> Iterator[tuple[Key, Run | EdgetrainError]]:
    """Replay a batch; by halves where the memory is too small, or where a journal has a fault."""
    try:
        runs = _together(base, batch, ops, step)
    except EdgetrainError as error:
        if len(batch) == 1:
            yield batch[0][0], error
            return
        middle = len(batch) // 2
        if isinstance(error, DeviceMemoryError) and on_retry:
            on_retry(middle)
        for half in (batch[:middle], batch[middle:]):
            yield from _batch(base, half, ops, step, on_retry)
        return
    for (name, _), run in zip(batch, runs, strict=True):
        yield name, run


def _together(base: Model, batch: Batch[Key], ops: ModuleType, step: int | None) -> list[Run]:
    """Replay journals of the same number of steps; raise at the first fault."""
    journals = [journal for _, journal in batch]
    if len(batch) == 1 or step is not None or not journals[0].frames:
        return [replay(base, journal, ops=ops, step=step) for journal in journals]
    rule = journals[0].header.rule
    check_base(base, journals[0].header)
    fresh = rule.init(base)
    slopes = np.stack([all_slopes(journal) for journal in journals])
    seeds = [journal.header.seed for journal in journals]
    runs: list[Run] = [(base, fresh)] * len(batch)
    for first in range(0, slopes.shape[1], STEPS):
        runs = steps_again(rule, runs, slopes[:, first : first + STEPS], seeds, ops)
    for journal, run in zip(journals, runs, strict=True):
        check_trace(journal.frames[-1], *run, fresh)
    return runs
