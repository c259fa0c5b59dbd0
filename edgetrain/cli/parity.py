"""`edgetrain parity`: the same training on every backend, compared after every step."""

from collections.abc import Callable
from types import ModuleType
from typing import Annotated, Any

import typer

from edgetrain import exporters, kernels
from edgetrain.cli import options
from edgetrain.cli.console import Bar, report, table
from edgetrain.cli.rule_options import accepts_rules, make_rule
from edgetrain.errors import BackendError
from edgetrain.model import Model
from edgetrain.parity import Row, Stepper, compare, synthetic
from edgetrain.rules import RULES, Rule

HEADS = ("backend", "steps equal", "first difference", "steps a second")


@accepts_rules
def parity(
    model: options.ModelPath,
    rule: Annotated[str, typer.Option(help=", ".join(RULES))] = "mono_forward",
    steps: Annotated[int, typer.Option(min=1, help="Training steps.")] = 100,
    backends: Annotated[
        str,
        typer.Option(
            help="Names with commas, the first is what the others must equal; also "
            f"{', '.join(exporters.STEPPERS).replace('_', '-')}, exported files in their runtime."
        ),
    ] = ",".join(kernels.BACKENDS),
    batch: Annotated[int, typer.Option(min=1, help="Samples a step.")] = 4,
    learning_rate: Annotated[str | None, typer.Option(help="A number, or a power as 2^-6.")] = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    **asked: Any,
) -> None:
    """Train on random codes with every backend that runs here; exit with 1 on any difference.

    All parameters, all state and the loss are compared after every step.

    Example: `edgetrain parity model.safetensors --rule backprop --steps 1000 --backends numpy,c`
    """
    network = options.int8_model(model)
    chosen = make_rule(rule, network, learning_rate, asked, batch=batch, steps=steps)
    names = list(dict.fromkeys(backends.split(",")))
    loaded, absent = _load(names, lambda name: _backend(name, network, chosen, batch, seed))
    batches = synthetic(network, steps, batch, seed)
    with Bar("parity") as update:
        rows = compare(
            chosen, network, batches, loaded, seed=seed,
            on_step=lambda step: update(step, steps),
        )  # fmt: skip
    if json:
        found = [_record(row) for row in rows]
        found += [{"backend": name, "missing": why} for name, why in absent.items()]
        report({"rule": options.canonical(rule, RULES, "--rule"), "steps": steps,
                "backends": found}, json)  # fmt: skip
    else:
        cells = [
            [row.backend, f"{row.equal:,}", str(row.difference or "none"),
             f"{row.steps_a_second:,.1f}" if row.steps_a_second else "-"]
            for row in rows
        ]  # fmt: skip
        cells += [[name, "not run", why, "-"] for name, why in absent.items()]
        table(f"{rule}, {steps:,} steps", HEADS, cells)
    if any(row.difference for row in rows):
        raise typer.Exit(1)


Backend = ModuleType | Stepper


def _backend(name: str, model: Model, rule: Rule, batch: int, seed: int) -> Backend:
    """Load a backend, or the file of a format that trains itself in its runtime."""
    format_ = name.replace("-", "_")
    if format_ in exporters.STEPPERS:
        return exporters.stepper(format_, model, rule, batch, seed)
    return kernels.load(name)


def _load(
    names: list[str], load: Callable[[str], Backend]
) -> tuple[dict[str, Backend], dict[str, str]]:
    """Load backends; return those that run here, and why the others do not."""
    loaded, absent = {}, {}
    for name in names:
        try:
            loaded[name] = load(name)
        except BackendError as error:
            absent[name] = str(error)
    if len(loaded) < 2:
        why = "; ".join(absent.values()) or "name another with --backends"
        raise ValueError(f"parity needs two backends that run here, got {len(loaded)}: {why}")
    return loaded, absent


def _record(row: Row) -> dict[str, Any]:
    """Return a row as JSON."""
    return {
        "backend": row.backend,
        "steps_equal": row.equal,
        "difference": row.difference and row.difference._asdict(),
        "steps_a_second": row.steps_a_second and round(row.steps_a_second, 2),
    }
