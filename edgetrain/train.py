"""The training loop: batches that depend on seed and epoch alone, metrics, checkpoints.

A run is fixed by model, rule, data, batch and seed. A checkpoint holds model and state; a run
that goes on from one, or from its journal, ends with the same bits as one that was never
interrupted.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal
from zlib import crc32

from edgetrain.arithmetic.randomness import SHUFFLE, permutation, stream_key
from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.data import Data, validation_split
from edgetrain.errors import FileError
from edgetrain.evaluate import targets
from edgetrain.files import check_writable, load_checkpoint, save_checkpoint
from edgetrain.model import Model
from edgetrain.replay import Writer, recording
from edgetrain.rules import Metrics, Rule, configured
from edgetrain.settings import Loss
from edgetrain.state import State, trace
from edgetrain.watch import KEPT, Options, Watcher, open_log

OnStep = Callable[[int, Model, State], None]
Stopped = Literal["done", "early", "interrupted"]


@dataclass(frozen=True)
class Result:
    """What a run made; `save_checkpoint` takes three of its values.

    Attributes:
        model: the trained network.
        state: of the rule.
        steps: taken so far, those before a resume too.
        history: a record an epoch: step, epoch, loss a sample, saturated updates, seconds, and
            what validation measured.
        stopped: "done", "early" (validation got no better) or "interrupted" (by Ctrl-C).
        seconds: of this call.
        extra: what a checkpoint of the run holds beside model and state.
    """

    model: Model
    state: State
    steps: int
    history: tuple[dict[str, Any], ...]
    stopped: Stopped
    seconds: float
    extra: dict[str, Any]


def stream(
    rule: Rule,
    model: Model,
    state: State,
    batches: Iterable[tuple[Int8, Ints]],
    *,
    ops: ModuleType,
    seed: int = 0,
) -> Iterator[tuple[Model, State, Metrics]]:
    """Learn from batches as they arrive; yield model, state and metrics after each.

    Args:
        rule: the rule.
        model: the network.
        state: from `rule.init` or an earlier step.
        batches: int8 codes (`Model.quantize_input`) and labels or targets (`evaluate.targets`).
        ops: the backend.
        seed: of the run.
    """
    for x, y in batches:
        model, state, metrics = rule.step(model, state, x, y, ops, seed)
        yield model, state, metrics


def fit(
    rule: Rule,
    model: Model,
    data: Data,
    *,
    ops: ModuleType,
    seed: int = 0,
    steps: int | None = None,
    epochs: int | None = None,
    batch: int = 32,
    options: Options | None = None,
    on_step: OnStep | None = None,
) -> Result:
    """Train a model on the training part of data.

    An epoch is a fresh order of the samples; a last batch that would not be full is left out.

    Args:
        rule: its settings' steps, batch and (for a model that does not classify) loss are set.
        model: the network; not changed.
        data: real samples with labels or targets.
        ops: the backend.
        seed: of the run, in [0, 2**32).
        steps: training steps; or
        epochs: passes over the data (1 where neither is given).
        batch: samples a step; all of them where there are fewer.
        options: validation, checkpoints, logs.
        on_step: called after each step with its number, model and state.

    Returns:
        The result; with Ctrl-C, what was reached (and the checkpoint is written, if one is
        asked for).

    Raises:
        DataError: if the data do not fit the model.
        RuleError: if the rule cannot train the model.
        FileError: if a file cannot be written, or a checkpoint or journal is of another run.

    Example:
        >>> from edgetrain import fixed
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.data import digits
        >>> from edgetrain.quantize import quantize
        >>> from edgetrain.rules import Backprop
        >>> data = digits()
        >>> model = quantize(mlp((8, 8, 1), 10), data.x_train[:64], headroom=2.0)
        >>> fit(Backprop(), model, data, ops=fixed, steps=3).steps
        3
    """
    options = options or Options()
    if options.validation:
        data = validation_split(data, options.validation, seed)
    x = model.quantize_input(data.x_train)
    y = targets(model, data.x_train, data.y_train, "y_train")
    batch = min(batch, len(x))
    per_epoch = len(x) // max(batch, 1)
    total = per_epoch * (1 if epochs is None else epochs) if steps is None else steps
    if batch < 1 or total < 1 or not 0 <= seed < 2**32:
        raise ValueError(
            "batch and steps must be at least 1 and seed in [0, 2**32), "
            f"got {batch}, {total} and {seed}"
        )
    loss: Loss = "cross_entropy" if model.task == "classify" else "squared_error"
    rule = configured(rule, steps=total, batch=batch, loss=loss)
    identity = {
        "base": trace(model, State()), "data": f"{crc32(y.tobytes(), crc32(x.tobytes())):08x}",
        "seed": seed, "batch": batch, "rule": repr(rule),
    }  # fmt: skip
    state, kept = rule.init(model), None
    if options.resume:
        model, state, kept = resume(options.resume, identity, state)
    if options.checkpoint:
        check_writable(options.checkpoint)

    def batches(first: int) -> Iterator[tuple[Int8, Ints]]:
        for start in range(first - first % per_epoch, total, per_epoch):
            order = permutation(stream_key(seed, start // per_epoch, 0, SHUFFLE), len(x))
            for step in range(max(start, first), min(start + per_epoch, total)):
                chosen = order[(step - start) * batch :][:batch]
                yield x[chosen], y[chosen]

    journal = recording(options.journal, rule, model, state, seed=seed, ops=ops)
    with open_log(options.log) as log, journal as (writer, model, state):
        run = stream(rule, model, state, batches(state.step), ops=ops, seed=seed)
        watcher = Watcher(rule, data, ops, options, per_epoch, batch, log, **(kept or {}))
        return _watch(run, model, state, watcher, identity, on_step, writer)


def resume(
    path: Path, identity: dict[str, Any], start: State
) -> tuple[Model, State, dict[str, Any]]:
    """Load a checkpoint of this very run.

    Args:
        path: of the checkpoint.
        identity: what must be equal.
        start: the state at the start of the run, whose tensors have the names and shapes.

    Returns:
        Model, state, and what the run's watcher had counted.

    Raises:
        FileError: if the file is no checkpoint, or of another model, data, rule, seed or batch.
    """
    model, state, extra = load_checkpoint(path)
    for name, wanted in identity.items():
        if extra.get(name) != wanted:
            raise FileError(
                f"{path} is a checkpoint of another run: its {name} is {extra.get(name)!r}, "
                f"here it is {wanted!r}"
            )
    if _layout(state) != _layout(start):
        raise FileError(f"{path} is damaged: its state is not one of this rule and model")
    kept = extra.get("watch")
    if (
        not isinstance(kept, dict)
        or set(kept) != set(KEPT)
        or not all(map(_is_count, kept.values()))
    ):
        raise FileError(f"{path} is damaged: it lacks the counts of its epoch")
    return model, state, kept


def _is_count(value: object) -> bool:
    return value is None or isinstance(value, int | float)


def _layout(state: State) -> dict[str, Any]:
    return {name: (tensor.dtype, tensor.shape) for name, tensor in state.tensors.items()}


def _watch(
    run: Iterator[tuple[Model, State, Metrics]], model: Model, state: State, watcher: Watcher,
    identity: dict[str, Any], on_step: OnStep | None, journal: Writer | None,
) -> Result:  # fmt: skip
    """Take the steps, log, validate and keep checkpoints and the journal."""
    options, started = watcher.options, time.perf_counter()
    history: list[dict[str, Any]] = []
    stopped: Stopped = "early" if watcher.is_enough else "done"
    try:
        for model, state, metrics in () if watcher.is_enough else run:
            watcher.add(metrics)
            if journal:
                journal.add(metrics, model, state)
            if options.trace_every and state.step % options.trace_every == 0:
                watcher.write({"step": state.step, "trace": trace(model, state)})
            if state.step % watcher.per_epoch == 0:
                history.append(watcher.record(model, state, time.perf_counter() - started))
            if on_step:
                on_step(state.step, model, state)
            if options.checkpoint and state.step % options.checkpoint_every == 0:
                save_checkpoint(options.checkpoint, model, state, identity | watcher.kept)
            if watcher.is_enough:
                stopped = "early"
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    extra = identity | watcher.kept
    if watcher.steps:
        history.append(watcher.record(model, state, time.perf_counter() - started))
        if state.step % watcher.per_epoch == 0:  # else a resumed run has not measured here
            extra = identity | watcher.kept
    if options.checkpoint:
        save_checkpoint(options.checkpoint, model, state, extra)
    seconds = time.perf_counter() - started
    return Result(model, state, state.step, tuple(history), stopped, seconds, extra)


__all__ = ["Options", "Result", "fit", "resume", "stream"]
