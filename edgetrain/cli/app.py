"""The application: one table of verbs."""

from collections.abc import Callable
from typing import Any

import typer

from edgetrain import __version__
from edgetrain.cli import (
    analyze,
    bench,
    delta,
    demo,
    doctor,
    evaluate,
    export,
    heads,
    import_model,
    new,
    parity,
    quantize,
    replay,
    test_device,
    train,
)

VERBS: dict[str, Callable[..., Any]] = {
    "demo": demo.demo,
    "new": new.new,
    "import": import_model.import_model,
    "quantize": quantize.quantize,
    "heads": heads.heads,
    "train": train.train,
    "replay": replay.replay,
    "delta": delta.delta,
    "apply": delta.apply,
    "evaluate": evaluate.evaluate,
    "export": export.export,
    "analyze": analyze.analyze,
    "test-device": test_device.run_suite,
    "bench": bench.bench,
    "parity": parity.parity,
    "doctor": doctor.doctor,
}

app = typer.Typer(
    name="edgetrain",
    help="Train neural networks on the device itself, in pure integers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def show_version(wanted: bool) -> None:
    """Print the version and stop."""
    if wanted:
        typer.echo(f"edgetrain {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: bool = typer.Option(
        False, "--version", callback=show_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Train neural networks on the device itself, in pure integers."""


for name, verb in VERBS.items():
    app.command(name)(verb)
