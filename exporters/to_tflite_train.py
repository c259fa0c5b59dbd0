"""Models that learn to TensorFlow Lite files: a training step for stock interpreters."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import INT32_MAX
from edgetrain.errors import RuleError
from edgetrain.exporters.step_writing.program import (
    described,
    parameters,
    prepared,
    write_inference,
    write_step,
)
from edgetrain.exporters.tflite_training import variables
from edgetrain.exporters.tflite_training.emitter import TfliteEmitter
from edgetrain.exporters.tflite_training.tensor import Tensor, constant, tensor
from edgetrain.exporters.tflite_writing.file import File, Subgraph
from edgetrain.model import FloatModel, Model
from edgetrain.rules import Rule
from edgetrain.settings import FULL_RATE

Arrays = Mapping[str, NDArray[Any]]
MOST_STEPS = INT32_MAX // FULL_RATE
"""Of a linear schedule: its rate is computed in int32."""


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
        RuleError: if the rule cannot train it, it names the node; or its schedule is too long.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> model = quantize(mlp((4,), 2), np.ones((2, 4), np.float32))
        >>> list(to_tflite_train(model, "tiny", batch=4))
        ['tiny-train.tflite']
    """
    int8, rule = prepared(model, name, rule, batch)
    if rule.settings.schedule == "linear" and rule.settings.steps > MOST_STEPS:
        raise RuleError(
            f"a linear schedule in TensorFlow Lite may have {MOST_STEPS} steps, got "
            f"{rule.settings.steps}: use the schedule 'steps'"
        )
    state = rule.init(int8)
    start = parameters(int8, rule, state)
    file = File()
    graphs = {key: Subgraph(file, key) for key in ("train", "infer", "save", "restore")}
    first = variables.initial(file, start)
    for graph in graphs.values():
        variables.once(graph, first)
    step, answer = TfliteEmitter(graphs["train"], batch), TfliteEmitter(graphs["infer"], 1)
    write_step(step, int8, rule, state, batch)
    write_inference(answer, int8, rule, state)
    _sign(graphs["train"], "train", step.inputs, step.outputs)
    _sign(graphs["infer"], "infer", answer.inputs, answer.outputs)
    _write_save(graphs["save"], start)
    _write_restore(graphs["restore"], start)
    return {f"{name}-train.tflite": file.finish(described(int8, name, rule, batch))}


def _write_save(graph: Subgraph, start: Arrays) -> None:
    """Let every variable leave."""
    _sign(graph, "save", {}, {key: variables.read(graph, key, like) for key, like in start.items()})


def _write_restore(graph: Subgraph, start: Arrays) -> None:
    """Give every variable a value."""
    given = {key: tensor(graph, key, like.dtype, like.shape) for key, like in start.items()}
    for key, value in given.items():
        variables.assign(graph, key, value)
    _sign(graph, "restore", given, {"status": constant(graph, 0, np.int32)})


def _sign(
    graph: Subgraph, key: str, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor]
) -> None:
    """Make a signature of a subgraph."""
    takes, gives = ({name: t.index for name, t in ends.items()} for ends in (inputs, outputs))
    graph.ends(list(takes.values()), list(gives.values()))
    graph.file.signature(key, graph.index, takes, gives)
