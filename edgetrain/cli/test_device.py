"""`edgetrain test-device`: a model on emulated and real boards, bit for bit."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edgetrain.cli import options
from edgetrain.cli.console import Bar, note, report, table
from edgetrain.cli.folder import write_folder
from edgetrain.cli.rule_options import accepts_rules, make_rule
from edgetrain.data import load
from edgetrain.device_tests.boards import BOARDS, board_named, missing
from edgetrain.device_tests.junit import junit, numbers
from edgetrain.device_tests.lesson import Lesson, draw, take
from edgetrain.device_tests.network import export_network, firmware
from edgetrain.device_tests.suite import Verdict, examine
from edgetrain.errors import BackendError
from edgetrain.evaluate import targets
from edgetrain.files import check_writable, write_whole
from edgetrain.model import Model
from edgetrain.rules import Rule

ALL = "all"
NUMBERS = ("inference_instructions", "step_instructions", "flash_bytes", "code_bytes",
           "state_bytes", "arena_bytes", "stack_bytes")  # fmt: skip


@accepts_rules
def run_suite(
    model: Annotated[
        Path | None, typer.Argument(help="An int8 model file, from `quantize` or `train`.")
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(help="A name of --list; all that can run here; or serial:PORT[@BAUD]."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the boards, and stop.")] = False,
    rule: Annotated[str, typer.Option(help="What learns on the device.")] = "mono-forward",
    batch: Annotated[int, typer.Option(min=1, help="Samples of a training step.")] = 1,
    learning_rate: Annotated[str | None, typer.Option(help="Of the rule.")] = None,
    schedule: Annotated[str, typer.Option(help="constant, linear or steps.")] = "constant",
    schedule_steps: Annotated[
        int | None, typer.Option(min=1, help="Over which a linear or steps schedule runs.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps, after any warm-up.")] = 20,
    samples: Annotated[int, typer.Option(min=1, help="To infer, before and after training.")] = 4,
    data: Annotated[
        Path | None, typer.Option("--data", help="As `train` takes it; random codes without it.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds until a check hangs.")] = 120.0,
    write_firmware: Annotated[
        Path | None, typer.Option(help="serial: write the C to flash into this folder, and stop.")
    ] = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", help="Write the verdict as JUnit XML.")
    ] = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    **asked: Any,
) -> None:
    """Run a model and its learning on a board and compare every bit with NumPy.

    Checks the kernels, inference, every training step and saves whose power is cut; prints
    PASS or FAIL, instructions and bytes. The exit code is 1 if a check fails. Boards are emulated
    (`pip install 'edgetrain[device]'`), or real ones behind a serial port: write the firmware with
    --write-firmware, give it two functions (its serial.h says which), flash it, and test it.

    Example: `edgetrain test-device tuned.safetensors --board cortex-m4 --rule mono-forward`
    """
    if list_:
        _list(json)
        return
    if model is None or (board is None and write_firmware is None):
        raise ValueError("give a model and --board NAME; --list lists the boards")
    chosen = _chosen(board) if board else []
    network = options.int8_model(model)
    if schedule != "constant" and schedule_steps is None:
        raise ValueError(f"--schedule {schedule} needs --schedule-steps, over which it runs")
    learns = make_rule(
        rule, network, learning_rate, asked, schedule=schedule, steps=schedule_steps or 0,
        batch=batch,
    )  # fmt: skip
    export_network(network, learns, batch, seed)  # what cannot be C is refused at once
    if write_firmware is not None:
        _write(write_firmware, firmware(network, learns, batch, seed), json)
        return
    if junit_file:
        check_writable(junit_file)
    lesson = _lesson(network, learns, data, batch, seed, steps, samples)
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            verdicts.append(_verdict(name, lesson, Path(folder), timeout))
            if not json:
                _show(verdicts[-1])
    if junit_file:
        write_whole(junit_file, junit(verdicts))
    _sum_up(verdicts, json)
    if not all(verdict.passed for verdict in verdicts):
        raise typer.Exit(1)


def _sum_up(verdicts: list[Verdict], json: bool) -> None:
    """Print what was counted and measured, or all as JSON."""
    if json:
        passed = all(verdict.passed for verdict in verdicts)
        report({"passed": passed, "boards": {v.board: _values(v) for v in verdicts}}, True)
        return
    heads = ("board", *(name.partition("_")[0] for name in NUMBERS))
    if rows := [_row(verdict) for verdict in verdicts if numbers(verdict)]:
        table("instructions of an inference and a step, and bytes", heads, rows)


def _list(json: bool) -> None:
    """Say which boards there are and what each lacks here."""
    lacks = {name: missing(board) for name, board in BOARDS.items()}
    if json:
        report({"boards": lacks}, True)
        return
    rows = [[name, "; ".join(found) or "ready"] for name, found in lacks.items()]
    table("boards", ("board", "here"), rows)


def _chosen(board: str) -> list[str]:
    """Return the names of the boards to test on.

    Raises:
        ValueError: if there is no such board.
        BackendError: if a tool is missing; with the command that brings it.
    """
    if board == ALL:
        if ready := [name for name, found in BOARDS.items() if not missing(found)]:
            return ready
        raise BackendError("no board can run here: pip install 'edgetrain[device]'")
    if lacks := missing(board_named(board)):
        raise BackendError(f"{board} cannot run here: {'; '.join(lacks)}")
    return [board]


def _lesson(
    network: Model, rule: Rule, data: Path | None, batch: int, seed: int, steps: int, samples: int
) -> Lesson:
    """Take samples from data, or draw them."""
    if data is None:
        return draw(network, rule, batch, seed, steps, samples)
    found = load(data, for_model=network.graph.input_shape)
    y = targets(network, found.x_train, found.y_train, "y_train")
    codes = network.quantize_input(found.x_train)
    return take(network, rule, codes, y, batch, seed, steps, samples)


def _write(folder: Path, files: dict[str, bytes], json: bool) -> None:
    """Write the firmware, and say what it lacks."""
    write_folder(folder, files)
    report({"files": [str(folder / file) for file in files]}, json)
    note(f"add two functions for the port of your board: {folder / 'serial.h'} says which")


def _verdict(name: str, lesson: Lesson, folder: Path, timeout: float) -> Verdict:
    """Run the suite on a board, with a bar."""
    with Bar(name) as update:
        return examine(name, lesson, folder, timeout, update)


def _show(verdict: Verdict) -> None:
    """Print a verdict, and below it what failed."""
    rows = [
        [check.name, "see below" if check.outcome == "fail" else check.detail,
         f"{check.seconds:.1f}", check.outcome.upper()]
        for check in verdict.checks
    ]  # fmt: skip
    title = f"{verdict.board}: {'PASS' if verdict.passed else 'FAIL'}"
    table(title, ("check", "what", "s", "result"), rows)
    for check in verdict.checks:
        if check.outcome == "fail":
            typer.echo(f"{verdict.board}: {check.name}: {check.detail}")


def _values(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON has it."""
    checks = [asdict(check) for check in verdict.checks]
    return {"passed": verdict.passed, "checks": checks, **numbers(verdict)}


def _row(verdict: Verdict) -> list[str]:
    """Write what was counted and measured."""
    found = numbers(verdict)
    return [verdict.board, *(f"{found[n]:,}" if n in found else "-" for n in NUMBERS)]
