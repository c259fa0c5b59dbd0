"""Fixtures of the command line's tests."""

import json
import sys

import numpy as np
import pytest

from edgetrain import __main__
from edgetrain.data import digits


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data."""
    path = tmp_path_factory.mktemp("cli")
    data = digits()
    np.savez(
        path / "digits.npz", x_train=data.x_train[:300], y_train=data.y_train[:300],
        x_test=data.x_test[:80], y_test=data.y_test[:80],
    )  # fmt: skip
    return path


@pytest.fixture
def edgetrain(folder, monkeypatch, capsys):
    """Run a command in the folder; return exit code, standard output and error."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgetrain", *map(str, arguments)])
        code = 0
        try:
            __main__.main()
        except SystemExit as stop:
            code = stop.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def report(edgetrain):
    """Run a command with --json; return the object on the last line."""

    def run(*arguments):
        code, out, err = edgetrain(*arguments, "--json")
        assert code == 0, err
        return json.loads(out.splitlines()[-1])

    return run


@pytest.fixture
def model(folder, report):
    """An untrained mlp for the digits."""
    if not (folder / "mlp.st").exists():
        report("new", "--arch", "mlp", "--data", "digits.npz", "-o", "mlp.st")
    return "mlp.st"
