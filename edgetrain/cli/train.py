"""`edgetrain train`: fine-tune or train a model with a learning rule."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetrain import defaults
from edgetrain.cli import options
from edgetrain.cli.console import Bar, note, report
from edgetrain.evaluate import evaluate, targets
from edgetrain.files import check_writable, save, save_checkpoint
from edgetrain.history import Training
from edgetrain.model import Model
from edgetrain.rules import RULES, Rule, configured
from edgetrain.settings import Loss, Settings
from edgetrain.state import trace
from edgetrain.train import OnStep, Result, fit
from edgetrain.trial import steady
from edgetrain.watch import CHECKPOINT_STEPS, Options

Given = dict[str, Any]
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


def train(
    model: options.ModelPath,
    data: options.DataPath,
    rule: Annotated[str, typer.Option(help=", ".join(RULES))] = "mono_forward",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Save the trained model here.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Training steps; or")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="passes over the data.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples a step.")] = 32,
    learning_rate: Annotated[
        str | None,
        typer.Option(
            help="A number, or a power as 2^-6; by default one at which nothing saturates."
        ),
    ] = None,
    schedule: Annotated[str, typer.Option(help="constant, linear or steps.")] = "linear",
    weights: Annotated[str, typer.Option(help="w8, or w16 for int16 masters.")] = "w8",
    layers: Annotated[
        str, typer.Option("--train", help="all, a number of last layers, or names with commas.")
    ] = "all",
    momentum: Annotated[float, typer.Option(help="0, 0.5, 0.75, 0.875, 0.9375, 0.96875.")] = 0.0,
    error_clip: Annotated[float | None, typer.Option(help="Bound of errors.")] = None,
    bits: Annotated[int, typer.Option(help="Of smooth derivatives: 1 to 4, or 8.")] = 3,
    blocks: Annotated[
        str | None,
        typer.Option(help="auto, layer, residual, network, a number, or names with commas."),
    ] = None,
    early_rate: Annotated[float | None, typer.Option(help="mono-forward.")] = None,
    warmup: Annotated[int | None, typer.Option(help="mono-forward: steps of new heads.")] = None,
    predict_with: Annotated[str | None, typer.Option(help="mono-forward: last or sum.")] = None,
    space: Annotated[str | None, typer.Option(help="forward-gradient: activity, weight.")] = None,
    head: Annotated[str | None, typer.Option(help="forward-gradient: exact, same.")] = None,
    estimate: Annotated[str | None, typer.Option(help="forward-gradient: value, sign.")] = None,
    perturbation: Annotated[float | None, typer.Option(help="forward-gradient.")] = None,
    queries: Annotated[int | None, typer.Option(help="forward-gradient: pairs a step.")] = None,
    goodness_loss: Annotated[
        str | None, typer.Option(help="forward-forward: symmetric, threshold.")
    ] = None,
    labels: Annotated[str | None, typer.Option(help="forward-forward: input, channel.")] = None,
    negatives: Annotated[str | None, typer.Option(help="forward-forward: hard, random.")] = None,
    sharpness: Annotated[float | None, typer.Option(help="forward-forward.")] = None,
    validation: Annotated[float, typer.Option(help="Share held out and measured.")] = 0.0,
    patience: Annotated[int, typer.Option(help="Epochs without progress; 0: never stop.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Written while training.")] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps.")] = CHECKPOINT_STEPS,
    resume: Annotated[Path | None, typer.Option(help="A checkpoint to go on from.")] = None,
    log: Annotated[Path | None, typer.Option(help="Lines of JSON, one an epoch.")] = None,
    trace_every: Annotated[
        int, typer.Option("--trace-every", "--trace", help="Log the trace of every so many steps.")
    ] = 0,
    input_: options.Input = None,
    backend: options.Backend = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Train an int8 model on data, in pure integers.

    Accuracy is measured on the test part of the data: before, after (as the rule predicts), and
    of the model by itself (as `edgetrain evaluate` and an inference engine do).
    Ctrl-C leaves a checkpoint (OUTPUT.checkpoint, if no other is named) instead of the output.

    Example: `edgetrain train model.safetensors --data new.npz --rule mono-forward --epochs 5
    -o tuned.safetensors`
    """
    if steps is not None and epochs is not None:
        raise ValueError("give --steps or --epochs, not both")
    given = {
        "blocks": blocks and options.choice(blocks), "early_rate": early_rate, "warmup": warmup,
        "predict_with": predict_with, "space": space, "head": head, "estimate": estimate,
        "perturbation": perturbation, "queries": queries, "goodness_loss": goodness_loss,
        "labels": labels, "negatives": negatives, "sharpness": sharpness,
    }  # fmt: skip
    network, found = options.model_and_data(model, data, input_)
    common = {
        "schedule": schedule, "weights": weights, "train": options.selection(layers),
        "momentum": momentum, "error_clip": error_clip, "bits": bits, "batch": batch,
    }  # fmt: skip
    chosen = make_rule(rule, network, learning_rate, common, given)
    if output:
        check_writable(output)
    watch = Options(
        validation=validation, patience=patience, checkpoint=checkpoint,
        checkpoint_every=checkpoint_every, resume=resume, log=log, trace_every=trace_every,
    )  # fmt: skip
    name, ops = options.backend(backend)
    targets(network, found.x_train, found.y_train, "y_train")
    before = evaluate(None, network, None, found.x_test, found.y_test, ops=ops)
    if learning_rate is None:
        asked, chosen = chosen, steady(chosen, network, found, ops=ops, seed=seed, batch=batch)
        if chosen != asked:
            note(f"at the learning rate {asked.settings.learning_rate:g} updates saturate: "
                 f"taking {chosen.settings.learning_rate:.3g}")  # fmt: skip
    with Bar(rule) as update:
        result = fit(
            chosen, network, found, ops=ops, seed=seed, steps=steps, epochs=epochs, batch=batch,
            options=watch, on_step=_progress(update, steps, epochs, len(found.x_train), batch),
        )  # fmt: skip
    after = evaluate(chosen, result.model, result.state, found.x_test, found.y_test, ops=ops)
    plain = evaluate(None, result.model, None, found.x_test, found.y_test, ops=ops)
    summary = {
        "rule": options.canonical(rule, RULES, "--rule"),
        "backend": name,
        "steps": result.steps,
        **{f"{key}_before": value for key, value in before.items() if key != "samples"},
        **{f"{key}_after": value for key, value in after.items() if key != "samples"},
        **{f"{key}_of_model": value for key, value in plain.items() if key != "samples"},
        "trace": trace(result.model, result.state),
        "seconds": round(result.seconds, 3),
        "learning_rate": chosen.settings.learning_rate,
        "stopped": result.stopped,
        "saturated": sum(record["saturated"] for record in result.history),
    }
    if result.stopped == "interrupted":
        kept = checkpoint or (output and output.with_name(f"{output.name}.checkpoint"))
        if kept and not checkpoint:
            save_checkpoint(kept, result.model, result.state, result.extra)
        summary["checkpoint"] = kept and str(kept)
    elif output:
        save(_signed(result, summary), output)
        summary["model"] = str(output)
    report(summary, json)
    _advise(result, summary)
    if result.stopped == "interrupted":
        raise typer.Exit(INTERRUPTED)


