"""What the programs of training steps share: errors, gradients and updates as instructions."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from edgetrain.arithmetic import rooms
from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.rounding import Ints
from edgetrain.compiled.builder import Buffer, Operand, Place
from edgetrain.compiled.forward import (
    Network,
    Parameters,
    centred_area,
    groups_of,
    widened,
)
from edgetrain.graph import Node
from edgetrain.outputs import PROBABILITY_ERROR
from edgetrain.settings import FULL_RATE, Settings
from edgetrain.state import PROBABILITY_EXPONENT
from edgetrain.step import ONE, tensor_number

NO_LIMIT = 1 << 40
EVERYWHERE = (-1000, 1000)
"""Limits between which every int8 lies."""
assert PROBABILITY_ERROR == (2**30, -7)  # the machine's own constant


class Error(NamedTuple):
    """An error: int8 and the place of its exponent."""

    e: Buffer
    exponent: Place


class Sums(NamedTuple):
    """The gradients of a layer, summed over the samples of a step."""

    acc_w: Buffer
    acc_b: Buffer
    exponent: Place


class Learning:
    """A training step being written.

    Args:
        net: the network.
        settings: of the rule.
        state: the constant tensors of the run, contiguous: the program reads rates where they are.
        batch: samples of a step.
        whole: whether a loop sees all of them at once.

    Attributes:
        differences: int64 (queries, batch) from which a step in weight space learns, else None.
    """

    def __init__(
        self, net: Network, settings: Settings, state: Mapping[str, Ints], batch: int, whole: bool
    ) -> None:
        self.net, self.settings, self.state = net, settings, state
        self.batch, self.whole = batch, whole
        nodes = net.graph.nodes
        self.rows = {node.name: i for i, node in enumerate(nodes)}
        self.watch = net.builder.state([(0, -1)] * (3 * len(nodes)))
        self._exponents = net.builder.state([0] * (6 * len(nodes) + 8))
        self._used = 0
        self._exponent_of: dict[int, Place] = {}
        self.differences: Buffer | None = None
        self._fixed: dict[int, Place] = {}
        self._sums: dict[str, Sums] = {}
        self._keep("exponents")

    def exponent(self) -> Place:
        """Return room for an exponent."""
        self._used += 1
        return Place(self._exponents, 8 * (self._used - 1))

    def fixed_exponent(self, value: int) -> Place:
        """Return an exponent that never changes."""
        if value not in self._fixed:
            self._fixed[value] = Place(self.net.builder.constant([value], np.int64), 0)
        return self._fixed[value]

    def row(self, name: str, kind: int) -> int:
        """Row in the table of exponents; see `edgetrain.step.Step.row`."""
        return kind * len(self.rows) + self.rows[name]

    def scale(
        self, row: int, x: Buffer, size: int, factor: Sequence[int] | Ints, exponent: Place
    ) -> Error:
        """Scale sums to an int8 error: `edgetrain.step.Step.scale`."""
        found, how = self.scaled(row, size, factor, exponent)
        self.net.builder.emit("scale", x=x, size=size, y=found.e, **how)
        return found

    def scaled(
        self, row: int, size: int, factor: Sequence[int] | Ints, exponent: Place
    ) -> tuple[Error, dict[str, Operand]]:
        """Return room for an error, and how sums are scaled to it."""
        limit = self.settings.error_limit
        if row not in self._exponent_of:  # passes that follow each other share it
            self._exponent_of[row] = self.exponent()
        found = Error(self.net.builder.array(self.net.samples * size), self._exponent_of[row])
        return found, {
            "multiplier": int(factor[0]), "shift": int(factor[1]),
            "limit": NO_LIMIT if limit is None else limit,
            "table": self.net.place("exponents") + 8 * row, "watch": Place(self.watch, 16 * row),
            "exponent": exponent, "y_exponent": found.exponent,
        }  # fmt: skip

    def loss(
        self, name: str, outputs: Buffer, *, counts: bool, difference: Operand = -1, sign: int = 1,
        wants_error: bool = True,
    ) -> Error:  # fmt: skip
        """Compute a loss and its error: `edgetrain.outputs.loss_error`.

        Args:
            name: the value on which the loss sits.
            outputs: int32, Q10.
            counts: whether the loss belongs to the metrics.
            difference: place of the differences of losses, -1 for none.
            sign: of the loss in the difference.
            wants_error: whether the error is used.
        """
        builder, width = self.net.builder, self.net.graph.output_size
        if self.settings.loss == "squared_error":
            acc = builder.array(self.net.samples * width, np.int32)
            builder.emit("squared_error", x=outputs, width=width, e=acc, difference=difference,
                         sign=sign, counts=int(counts))  # fmt: skip
            return self.scale(self.row(name, 2), acc, width, ONE, self.fixed_exponent(-LOGIT_BITS))
        e = builder.array(self.net.samples * width)
        builder.emit("cross_entropy", x=outputs, width=width, e=e if wants_error else -1,
                     difference=difference, sign=sign, counts=int(counts))  # fmt: skip
        return Error(e, self.fixed_exponent(PROBABILITY_EXPONENT))

    def settle(self, first: int, rows: int) -> None:
        """Choose the exponents with which errors of some rows are scaled from here on."""
        self.net.builder.emit("exponents", table=self.net.place("exponents") + 8 * first,
                              watch=Place(self.watch, 16 * first), rows=rows)  # fmt: skip

    def clear(self, buffer: Buffer, size: int, now: bool) -> None:
        """Fill with zeros: here, or before the loop that is being written."""
        emit = self.net.builder.emit if now else self.net.builder.prepare
        emit("clear", y=buffer, size=size)

    def node(self, node: Node, x: Buffer, error: Error, rate: int = FULL_RATE) -> None:
        """Let a node of the network learn from an error of its sums; see `gradients`."""
        net = self.net
        self.gradients(f"node/{node.name}", net.geometry(node), groups_of(node),
                       net.zero(node.inputs[0]), x, error,
                       net.model.scheme.bias_limits[node.name], rate)  # fmt: skip

    def gradients(
        self, key: str, geometry: tuple[int, ...], groups: int, zero: int, x: Buffer,
        error: Error, limit: int, rate: int = FULL_RATE,
    ) -> None:  # fmt: skip
        """Sum up the gradients of a layer, or let it learn at once where all samples are there.

        Args:
            key: of its weights in the state.
            geometry: of the layer.
            groups: of its channels.
            zero: zero point of x.
            x: what it reads.
            error: of its sums.
            limit: largest bias.
            rate: factor of the learning rate in Q8.
        """
        builder, n_out = self.net.builder, geometry[5]
        at_once = self.whole and geometry[:2] == (1, 1) and geometry[6:8] == (1, 1)
        acc_b = builder.array(n_out, np.int32)
        self.clear(acc_b, 4 * n_out, at_once)
        builder.emit("grad_b", e=error.e, pixels=geometry[3] * geometry[4], width=n_out, y=acc_b)
        if at_once:
            self._learn_dense(key, geometry, zero, x, error, acc_b, limit, rate)
            return
        depthwise, own = rooms.is_depthwise(geometry, groups), geometry[2] // groups
        count = geometry[6] * geometry[7] * n_out * (own if depthwise else geometry[2])
        acc_w = builder.array(count, np.int32)
        self.clear(acc_w, 4 * count, False)
        if depthwise:
            builder.emit("grad_w_channels", geometry, x=x, e=error.e, zero=zero,
                         area=centred_area(self.net, geometry), y=acc_w)  # fmt: skip
        else:
            builder.emit("grad_w", geometry, x=x, e=error.e, zero=zero, y=acc_w,
                         area=builder.array(rooms.turned_image(geometry), self.net.area),
                         packed=builder.array(rooms.packed_errors(geometry)))  # fmt: skip
            if groups > 1:
                builder.conclude("narrow", geometry, groups=groups, y=acc_w)
        self._sums[key] = Sums(acc_w, acc_b, error.exponent)
        self._later(key, (*geometry[:2], own, *geometry[3:]), zero, depthwise, limit, rate)

    def _later(self, key: str, geometry: tuple[int, ...], zero: int, depthwise: bool, limit: int,
               rate: int) -> None:  # fmt: skip
        sums = self._sums[key]
        self.net.builder.conclude(
            "learn", geometry, acc_w=sums.acc_w, acc_b=sums.acc_b, zero=zero,
            is_centred=int(depthwise), exponent=sums.exponent, limit=limit, rate=rate,
            room=self.net.builder.array(rooms.learning(geometry)), **self.target(key),
        )  # fmt: skip

    def target(self, key: str) -> dict[str, Operand]:
        """Say where what a layer learns with is, and its tensor's number."""
        place, decay = self.net.place, self.settings.momentum_bits
        return {
            "w": place(f"{key}/w"), "b": place(f"{key}/b"),
            "master": place(f"master/{key}") if self.settings.weights == "w16" else -1,
            "velocity": place(f"velocity/{key}") if decay else -1,
            "unit": place(f"velocity/{key}/exponent") if decay else -1, "decay": decay,
            "rate_w": self.state[f"rate/{key}/w"].ctypes.data,
            "rate_b": self.state[f"rate/{key}/b"].ctypes.data,
            "tensor": tensor_number(key),
        }  # fmt: skip

    def _learn_dense(self, key: str, geometry: tuple[int, ...], zero: int, x: Buffer, error: Error,
                     acc_b: Buffer, limit: int, rate: int) -> None:  # fmt: skip
        builder = self.net.builder
        builder.emit(
            "learn_dense", geometry, x=x, e=error.e, zero=zero, acc_b=acc_b,
            turned=builder.array(rooms.turned_errors(geometry), self.net.area),
            packed=builder.array(rooms.packed_inputs(geometry)),
            exponent=error.exponent, limit=limit, rate=rate,
            room=builder.array(rooms.learning(geometry)), **self.target(key),
        )  # fmt: skip

    def send_back(
        self, geometry: tuple[int, ...], groups: int, source: Parameters, ratio: Buffer,
        error: Error, row: int, factor: Sequence[int] | Ints,
    ) -> Error:  # fmt: skip
        """Return the error of what a layer reads, whose weights are in the block.

        Args:
            geometry: of the layer.
            groups: of its channels.
            source: its weights.
            ratio: of its channels.
            error: of its sums.
            row: in the table of exponents.
            factor: by which the products are scaled.
        """
        builder = self.net.builder
        height, width, channels = geometry[:3]
        found, how = self.scaled(row, height * width * channels, factor, error.exponent)
        kind, size, is_block = "_channels", geometry[5] * geometry[6] * geometry[7], True
        if not rooms.is_depthwise(geometry, groups):
            kind, size = "", rooms.packed_back(geometry)
            source, is_block = widened(builder, geometry, groups, source, is_block)
        packed = builder.array(size)
        given = {"e": error.e, "packed": packed, "ratio": ratio, "y": found.e,
                 "room": builder.array(rooms.back(geometry)),
                 "image": builder.array(rooms.image(geometry), np.int32)}  # fmt: skip
        builder.prepare(f"pack{kind}_back", geometry, is_block=int(is_block), w=source.w,
                        packed=packed)  # fmt: skip
        builder.emit(f"grad_x{kind}", geometry, **given, **how)
        return found

    def conclude(self, trained: frozenset[str]) -> None:
        """Append what ends a step: updates, parameters that stay, exponents."""
        net = self.net
        net.builder.close()
        for node in net.graph.trainable:
            key = f"node/{node.name}"
            for name in (f"{key}/w", f"{key}/b", f"master/{key}", f"velocity/{key}",
                         f"velocity/{key}/exponent"):  # fmt: skip
                if node.name not in trained and name in net.layout.slots:
                    self._keep(name)
        self.settle(0, 3 * len(self.rows))

    def _keep(self, name: str) -> None:
        """Copy an old tensor to the new one."""
        slot = self.net.layout.slots[name]
        self.net.builder.emit("keep", w=slot.start, size=slot.nbytes)
