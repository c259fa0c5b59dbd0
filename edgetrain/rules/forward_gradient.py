"""Fixed-point forward gradients: the loss of two perturbed forward passes, no backward pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType, ModuleType
from typing import Literal

import numpy as np

from edgetrain.arena import SUM_BYTES, Cost, inference_arena
from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.blocks import select
from edgetrain.compiled import perturbed, training
from edgetrain.compiled.forward import machine_of
from edgetrain.compiled.inference import predict
from edgetrain.compiled.learning import Learning
from edgetrain.errors import RuleError
from edgetrain.graph import Node
from edgetrain.inference import ends_linear
from edgetrain.model import Model
from edgetrain.outputs import loss_error
from edgetrain.rules import activity_space, weight_space
from edgetrain.rules.base import Metrics
from edgetrain.settings import Settings
from edgetrain.state import State, initial
from edgetrain.step import Step

SPACES = MappingProxyType({"activity": activity_space, "weight": weight_space})
DEFAULT_SIZE: Mapping[str, float] = MappingProxyType({"activity": 5.0, "weight": 0.1})
DEFAULT_ESTIMATE = MappingProxyType({"activity": "value", "weight": "sign"})
ERROR_CLIP = 0.25
"""Where the settings have no bound, an estimated error is clipped here: without it single large
differences destroy a convolutional network at three times the best learning rate."""


@dataclass(frozen=True, kw_only=True)
class ForwardGradient:
    """Estimate the gradient along random signs u from ``loss(+u) - loss(-u)``.

    In activity space the accumulators of every layer are perturbed and a third, clean pass learns
    layer by layer; see `edgetrain.rules.activity_space`. In weight space the weights are
    perturbed and step along ``-sign(loss(+u) - loss(-u)) * u``; nothing but an inference engine
    is needed, and the run is a list of signs; see `edgetrain.rules.weight_space`. There a third
    pass is made for an exact head only. The loss that a step reports is that of its clean pass;
    without one it is the mean over all perturbed passes, rounded down.

    Attributes:
        settings: the options that every rule has; in weight space with signs the learning rate
            is a fraction of each layer's root mean square weight. Estimated errors are clipped
            at 0.25 where `error_clip` is None.
        space: "activity" or "weight".
        head: "exact" trains the last layer with its exact gradient, "same" like the others.
        estimate: "value" of the difference, or its "sign"; None for the measured default: value
            in activity space, sign in weight space.
        perturbation: None for the measured defaults: 5 int8 steps of a layer's result in activity
            space, 0.1 of the root mean square weight in weight space.
        queries: pairs of passes a step, 1 to 64.

    Raises:
        RuleError: if a value is out of its range.

    References:
        Spall, "Multivariate stochastic approximation using a simultaneous perturbation gradient
        approximation", 1992.
        Feng et al., "Stepping Forward on the Last Mile", 2024.
        Ren et al., "Scaling Forward Gradient With Local Losses", 2023.

    Example:
        >>> ForwardGradient(space="weight").uses_sign
        True
    """

    settings: Settings = field(default_factory=Settings)
    space: Literal["activity", "weight"] = "activity"
    head: Literal["exact", "same"] = "exact"
    estimate: Literal["value", "sign"] | None = None
    perturbation: float | None = None
    queries: int = 1

    def __post_init__(self) -> None:
        for name, allowed in (
            ("space", tuple(SPACES)),
            ("head", ("exact", "same")),
            ("estimate", (None, "value", "sign")),
        ):
            if getattr(self, name) not in allowed:
                raise RuleError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if self.perturbation is not None and not 0 < self.perturbation <= 64:
            raise RuleError(f"perturbation must be in (0, 64], got {self.perturbation}")
        if not 1 <= self.queries <= 64:
            raise RuleError(f"queries must be in [1, 64], got {self.queries}")

    @cached_property
    def uses_sign(self) -> bool:
        """Whether only the sign of a difference counts."""
        return (self.estimate or DEFAULT_ESTIMATE[self.space]) == "sign"

    def init(self, model: Model) -> State:
        """Choose integer perturbations and rates; see `Rule.init`."""
        trained = select(model.graph, self.settings.train)
        last = model.graph.output
        if self.head == "exact" and not (ends_linear(model, last) and last.name in trained):
            raise RuleError(
                f"head='exact' needs a dense layer without activation that learns at the end, "
                f"node {last.name!r} is not: use head='same'"
            )
        nodes = self.perturbed(model)
        exact = trained - {node.name for node in nodes}
        size = self.perturbation or DEFAULT_SIZE[self.space]
        tensors = initial(model, self.settings, trained if self.space == "activity" else exact)
        for node in nodes:
            tensors |= SPACES[self.space].initial(
                model, node, size, self.queries, self.settings, self.uses_sign
            )
        return State(0, tensors)

    def perturbed(self, model: Model) -> tuple[Node, ...]:
        """Return the nodes that are trained by perturbation."""
        trained = select(model.graph, self.settings.train)
        exact = model.graph.output.name if self.head == "exact" else None
        return tuple(n for n in model.graph.trainable if n.name in trained and n.name != exact)

    def step(
        self, model: Model, state: State, x: Int8, y: Ints, ops: ModuleType, seed: int = 0
    ) -> tuple[Model, State, Metrics]:
        """Learn from one batch; see `Rule.step`."""
        settings = self._clipped
        if machine_of(ops):
            return self._run(model, state, settings, x, y, ops, seed)
        step = Step(model, state, settings, ops, seed, x)
        nodes, space = self.perturbed(model), SPACES[self.space]
        differences, perturbed = [], 0
        for query in range(self.queries):
            plus, minus = (
                loss_error(
                    step, model.graph.output.name,
                    space.outputs(step, nodes, step.number * self.queries + query, sign, x), y,
                )[2]
                for sign in (1, -1)
            )  # fmt: skip
            differences.append((plus - minus).astype(np.int64))
            perturbed += int(plus.sum(dtype=np.int64) + minus.sum(dtype=np.int64))
        exact = self.head == "exact"
        clean = space.learn(step, nodes, differences, self.uses_sign, exact, x, y)
        loss = perturbed // (2 * self.queries) if clean is None else clean.sum(dtype=np.int64)
        metrics = {"loss": int(loss), "saturated": step.saturated}
        if self.space == "weight":
            metrics |= self._slopes([int(d.sum()) for d in differences])
        return *step.result(), metrics

    def _run(
        self, model: Model, state: State, settings: Settings, x: Int8, y: Ints, ops: ModuleType,
        seed: int,
    ) -> tuple[Model, State, Metrics]:  # fmt: skip
        """Learn from one batch with a program."""

        def write(learning: Learning) -> None:
            exact = self.head == "exact"
            nodes = self.perturbed(model)
            perturbed.write(learning, self.space, nodes, self.queries, self.uses_sign, exact)

        model, state, metrics = training.step(model, state, settings, x, y, ops, seed, self, write)
        if self.space == "weight":
            loss, saturated, *sums = metrics.values()
            loss = loss if self.head == "exact" else loss // (2 * self.queries)
            metrics = {"loss": loss, "saturated": saturated, **self._slopes(sums)}
        return model, state, metrics

    @cached_property
    def _clipped(self) -> Settings:
        """The settings, with a bound of errors."""
        if self.settings.error_clip is None:
            return replace(self.settings, error_clip=ERROR_CLIP)
        return self.settings

    def _slopes(self, differences: Sequence[int]) -> Metrics:
        """Name what a step in weight space learns from, a number a query: a journal holds it."""
        slopes = weight_space.slopes(differences, self.uses_sign)
        return {f"slope_{query}": slope for query, slope in enumerate(slopes)}

    def predict(self, model: Model, state: State, x: Int8, ops: ModuleType) -> Int32:
        """Return the network's own output; see `Rule.predict`."""
        return predict(model, x, ops)

    def cost(self, model: Model, batch: int) -> Cost:
        """Forecast a step; see `Rule.cost`."""
        graph, activity = model.graph, self.space == "activity"
        learning = self.perturbed(model) if activity else ()
        if self.head == "exact":
            learning = (*learning, graph.output)
        passes = 2 * self.queries + (activity or self.head == "exact")
        macs = passes * graph.macs + sum(graph.node_macs(node) for node in learning)
        differences = SUM_BYTES * self.queries * batch
        return Cost(inference_arena(graph, batch, extra=activity) + differences, batch * macs)
