"""Whole steps and whole inference, of every rule."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.blocks import select
from edgetrain.errors import ModelError
from edgetrain.exporters.step_writing import blocks, goodness, gradient, input_labels
from edgetrain.exporters.step_writing.answers import answer
from edgetrain.exporters.step_writing.emitter import Emitter, Tensor
from edgetrain.exporters.step_writing.learning import Learning
from edgetrain.exporters.step_writing.network import Network
from edgetrain.model import Model, Weights
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward, Rule, configured
from edgetrain.rules.forward_gradient import ERROR_CLIP
from edgetrain.state import State


def _forward_forward(learning: Learning, rule: ForwardForward, x: Tensor) -> None:
    in_input = rule.labels_in_input(learning.net.model)
    (input_labels if in_input else goodness).write(learning, rule, x)


STEPS: Mapping[type, Callable[[Learning, Any, Tensor], None]] = {
    MonoForward: blocks.write,
    ForwardGradient: gradient.write,
    ForwardForward: _forward_forward,
}
"""What writes the step of a rule, from the codes of a batch."""


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


def restored(model: Model, state: State, values: Mapping[str, NDArray[Any]]) -> tuple[Model, State]:
    """Return model and state with the values of `parameters`, which a step has changed.

    Args:
        model: the network before.
        state: of the rule before.
        values: by the names of `parameters`.
    """
    pairs = {
        name: Weights(*(values.get(f"node/{name}/{part}", old)
                        for part, old in weights._asdict().items()))
        for name, weights in model.params.items()
    }  # fmt: skip
    tensors = {name: values.get(f"state/{name}", old) for name, old in state.tensors.items()}
    return model.replace_params(pairs), State(state.step + 1, tensors)


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
