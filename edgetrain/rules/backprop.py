"""Backpropagation in integers: the baseline that every table shows."""

from dataclasses import dataclass, field
from types import ModuleType

from edgetrain.arena import Cost
from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.compiled.inference import predict
from edgetrain.model import Model
from edgetrain.rules.base import Metrics
from edgetrain.rules.mono_forward import MonoForward
from edgetrain.settings import Settings
from edgetrain.state import State


@dataclass(frozen=True, kw_only=True)
class Backprop:
    """The local step of `MonoForward` with the whole network as one block.

    Attributes:
        settings: the options that every rule has; ``train=k`` trains the last k layers and keeps
            the activations of these only.

    References:
        Lin et al., "On-Device Training Under 256KB Memory", 2022, section 2.1: scaling by the
        quantization scales, which is what updates in true units do.

    Example:
        >>> Backprop(settings=Settings(train=2)).settings.train
        2
    """

    settings: Settings = field(default_factory=Settings)

    @property
    def _local(self) -> MonoForward:
        return MonoForward(settings=self.settings, blocks="network", predict_with="last")

    def init(self, model: Model) -> State:
        """Make the state; see `Rule.init`."""
        return self._local.init(model)

    def step(
        self, model: Model, state: State, x: Int8, y: Ints, ops: ModuleType, seed: int = 0
    ) -> tuple[Model, State, Metrics]:
        """Learn from one batch; see `Rule.step`."""
        return self._local.step(model, state, x, y, ops, seed)

    def predict(self, model: Model, state: State, x: Int8, ops: ModuleType) -> Int32:
        """Return the network's own output; see `Rule.predict`."""
        return predict(model, x, ops)

    def cost(self, model: Model, batch: int) -> Cost:
        """Forecast a step; see `Rule.cost`."""
        return self._local.cost(model, batch)