def make_rule(
    name: str, model: Model, learning_rate: str | None, common: Given, given: Given
) -> Rule:
    """Make a rule from what was asked for.

    Args:
        name: with hyphens or underscores.
        model: for the default learning rate.
        learning_rate: text, or None.
        common: options of every rule.
        given: options of some rules; those that are None were not asked for.

    Raises:
        ValueError: if the rule does not have one of them; it names both.
    """
    key = options.canonical(name, RULES, "--rule")
    kind = RULES[key]
    asked = {option: value for option, value in given.items() if value is not None}
    known = inspect.signature(kind).parameters
    for option in asked:
        if option not in known:
            raise ValueError(f"--{option.replace('_', '-')} is no option of the rule {key}")
    loss: Loss = "cross_entropy" if model.task == "classify" else "squared_error"
    if key == "forward_gradient" and model.graph.output.op != "dense":
        asked.setdefault("head", "same")
    rule = kind(settings=Settings(**common, loss=loss), **asked)  # type: ignore[call-arg]
    if learning_rate is None:
        return configured(rule, learning_rate=defaults.learning_rate(rule, model.graph))
    return configured(rule, learning_rate=options.number(learning_rate))


def _progress(
    update: Callable[[int, int], None], steps: int | None, epochs: int | None, samples: int,
    batch: int,
) -> OnStep:  # fmt: skip
    """Return a callback that moves the progress bar."""
    total = steps or (epochs or 1) * max(samples // batch, 1)
    return lambda step, model, state: update(step, total)


def _signed(result: Result, summary: Given) -> Model:
    """Return the trained model with a line of its history."""
    line = Training(summary["rule"], summary["steps"], summary["trace"])
    return replace(result.model, history=(*result.model.history, str(line)))


def _advise(result: Result, summary: Given) -> None:
    """Say what a person should know about a run."""
    if result.stopped == "interrupted":
        kept = summary["checkpoint"]
        note(
            f"interrupted after {result.steps} steps; "
            + (f"go on with --resume {kept}" if kept else "nothing kept: no -o, no --checkpoint")
        )
    if saturated := summary["saturated"]:
        note(f"{saturated} updates were saturated: a smaller --learning-rate may be better")
