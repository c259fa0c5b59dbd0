"""`edgetrain analyze`: what training will cost, before it starts."""

from dataclasses import asdict
from typing import Annotated

import typer

from edgetrain.cli import options
from edgetrain.cli.console import report, table
from edgetrain.memory import Forecast, plans
from edgetrain.settings import Settings

HEADS = ("rule", "blocks", "weights, B", "state, B", "arena, B", "of backprop", "MACs a step")


def analyze(
    model: options.ModelPath,
    batch: Annotated[int, typer.Option(min=1, help="Samples a step.")] = 1,
    weights: Annotated[str, typer.Option(help="w8 or w16.")] = "w8",
    train: Annotated[
        str, typer.Option(help="Which layers learn: all, a number of last ones, or names.")
    ] = "all",
    bits: Annotated[int, typer.Option(help="Of a smooth activation's derivative.")] = 3,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Forecast bytes and multiplications of inference and of every rule and block choice.

    Example: `edgetrain analyze model.safetensors --batch 1 --weights w16`
    """
    network = options.int8_model(model)
    form = options.canonical(weights, ("w8", "w16"), "--weights")
    settings = Settings(
        weights="w16" if form == "w16" else "w8", train=options.selection(train), bits=bits
    )
    rows = plans(network, batch, settings)
    graph = network.graph
    if json:
        report(
            {"parameters": graph.parameters, "macs": graph.macs, "batch": batch,
             "plans": [asdict(row) for row in rows]},
            True,
        )  # fmt: skip
        return
    title = f"{graph.parameters:,} parameters, {graph.macs:,} MACs an inference, batch {batch}"
    backprop = next(row.arena_bytes for row in rows if row.rule == "backprop")
    table(title, HEADS, [_cells(row, backprop) for row in rows])
    for row in rows:
        if row.refused:
            typer.echo(f"{row.rule}: {row.refused}")


def _cells(row: Forecast, backprop: int) -> list[str]:
    """Write one row."""
    if row.refused:
        return [row.rule, row.blocks, *["cannot"] * (len(HEADS) - 2)]
    share = f"{100 * row.arena_bytes / backprop:.0f} %" if backprop else "-"
    return [
        row.rule, row.blocks, f"{row.weights_bytes:,}", f"{row.state_bytes:,}",
        f"{row.arena_bytes:,}", share, f"{row.macs_per_step:,}",
    ]  # fmt: skip
