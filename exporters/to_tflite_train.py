"""Models that learn to TensorFlow Lite files: a training step for stock interpreters."""

import numpy as np

from edgetrain.errors import ModelError
from edgetrain.exporters.metadata import metadata
from edgetrain.exporters.names import check_file_name
from edgetrain.exporters.step_writing.program import (
    chosen,
    parameters,
    write_inference,
    write_step,
)
from edgetrain.exporters.tflite_training import variables
from edgetrain.exporters.tflite_training.emitter import TfliteEmitter
from edgetrain.exporters.tflite_training.tensor import Tensor, constant, tensor
from edgetrain.exporters.tflite_writing.file import File, Subgraph
from edgetrain.model import FloatModel, Model
from edgetrain.rules import MonoForward, Rule, configured


def to_tflite_train(
    model: FloatModel | Model, name: str = "model", rule: Rule | None = None, batch: int = 1
) -> dict[str, bytes]:
    """Export a model and a rule as a TensorFlow Lite file that trains itself.

    LiteRT and tflite-runtime (2.14) run it with their own operators, without delegate or
    gradients, and give the bits of `Rule.step` with every kind of their kernels. Parameters are
    variables of the interpreter; a fresh interpreter starts with those of the model. The file has
    the signatures

    | signature | takes | gives |
    |---|---|---|
    | ``train`` | ``x`` int8 (batch, ...), ``y``, ``seed`` and ``step`` int32 (1,) | metrics |
    | ``infer`` | ``x`` int8 (1, ...) | ``output`` int32 (1, outputs), Q10: `Rule.predict` |
    | ``save`` | nothing | every parameter by its name |
    | ``restore`` | every parameter by its name | ``status`` |

    ``y`` are labels int32 (batch,), or int32 targets (batch, outputs) in Q10 of numbers. Metrics
    are those of the rule, (1,) each, how many samples were ``correct`` where the rule computes
    the network's own output, and ``status``: 0, or 1 if a label is out of range; then nothing
    changes. The caller counts the steps; a seed from 2**31 on is given by its bits.

    Args:
        model: int8 network to train.
        name: of the model: letters, digits, ``_``, ``-`` and dots.
        rule: that trains it; None for Mono-Forward.
        batch: samples of a step.

    Returns:
        ``{"NAME-train.tflite": contents}``.

    Raises:
        ValueError: if the name is not one, or batch is not positive.
        ModelError: if the model is a float one.
        RuleError: if the rule cannot train it; it names the node.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> model = quantize(mlp((4,), 2), np.ones((2, 4), np.float32))
        >>> list(to_tflite_train(model, "tiny", batch=4))
        ['tiny-train.tflite']
    """
    check_file_name(name)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    if not isinstance(model, Model):
        raise ModelError("to_tflite_train needs an int8 model: quantize it first")
    rule = chosen(configured(MonoForward() if rule is None else rule, batch=batch))
    state = rule.init(model)
    start = parameters(model, rule, state)
    file = File()
    graphs = {key: Subgraph(file, key) for key in ("train", "infer", "save", "restore")}
    first = variables.initial(file, start)
    for graph in graphs.values():
        variables.once(graph, first)
    step = TfliteEmitter(graphs["train"], batch)
    write_step(step, model, rule, state, batch)
    answer = TfliteEmitter(graphs["infer"], 1)
    write_inference(answer, model, rule, state)
    saved = {key: variables.read(graphs["save"], key, value) for key, value in start.items()}
    given = {
        key: tensor(graphs["restore"], key, value.dtype, value.shape)
        for key, value in start.items()
    }
    for key, value in given.items():
        variables.assign(graphs["restore"], key, value)
    done = constant(graphs["restore"], np.zeros(1, np.int32), np.int32)
    ends: dict[str, tuple[dict[str, Tensor], dict[str, Tensor]]] = {
        "train": (step.inputs, step.outputs),
        "infer": (answer.inputs, answer.outputs),
        "save": ({}, saved),
        "restore": (given, {"status": done}),
    }
    for key, (inputs, outputs) in ends.items():
        _sign(file, key, graphs[key], inputs, outputs)
    return {f"{name}-train.tflite": file.finish(metadata(model, name))}


def _sign(
    file: File, key: str, graph: Subgraph, inputs: dict[str, Tensor], outputs: dict[str, Tensor]
) -> None:
    """Make a signature of a subgraph."""
    takes, gives = ({n: t.index for n, t in ends.items()} for ends in (inputs, outputs))
    graph.ends(list(takes.values()), list(gives.values()))
    file.signature(key, graph.index, takes, gives)
