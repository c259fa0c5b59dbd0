"""`edgetrain test-device`: verdicts, numbers, files, and one clear sentence for what cannot be."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgetrain.device_tests import network, suite
from edgetrain.device_tests.boards import BOARDS, missing

ROOT = Path(__file__).parent.parent.parent
needs_cc = pytest.mark.skipif(bool(missing(BOARDS["host"])), reason="needs a C compiler called cc")
needs_core = pytest.mark.skipif(
    bool(missing(BOARDS["cortex-m4"])), reason="needs edgetrain[device]"
)


@pytest.fixture
def small(folder, report):
    """An untrained mlp with few weights."""
    if not (folder / "small.st").exists():
        report("new", "--arch", "mlp", "--data", "digits.npz", "--hidden", "8", "-o", "small.st")
    return "small.st"


@pytest.fixture
def refused(edgetrain):
    """Run a command that must fail with one sentence; return it."""

    def run(*arguments):
        code, out, err = edgetrain("test-device", *arguments)
        assert (code, out) == (1, "")
        (sentence,) = err.splitlines()
        assert sentence.startswith("edgetrain: error: ")
        return sentence

    return run


@needs_cc
def test_a_model_passes_on_this_computer(folder, report, small):
    found = report("test-device", small, "--board", "host", "--data", "digits.npz", "--steps", "3",
                   "--rule", "forward-gradient", "--junit", "out.xml")  # fmt: skip
    assert found["passed"]
    checks = found["boards"]["host"]["checks"]
    assert [check["name"] for check in checks] == list(suite.CHECKS)
    assert {check["outcome"] for check in checks} == {"pass"}
    assert "3 steps" in [check["detail"] for check in checks]
    root = ElementTree.parse(folder / "out.xml").getroot()
    assert [case.get("name") for case in root.iter("testcase")] == [c["name"] for c in checks]
    assert not list(root.iter("failure"))


@needs_core
def test_a_model_passes_on_an_emulated_board_and_is_measured(edgetrain, small):
    options = ("--steps", "2", "--blocks", "network", "--weights", "w16", "--batch", "2")
    code, out, err = edgetrain("test-device", small, "--board", "cortex-m4", *options)
    assert code == 0, err
    assert "cortex-m4: PASS" in out
    assert out.count("PASS") == 1 + len(suite.CHECKS)
    numbers = out.splitlines()[-2].split("│")[2:-1]
    assert all(int(number.replace(",", "")) > 100 for number in numbers)
    assert len(numbers) == 7


@needs_cc
def test_a_model_that_differs_fails(edgetrain, small, monkeypatch):
    to_c = network.to_c

    def changed(*arguments):
        files = to_c(*arguments)
        return files | {"net.c": files["net.c"].replace(b"*loss_out = loss;", b"*loss_out = 7;")}

    monkeypatch.setattr(network, "to_c", changed)
    monkeypatch.setattr(suite, "CHECKS", {"training": suite.CHECKS["training"]})
    code, out, _ = edgetrain("test-device", small, "--board", "host", "--steps", "2")
    assert code == 1
    assert "host: FAIL" in out
    assert "host: training: step 0: the board's loss is 7, NumPy's " in out
    code, out, _ = edgetrain("test-device", small, "--board", "host", "--steps", "2", "--json")
    assert code == 1
    assert not json.loads(out.splitlines()[-1])["passed"]


@needs_cc
def test_the_firmware_of_a_serial_board_compiles(folder, report, small):
    found = report("test-device", small, "--write-firmware", "firmware")
    assert {"firmware/serial.h", "firmware/serial_main.c", "firmware/net.c"} <= set(found["files"])
    (folder / "firmware" / "main.c").write_text(
        '#include "serial.h"\n#include <stdio.h>\n'
        "void serial_put(uint8_t byte) { putchar(byte); }\n"
        "uint8_t serial_get(void) { return (uint8_t)getchar(); }\n"
        "int main(void) { serial_run(); }\n"
    )
    sources = [path for path in (folder / "firmware").iterdir() if path.suffix == ".c"]
    strict = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-O2"]
    done = subprocess.run(["cc", *strict, *sources, "-o", folder / "firmware" / "program"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_boards_are_listed(report, edgetrain):
    assert set(report("test-device", "--list")["boards"]) == set(BOARDS)
    code, out, _ = edgetrain("test-device", "--list")
    assert code == 0
    assert all(name in out for name in BOARDS)


def test_nothing_of_the_extra_is_needed_to_start(folder):
    tools = ("unicorn", "elftools", "wasmtime", "serial", "ziglang")
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({tools}))\n"
        "from edgetrain.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "test-device", "--list", "--json"], cwd=folder, text=True,
        capture_output=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lacks = json.loads(done.stdout)["boards"]
    assert [line.partition(" ")[0] for line in lacks["cortex-m4"]] == [
        "ziglang", "unicorn", "elftools",
    ]  # fmt: skip


def test_what_is_missing_is_asked_for(refused, small):
    assert "--list lists the boards" in refused()
    assert "--list lists the boards" in refused(small)


def test_an_unknown_board_is_answered_with_the_known(refused, small):
    sentence = refused(small, "--board", "z80")
    assert all(name in sentence for name in (*BOARDS, "serial:PORT", "'z80'"))


def test_a_missing_tool_is_named_with_its_cure(refused, small, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert "cc is missing: apt-get install gcc" in refused(small, "--board", "host")
    monkeypatch.setattr("edgetrain.device_tests.boards.find_spec", lambda name: None)
    assert "no board can run here" in refused(small, "--board", "all")
    sentence = refused(small, "--board", "qemu-cortex-m4")
    assert "arm-none-eabi-gcc is missing: apt-get install gcc-arm-none-eabi" in sentence
    assert "qemu-system-arm is missing: apt-get install qemu-system-arm" in sentence


def test_a_missing_package_is_named_with_its_cure(refused, small, monkeypatch):
    monkeypatch.setitem(sys.modules, "unicorn", None)
    assert "unicorn is missing: pip install unicorn" in refused(small, "--board", "cortex-m4")


def test_a_port_that_is_not_there(refused, small):
    pytest.importorskip("serial", reason="needs edgetrain[device]")
    assert "serial:/dev/no-port" in refused(small, "--board", "serial:/dev/no-port")


@needs_cc
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--rule", "magic"), "mono_forward"),
        (("--rule", "backprop", "--space", "weight"), "--space"),
        (("--learning-rate", "1e-12"), "rounds to zero"),
        (("--data", "absent.npz"), "absent.npz"),
        (("--junit", "absent/out.xml"), "absent"),
    ],
)
def test_options_that_cannot_be(refused, small, options, words):
    assert words in refused(small, "--board", "host", *options)


def test_a_float_model_is_to_be_quantized(refused, report, folder):
    report("new", "--arch", "mlp", "--data", "digits.npz", "--float", "-o", "float.st")
    assert "quantize it first" in refused("float.st", "--board", "host")
