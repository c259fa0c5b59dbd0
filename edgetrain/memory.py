"""What training will cost, before it starts: a row a rule and way to cut the network."""

from dataclasses import dataclass, replace
from typing import Literal

from edgetrain.arena import inference_arena
from edgetrain.blocks import Choice, is_convolutional, split
from edgetrain.errors import RuleError
from edgetrain.model import Model
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward, Rule
from edgetrain.settings import Settings


@dataclass(frozen=True)
class Forecast:
    """What one rule costs on one model.

    Attributes:
        rule: its name, with the options that matter.
        blocks: how the network is cut; "-" where it is not.
        weights_bytes: int8 weights and int32 biases.
        state_bytes: what the rule carries between steps; exact.
        arena_bytes: activations, errors and sums that exist at one time.
        macs_per_step: multiply-accumulates of one step.
        refused: why the rule cannot train this model; empty if it can.
    """

    rule: str
    blocks: str
    weights_bytes: int
    state_bytes: int
    arena_bytes: int
    macs_per_step: int
    refused: str = ""


def plans(model: Model, batch: int = 1, settings: Settings | None = None) -> list[Forecast]:
    """Forecast inference and every rule on a model.

    Args:
        model: the network.
        batch: samples of a step.
        settings: options of the rules; None for the defaults.

    Returns:
        A row for inference (rule "inference"), then a row a rule and block choice.

    Example:
        >>> import numpy as np
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> model = quantize(mlp((16,), 4, hidden=(32, 32)), np.ones((8, 16), np.float32))
        >>> rows = {(row.rule, row.blocks): row.arena_bytes for row in plans(model)}
        >>> rows["inference", "-"], rows["mono_forward", "layer"], rows["backprop", "network"]
        (64, 228, 272)
    """
    settings = replace(settings or Settings(), batch=batch)
    if model.task != "classify":
        settings = replace(settings, loss="squared_error")
    weights = weight_bytes(model)
    rows = [
        Forecast("inference", "-", weights, 0, inference_arena(model.graph, batch),
                 model.graph.macs * batch)
    ]  # fmt: skip
    return rows + [
        forecast(name, blocks, rule, model, batch) for name, blocks, rule in candidates(
            model, settings)
    ]  # fmt: skip


def weight_bytes(model: Model) -> int:
    """Bytes of a model's parameters."""
    return sum(weights.w.nbytes + weights.b.nbytes for weights in model.params.values())


def candidates(model: Model, settings: Settings) -> list[tuple[str, str, Rule]]:
    """Return the rules to compare: name, blocks, rule."""
    choices: list[Choice] = ["layer"]
    if is_convolutional(model.graph):
        most = len(split(model.graph, "residual"))
        choices = ["layer", "residual", *[k for k in (3, 2) if k < most]]
    head: Literal["exact", "same"] = "exact" if settings.loss == "cross_entropy" else "same"
    last = replace(settings, train=1)
    return [
        *(("mono_forward", str(c), MonoForward(settings=settings, blocks=c)) for c in choices),
        ("forward_forward", "auto", ForwardForward(settings=settings)),
        ("forward_gradient activity", "-", ForwardGradient(settings=settings, head=head)),
        ("forward_gradient weight", "-",
         ForwardGradient(settings=settings, space="weight", head=head)),
        ("backprop", "network", Backprop(settings=settings)),
        ("backprop, last layer", "network", Backprop(settings=last)),
    ]  # fmt: skip


def forecast(name: str, blocks: str, rule: Rule, model: Model, batch: int) -> Forecast:
    """Forecast one rule; a rule that cannot train the model says why in `refused`."""
    try:
        state = rule.init(model)
    except RuleError as error:
        return Forecast(name, blocks, weight_bytes(model), 0, 0, 0, str(error))
    cost = rule.cost(model, batch)
    return Forecast(name, blocks, weight_bytes(model), state.nbytes, cost.arena_bytes, cost.macs)
