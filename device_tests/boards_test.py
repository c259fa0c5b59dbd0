"""The table of boards is whole, and CI installs what every board of it needs."""

import re
import tomllib
from pathlib import Path

import pytest

from edgetrain.device_tests.boards import BOARDS, CURES, PACKAGES, board_named, missing

CHECKOUT = Path(__file__).resolve().parent.parent
CORES = ("cortex-m0", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "rv32imc", "aarch64")
FROM_PYPI = {"elftools": "pyelftools", "serial": "pyserial"}


def test_every_core_runs_by_pip_alone_and_by_a_cross_compiler_and_qemu():
    for core in CORES:
        assert set(BOARDS[core].needs) <= set(PACKAGES), core
        assert any(need.startswith("qemu-") for need in BOARDS[f"qemu-{core}"].needs), core
    assert set(BOARDS["wasm32"].needs) <= set(PACKAGES)
    assert "qemu-system-arm" in BOARDS["qemu-cortex-m55"].needs
    assert BOARDS["host"].needs == ("cc",)


def test_everything_that_a_board_needs_has_a_cure():
    assert {need for board in BOARDS.values() for need in board.needs} | {"serial"} == set(CURES)


def test_the_extra_brings_every_package():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    extra = {re.split("[<>=]", line)[0] for line in project["optional-dependencies"]["device"]}
    assert {FROM_PYPI.get(name, name) for name in PACKAGES} == extra
    for name in PACKAGES:
        assert CURES[name] == f"pip install {FROM_PYPI.get(name, name)}"


def test_ci_installs_every_compiler_and_emulator():
    script = (CHECKOUT / ".ci" / "run").read_text()
    for need, cure in CURES.items():
        if need in PACKAGES or need == "cc":
            continue
        packages = cure.removeprefix("apt-get install ").split()
        assert packages
        assert [package for package in packages if package not in script] == []


def test_a_serial_board_is_named_by_its_port():
    assert board_named("serial:/dev/ttyUSB0").launcher == ("/dev/ttyUSB0", "115200")
    assert board_named("serial:socket://host:4000@9600").launcher == ("socket://host:4000", "9600")


def test_what_is_missing_is_listed_with_its_cure(monkeypatch):
    monkeypatch.setattr("edgetrain.device_tests.boards.find_spec", lambda name: None)
    assert missing(BOARDS["cortex-m4"]) == [
        "ziglang is missing: pip install ziglang",
        "unicorn is missing: pip install unicorn",
        "elftools is missing: pip install pyelftools",
    ]


@pytest.mark.parametrize("name", BOARDS)
def test_memory_of_a_board_does_not_overlap(name):
    board = BOARDS[name]
    if board.kind in ("unicorn", "qemu"):
        assert board.flash + (4 << 20) <= board.ram or board.ram + (4 << 20) <= board.flash
