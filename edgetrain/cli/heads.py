"""`edgetrain heads`: classifiers for early blocks, made on the host."""

from typing import Annotated

import typer

from edgetrain.cli import options
from edgetrain.cli.console import report
from edgetrain.files import check_writable, save
from edgetrain.make_heads import make_heads


def heads(
    model: options.ModelPath,
    data: options.DataPath,
    output: options.Output,
    blocks: options.Blocks = "auto",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the source data.")] = 3,
    input_: options.Input = None,
    backend: options.Backend = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Make the heads that mono-forward learns from, on source data, and put them into the model.

    Example: `edgetrain heads int8.safetensors --data source.npz -o shipped.safetensors`
    """
    network = options.int8_model(model)
    found = options.data_for(data, input_, network)
    check_writable(output)
    _, ops = options.backend(backend)
    made = make_heads(network, found, ops, blocks=options.choice(blocks), epochs=epochs, seed=seed)
    save(made, output)
    bytes_ = sum(part.nbytes for head in made.heads.values() for part in head)
    report({"heads": list(made.heads), "bytes": bytes_, "model": str(output)}, json)
