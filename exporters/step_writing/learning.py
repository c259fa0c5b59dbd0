"""A training step being written: errors, updates, and what leaves the step."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.randomness import ROUND
from edgetrain.arithmetic.updates import BIAS_SHIFT, UPDATE_SHIFT
from edgetrain.exporters.step_writing import numbers
from edgetrain.exporters.step_writing.emitter import Number, Rate, Shape, Stream, Tensor
from edgetrain.exporters.step_writing.network import Network
from edgetrain.exporters.step_writing.scaling import Error, Scaling
from edgetrain.graph import Node
from edgetrain.model import Weights
from edgetrain.outputs import PROBABILITY_ERROR
from edgetrain.settings import FULL_RATE, Settings
from edgetrain.state import FINEST, PROBABILITY_EXPONENT
from edgetrain.step import MERGE_BITS, ONE, tensor_number


class Update(NamedTuple):
    """One set of weights that learns at the end of the step."""

    key: str
    acc_w: Tensor
    acc_b: Tensor
    exponent: Number
    limit: int
    rate: int
    batch: int
    counts: Tensor


class Learning:
    """The working copy of a step: `edgetrain.step.Step` on an emitter.

    Args:
        net: the network.
        settings: of the rule.
        tensors: of the state: values of what a step changes, constants of the rest.
        number: of the step.
        batch: samples.
        y: labels or targets.

    Attributes:
        valid: the condition that all labels are classes; None for targets, which always are.
            Where it does not hold every error is zero and nothing changes.
        metrics: numbers that leave the step.
    """

    def __init__(
        self, net: Network, settings: Settings, tensors: Mapping[str, Tensor], number: Number,
        batch: int, y: Tensor,
    ) -> None:  # fmt: skip
        self.net, self.emit, self.settings = net, net.emit, settings
        self.tensors, self.number, self.batch, self.y = dict(tensors), number, batch, y
        self.scaling = Scaling(net.emit, tensors["exponents"], number, settings.error_limit)
        self.rows = {node.name: i for i, node in enumerate(net.graph.nodes)}
        self.updates: list[Update] = []
        self.metrics: dict[str, Number] = {}
        self.valid: Tensor = None
        if settings.loss == "cross_entropy":
            inside = self.emit.both(self.emit.less(-1, y), self.emit.less(y, net.graph.output_size))
            self.valid = self.emit.every(inside)

    def row(self, name: str, kind: int) -> int:
        """Row in the table of exponents; see `edgetrain.step.Step.row`."""
        return kind * len(self.rows) + self.rows[name]

    def constant(self, name: str) -> NDArray[Any]:
        """Return a tensor of the state that no step changes."""
        return np.asarray(self.tensors[name])

    def factor(self, name: str) -> tuple[int, int]:
        """Return such a tensor that is a multiplier and a shift."""
        multiplier, shift = self.constant(name)
        return int(multiplier), int(shift)

    def scale(
        self, row: int, acc: Tensor, factor: tuple[int, int], exponent: Number,
        counts: Tensor = None,
    ) -> Error:  # fmt: skip
        """Append `edgetrain.step.Step.scale`."""
        return self.scaling.scale(row, acc, factor, exponent, counts)

    def merge(self, name: str, parts: list[Error], counts: Tensor) -> Error:
        """Append `edgetrain.step.Step.merge`."""
        if len(parts) == 1:
            return parts[0]
        emit, largest = self.emit, parts[0].exponent
        for part in parts[1:]:
            largest = numbers.larger(emit, largest, part.exponent)
        total: Tensor = 0
        for e, exponent in parts:
            wide = emit.times(e, 1 << MERGE_BITS)
            bits = numbers.smaller(emit, numbers.minus(emit, largest, exponent), 31)
            total = numbers.plus(emit, total, emit.shift_right(wide, bits))
        base = numbers.minus(emit, largest, MERGE_BITS)
        return self.scale(self.row(name, 1), total, ONE, base, counts)

    def loss(self, name: str, outputs: Tensor) -> tuple[Error, Tensor]:
        """Append `edgetrain.outputs.loss_error`; with a label out of range the error is zero.

        Args:
            name: the value on which the loss sits.
            outputs: int32 (batch, outputs), Q10.

        Returns:
            The error, and the loss of every sample.
        """
        emit = self.emit
        if self.settings.loss == "squared_error":
            error, loss = emit.squared_error(outputs, self.y)
            return self.scale(self.row(name, 2), error, ONE, -LOGIT_BITS), loss
        error, loss = emit.cross_entropy(outputs, self.y)
        e, _ = emit.scale_error(error, *PROBABILITY_ERROR)
        return Error(self.if_valid(e), PROBABILITY_EXPONENT), loss

    def if_valid(self, value: Tensor) -> Tensor:
        """Append what makes a value zero where a label is out of range."""
        return value if self.valid is None else self.emit.choose(self.valid, value, 0)

    def report(self, loss: Tensor, outputs: Tensor) -> None:
        """Let the loss of the network's own output, and how many are right, leave."""
        self.metrics["loss"] = self.if_valid(self.emit.total(loss))
        if self.valid is not None:
            hits = self.emit.equal(self.emit.best(outputs), self.y)
            self.metrics["correct"] = self.emit.total(self.emit.choose(hits, 1, 0))

    def gradients(self, node: Node, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """Append `edgetrain.backward.gradients`."""
        zero_point = self.net.zero(node.inputs[0])
        if node.op == "dense":
            return self.emit.dense_grad_w(x, e, zero_point), self.emit.grad_b(e)
        return self.emit.conv2d_grad_w(x, e, zero_point, node.moving), self.emit.grad_b(e)

    def update_node(
        self, node: Node, acc: tuple[Tensor, Tensor], exponent: Number, rate: int = FULL_RATE,
        batch: int = 0, counts: Tensor = None,
    ) -> None:  # fmt: skip
        """Note that a node learns; see `edgetrain.step.Step.update_node`."""
        limit = self.net.scheme.bias_limits[node.name]
        self.update(f"node/{node.name}", acc, exponent, limit, rate, batch, counts)

    def update(
        self, key: str, acc: tuple[Tensor, Tensor], exponent: Number, limit: int,
        rate: int = FULL_RATE, batch: int = 0, counts: Tensor = None,
    ) -> None:  # fmt: skip
        """Note that weights learn at the end of the step; see `edgetrain.step.Step.update`.

        Args:
            key: of the weights in the state.
            acc: their gradients: of weights and of biases.
            exponent: of the error.
            limit: largest bias.
            rate: factor of the learning rate in Q8.
            batch: by how many samples the gradient is divided, 0 for all of the step.
            counts: the condition under which momentum is remembered; None for always.
        """
        self.updates.append(Update(key, *acc, exponent, limit, rate, batch or self.batch, counts))

    def result(self) -> dict[str, Tensor]:
        """Append what ends a step; return all that it changes, by the names of `parameters`."""
        emit = self.emit
        table = self.scaling.close()
        new = {"state/exponents": self._kept(table, self.tensors["exponents"], None)}
        self.metrics["saturated"] = 0
        if not self.updates:
            return new
        gradients = [self._momentum(update, new) for update in self.updates]
        factor = self.schedule()
        rates = [self._rate(u, part, factor) for part in ("w", "b") for u in self.updates]
        steps = emit.rate_multipliers(rates)
        self._move_weights(gradients, steps[: len(self.updates)], new)
        olds = [self._old(update.key).b for update in self.updates]
        limits = [update.limit for update in self.updates]
        sums = [update.acc_b for update in self.updates]
        moved = emit.update_biases(olds, sums, steps[len(self.updates) :], limits)
        new |= {f"{_name(u.key)}/b": b for u, b in zip(self.updates, moved, strict=True)}
        return new

    def _move_weights(
        self, gradients: Sequence[Tensor], steps: Sequence[Tensor], new: dict[str, Tensor]
    ) -> None:
        """Append the updates of all weights; add what they make to new."""
        emit, keys = self.emit, [update.key for update in self.updates]
        streams = [
            (Stream(self.number, tensor_number(key), ROUND), math.prod(self._shape(key)))
            for key in keys
        ]
        octets = emit.random_octets(streams)
        if self.settings.weights == "w16":
            masters = [self.tensors[f"master/{key}"] for key in keys]
            moved, saturated = emit.update_int16(masters, gradients, steps, octets)
            new |= {f"state/master/{key}": w for key, w in zip(keys, moved, strict=True)}
            weights = [emit.visible(w) for w in moved]
        else:
            olds = [self._old(key).w for key in keys]
            weights, saturated = emit.update_int8(olds, gradients, steps, octets)
        new |= {f"{_name(key)}/w": w for key, w in zip(keys, weights, strict=True)}
        self.metrics["saturated"] = saturated

    def _old(self, key: str) -> Weights:
        """Return the weights that a key names."""
        if key.startswith("node/"):
            return self.net.params[key.removeprefix("node/")]
        return Weights(self.tensors[f"{key}/w"], self.tensors[f"{key}/b"])

    def _shape(self, key: str) -> Shape:
        """Return the shape of the weights that a key names."""
        graph, name = self.net.graph, key.split("/", 1)[1]
        if key.startswith("node/"):
            return graph.weight_shape(graph.by_name[name])
        return graph.output_size, graph.shapes[name][-1]

    def _rate(self, update: Update, part: str, factor: Number) -> Rate:
        """Return what the step length of weights ("w") or biases ("b") is made of."""
        if isinstance(factor, int):
            rate: Number = update.rate * factor // FULL_RATE
        elif update.rate == FULL_RATE:
            rate = factor
        else:
            rate = self.emit.divide(self.emit.times(factor, update.rate), FULL_RATE)
        rates = self.constant(f"rate/{update.key}/{part}")
        fraction = UPDATE_SHIFT if part == "w" else BIAS_SHIFT
        return Rate(rates, update.exponent, update.batch, rate, fraction)

    def _momentum(self, update: Update, new: dict[str, Tensor]) -> Tensor:
        """Append `edgetrain.step.Step._momentum`."""
        decay, name, emit = self.settings.momentum_bits, f"velocity/{update.key}", self.emit
        if not decay:
            return update.acc_w
        velocity, unit = self.tensors[name], self.tensors[f"{name}/exponent"]
        old = emit.item(unit, 0)
        moved = numbers.minus(emit, old, update.exponent)
        realign = emit.choose(emit.less(FINEST, old), moved, 0)
        acc = emit.momentum(velocity, update.acc_w, decay, realign)
        new[f"state/{name}"] = self._kept(acc, velocity, update.counts)
        exponent = emit.stack([update.exponent])
        new[f"state/{name}/exponent"] = self._kept(exponent, unit, update.counts)
        return self._frozen(acc, update.counts)

    def _frozen(self, acc: Tensor, counts: Tensor) -> Tensor:
        """Append what keeps a velocity from moving weights that do not learn in this step."""
        condition = numbers.all_of(self.emit, self.valid, counts)
        return acc if condition is None else self.emit.choose(condition, acc, 0)

    def _kept(self, new: Tensor, old: Tensor, counts: Tensor) -> Tensor:
        """Append what keeps state as it was where nothing may change."""
        condition = numbers.all_of(self.emit, self.valid, counts)
        return new if condition is None else self.emit.choose(condition, new, old)

    def schedule(self) -> Number:
        """Append `edgetrain.settings.Settings.rate_at`."""
        settings, emit, number = self.settings, self.emit, self.number
        if not settings.steps or settings.schedule == "constant":
            return FULL_RATE
        if settings.schedule == "linear":
            left = emit.maximum(emit.minus(settings.steps, number), 0)
            return emit.maximum(emit.divide(emit.times(left, FULL_RATE), settings.steps), 1)
        half, quarter = (-(-settings.steps * part // 4) for part in (2, 3))
        late = emit.choose(emit.less(number, quarter), FULL_RATE // 2, FULL_RATE // 4)
        return emit.choose(emit.less(number, half), FULL_RATE, late)


def _name(key: str) -> str:
    """Return how `parameters` calls the weights of a key."""
    return key if key.startswith("node/") else f"state/{key}"
