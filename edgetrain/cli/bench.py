"""`edgetrain bench`: how fast this machine is, beside what is installed."""

import platform
from typing import Annotated, Any

import typer

from edgetrain.benchmark.measure import GROUPS, How, Record
from edgetrain.benchmark.rivals import MODULES, installed
from edgetrain.cli import options
from edgetrain.cli.console import note, report, table


def bench(
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"One of {', '.join(GROUPS)}; can be given more than once."),
    ] = None,
    threads: Annotated[
        int,
        typer.Option(min=1, help="Threads of the others; edgetrain uses one."),
    ] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Bursts of 3 ms a candidate.")] = 30,
    backend: options.Backend = None,
    seed: options.Seed = 0,
    json: options.Json = False,
) -> None:
    """Time kernels, inference and training steps, beside torch, ONNX Runtime and LiteRT.

    All candidates of a case run in turn, in bursts; a ratio is the median of their ratios within
    a round: above 1, edgetrain is faster. What is not installed is not compared with.

    Example: `edgetrain bench --only steps`
    """
    name, ops = options.backend(backend)
    chosen = [options.canonical(group, GROUPS, "--only") for group in only or GROUPS]
    here = installed()
    for package in MODULES:
        if package not in here:
            note(f"{package} is not installed: not compared with")
    records = []
    for group in chosen:
        found = []
        for record in GROUPS[group](How(ops, rounds, threads, seed)):
            found.append(record)
            note(f"{group}: {record['case']}")
        records += found
        if not json:
            _print(group, found)
    if json:
        about = {"backend": name, "machine": platform.machine(), "threads": threads,
                 "versions": dict(here)}  # fmt: skip
        report(about | {"results": records}, True)


def _print(group: str, records: list[Record]) -> None:
    """Print one table: a column a candidate."""
    kind = "bytes" if group == "memory" else "times"
    names = list(dict.fromkeys(name for record in records for name in record[kind]))
    rows = [
        [record["case"], *(_cell(record[kind].get(name)) for name in names)] for record in records
    ]
    unit = "bytes" if group == "memory" else "microseconds (times the first)"
    table(f"{group}, {unit}", ("", *names), rows)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{1e6 * value['seconds']:,.1f} ({value['ratio']:.2f})"
