"""Models that learn to ONNX files: a training step for stock inference runtimes."""

import numpy as np

from edgetrain.exporters.onnx_training.emitter import OnnxEmitter
from edgetrain.exporters.step_writing.program import (
    described,
    parameters,
    prepared,
    write_inference,
    write_step,
)
from edgetrain.model import FloatModel, Model
from edgetrain.rules import Rule

RUNTIME = "1.17"
"""The oldest ONNX Runtime that has every operator, in the types in which they are used."""


def to_onnx_train(
    model: FloatModel | Model, name: str = "model", rule: Rule | None = None, batch: int = 1
) -> dict[str, bytes]:
    """Export a model and a rule as ONNX graphs that train it.

    They are plain graphs of integers for a stock ONNX Runtime, 1.17 or later, on any platform:
    no training package, no gradients, no custom operator. They give the bits of `Rule.step`.

    | file | takes | gives |
    |---|---|---|
    | ``start.onnx`` | nothing | ``step`` and every parameter by its name: where training starts |
    | ``train.onnx`` | ``x``, ``y``, ``seed``, ``step``, parameters | ``next/step``, ``next/NAME`` \
of every parameter, metrics |
    | ``infer.onnx`` | ``x``, the parameters that it reads | ``output``: `Rule.predict` |

    ``x`` are int8 codes (batch, ...), channels last, from `Model.quantize_input`; infer.onnx
    takes any batch. ``y`` are labels int32 (batch,), or int32 targets (batch, outputs) in Q10 of
    numbers; ``seed`` and ``step`` are int64 scalars, ``output`` is int32 (batch, outputs), Q10.
    Metrics are scalars: ``loss`` (int64, Q10, the sum over the batch), ``saturated`` and others
    of the rule (int32), how many samples were ``correct`` where the rule computes the network's
    own output (int32), and ``status`` (int32): 0, or 1 if a label is out of range; then every
    ``next/NAME`` is what came in.

    The metadata of all three are those of `edgetrain.exporters.metadata`, "learns_by" (the rule),
    "settings" (its options, JSON), "batch", "runtime" (the oldest that runs them), and
    "input_scale", "input_zero_point" and "output_scale": a real input is
    ``scale * (code - zero_point)`` and a real output ``scale * output``.

    Args:
        model: int8 network to train.
        name: of the model: letters, digits, ``_``, ``-`` and dots.
        rule: that trains it; None for Mono-Forward.
        batch: samples of a step.

    Returns:
        The contents of the three files by their names.

    Raises:
        ValueError: if the name is not one, or batch is not positive.
        ModelError: if the model is a float one.
        RuleError: if the rule cannot train it; it names the node.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> model = quantize(mlp((4,), 2), np.ones((2, 4), np.float32))
        >>> list(to_onnx_train(model, "tiny", batch=4))
        ['start.onnx', 'train.onnx', 'infer.onnx']
    """
    int8, rule = prepared(model, name, rule, batch)
    state = rule.init(int8)
    emitters = {"start": OnnxEmitter(), "train": OnnxEmitter(batch), "infer": OnnxEmitter()}
    for key, value in {"step": np.zeros((), np.int64), **parameters(int8, rule, state)}.items():
        emitters["start"].known(key, value)
    write_step(emitters["train"], int8, rule, state, batch)
    write_inference(emitters["infer"], int8, rule, state)
    told = described(int8, name, rule, batch) | {"runtime": RUNTIME}
    return {f"{key}.onnx": emit.file(told) for key, emit in emitters.items()}
