"""`edgetrain quantize`: a float model to an int8 one."""

from typing import Annotated

import typer

from edgetrain.cli import options
from edgetrain.cli.console import report
from edgetrain.errors import ModelError
from edgetrain.evaluate import evaluate
from edgetrain.files import check_writable, save
from edgetrain.make_heads import make_heads
from edgetrain.model import Model
from edgetrain.quantize import quantize as quantize_model


def quantize(
    model: options.ModelPath,
    data: options.DataPath,
    output: options.Output,
    method: Annotated[
        str, typer.Option(help="Of calibration: min_max, or percentile to cut off outliers.")
    ] = "min_max",
    percentile: Annotated[float, typer.Option(help="Of the values that stay inside.")] = 99.9,
    headroom: Annotated[float, typer.Option(help="Room to grow while training, 1 to 8.")] = 1.0,
    samples: Annotated[int, typer.Option(help="Training samples to calibrate with.", min=1)] = 512,
    heads: Annotated[
        str | None,
        typer.Option(help="Make heads for these blocks too: auto, residual, a number, names."),
    ] = None,
    input_: options.Input = None,
    backend: options.Backend = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Quantize a float model to int8, calibrated with training data.

    Example: `edgetrain quantize float.safetensors --data train.npz --heads auto -o int8.st`
    """
    network = options.load_model(model)
    if isinstance(network, Model):
        raise ModelError(f"{model} is an int8 model already")
    found = options.data_for(data, input_, network)
    check_writable(output)
    _, ops = options.backend(backend)
    task = options.task_of(network, found)
    key = options.canonical(method, ("min_max", "percentile"), "--method")
    int8 = quantize_model(
        network, found.x_train[:samples],
        method="percentile" if key == "percentile" else "min_max",
        percentile=percentile, headroom=headroom, task=task,
    )  # fmt: skip
    if heads is not None:
        int8 = make_heads(int8, found, ops, blocks=options.choice(heads), seed=seed)
    measured = evaluate(None, int8, None, found.x_test, found.y_test, ops=ops)
    save(int8, output)
    report(
        {**measured, "parameters": int8.graph.parameters, "heads": list(int8.heads),
         "model": str(output)},
        json,
    )  # fmt: skip
