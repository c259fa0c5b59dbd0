"""Training steps as programs: from one model and state to the next in one call."""

import zlib
from collections.abc import Callable, Hashable, Mapping
from types import ModuleType

import numpy as np

from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.blocks import is_convolutional
from edgetrain.compiled.block import BlockParams, BlockTensors, Bytes, Layout
from edgetrain.compiled.builder import Builder
from edgetrain.compiled.forward import Network
from edgetrain.compiled.learning import Learning
from edgetrain.compiled.program import Program
from edgetrain.errors import RuleError
from edgetrain.model import Model
from edgetrain.outputs import check_labels
from edgetrain.settings import Settings
from edgetrain.state import State
from edgetrain.step import check_batch

CHANGING = ("head/", "master/", "velocity/", "exponents")
"""Beginnings of the names of tensors that a step changes; scales of heads do not change."""
Write = Callable[[Learning], None]
Metrics = Mapping[str, int]


class Trainer:
    """The programs of one network, rule and set of constants, which share their blocks.

    Args:
        model: the network.
        state: at the start of the run.
        settings: of the rule.
        ops: a backend with a machine.
    """

    def __init__(self, model: Model, state: State, settings: Settings, ops: ModuleType) -> None:
        self.made_for = settings, ops
        self._settings, self._ops = settings, ops
        self._nodes = tuple(node.name for node in model.graph.trainable)
        self._tensors = tuple(state.tensors)
        self._constant = {
            k: np.ascontiguousarray(v) for k, v in state.tensors.items() if not _changes(k)
        }
        self._layout = Layout(_arrays(model, state))
        self._programs: dict[Hashable, Program] = {}
        self._latest: tuple[Hashable, Program] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of everything that training keeps: blocks, memories and constants."""
        constant = sum(array.nbytes for array in self._constant.values())
        return self._layout.nbytes + constant + sum(p.nbytes for p in self._programs.values())

    def owns(self, tensors: BlockTensors) -> bool:
        """Whether a state is one that this trainer made."""
        return tensors.layout is self._layout

    def step(
        self, model: Model, state: State, x: Int8, y: Ints, seed: int, key: Hashable, write: Write
    ) -> tuple[Model, State, Metrics]:
        """Learn from one batch.

        Args:
            model: the network.
            state: of the rule.
            x: int8 (batch, *input_shape).
            y: int32, flat: labels or targets.
            seed: of the run.
            key: of the program.
            write: writes the program, where there is none for the key yet.

        Returns:
            As `edgetrain.rules.base.Rule.step`; the slopes of queries are whole sums.
        """
        which = key, len(x)
        if self._latest is None or self._latest[0] != which:  # hashing a rule takes longer
            if which not in self._programs:
                self._programs[which] = self._write(model, state, len(x), write)
            self._latest = which, self._programs[which]
        program = self._latest[1]
        old = self._block(model, state)
        new = self._layout.fresh()
        given, step = program.given, state.step
        given[1], given[2], given[3] = seed, step, self._settings.rate_at(step)
        program.run(old, new, x, targets=y)
        params = BlockParams(self._layout, new, self._nodes)
        tensors = BlockTensors(self._layout, new, self._constant, self._tensors)
        *_, loss, saturated = given.tolist()
        metrics = {"loss": loss, "saturated": saturated}
        found, query = program.reported.tolist(), 0
        while found:
            metrics[f"slope_{query}"], found = sum(found[: len(x)]), found[len(x) :]
            query += 1
        return model.stepped(params), State(step + 1, tensors), metrics

    def _block(self, model: Model, state: State) -> Bytes:
        """Return the block that holds a model and its state."""
        params, tensors = model.params, state.tensors
        if (
            isinstance(params, BlockParams)
            and isinstance(tensors, BlockTensors)
            and params.block is tensors.block
            and tensors.layout is self._layout
        ):
            return tensors.block
        return self._layout.filled(_arrays(model, state))

    def _write(self, model: Model, state: State, batch: int, write: Write) -> Program:
        whole = not is_convolutional(model.graph)
        builder = Builder(whole)
        area = self._ops.machine.AREA
        net = Network(builder, model, self._layout, batch if whole else 1, area)
        learning = Learning(net, self._settings, self._constant, batch, whole)
        write(learning)
        return Program(builder, self._ops, learning.differences)


def _changes(name: str) -> bool:
    is_scale = name.startswith("head/") and name.endswith("/scale")
    return name.startswith(CHANGING) and not is_scale


def _arrays(model: Model, state: State) -> dict[str, Ints]:
    """Return all arrays that a step changes, by name."""
    arrays: dict[str, Ints] = {}
    for name, (w, b) in model.params.items():
        arrays |= {f"node/{name}/w": w, f"node/{name}/b": b}
    return arrays | {name: array for name, array in state.tensors.items() if _changes(name)}


def step(
    model: Model, state: State, settings: Settings, x: Int8, y: Ints, ops: ModuleType, seed: int,
    key: Hashable, write: Write,
) -> tuple[Model, State, Metrics]:  # fmt: skip
    """Take a step; see `Trainer.step` and `edgetrain.rules.base.Rule.step`.

    Raises:
        RuleError: if samples, labels or targets do not fit.
    """
    check_batch(model, settings, x)
    if settings.loss == "squared_error":
        shape = (len(x), model.graph.output_size)
        if y.shape != shape:
            raise RuleError(f"targets must have the shape {shape}, got {y.shape}")
    else:
        check_labels(y, len(x), model.graph.output_size)
    return _trainer(model, state, settings, ops).step(
        model, state, x, y.astype(np.int32).reshape(-1), seed, key, write
    )


def _trainer(model: Model, state: State, settings: Settings, ops: ModuleType) -> Trainer:
    """Return the trainer of a state; its own is known."""
    known = model.scheme.programs
    tensors = state.tensors
    if isinstance(tensors, BlockTensors):
        found: Trainer | None = known.get(id(tensors.layout))
        if found is not None and found.made_for == (settings, ops):
            return found
    crc = 0
    for name in sorted(tensors):
        if not _changes(name):
            crc = zlib.crc32(tensors[name].tobytes(), zlib.crc32(name.encode(), crc))
    key = ("training", crc, model.task, settings, ops)
    if key not in known:
        trainer = Trainer(model, state, settings, ops)
        known[key] = known[id(trainer._layout)] = trainer
    made: Trainer = known[key]
    return made


def kept_bytes(model: Model, state: State) -> int:
    """Return the bytes that training keeps: in programs, or the model and state where it has none.

    Args:
        model: after a step.
        state: after the same step.
    """
    if isinstance(state.tensors, BlockTensors):
        for value in model.scheme.programs.values():
            if isinstance(value, Trainer) and value.owns(state.tensors):
                return value.nbytes
    return state.nbytes + sum(array.nbytes for pair in model.params.values() for array in pair)
