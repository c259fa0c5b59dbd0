"""`edgetrain train`: fine-tune or train a model with a learning rule."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetrain.cli import options
from edgetrain.cli.console import Bar, note, report
from edgetrain.cli.rule_options import accepts_rules, make_rule
from edgetrain.evaluate import evaluate, targets
from edgetrain.files import check_writable, save, save_checkpoint
from edgetrain.history import Training
from edgetrain.journal_header import checked
from edgetrain.rules import RULES
from edgetrain.state import trace
from edgetrain.train import OnStep, Result, fit
from edgetrain.trial import steady
from edgetrain.watch import CHECKPOINT_STEPS, Options

Given = dict[str, Any]
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


@accepts_rules
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
    validation: Annotated[float, typer.Option(help="Share held out and measured.")] = 0.0,
    patience: Annotated[int, typer.Option(help="Epochs without progress; 0: never stop.")] = 0,
    checkpoint: Annotated[Path | None, typer.Option(help="Written while training.")] = None,
    checkpoint_every: Annotated[int, typer.Option(min=1, help="Steps.")] = CHECKPOINT_STEPS,
    resume: Annotated[Path | None, typer.Option(help="A checkpoint to go on from.")] = None,
    journal: Annotated[
        Path | None,
        typer.Option(help="Forward-gradient in weight space: a few bits a step; see `replay`."),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Lines of JSON, one an epoch.")] = None,
    trace_every: Annotated[
        int, typer.Option("--trace-every", "--trace", help="Log the trace of every so many steps.")
    ] = 0,
    input_: options.Input = None,
    backend: options.Backend = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    **asked: Any,
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
    network, found = options.model_and_data(model, data, input_)
    chosen = make_rule(rule, network, learning_rate, asked, schedule=schedule, batch=batch)
    if output:
        check_writable(output)
    watch = Options(
        validation=validation, patience=patience, checkpoint=checkpoint,
        checkpoint_every=checkpoint_every, resume=resume, log=log, trace_every=trace_every,
        journal=journal,
    )  # fmt: skip
    if journal:
        checked(chosen)
        options.int8_model(model)  # a replay starts from this file
    name, ops = options.backend(backend)
    targets(network, found.x_train, found.y_train, "y_train")
    before = evaluate(None, network, None, found.x_test, found.y_test, ops=ops)
    if learning_rate is None:
        wanted, chosen = chosen, steady(chosen, network, found, ops=ops, seed=seed, batch=batch)
        if chosen != wanted:
            note(f"at the learning rate {wanted.settings.learning_rate:g} updates saturate: "
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
        line = Training(summary["rule"], summary["steps"], summary["trace"])
        save(line.signed(result.model), output)
        summary["model"] = str(output)
    report(summary, json)
    _advise(result, summary)
    if result.stopped == "interrupted":
        raise typer.Exit(INTERRUPTED)


def _progress(
    update: Callable[[int, int], None], steps: int | None, epochs: int | None, samples: int,
    batch: int,
) -> OnStep:  # fmt: skip
    """Return a callback that moves the progress bar."""
    total = steps or (epochs or 1) * max(samples // batch, 1)
    return lambda step, model, state: update(step, total)


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
