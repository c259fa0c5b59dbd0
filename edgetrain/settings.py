"""The options that every learning rule has."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from edgetrain.errors import RuleError

MOMENTA = {0.0: 0, 0.5: 1, 0.75: 2, 0.875: 3, 0.9375: 4, 0.96875: 5}
"""Momentum → bits: in integers it is ``1 - 2**-bits``."""
FULL_RATE = 256
Loss = Literal["cross_entropy", "squared_error"]
SCHEDULES = ("constant", "linear", "steps")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a run is asked to do; every number becomes an integer before the first step.

    Attributes:
        learning_rate: step length in real units for the mean gradient of a batch, > 0.
        weights: "w8" trains the int8 weights themselves, "w16" int16 masters of them.
        train: which nodes learn: "all", a number of last layers, or names.
        loss: "cross_entropy" for classes, "squared_error" for numbers.
        momentum: 0, 0.5, 0.75, 0.875, 0.9375 or 0.96875; costs four bytes a weight.
        schedule: of the learning rate over `steps`: "constant", "linear" to zero, or "steps":
            half after 50 %, a quarter after 75 %.
        steps: length of the run that the schedule spans; 0 if it is open.
        error_clip: largest real error that is passed back, None for no bound.
        bits: bits of a smooth activation's derivative that are kept: 1 to 4, or 8.
        batch: largest batch; with it the accumulators are proved not to overflow.

    Raises:
        RuleError: if a value is out of its range.

    Example:
        >>> Settings(learning_rate=2**-6, schedule="linear", steps=100).rate_at(50)
        128
    """

    learning_rate: float = 2**-6
    weights: Literal["w8", "w16"] = "w8"
    train: str | int | tuple[str, ...] = "all"
    loss: Loss = "cross_entropy"
    momentum: float = 0.0
    schedule: Literal["constant", "linear", "steps"] = "constant"
    steps: int = 0
    error_clip: float | None = None
    bits: int = 3
    batch: int = 32

    def __post_init__(self) -> None:
        rate = self.learning_rate
        if not (isinstance(rate, int | float) and math.isfinite(rate) and rate > 0):
            raise RuleError(f"learning_rate must be a finite number > 0, got {rate!r}")
        for name, allowed in (
            ("weights", ("w8", "w16")),
            ("loss", ("cross_entropy", "squared_error")),
            ("momentum", tuple(MOMENTA)),
            ("schedule", SCHEDULES),
            ("bits", (1, 2, 3, 4, 8)),
        ):
            if getattr(self, name) not in allowed:
                raise RuleError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if self.error_clip is not None and not 2**-30 < self.error_clip < 2**20:
            raise RuleError(f"error_clip must be in (2**-30, 2**20), got {self.error_clip}")
        if self.batch < 1 or self.steps < 0:
            raise RuleError(
                f"batch must be at least 1 and steps 0, got {self.batch} and {self.steps}"
            )

    @property
    def momentum_bits(self) -> int:
        """Momentum as a shift; 0 for none."""
        return MOMENTA[self.momentum]

    @cached_property
    def error_limit(self) -> int | None:
        """The largest exponent of an error that `error_clip` allows."""
        return None if self.error_clip is None else math.floor(math.log2(self.error_clip / 127))

    def rate_at(self, step: int) -> int:
        """Factor of the learning rate at a step, in Q8: an integer from 1 to 256."""
        if not self.steps or self.schedule == "constant":
            return FULL_RATE
        if self.schedule == "steps":
            return FULL_RATE >> ((2 * step >= self.steps) + (4 * step >= 3 * self.steps))
        return max(FULL_RATE * (self.steps - step) // self.steps, 1)
