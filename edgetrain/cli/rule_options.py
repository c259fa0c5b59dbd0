"""The options of rules, which verbs that need a rule share: one table."""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import typer

from edgetrain import defaults
from edgetrain.cli import options
from edgetrain.model import Model
from edgetrain.rules import RULES, Rule, configured
from edgetrain.settings import Loss, Settings


class Option(NamedTuple):
    """One option: its type, its default, what it is."""

    kind: Any
    default: Any
    help: str


SETTINGS = {
    "weights": Option(str, "w8", "w8, or w16 for int16 masters."),
    "train": Option(str, "all", "all, a number of last layers, or names with commas."),
    "momentum": Option(float, 0.0, "0, 0.5, 0.75, 0.875, 0.9375, 0.96875."),
    "error_clip": Option(float | None, None, "Bound of errors."),
    "bits": Option(int, 3, "Of smooth derivatives: 1 to 4, or 8."),
}
"""Of every rule: fields of `Settings`."""
SPECIFIC = {
    "blocks": Option(
        str | None, None, "auto, layer, residual, network, a number, or names with commas."
    ),
    "early_rate": Option(float | None, None, "mono-forward."),
    "warmup": Option(int | None, None, "mono-forward: steps of new heads."),
    "predict_with": Option(str | None, None, "mono-forward: last or sum."),
    "space": Option(str | None, None, "forward-gradient: activity, weight."),
    "head": Option(str | None, None, "forward-gradient: exact, same."),
    "estimate": Option(str | None, None, "forward-gradient: value, sign."),
    "perturbation": Option(float | None, None, "forward-gradient."),
    "queries": Option(int | None, None, "forward-gradient: pairs a step."),
    "goodness_loss": Option(str | None, None, "forward-forward: symmetric, threshold."),
    "labels": Option(str | None, None, "forward-forward: input, channel."),
    "negatives": Option(str | None, None, "forward-forward: hard, random."),
    "sharpness": Option(float | None, None, "forward-forward."),
}
"""Of some rules: fields of their classes."""
OPTIONS = {**SETTINGS, **SPECIFIC}
READERS: Mapping[str, Callable[[str], Any]] = {
    "train": options.selection,
    "blocks": options.choice,
}
"""What turns the text of an option into its value."""


def accepts_rules(verb: Callable[..., None]) -> Callable[..., None]:
    """Give a verb OPTIONS; they reach it in its last argument, ``**asked``."""
    signature = inspect.signature(verb)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    shared = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=default,
            annotation=Annotated[
                kind, typer.Option(help=text, rich_help_panel="Options of the rule")
            ],
        )
        for name, (kind, default, text) in OPTIONS.items()
    ]  # fmt: skip
    verb.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    return verb


def changed(asked: Mapping[str, Any]) -> list[str]:
    """Return the options that are not at their defaults, as they are typed."""
    return [
        f"--{name.replace('_', '-')}"
        for name, value in asked.items()
        if value != OPTIONS[name].default
    ]


def make_rule(
    name: str, model: Model, learning_rate: str | None, asked: Mapping[str, Any], **settings: Any
) -> Rule:
    """Make a rule from what was asked for.

    Args:
        name: with hyphens or underscores.
        model: for the default learning rate.
        learning_rate: text, or None.
        asked: values of OPTIONS.
        settings: further fields of `Settings`.

    Raises:
        ValueError: if the rule does not have one of them; it names both.
    """
    key = options.canonical(name, RULES, "--rule")
    kind = RULES[key]
    read = {
        option: READERS[option](value) if option in READERS and value is not None else value
        for option, value in asked.items()
    }
    chosen = {option: read[option] for option in SPECIFIC if read[option] is not None}
    known = inspect.signature(kind).parameters
    for option in chosen:
        if option not in known:
            raise ValueError(f"--{option.replace('_', '-')} is no option of the rule {key}")
    loss: Loss = "cross_entropy" if model.task == "classify" else "squared_error"
    if key == "forward_gradient" and model.graph.output.op != "dense":
        chosen.setdefault("head", "same")
    common = {option: read[option] for option in SETTINGS}
    rule = kind(settings=Settings(**common, **settings, loss=loss), **chosen)  # type: ignore[call-arg]
    if learning_rate is None:
        return configured(rule, learning_rate=defaults.learning_rate(rule, model.graph))
    return configured(rule, learning_rate=options.number(learning_rate))
