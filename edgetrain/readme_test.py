"""The README is true: its example runs, and the commands that it names are there."""

import importlib.util
import re
from pathlib import Path

import pytest

from edgetrain.cli.app import VERBS

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture(scope="module")
def text():
    return README.read_text()


def test_the_python_example_learns(text, capsys):
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL).group(1)
    exec(compile(program, "README.md", "exec"), {})  # our own file
    accuracy = float(re.search(r"'accuracy': ([\d.]+)", capsys.readouterr().out).group(1))

    assert accuracy > 0.85


def test_every_command_is_a_verb(text):
    commands = set(re.findall(r"edgetrain ([a-z-]+)", text))

    assert commands & set(VERBS) >= {"demo", "new", "train", "evaluate", "analyze"}
    assert all(verb in VERBS for verb in re.findall(r"^edgetrain ([a-z-]+)", text, re.MULTILINE))


def test_every_path_exists(text):
    for path in re.findall(r"`((?:edgetrain|kernels|exporters|examples)/[\w./]*)`", text):
        assert (README.parent / path).exists(), path


def test_the_table_of_memory_is_what_is_forecast(text, monkeypatch):
    monkeypatch.syspath_prepend(README.parent / "examples")
    path = README.parent / "examples" / "compare_memory.py"
    spec = importlib.util.spec_from_file_location("compare_memory", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    assert module.table() in text


def test_it_is_short(text):
    assert len(text.splitlines()) <= 200
