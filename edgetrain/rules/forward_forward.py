"""Forward-Forward: every layer tells right labels from wrong ones by its own activity."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

from edgetrain import heads
from edgetrain.arena import Cost, inference_arena
from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.blocks import Choice, is_convolutional, select, split
from edgetrain.compiled import contrastive, training
from edgetrain.compiled.forward import machine_of
from edgetrain.compiled.inference import predict
from edgetrain.compiled.learning import Learning
from edgetrain.errors import RuleError
from edgetrain.model import Model
from edgetrain.rules import channel_labels, input_labels
from edgetrain.rules.base import Metrics
from edgetrain.rules.mono_forward import MonoForward
from edgetrain.settings import Settings
from edgetrain.state import State
from edgetrain.step import Step


@dataclass(frozen=True, kw_only=True)
class ForwardForward:
    """Raise a block's goodness, its sum of squares, for right labels and lower it for wrong ones.

    With the label in the input (fully connected networks) a sample passes twice, once with its
    label and once with a wrong one, and each layer is normalized before the next reads it; see
    `edgetrain.rules.input_labels`. With a channel a class (convolutional networks) a sample
    passes once and each block has a goodness a class; see `edgetrain.rules.channel_labels`. The
    network's last layer is a softmax classifier in both.

    Attributes:
        settings: the options that every rule has; the loss must be cross-entropy.
        goodness_loss: "symmetric" (threshold-free) or "threshold" (Hinton's).
        labels: "input" or "channel"; None for input, or channel where there are convolutions.
        negatives: "hard" draws wrong labels that look right, "random" any.
        sharpness: goodness of a layer of normal length; the slope of the loss, in [0.25, 1024].
        blocks: how to cut the network with a channel a class; see `edgetrain.blocks.split`.

    Raises:
        RuleError: if a value is out of its range.

    References:
        Hinton, "The Forward-Forward Algorithm: Some Preliminary Investigations", 2022.
        Lee, Song, "SymBa: Symmetric Backpropagation-Free Contrastive Learning", 2023.
        Krutsylo, "Scalable Forward-Forward", 2025: one channel a class.

    Example:
        >>> ForwardForward(negatives="random").goodness_loss
        'symmetric'
    """

    settings: Settings = field(default_factory=Settings)
    goodness_loss: Literal["symmetric", "threshold"] = "symmetric"
    labels: Literal["input", "channel"] | None = None
    negatives: Literal["hard", "random"] = "hard"
    sharpness: float = 64.0
    blocks: Choice = "auto"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("goodness_loss", ("symmetric", "threshold")),
            ("labels", (None, "input", "channel")),
            ("negatives", ("hard", "random")),
        ):
            if getattr(self, name) not in allowed:
                raise RuleError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")
        if not 0.25 <= self.sharpness <= 1024:
            raise RuleError(f"sharpness must be in [0.25, 1024], got {self.sharpness}")

    def init(self, model: Model) -> State:
        """Check the network and make the state; see `Rule.init`."""
        if self.settings.loss != "cross_entropy" or model.task != "classify":
            raise RuleError(
                "forward_forward tells classes apart: it cannot train node "
                f"{model.graph.output.name!r} of a network with the task {model.task!r}; "
                "use mono_forward, forward_gradient or backprop"
            )
        if model.graph.output_size < 2:
            raise RuleError("forward_forward tells classes apart: it needs 2 or more, got 1")
        if self.labels_in_input(model):
            return input_labels.initial(model, self.settings, self.sharpness)
        return channel_labels.initial(model, self.settings, self.blocks)

    def step(
        self, model: Model, state: State, x: Int8, y: Ints, ops: ModuleType, seed: int = 0
    ) -> tuple[Model, State, Metrics]:
        """Learn from one batch; see `Rule.step`."""
        if machine_of(ops):
            return training.step(model, state, self.settings, x, y, ops, seed, self, self._write)
        step = Step(model, state, self.settings, ops, seed, x)
        symmetric, hard = self.goodness_loss == "symmetric", self.negatives == "hard"
        if self.labels_in_input(model):
            loss = input_labels.learn(step, x, y, symmetric, hard)
        else:
            loss = channel_labels.learn(step, x, y, symmetric, hard, self.blocks)
        metrics = {"loss": int(loss.sum()), "saturated": step.saturated}
        return *step.result(), metrics

    def _write(self, learning: Learning) -> None:
        """Write a step as a program."""
        model, is_paired = learning.net.model, self.labels_in_input(learning.net.model)
        threshold = int(learning.state["threshold"][0]) if is_paired else channel_labels.THRESHOLD
        symmetric, hard = self.goodness_loss == "symmetric", self.negatives == "hard"
        contrast = contrastive.Contrast(symmetric, hard, threshold)
        if is_paired:
            trained = select(model.graph, self.settings.train)
            contrastive.write_pairs(learning, trained, contrast, input_labels.neutral(model))
        else:
            plans = channel_labels.plans(model, self.settings, self.blocks)
            contrastive.write_channels(learning, plans, contrast, channel_labels.EARLY_RATE)

    def predict(self, model: Model, state: State, x: Int8, ops: ModuleType) -> Int32:
        """Predict with the goodness of every label, or with the classifier; see `Rule.predict`."""
        if self.labels_in_input(model):
            return input_labels.predict(model, state, x, ops)
        return predict(model, x, ops)

    def cost(self, model: Model, batch: int) -> Cost:
        """Forecast a step; see `Rule.cost`."""
        graph = model.graph
        if self.labels_in_input(model):
            trained = select(graph, self.settings.train)
            learning = sum(graph.node_macs(n) for n in graph.trainable if n.name in trained)
            return Cost(
                inference_arena(graph, 2 * batch, extra=True),
                batch * (3 * graph.macs + 2 * learning),
            )
        cost = MonoForward(settings=self.settings, blocks=self.blocks).cost(model, batch)
        return cost._replace(arena_bytes=cost.arena_bytes + self._channel_bytes(model, batch))

    def _channel_bytes(self, model: Model, batch: int) -> int:
        """Bytes of the largest block's channels and their errors."""
        early = split(model.graph, self.blocks)[:-1]
        pixels = [heads.pixels(model, block.output) for block in early]
        return 2 * batch * model.graph.output_size * max(pixels, default=0)

    def labels_in_input(self, model: Model) -> bool:
        """Whether a sample carries its label; else every class has a channel."""
        labels = self.labels or ("channel" if is_convolutional(model.graph) else "input")
        return labels == "input"
