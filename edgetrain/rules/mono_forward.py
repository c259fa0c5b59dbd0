"""Mono-Forward: every block learns from a classifier of its own."""

from dataclasses import dataclass, field
from types import ModuleType
from typing import Literal

import numpy as np

from edgetrain import heads
from edgetrain.arena import Cost, block_arena, block_macs, head_macs
from edgetrain.arithmetic.losses import log_softmax
from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.backward import backward, forward
from edgetrain.blocks import Block, Choice, Plan, is_convolutional, plan, select, split
from edgetrain.compiled import head_sum, local, training
from edgetrain.compiled.forward import machine_of
from edgetrain.compiled.inference import predict
from edgetrain.compiled.learning import Learning
from edgetrain.errors import RuleError
from edgetrain.model import Model
from edgetrain.outputs import learn_last_block, loss_error, outputs_q10
from edgetrain.rules.base import Metrics
from edgetrain.settings import FULL_RATE, Settings
from edgetrain.state import State, initial
from edgetrain.step import Step


@dataclass(frozen=True, kw_only=True)
class MonoForward:
    """Local cross-entropy a block: ``G = h @ M.T``, error ``softmax(G) - one_hot``.

    The last block's classifier is the network's own; every earlier block has a head, a linear
    classifier on its (averaged) result. No error crosses a block, so a block's activations are
    forgotten before the next one starts. With "network" as the only block it is backpropagation.

    Attributes:
        settings: the options that every rule has.
        blocks: how to cut the network; see `edgetrain.blocks.split`.
        early_rate: factor of the learning rate of the weights before the last block, in (0, 1];
            None for the measured default: 0.1 for convolutional networks, else 1.
        warmup: steps in which blocks with a new head do not learn but their head does; None for
            the default: 32 where a head is new, else 0.
        predict_with: "last" for the network's own output, "sum" for the sum of all log-softmaxes.

    Raises:
        RuleError: if a value is out of its range.

    References:
        Gong, Li, Abdulla, "Mono-Forward: Backpropagation-Free Algorithm for Efficient Neural
        Network Training Harnessing Local Errors", 2025, equations 1 to 4.
        Belilovsky, Eickenberg, Oyallon, "Greedy Layerwise Learning Can Scale to ImageNet", 2019.

    Example:
        >>> MonoForward(blocks=2).early_rate is None
        True
    """

    settings: Settings = field(default_factory=Settings)
    blocks: Choice = "auto"
    early_rate: float | None = None
    warmup: int | None = None
    predict_with: Literal["last", "sum"] = "sum"

    def __post_init__(self) -> None:
        if self.early_rate is not None and not 0 < self.early_rate <= 1:
            raise RuleError(f"early_rate must be in (0, 1], got {self.early_rate}")
        if self.warmup is not None and self.warmup < 0:
            raise RuleError(f"warmup must be 0 or more, got {self.warmup}")
        if self.predict_with not in ("last", "sum"):
            raise RuleError(f"predict_with must be 'last' or 'sum', got {self.predict_with!r}")

    def init(self, model: Model) -> State:
        """Make the heads; see `Rule.init`."""
        trained = select(model.graph, self.settings.train)
        tensors = initial(model, self.settings, trained)
        for block in split(model.graph, self.blocks)[:-1]:
            tensors |= heads.initial(model, block.output, self.settings)
        tensors["early_rate"] = np.array([self._early_rate(model)], np.int32)
        return State(0, tensors)

    def plans(self, model: Model) -> tuple[Plan, ...]:
        """Return what each block keeps."""
        trained = select(model.graph, self.settings.train)
        return tuple(plan(b, trained, self.settings.bits) for b in split(model.graph, self.blocks))

    def warmup_steps(self, model: Model) -> int:
        """Return the number of the first step in which every trained block learns."""
        early = [plan.block for plan in self.plans(model)[:-1] if plan.trained]
        return max((self._warmup(model, block) for block in early), default=0)

    def step(
        self, model: Model, state: State, x: Int8, y: Ints, ops: ModuleType, seed: int = 0
    ) -> tuple[Model, State, Metrics]:
        """Learn from one batch; see `Rule.step`."""
        if machine_of(ops):
            return self._run(model, state, x, y, ops, seed)
        step = Step(model, state, self.settings, ops, seed, x)
        *early, last = self.plans(model)
        for current in early:
            x = self._learn(step, current, state, x, y)
        loss = learn_last_block(step, last, x, y)
        metrics = {"loss": int(loss.sum(dtype=np.int64)), "saturated": step.saturated}
        return *step.result(), metrics

    def _run(
        self, model: Model, state: State, x: Int8, y: Ints, ops: ModuleType, seed: int
    ) -> tuple[Model, State, Metrics]:
        """Learn from one batch with a program."""
        plans = self.plans(model)
        warm = frozenset(
            p.block.output for p in plans if state.step >= self._warmup(model, p.block)
        )

        def write(learning: Learning) -> None:
            rate = int(state.tensors["early_rate"][0])
            local.write(learning, plans, warm, rate, local.pooled_head)

        key = (self, warm)
        return training.step(model, state, self.settings, x, y, ops, seed, key, write)

    def _learn(self, step: Step, plan: Plan, state: State, x: Int8, y: Ints) -> Int8:
        """Let a block learn from its head; return its result, and forget all else of it."""
        model, ops, name = step.model, step.ops, plan.block.output
        result, kept = forward(model, plan, x, ops)
        pooled = heads.features(model, name, result, ops)
        outputs = heads.logits(model, state, name, pooled, ops)
        e, exponent, _ = loss_error(step, name, outputs, y)
        e, exponent = heads.learn(step, name, pooled, result.shape, e, exponent)
        if plan.trained and state.step >= self._warmup(model, plan.block):
            backward(step, plan, kept, e, exponent, int(state.tensors["early_rate"][0]))
        return result

    def predict(self, model: Model, state: State, x: Int8, ops: ModuleType) -> Int32:
        """Predict with the last output or with all heads; see `Rule.predict`."""
        if self.predict_with == "last" or self.settings.loss != "cross_entropy":
            return predict(model, x, ops)
        blocks = split(model.graph, self.blocks)
        found = head_sum.predict(model, state, [block.output for block in blocks[:-1]], x, ops)
        if found is not None:
            return found
        total = np.zeros((len(x), model.graph.output_size), np.int32)
        for block in blocks:
            x, _ = forward(model, plan(block, frozenset(), self.settings.bits), x, ops)
            if block.output == model.graph.output.name:
                return total + log_softmax(outputs_q10(model, x, ops))
            pooled = heads.features(model, block.output, x, ops)
            total += log_softmax(heads.logits(model, state, block.output, pooled, ops))
        return total

    def cost(self, model: Model, batch: int) -> Cost:
        """Forecast a step; see `Rule.cost`."""
        graph, plans = model.graph, self.plans(model)
        macs = sum(block_macs(graph, p) for p in plans)
        macs += sum(head_macs(graph, p.block.output) for p in plans[:-1])
        return Cost(max(block_arena(graph, p, batch) for p in plans), batch * macs)

    def _early_rate(self, model: Model) -> int:
        default = 0.1 if is_convolutional(model.graph) else 1.0
        rate = default if self.early_rate is None else self.early_rate
        return max(round(rate * FULL_RATE), 1)

    def _warmup(self, model: Model, block: Block) -> int:
        if self.warmup is not None:
            return self.warmup
        return 0 if block.output in model.heads else 32
