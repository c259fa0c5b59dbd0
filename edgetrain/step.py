"""The working copy of one training step: errors with delayed scaling, updates.

An error is int8 with a power-of-two exponent, real = e * 2**exponent. The exponent follows the
peaks that earlier steps saw ("delayed scaling"), so that no tensor is read twice. It starts at
the finest scale: the first steps saturate and are tiny, one layer deeper each step.
"""

from types import ModuleType

import numpy as np

from edgetrain.arithmetic.randomness import ROUND, stream_key
from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.arithmetic.updates import BIAS_SHIFT, UPDATE_SHIFT, visible
from edgetrain.errors import RuleError
from edgetrain.graph import Node
from edgetrain.model import Model, Weights
from edgetrain.settings import FULL_RATE, Settings
from edgetrain.state import FINEST, State, rate_multiplier

WATCH_STEPS = 32
"""How many steps an error's peak is watched before its exponent is lowered."""
ERROR_BITS = 7
MERGE_BITS = 15
INT8 = np.dtype(np.int8)
ONE = (2**30, 1)
"""The factor 1 as multiplier and shift."""


class Step:
    """Collects the new parameters and the new state; its arguments are not changed.

    Attributes:
        model: the network at the start of the step.
        ops: the backend.
        params: new parameters of the nodes that have learned so far.
        tensors: the new state.
        saturated: updates that were cut off because they left int8 (int16 for masters).
    """

    def __init__(
        self, model: Model, state: State, settings: Settings, ops: ModuleType, seed: int, x: Int8
    ) -> None:
        check_batch(model, settings, x)
        self.model, self.settings, self.ops = model, settings, ops
        self.seed, self.number, self.batch = seed, state.step, len(x)
        self.params: dict[str, Weights] = {}
        self.tensors = {**state.tensors, "exponents": state.tensors["exponents"].copy()}
        self.rows = {node.name: i for i, node in enumerate(model.graph.nodes)}
        self.saturated = 0

    def result(self) -> tuple[Model, State]:
        """Return the new model and the new state."""
        return self.model.replace_params(self.params), State(self.number + 1, self.tensors)

    def row(self, name: str, kind: int) -> int:
        """Row in the table of exponents: kind 0 input of a node, 1 merged value, 2 loss."""
        return kind * len(self.rows) + self.rows[name]

    def scale(
        self, row: int, acc: Ints, factor: tuple[int, int], exponent: int
    ) -> tuple[Int8, int]:
        """Scale an error to int8 at its delayed exponent, and remember its peak.

        Args:
            row: of the error in the table of exponents.
            acc: integers; the real error is ``acc * factor * 2**exponent``.
            factor: multiplier and shift.
            exponent: of acc.

        Returns:
            int8 of the shape of acc, in [-127, 127], and its exponent.
        """
        table = self.tensors["exponents"]
        finest = exponent + factor[1]
        limit = self.settings.error_limit
        wanted = int(table[row, 0]) if limit is None else min(int(table[row, 0]), limit)
        used = min(max(wanted, finest), finest + 31)
        e, peak = self.ops.scale_error(acc, factor[0], finest - used)
        table[row] = self._next_exponent(used, peak, int(table[row, 1]))
        return e, used

    def _next_exponent(self, used: int, peak: int, watched: int) -> tuple[int, int]:
        """Return the exponent for the next step and the peak to watch on with."""
        excess = peak.bit_length() - ERROR_BITS
        if excess > 0:
            return used + excess, 0
        watched = max(watched, peak)
        if self.number % WATCH_STEPS < WATCH_STEPS - 1 or watched == 0:
            return used, watched
        return used - max(ERROR_BITS - 1 - watched.bit_length(), 0), 0

    def merge(self, name: str, parts: list[tuple[Int8, int]]) -> tuple[Int8, int]:
        """Add the errors that reach one value on several ways."""
        if len(parts) == 1:
            return parts[0]
        base = max(exponent for _, exponent in parts) - MERGE_BITS
        acc = np.zeros(parts[0][0].shape, np.int32)
        for e, exponent in parts:
            acc += (e.astype(np.int32) << MERGE_BITS) >> min(MERGE_BITS + base - exponent, 31)
        return self.scale(self.row(name, 1), acc, ONE, base)

    def update_node(
        self, node: Node, acc_w: Int32, acc_b: Int32, exponent: int, rate: int = FULL_RATE,
        batch: int = 0,
    ) -> None:  # fmt: skip
        """Take one step with a node's weights; they are used from the next training step on."""
        limit = self.model.scheme.bias_limits[node.name]
        old = self.model.params[node.name]
        self.params[node.name] = self.update(
            f"node/{node.name}", old, acc_w, acc_b, exponent, limit, rate, batch
        )

    def update(
        self, key: str, old: Weights, acc_w: Int32, acc_b: Int32, exponent: int, limit: int,
        rate: int = FULL_RATE, batch: int = 0,
    ) -> Weights:  # fmt: skip
        """Return weights and biases after one step.

        Args:
            key: of the weights in the state.
            old: int8 weights and int32 biases.
            acc_w: int32, the gradient of w; its unit is ``x_scale * 2**exponent``.
            acc_b: int32 (n_out,), the summed errors.
            exponent: of the error.
            limit: largest bias.
            rate: factor of the learning rate in Q8.
            batch: by how many samples the gradient is divided, 0 for all of the step.
        """
        tensors, batch = self.tensors, batch or self.batch
        rate = rate * self.settings.rate_at(self.number) // FULL_RATE
        acc_w = self._momentum(key, acc_w, exponent)
        rates_w, rates_b = tensors[f"rate/{key}/w"], tensors[f"rate/{key}/b"]
        step_w = rate_multiplier(rates_w, exponent, batch, rate, UPDATE_SHIFT)
        step_b = rate_multiplier(rates_b, exponent, batch, rate, BIAS_SHIFT)
        stream = stream_key(self.seed, self.number, tensor_number(key), ROUND)
        if self.settings.weights == "w16":
            master, saturated = self.ops.update_int16(
                tensors[f"master/{key}"], acc_w, step_w, stream
            )
            tensors[f"master/{key}"], w = master, visible(master)
        else:
            w, saturated = self.ops.update_int8(old.w, acc_w, step_w, stream)
        self.saturated += saturated
        return Weights(w, self.ops.update_bias(old.b, acc_b, step_b, limit))

    def _momentum(self, key: str, acc: Int32, exponent: int) -> Int32:
        """Return the gradient, with momentum where the settings ask for it."""
        decay, name = self.settings.momentum_bits, f"velocity/{key}"
        if not decay:
            return acc
        old = int(self.tensors[f"{name}/exponent"][0])
        realign = 0 if old == FINEST else old - exponent
        self.tensors[name] = self.ops.momentum(self.tensors[name], acc, decay, realign)
        self.tensors[f"{name}/exponent"] = np.array([exponent], np.int32)
        return self.tensors[name]


def check_batch(model: Model, settings: Settings, x: Int8) -> None:
    """Raise RuleError unless x holds int8 samples of the model, at most `settings.batch`."""
    shape = model.graph.input_shape
    if x.dtype != INT8 or x.shape[1:] != shape:
        raise RuleError(f"x must be int8 (batch, {shape}), got {x.dtype} {x.shape}")
    if not 1 <= len(x) <= settings.batch:
        raise RuleError(
            f"a step takes 1 to {settings.batch} samples, for which its sums were proved to fit "
            f"in int32, got {len(x)}: set Settings.batch"
        )


def tensor_number(key: str) -> int:
    """Number a tensor by its name, the same on every machine (FNV-1a).

    Example:
        >>> tensor_number("node/conv1")
        788110543
    """
    number = 2166136261
    for octet in key.encode():
        number = (number ^ octet) * 16777619 & 0xFFFFFFFF
    return number
