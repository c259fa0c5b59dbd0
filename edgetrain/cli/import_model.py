"""`edgetrain import`: a model of another format, as a model file of ours."""

from pathlib import Path
from typing import Annotated

import typer

from edgetrain import exporters
from edgetrain.cli import options
from edgetrain.cli.console import note, report
from edgetrain.description import TASKS
from edgetrain.files import check_writable, save
from edgetrain.model import Model


def import_model(
    file: Annotated[Path, typer.Argument(help="An .onnx or .tflite file, float or int8.")],
    output: options.Output,
    task: Annotated[
        str | None,
        typer.Option(help=f"What it is for: {', '.join(TASKS)}; guessed from its outputs."),
    ] = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Import an ONNX or TensorFlow Lite model; an int8 one keeps its integers and scales.

    A PyTorch module comes in from Python, with `edgetrain.from_torch(module, example)`.

    Example: `edgetrain import resnet8.tflite -o resnet8.safetensors`
    """
    network = exporters.read(file, task)
    check_writable(output)
    save(network, output)
    graph = network.graph
    int8 = isinstance(network, Model)
    report(
        {
            "kind": "int8" if int8 else "float", "task": network.task,
            "parameters": graph.parameters, "macs": graph.macs, "nodes": len(graph.nodes),
            "input": "x".join(map(str, graph.input_shape)), "outputs": graph.output_size,
            "softmax": network.softmax, "model": str(output),
        },
        json,
    )  # fmt: skip
    if not int8:
        note(f"a float model: `edgetrain quantize {output} --data DATA -o OUT` makes it int8")
