"""`edgetrain export`: a model as files for other runtimes."""

from pathlib import Path
from typing import Annotated

import typer

from edgetrain import exporters
from edgetrain.cli import options
from edgetrain.cli.console import note, report
from edgetrain.errors import FileError
from edgetrain.files import check_writable, write_whole
from edgetrain.model import Model


def export(
    model: options.ModelPath,
    to: Annotated[str, typer.Option("--to", help=", ".join(exporters.EXPORTERS))],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write into.")],
    form: Annotated[
        str | None,
        typer.Option(
            help="onnx: exact (int8 in and out, our bytes; the default of an int8 model), qdq "
            "(float in and out, fast, at most 1 off in a layer), float (of a float model)."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Of the model and its files; by default the model file's.")
    ] = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Export a model as ONNX or TensorFlow Lite.

    Example: `edgetrain export tuned.safetensors --to tflite -o exported`
    """
    network = options.load_model(model)
    format_ = options.canonical(to, exporters.EXPORTERS, "--to")
    files = exporters.write(network, format_, name or model.stem, form)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{output} cannot be a folder: {error.strerror}") from error
    for file in files:
        check_writable(output / file)
    for file, content in files.items():
        write_whole(output / file, content)
    report(
        {"files": [str(output / file) for file in files], "bytes": sum(map(len, files.values()))},
        json,
    )
    if isinstance(network, Model) and network.heads:
        note("the heads of early blocks stay behind: they are for training, not for inference")
