"""`edgetrain replay`: the exact weights of a run, from its base model and its journal."""

import time
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from edgetrain import replay as again
from edgetrain.cli import options
from edgetrain.cli.console import note, report, table
from edgetrain.errors import EdgetrainError, FileError
from edgetrain.files import check_writable, load_checkpoint, save, save_checkpoint
from edgetrain.fleet import replay_many
from edgetrain.history import Training
from edgetrain.journal import Journal, load_journal
from edgetrain.model import Model
from edgetrain.state import trace

SUFFIX = ".journal"
JournalPath = Annotated[Path | None, typer.Argument(help="From `train --journal`, or of a device.")]


def replay(
    base: options.ModelPath,
    journal: JournalPath = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The model file to write; with --many, a folder."),
    ] = None,
    many: Annotated[
        Path | None, typer.Option(help=f"A folder: replay every *{SUFFIX} in it.")
    ] = None,
    step: Annotated[
        int | None, typer.Option(min=0, help="Stop after so many steps of the run.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Save model and state here, to go on from with --resume.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="A checkpoint of the same run to go on from.")
    ] = None,
    backend: options.Backend = None,
    json: options.Json = False,
) -> None:
    """Make the exact weights of a run again, without its data, and check them against its traces.

    Example: `edgetrain replay base.safetensors device7.journal -o device7.safetensors`
    """
    if (journal is None) == (many is None):
        raise ValueError("give the file of a journal, or --many with a folder of them")
    if many and (checkpoint or resume or output is None):
        raise ValueError("--many takes -o with a folder, and neither --checkpoint nor --resume")
    model = options.int8_model(base)
    name, ops = options.backend(backend)
    if many:
        assert output is not None
        _many(model, many, output, step, ops, name, json)
        return
    assert journal is not None
    for path in (output, checkpoint):
        if path:
            check_writable(path)
    found = load_journal(journal, step)
    start = load_checkpoint(resume)[:2] if resume else None
    started = time.perf_counter()
    tuned, state = again.replay(model, found, ops=ops, step=step, start=start)
    seconds = time.perf_counter() - started
    if found.dropped:
        note(f"the journal was cut: {found.dropped} bytes behind step {found.steps} were dropped")
    summary = _summary(tuned, state.step, trace(tuned, state), output)
    if checkpoint:
        save_checkpoint(checkpoint, tuned, state)
        summary["checkpoint"] = str(checkpoint)
    taken = state.step - (start[1].step if start else 0)
    speed = {"seconds": round(seconds, 3), "steps_a_second": round(taken / max(seconds, 1e-9), 1)}
    report({**summary, "dropped_bytes": found.dropped, "backend": name, **speed}, json)


def _summary(model: Model, steps: int, traced: str, output: Path | None) -> dict[str, Any]:
    """Save a model with a line of its history; return what there is to say."""
    found: dict[str, Any] = {"steps": steps, "trace": traced}
    if output:
        save(Training("forward_gradient", steps, traced).signed(model), output)
        found["model"] = str(output)
    return found


def _many(
    model: Model, folder: Path, output: Path, step: int | None, ops: ModuleType, name: str,
    json: bool,
) -> None:  # fmt: skip
    """Replay a fleet; a journal that cannot be replayed does not keep the others from it."""
    journals = sorted(folder.glob(f"*{SUFFIX}"))
    if not journals:
        raise ValueError(f"{folder} holds no file *{SUFFIX}")
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise FileError(f"{output} cannot be a folder: {error.strerror}") from error
    started = time.perf_counter()
    results: dict[str, dict[str, Any]] = {path.name: {} for path in journals}
    read: dict[Path, Journal] = {}
    for path in journals:
        try:
            read[path] = load_journal(path, step)
        except EdgetrainError as error:
            results[path.name]["error"] = str(error)
    runs = replay_many(
        model, read, ops=ops, step=step,
        on_retry=lambda size: note(f"the GPU is out of memory: going on with {size} at once"),
    )  # fmt: skip
    for path, run in runs:
        if isinstance(run, EdgetrainError):
            results[path.name]["error"] = str(run)
            continue
        tuned, state = run
        target = output / f"{path.stem}.safetensors"
        results[path.name] = _summary(tuned, state.step, trace(tuned, state), target)
        results[path.name]["dropped_bytes"] = read[path].dropped
    failed = sum("error" in result for result in results.values())
    seconds = time.perf_counter() - started
    steps = sum(result.get("steps", 0) for result in results.values())
    if json:
        report({"replayed": len(results) - failed, "failed": failed, "backend": name,
                "seconds": round(seconds, 3), "steps_a_second": round(steps / seconds, 1),
                "journals": results}, json)  # fmt: skip
    else:
        rows = [
            [journal, str(r.get("steps", "")), r.get("trace", ""), r.get("error", "")]
            for journal, r in results.items()
        ]
        table(f"{len(results) - failed} of {len(results)} replayed",
              ["journal", "steps", "trace", "error"], rows)  # fmt: skip
    if failed:
        raise typer.Exit(1)
