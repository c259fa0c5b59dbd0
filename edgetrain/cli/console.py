"""What people and programs see: tables and notes, or one JSON object on the last line."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

PIPE_WIDTH = 110
"""Width of a table that does not go to a terminal."""


def note(text: str) -> None:
    """Say something that is not part of the result, on the error stream."""
    typer.echo(f"edgetrain: {text}", err=True)


def report(found: dict[str, Any], as_json: bool) -> None:
    """Print a result: JSON on one line, or a line a name."""
    if as_json:
        typer.echo(json.dumps(found))
        return
    for name, value in found.items():
        text = f"{value:.4f}" if isinstance(value, float) else str(value)
        typer.echo(f"{name.replace('_', ' '):16} {text}")


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column is text, the others are numbers."""
    drawn = Table(title=title)
    for i, head in enumerate(heads):
        drawn.add_column(head, justify="left" if i == 0 else "right", no_wrap=i == 0)
    for row in rows:
        drawn.add_row(*row)
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH).print(drawn)


class Bar:
    """A progress bar on the error stream, where that is a terminal."""

    def __init__(self, title: str) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(console=self._console, transient=True)
        self._task = self._progress.add_task(title, total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        if self._console.is_terminal:
            self._progress.start()
        return self._update

    def __exit__(self, *error: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def _update(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)
