"""Inference as a program: weights are laid out once a model and state."""

import weakref
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from edgetrain import inference, outputs
from edgetrain.arithmetic.probabilities import probabilities
from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.blocks import is_convolutional
from edgetrain.compiled.block import Layout
from edgetrain.compiled.builder import Builder
from edgetrain.compiled.forward import (
    Network,
    layer,
    logits,
    machine_of,
    node_result,
    pack,
    take_input,
)
from edgetrain.compiled.program import NOTHING, Program
from edgetrain.graph import INPUT
from edgetrain.model import Model
from edgetrain.state import State

DENSE_SAMPLES = 32
"""Samples that a fully connected network sees at a time; a convolutional one sees one."""
NO_STATE = State()


class Inference:
    """The programs of one network: laying out a model's weights, and running it.

    Args:
        model: the network.
        samples: seen at a time.
        write: writes the program.
        shape: of the result of a sample.
        dtype: of the results.
        ops: a backend with a machine.
        tensors: of the training state that the program reads beside the model's parameters.
    """

    def __init__(self, model: Model, samples: int, write: Callable[[Network], None],
                 shape: tuple[int, ...], dtype: Any, ops: ModuleType,
                 tensors: Mapping[str, Ints] = NO_STATE.tensors) -> None:  # fmt: skip
        self._layout = Layout(_arrays(model, tensors))
        net = Network(Builder(), model, self._layout, samples, ops.machine.AREA)
        write(net)
        self._program = Program(net.builder, ops)
        self._model: Callable[[], Model | None] = lambda: None
        self._state: Callable[[], State | None] = lambda: None
        self._shape, self._dtype = shape, dtype

    @property
    def nbytes(self) -> int:
        """Bytes of the memory, laid out weights and constants included."""
        return self._program.nbytes

    def __call__(self, model: Model, x: Int8, state: State = NO_STATE) -> Ints:
        """Return the results of int8 samples (batch, *input_shape)."""
        out: Ints = np.empty((len(x), *self._shape), self._dtype)
        self._lay_out_and_run(model, state, x, out)
        return out

    def bound(self, model: Model, x: Int8) -> tuple[Callable[[], object], Ints]:
        """Return a call that runs on x again and again, and the array that it fills.

        Neither samples nor results are copied in Python: what an interpreter's ``invoke`` is.
        """
        out: Ints = np.empty((len(x), *self._shape), self._dtype)
        self._lay_out_and_run(model, NO_STATE, x, out)
        return self._program.bound(x, out), out

    def _lay_out_and_run(self, model: Model, state: State, x: Int8, out: Ints) -> None:
        is_known = self._model() is model and self._state() is state
        block = NOTHING
        if not is_known:
            block = self._layout.filled(_arrays(model, state.tensors))
            self._model, self._state = weakref.ref(model), weakref.ref(state)
        self._program.run(block, NOTHING, x, out, is_prepared=is_known)


def _arrays(model: Model, tensors: Mapping[str, Ints]) -> dict[str, Ints]:
    """Return a model's parameters and some tensors by name."""
    arrays = dict(tensors)
    for name, (w, b) in model.params.items():
        arrays |= {f"node/{name}/w": w, f"node/{name}/b": b}
    return arrays


def _write(net: Network, as_logits: bool) -> None:
    """Write a forward pass."""
    graph = net.graph
    with net.builder.each(net.samples):
        weights = {n.name: pack(net, n, net.parameters(n), True) for n in graph.trainable}
        values = {INPUT: take_input(net)}
        for node in graph.nodes:
            is_last = node == graph.output and not as_logits
            if is_last and node.has_weights:
                values[node.name] = layer(net, node, values[node.inputs[0]], weights[node.name])
            else:
                values[node.name] = node_result(net, node, values, weights)
        result, size = values[node.name], net.size(node.name)
        if as_logits:
            result, size = logits(net, result), 4 * size
        net.builder.emit("output", x=result, size=size)


def infer(model: Model, x: Int8, ops: ModuleType) -> Int8:
    """Run the network on int8 codes; see `edgetrain.inference.infer`, the specification."""
    compiled = _run(model, x, ops, False)
    return inference.infer(model, x, ops) if compiled is None else compiled


def output(model: Model, x: Int8, ops: ModuleType) -> Int8:
    """Run the network and return what an exported model gives; see `edgetrain.inference.output`."""
    y = infer(model, x, ops)
    return probabilities(y, *model.scheme.softmax) if model.softmax else y


def predict(model: Model, x: Int8, ops: ModuleType) -> Int32:
    """Run the network and return its Q10 outputs; see `edgetrain.outputs.predict`."""
    compiled = _run(model, x, ops, True)
    return outputs.predict(model, x, ops) if compiled is None else compiled


def fits(model: Model, x: Int8) -> bool:
    """Whether samples are what a network's programs read."""
    return x.dtype == np.int8 and x.shape[1:] == model.graph.input_shape


def program(model: Model, batch: int, ops: ModuleType, as_logits: bool = False) -> Inference | None:
    """Return the program of a network for batches of a size; it is written once.

    Args:
        model: the network.
        batch: samples.
        ops: a backend.
        as_logits: whether results are Q10 outputs, int32, rather than int8 codes.

    Returns:
        The program; None where the backend has no machine.
    """
    samples = 1 if is_convolutional(model.graph) or batch == 1 else DENSE_SAMPLES
    key = ("inference", samples, as_logits, ops)
    known = model.scheme.programs
    if key not in known:
        known[key] = None
        if machine_of(ops):
            graph, write = model.graph, partial(_write, as_logits=as_logits)
            shape = (graph.output_size,) if as_logits else graph.shapes[graph.output.name]
            dtype = np.int32 if as_logits else np.int8
            known[key] = Inference(model, samples, write, shape, dtype, ops)
    found: Inference | None = known[key]
    return found


def _run(model: Model, x: Int8, ops: ModuleType, as_logits: bool) -> Ints | None:
    """Run a network in one call, where that is possible."""
    if not fits(model, x):
        return None
    found = program(model, len(x), ops, as_logits)
    return None if found is None else found(model, x)
