"""Prediction with all heads as a program: `edgetrain.rules.mono_forward.MonoForward.predict`."""

from collections.abc import Mapping, Sequence
from functools import partial
from types import ModuleType

import numpy as np

from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.blocks import is_convolutional
from edgetrain.compiled.forward import Network, logits, machine_of, node_result, pack, take_input
from edgetrain.compiled.inference import DENSE_SAMPLES, Inference, fits
from edgetrain.compiled.local import pooled_logits
from edgetrain.graph import INPUT
from edgetrain.model import Model
from edgetrain.state import State


def predict(
    model: Model, state: State, names: Sequence[str], x: Int8, ops: ModuleType
) -> Int32 | None:
    """Add the log-probabilities of heads and of the network's own outputs.

    Args:
        model: the network.
        state: holds the heads.
        names: of the values that the heads read.
        x: int8 (batch, *input_shape).
        ops: a backend.

    Returns:
        int32 (batch, classes), Q10; None where the backend has no machine.
    """
    if machine_of(ops) is None or not fits(model, x):
        return None
    tensors = state.tensors
    scales = {name: tensors[f"head/{name}/scale"][0] for name in names}
    key = ("heads", *((name, *scale.tolist()) for name, scale in scales.items()), ops)
    known = model.scheme.programs
    if key not in known:
        samples = 1 if is_convolutional(model.graph) else DENSE_SAMPLES
        heads = (f"head/{name}/{part}" for name in names for part in "wb")
        known[key] = Inference(
            model, samples, partial(_write, scales=scales), (model.graph.output_size,), np.int32,
            ops, {part: tensors[part] for part in heads},
        )  # fmt: skip
    found: Inference = known[key]
    return found(model, x, state)


def _write(net: Network, scales: Mapping[str, Ints]) -> None:
    """Write a forward pass that adds up what all classifiers say."""
    graph, builder, width = net.graph, net.builder, net.graph.output_size
    total = builder.array(net.samples * width, np.int32)
    with builder.each(net.samples):
        weights = {n.name: pack(net, n, net.parameters(n), True) for n in graph.trainable}
        builder.emit("clear", y=total, size=4 * net.samples * width)
        values = {INPUT: take_input(net)}
        for node in graph.nodes:
            y = values[node.name] = node_result(net, node, values, weights)
            if node.name in scales:
                _, outputs = pooled_logits(net, node.name, y, scales[node.name])
                builder.emit("log_softmax", x=outputs, width=width, y=total)
        builder.emit("log_softmax", x=logits(net, y), width=width, y=total)
        builder.emit("output", x=total, size=4 * width)
