"""What a learning rule is."""

from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any, Protocol

from edgetrain.arena import Cost
from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.model import Model
from edgetrain.settings import Settings
from edgetrain.state import State

Metrics = Mapping[str, int]


class Rule(Protocol):
    """Pure functions around options; all that changes between steps is in the state.

    Attributes:
        settings: the options that every rule has.
    """

    @property
    def settings(self) -> Settings:
        """The options that every rule has."""

    def init(self, model: Model) -> State:
        """Return the state before the first step.

        Raises:
            RuleError: if the rule cannot train this model as asked; it names the node.
        """

    def step(
        self, model: Model, state: State, x: Int8, y: Ints, ops: ModuleType, seed: int = 0
    ) -> tuple[Model, State, Metrics]:
        """Learn from one batch.

        Args:
            model: the network; not changed.
            state: what `init` or the last step returned; not changed.
            x: int8 (batch, *input_shape), from `Model.quantize_input`.
            y: labels (batch,), or int32 Q10 targets (batch, outputs) of a regression.
            ops: the backend.
            seed: of the run, in [0, 2**32): with the step's number the only randomness.

        Returns:
            The new model, the new state, and integers to log: "loss", the sum over the batch in
            Q10, and "saturated", the updates that were cut off.
        """

    def predict(self, model: Model, state: State, x: Int8, ops: ModuleType) -> Int32:
        """Return the outputs that this rule predicts with, int32 (batch, outputs), Q10."""

    def cost(self, model: Model, batch: int) -> Cost:
        """Forecast the activations that one step keeps at one time, and its multiplications."""


def configured(rule: Rule, **changes: Any) -> Rule:
    """Return a rule with some of its settings exchanged.

    Example:
        >>> from edgetrain.rules import Backprop
        >>> configured(Backprop(), batch=8).settings.batch
        8
    """
    settings = replace(rule.settings, **changes)
    return replace(rule, settings=settings)  # type: ignore[type-var]
