"""Whole steps and whole inference, of every rule."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.blocks import select
from edgetrain.errors import ModelError, RuleError
from edgetrain.exporters.metadata import metadata
from edgetrain.exporters.names import check_file_name
from edgetrain.exporters.step_writing import blocks, goodness, gradient, input_labels
from edgetrain.exporters.step_writing.answers import answer
from edgetrain.exporters.step_writing.emitter import Emitter, Tensor
from edgetrain.exporters.step_writing.learning import Learning
from edgetrain.exporters.step_writing.network import Network
from edgetrain.graph import INPUT
from edgetrain.model import FloatModel, Model, Weights
from edgetrain.rules import (
    RULES,
    Backprop,
    ForwardForward,
    ForwardGradient,
    Metrics,
    MonoForward,
    Rule,
    configured,
)
from edgetrain.rules.forward_gradient import ERROR_CLIP
from edgetrain.state import State, output_span


def _forward_forward(learning: Learning, rule: ForwardForward, x: Tensor) -> None:
    in_input = rule.labels_in_input(learning.net.model)
    (input_labels if in_input else goodness).write(learning, rule, x)


STEPS: Mapping[type, Callable[[Learning, Any, Tensor], None]] = {
    MonoForward: blocks.write,
    ForwardGradient: gradient.write,
    ForwardForward: _forward_forward,
}
"""What writes the step of a rule, from the codes of a batch."""

METRICS = ("loss", "saturated", "slope_")
"""First letters of the numbers that a rule tells; a written step tells more."""


def chosen(rule: Rule) -> Rule:
    """Return the rule that is written, with all that it decides when it takes a step.

    Backpropagation is Mono-Forward with one block; forward gradients have a bound of errors.

    Raises:
        ModelError: if there is no such rule.
    """
    if isinstance(rule, Backprop):
        return MonoForward(settings=rule.settings, blocks="network", predict_with="last")
    if isinstance(rule, ForwardGradient):
        clip = rule.settings.error_clip
        return configured(rule, error_clip=ERROR_CLIP if clip is None else clip)
    if type(rule) not in STEPS:
        raise ModelError(
            f"training steps are written for the rules of edgetrain.rules, got "
            f"{type(rule).__name__}: use one of these"
        )
    return rule


def prepared(
    model: FloatModel | Model, name: str, rule: Rule | None, batch: int
) -> tuple[Model, Rule]:
    """Check what an exporter of training steps was given; return the model and the rule.

    Args:
        model: to train.
        name: of the model.
        rule: that trains it; None for Mono-Forward.
        batch: samples of a step.

    Raises:
        ValueError: if the name is not one, or batch is not positive.
        ModelError: if the model is a float one, or there is no such rule.
    """
    check_file_name(name)
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    if not isinstance(model, Model):
        raise ModelError("a training step needs an int8 model: quantize it first")
    return model, chosen(configured(MonoForward() if rule is None else rule, batch=batch))


def described(model: Model, name: str, rule: Rule, batch: int) -> dict[str, str]:
    """Return what a file says about its model and the training that it does."""
    scale, zero_point = model.scheme.activations[INPUT]
    return {
        **metadata(model, name),
        "learns_by": next(key for key, kind in RULES.items() if isinstance(rule, kind)),
        "settings": json.dumps(asdict(rule)),  # type: ignore[call-overload]
        "batch": str(batch),
        "input_scale": repr(float(scale)),
        "input_zero_point": str(zero_point),
        "output_scale": repr(float(output_span(model, model.graph.output) / 2**LOGIT_BITS)),
    }


def parameters(model: Model, rule: Rule, state: State) -> dict[str, NDArray[Any]]:
    """Return what a step changes, by name: sorted, nodes first.

    Args:
        model: the network.
        rule: that trains it.
        state: of the rule.
    """
    trained = select(model.graph, rule.settings.train)
    found: dict[str, NDArray[Any]] = {}
    for node in model.graph.trainable:
        if node.name in trained:
            found |= {
                f"node/{node.name}/{part}": value
                for part, value in model.params[node.name]._asdict().items()
            }
    for name, value in state.tensors.items():
        kind, last = name.split("/")[0], name.split("/")[-1]
        head = kind == "head" and last in ("w", "b")
        if head or kind in ("exponents", "master", "velocity"):
            found[f"state/{name}"] = value
    return dict(sorted(found.items()))


def taken(
    model: Model, state: State, found: Mapping[str, NDArray[Any]],
    values: Mapping[str, NDArray[Any]],
) -> tuple[Model, State, Metrics]:  # fmt: skip
    """Return what `Rule.step` would, of a step that a runtime has taken.

    Args:
        model: the network before.
        state: of the rule before.
        found: numbers that left the step: "status" and metrics.
        values: new `parameters`, by their names.

    Raises:
        RuleError: if the status says that a label was out of range.
    """
    numbers = {name: int(value.item()) for name, value in found.items() if value.size == 1}
    if numbers["status"]:
        raise RuleError(f"labels must be in [0, {model.graph.output_size}): nothing was learned")
    pairs = {
        name: Weights(*(values.get(f"node/{name}/{part}", old)
                        for part, old in weights._asdict().items()))
        for name, weights in model.params.items()
    }  # fmt: skip
    tensors = {name: values.get(f"state/{name}", old) for name, old in state.tensors.items()}
    metrics = {name: value for name, value in numbers.items() if name.startswith(METRICS)}
    return model.replace_params(pairs), State(state.step + 1, tensors), metrics


def write_step(emit: Emitter, model: Model, rule: Rule, state: State, batch: int) -> None:
    """Append a training step.

    What enters is ``x``, ``y``, ``step`` and `parameters`; what leaves is ``next/NAME`` of each
    of these, ``next/step``, ``status`` (0; 1 if a label is out of range: then nothing changes)
    and the metrics of the rule, with ``correct`` where the network's own output is computed.

    Args:
        emit: what appends the operations.
        model: the network.
        rule: that trains it, from `chosen`.
        state: of the rule; its tensors are the values with which the parameters start.
        batch: samples.
    """
    graph = model.graph
    x = emit.samples(graph.input_shape)
    classes = rule.settings.loss == "cross_entropy"
    y = emit.labels() if classes else emit.targets(graph.output_size)
    number = emit.step_number()
    start = parameters(model, rule, state)
    values = {name: emit.parameter(name, value) for name, value in start.items()}
    net, tensors = _entered(emit, model, state, values)
    learning = Learning(net, rule.settings, tensors, number, batch, y)
    STEPS[type(rule)](learning, rule, x)
    new = learning.result()
    for name, value in values.items():
        emit.output(f"next/{name}", new.get(name, value))
    taken: Any = 1 if learning.valid is None else emit.choose(learning.valid, 1, 0)
    emit.output("next/step", emit.plus(number, taken))
    for name, metric in learning.metrics.items():
        emit.output(name, metric)
    emit.output("status", emit.minus(1, taken))


def write_inference(emit: Emitter, model: Model, rule: Rule, state: State) -> None:
    """Append what a rule predicts with.

    What enters is ``x`` and those of `parameters` that predictions read; what leaves is
    ``output``: int32 (batch, outputs), Q10, equal to `Rule.predict`.

    Args:
        emit: what appends the operations.
        model: the network.
        rule: from `chosen`.
        state: of the rule.
    """
    x = emit.samples(model.graph.input_shape)
    start = parameters(model, rule, state)
    names = [name for name in start if name.split("/")[-1] in ("w", "b")]
    values = {name: emit.parameter(name, start[name]) for name in names}
    net, tensors = _entered(emit, model, state, values)
    emit.output("output", answer(net, rule, tensors, x))


def _entered(
    emit: Emitter, model: Model, state: State, values: Mapping[str, Tensor]
) -> tuple[Network, dict[str, Tensor]]:
    """Return network and state with the values that entered in the place of their own."""
    tensors = {name: values.get(f"state/{name}", value) for name, value in state.tensors.items()}
    return Network(model, _params(model, values), emit), tensors


def _params(model: Model, values: Mapping[str, Tensor]) -> dict[str, Weights]:
    """Return the parameters of every node: values of the step, or constants."""
    return {
        name: Weights(*(values.get(f"node/{name}/{part}", np.asarray(old))
                        for part, old in zip(("w", "b"), weights, strict=True)))
        for name, weights in model.params.items()
    }  # fmt: skip
