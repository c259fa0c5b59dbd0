"""How a run is watched: validation, early stop, metrics as lines of JSON."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, Any

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.data import Data
from edgetrain.errors import FileError
from edgetrain.evaluate import evaluate
from edgetrain.model import Model
from edgetrain.rules import Metrics, Rule
from edgetrain.state import State

CHECKPOINT_STEPS = 500
KEPT = ("loss", "saturated", "steps", "best", "worse")
"""What a watcher has counted, and a run that is resumed goes on with."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run is watched and kept; all of it is optional.

    Attributes:
        validation: share of the training data that is held out and measured every epoch.
        patience: stop after so many epochs without a better validation; 0 for never.
        checkpoint: file that is written every `checkpoint_every` steps and at the end.
        checkpoint_every: steps.
        resume: checkpoint to go on from.
        log: file that gets a line of JSON an epoch, and a step where traces are asked for.
        trace_every: log the trace of every so many steps; 0 for none.
        journal: file that gets a few bits a step, from which `edgetrain replay` makes the weights
            again; where it holds steps of this run already, the run goes on behind them, and
            counts its patience anew.
    """

    validation: float = 0.0
    patience: int = 0
    checkpoint: Path | None = None
    checkpoint_every: int = CHECKPOINT_STEPS
    resume: Path | None = None
    log: Path | None = None
    trace_every: int = 0
    journal: Path | None = None

    def __post_init__(self) -> None:
        if self.patience and not self.validation:
            raise ValueError("patience needs a validation share, as in validation=0.2; got 0")
        if self.journal and self.resume:
            raise ValueError("a run goes on from its journal by itself: leave out resume")
        if self.patience < 0 or self.trace_every < 0 or self.checkpoint_every < 1:
            raise ValueError("patience and trace_every must be 0 or more, checkpoint_every 1")


@dataclass
class Watcher:
    """Collects metrics, an epoch at a time; changes while a run goes on."""

    rule: Rule
    data: Data
    ops: ModuleType
    options: Options
    per_epoch: int
    batch: int
    log: IO[bytes] | None
    loss: int = 0
    saturated: int = 0
    steps: int = 0
    best: float | None = None
    worse: int = 0

    def add(self, metrics: Metrics) -> None:
        """Count a step's metrics."""
        self.loss += metrics["loss"]
        self.saturated += metrics["saturated"]
        self.steps += 1

    def record(self, model: Model, state: State, seconds: float) -> dict[str, Any]:
        """Return what happened since the last record, and log it."""
        samples = max(self.steps * self.batch, 1)
        found: dict[str, Any] = {
            "step": state.step,
            "epoch": state.step / self.per_epoch,
            "loss": self.loss / samples / 2**LOGIT_BITS,
            "saturated": self.saturated,
            "seconds": round(seconds, 3),
        }
        if self.options.validation:
            x, y = self.data.x_test, self.data.y_test
            measured = evaluate(self.rule, model, state, x, y, ops=self.ops)
            found |= {f"validation_{k}": v for k, v in measured.items() if k != "samples"}
            score = measured.get("accuracy", -measured.get("squared_error", 0.0))
            better = self.best is None or score > self.best
            self.worse, self.best = (0, score) if better else (self.worse + 1, self.best)
        self.loss = self.saturated = self.steps = 0
        self.write(found)
        return found

    def write(self, record: dict[str, Any]) -> None:
        """Add a line to the log, if there is one.

        Raises:
            FileError: if it cannot be written, as on a full disk.
        """
        try:
            if self.log:
                self.log.write(f"{json.dumps(record)}\n".encode())
        except OSError as error:
            raise FileError(
                f"the log {self.options.log} cannot be written: {error.strerror}"
            ) from error

    @property
    def kept(self) -> dict[str, Any]:
        """What a checkpoint must hold so that a resumed run logs and stops as this one."""
        return {"watch": {name: getattr(self, name) for name in KEPT}}

    @property
    def is_enough(self) -> bool:
        """Whether validation has not got better for long."""
        return 0 < self.options.patience <= self.worse


@contextlib.contextmanager
def open_log(path: Path | None) -> Iterator[IO[bytes] | None]:
    """Open a file for lines of JSON, without a buffer: a line is there when it was written."""
    if path is None:
        yield None
        return
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise FileError(f"the log {path} cannot be written: {error.strerror}") from error
    with file:
        yield file
