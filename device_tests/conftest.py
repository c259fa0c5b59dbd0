import os
from pathlib import Path

import pytest

from edgetrain.device_tests.boards import BOARDS, board_named, missing


def pytest_addoption(parser):
    parser.addoption("--board", action="append", help="run on these boards only; may be repeated")
    parser.addoption(
        "--all-boards", action="store_true", help="fail where a board lacks a tool, do not skip"
    )


def pytest_generate_tests(metafunc):
    if "board" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--board") or list(BOARDS)
        for name in chosen:
            board_named(name)
        metafunc.parametrize("board", chosen, indirect=True)


@pytest.fixture
def need(request):
    """Return a board; skip the test where it lacks a tool, or fail it with --all-boards."""

    def check(name):
        if lacks := missing(BOARDS[name]):
            end = pytest.fail if request.config.getoption("--all-boards") else pytest.skip
            end(f"{name}: {'; '.join(lacks)}")
        return name

    return check


@pytest.fixture
def board(request, need):
    return need(request.param)


@pytest.fixture(scope="session")
def objects(tmp_path_factory) -> Path:
    """Where programs are built; equal sources are compiled once, also by several workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "objects"
    folder.mkdir(exist_ok=True)
    return folder
