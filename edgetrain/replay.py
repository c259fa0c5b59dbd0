"""Write a journal while a run goes on, and make the weights of a run again from its journal.

A replay takes the same steps as the training did, without data and without forward passes.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import IO

from edgetrain.errors import FileError
from edgetrain.files import write_whole
from edgetrain.journal import (
    FRAME_STEPS,
    Frame,
    Journal,
    load_journal,
    pack_frame,
    slopes_of,
    weights_trace,
)
from edgetrain.journal_header import Header, differences, header
from edgetrain.model import Model
from edgetrain.replay_steps import Run, steps_again
from edgetrain.rules import Metrics, Rule
from edgetrain.state import State, trace


def replay(
    base: Model,
    journal: Journal,
    *,
    ops: ModuleType,
    step: int | None = None,
    start: Run | None = None,
) -> Run:
    """Make model and state again as they were after a step.

    Args:
        base: the model that the run started from.
        journal: of the run.
        ops: the backend.
        step: the number of steps taken; None for all of the journal.
        start: model and state of the same run at an earlier step, to go on from.

    Returns:
        Model and state, equal to those of the training bit for bit (but for the exponents of a
        regression's errors, on which no weight depends).

    Raises:
        FileError: if the journal is of another base, is shorter, or leads to other weights.
        RuleError: if the rule cannot train this model.

    Example:
        >>> import tempfile
        >>> from edgetrain import fixed
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.data import digits
        >>> from edgetrain.quantize import quantize
        >>> from edgetrain.train import Options, fit
        >>> data = digits()
        >>> model = quantize(mlp((8, 8, 1), 10), data.x_train[:64], headroom=2.0)
        >>> from edgetrain.rules import ForwardGradient
        >>> rule = ForwardGradient(space="weight", head="same")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     options = Options(journal=Path(folder, "run.journal"))
        ...     tuned = fit(rule, model, data, ops=fixed, steps=3, options=options)
        ...     again = replay(model, load_journal(options.journal), ops=fixed)
        >>> trace(*again) == trace(tuned.model, tuned.state)
        True
    """
    rule, seed = journal.header.rule, journal.header.seed
    check_base(base, journal.header)
    fresh = rule.init(base)
    model, state = start or (base, fresh)
    wanted = journal.steps if step is None else step
    if not state.step <= wanted <= journal.steps:
        raise FileError(
            f"the journal holds {journal.steps} steps and the replay starts at step {state.step}: "
            f"it cannot go to step {wanted}"
        )
    if _layout(state) != _layout(fresh):
        raise FileError("the start is not a state of the journal's rule and model")
    end, reached = 0, (model, state)
    for frame in journal.frames:
        end += frame.steps
        if end - frame.steps >= wanted:
            break
        if end < state.step:
            continue
        slopes = slopes_of(frame, rule)[None, state.step - end + frame.steps :]
        inside = min(wanted, end) - state.step
        for part in (slopes[:, :inside], slopes[:, inside:]):
            ((model, state),) = steps_again(rule, [(model, state)], part, [seed], ops)
            if state.step == wanted:
                reached = model, state
        check_trace(frame, model, state, fresh)
    return reached


def check_base(base: Model, header: Header) -> None:
    """Raise FileError unless a journal's run started from this model."""
    known = trace(base, State())
    if header.base != known:
        raise FileError(
            f"the journal is of another base model: of one with the trace {header.base}, "
            f"this one has {known}"
        )


def check_trace(frame: Frame, model: Model, state: State, start: State) -> None:
    """Raise FileError unless the weights at the end of a frame are those of the run."""
    found = weights_trace(model, state, start)
    if found != frame.trace:
        raise FileError(
            f"the weights at step {state.step} have the trace {found}, in the journal it is "
            f"{frame.trace}: it was not written from this start"
        )


def _layout(state: State) -> Mapping[str, object]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in state.tensors.items()}


class Writer:
    """Appends the steps of a run to its journal, a frame at a time."""

    def __init__(self, file: IO[bytes], path: Path, journal: Journal, start: State) -> None:
        self._file, self._path, self._start = file, path, start
        self._rule = journal.header.rule
        self._place = journal.size, journal.crc
        self._open: tuple[list[list[int]], Model | None, State] = ([], None, start)

    def add(self, metrics: Metrics, model: Model, state: State) -> None:
        """Keep a step; write it when a frame is full.

        Args:
            metrics: of the step, with the slope of every query.
            model: after the step.
            state: after the step.
        """
        slopes = [metrics[f"slope_{query}"] for query in range(self._rule.queries)]
        self._open = [*self._open[0], slopes], model, state
        if len(self._open[0]) == FRAME_STEPS:
            self.flush()

    def flush(self) -> None:
        """Write the steps that were kept; they last through a power cut from here on.

        An interrupt at any point leaves what the next call makes whole.

        Raises:
            FileError: if that fails, a full disk for one; what was written before is unchanged.
        """
        slopes, model, state = self._open
        if model is None:
            return
        offset, crc = self._place
        traced = weights_trace(model, state, self._start)
        content, crc = pack_frame(slopes, self._rule.uses_sign, traced, crc)
        try:
            self._file.seek(offset)
            rest = content
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise FileError(
                f"the journal {self._path} cannot be written: {error.strerror}; "
                "what it held before can be replayed"
            ) from error
        self._place, self._open = (offset + len(content), crc), ([], None, state)


@contextlib.contextmanager
def recording(
    path: Path | None, rule: Rule, model: Model, state: State, *, seed: int, ops: ModuleType
) -> Iterator[tuple[Writer | None, Model, State]]:
    """Open the journal of a run: a new one, or one of the same run to go on with.

    Args:
        path: of the journal; None for none.
        rule: of the run.
        model: before the first step.
        state: before the first step.
        seed: of the run.
        ops: the backend.

    Yields:
        The writer, and model and state to go on from.

    Raises:
        FileError: if the file cannot be written, or is the journal of another run.
        RuleError: if a journal cannot hold what the rule does.
    """
    if path is None:
        yield None, model, state
        return
    wanted = header(rule, model, seed)
    if not path.exists():
        write_whole(path, wanted.packed())
    journal = load_journal(path)
    if odd := differences(journal.header, wanted):
        raise FileError(f"{path} is the journal of another run: {odd[0]}")
    start, (model, state) = state, replay(model, journal, ops=ops)
    try:
        file = path.open("r+b", buffering=0)
        file.truncate(journal.size)
    except OSError as error:
        raise FileError(f"the journal {path} cannot be written: {error.strerror}") from error
    with file:
        writer = Writer(file, path, journal, start)
        try:
            yield writer, model, state
        finally:
            writer.flush()
