"""`edgetrain delta` and `edgetrain apply`: what a training changed, as a file."""

from pathlib import Path
from typing import Annotated

import typer

from edgetrain import delta as change
from edgetrain.cli import options
from edgetrain.cli.console import report
from edgetrain.errors import FileError
from edgetrain.files import check_writable, read_bytes, save, write_whole
from edgetrain.state import State, trace

DeltaPath = Annotated[Path, typer.Argument(help="From `edgetrain delta`.")]
DeltaOutput = Annotated[Path, typer.Option("--output", "-o", help="The delta to write.")]


def delta(
    old: options.ModelPath,
    new: options.ModelPath,
    output: DeltaOutput,
    json: options.Json = False,
) -> None:
    """Write what makes the model NEW of the model OLD: compressed, with the traces of both.

    Example: `edgetrain delta base.safetensors tuned.safetensors -o tuned.delta`
    """
    before, after = options.int8_model(old), options.int8_model(new)
    check_writable(output)
    content = change.delta(before, after)
    write_whole(output, content)
    found = {
        "base": trace(before, State()), "result": trace(after, State()), "bytes": len(content),
        "bits_a_parameter": 8 * len(content) / after.graph.parameters, "delta": str(output),
    }  # fmt: skip
    report(found, json)


def apply(
    base: options.ModelPath,
    delta: DeltaPath,
    output: options.Output,
    json: options.Json = False,
) -> None:
    """Make the new model of its base and a delta; a delta of another base is refused.

    Example: `edgetrain apply base.safetensors tuned.delta -o tuned.safetensors`
    """
    model = options.int8_model(base)
    check_writable(output)
    try:
        made = change.apply(model, read_bytes(delta))
    except FileError as error:
        raise FileError(f"{delta} cannot be applied: {error}") from error
    save(made, output)
    report({"result": trace(made, State()), "model": str(output)}, json)
