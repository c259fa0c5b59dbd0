"""`edgetrain analyze`: what training will cost, before it starts."""

from dataclasses import asdict
from typing import Annotated

import typer

from edgetrain.cli import device_memory, options
from edgetrain.cli.console import note, report, table
from edgetrain.exporters.c_writing.memory import Memory
from edgetrain.exporters.c_writing.targets import TARGETS
from edgetrain.memory import Forecast, plans
from edgetrain.model import Model
from edgetrain.rules import RULES
from edgetrain.settings import Settings

HEADS = ("rule", "blocks", "weights, B", "state, B", "arena, B", "of backprop", "MACs a step")
ON_DEVICE = {
    "RAM": ("weights_ram", "state_ram", "arena", "stack", "ram"),
    "flash": ("weights_flash", "constants_flash", "code", "flash"),
}
"""A table a kind of memory; its columns, the last is their sum."""


def analyze(
    model: options.ModelPath,
    batch: Annotated[int, typer.Option(min=1, help="Samples a step.")] = 1,
    weights: Annotated[str, typer.Option(help="w8 or w16.")] = "w8",
    train: Annotated[
        str, typer.Option(help="Which layers learn: all, a number of last ones, or names.")
    ] = "all",
    bits: Annotated[int, typer.Option(help="Of a smooth activation's derivative.")] = 3,
    rule: Annotated[str | None, typer.Option(help="Show this rule only.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help=f"What exported C takes on a device: {', '.join(TARGETS)}."),
    ] = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Forecast bytes and multiplications of inference and of every rule and block choice.

    Example: `edgetrain analyze model.safetensors --batch 1 --weights w16 --target cortex-m4`
    """
    network = options.int8_model(model)
    form = options.canonical(weights, ("w8", "w16"), "--weights")
    settings = Settings(
        weights="w16" if form == "w16" else "w8", train=options.selection(train), bits=bits
    )
    wanted = "" if rule is None else options.canonical(rule, RULES, "--rule")
    if target is not None:
        _on_device(network, batch, settings, options.target(target), wanted, json)
        return
    rows = [row for row in plans(network, batch, settings) if row.rule.startswith(wanted)]
    graph = network.graph
    if json:
        report(
            {"parameters": graph.parameters, "macs": graph.macs, "batch": batch,
             "plans": [asdict(row) for row in rows]},
            True,
        )  # fmt: skip
        return
    title = f"{graph.parameters:,} parameters, {graph.macs:,} MACs an inference, batch {batch}"
    backprop = next((row.arena_bytes for row in rows if row.rule == "backprop"), 0)
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


def _on_device(
    model: Model, batch: int, settings: Settings, target: str, rule: str, json: bool
) -> None:
    """Report what exported C takes on a device."""
    _, compiler = device_memory.compiler(target)
    note(
        f"stack and code are what {compiler} -O2 makes of the exported C"
        if compiler
        else f"no compiler for {target} is here: stack and code are upper bounds"
    )
    rows = list(device_memory.rows(model, batch, settings, target, rule))
    if json:
        plans_ = [asdict(row) | {"memory": row.memory and _numbers(row.memory)} for row in rows]
        report({"target": target, "batch": batch, "compiler": compiler, "plans": plans_}, True)
        return
    for kind, columns in ON_DEVICE.items():
        heads = ("rule", "blocks", *(column.split("_")[0] for column in columns[:-1]), "in all")
        cells = [_device_cells(row, columns) for row in rows]
        table(f"bytes of {kind} on {target}, batch {batch}", heads, cells)
    for row in rows:
        if row.refused:
            typer.echo(f"{row.rule}: {row.refused}")


def _numbers(memory: Memory) -> dict[str, int]:
    return asdict(memory) | {"ram": memory.ram, "flash": memory.flash}


def _device_cells(row: device_memory.Row, columns: tuple[str, ...]) -> list[str]:
    """Write one row."""
    if row.memory is None:
        return [row.rule, row.blocks, *["cannot"] * len(columns)]
    return [row.rule, row.blocks, *(f"{getattr(row.memory, column):,}" for column in columns)]
