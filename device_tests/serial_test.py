"""Boards behind a serial port: this computer over a pseudo terminal, and QEMU's emulated UART."""

import contextlib
import os
import re
import subprocess
import threading

import numpy as np
import pytest

pytest.importorskip("serial", reason="serial ports need edgetrain[device]")
pty = pytest.importorskip("pty", reason="there are no pseudo terminals")

from edgetrain.architectures import mlp  # noqa: E402
from edgetrain.device_tests import serial_board  # noqa: E402
from edgetrain.device_tests.boards import board_named  # noqa: E402
from edgetrain.device_tests.build import build, support  # noqa: E402
from edgetrain.device_tests.difference import first_difference  # noqa: E402
from edgetrain.device_tests.lesson import draw  # noqa: E402
from edgetrain.device_tests.network import firmware  # noqa: E402
from edgetrain.device_tests.program import BoardLineError, BoardTimeoutError  # noqa: E402
from edgetrain.device_tests.suite import Bench, examine  # noqa: E402
from edgetrain.device_tests.training_test import RULES, exported  # noqa: E402
from edgetrain.quantize import quantize  # noqa: E402

SEED = 5
RULE = RULES["mono_forward"]
WITH_FLASH = support("flash.c")


def lesson():
    return draw(exported("mlp")[0], RULE, 1, SEED, steps=16)


def flashed(folder, board="host", main="host", changes=None):
    """Build the firmware of the lesson, with a flash, for a board whose port is known."""
    files = firmware(exported("mlp")[0], RULE, 1, SEED) | WITH_FLASH | (changes or {})
    place = "host_main.c" if main == "host" else "qemu_main.c"
    files[place] = support(f"serial_{main}_main.c")[f"serial_{main}_main.c"]
    return build(board, files, folder)


class Wire:
    """A pseudo terminal with a process behind it, and what happens to bytes on their way.

    Args:
        command: the process.
        there: from bytes that are sent to those that the process gets.
        back: from bytes that the process sends to those that come.
    """

    def __init__(self, command, there=bytes, back=bytes):
        self.master, self.slave = pty.openpty()
        self.port = os.ttyname(self.slave)
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, bufsize=0, stdin=pipe, stdout=pipe)
        ways = (self.send, there), (self.receive, back)
        self.threads = [
            threading.Thread(target=move, args=(how,), daemon=True) for move, how in ways
        ]
        for thread in self.threads:
            thread.start()

    def send(self, change):
        with contextlib.suppress(OSError):  # the terminal was closed, or the process ended
            while data := os.read(self.master, 1024):
                self.process.stdin.write(change(data))

    def receive(self, change):
        while data := self.process.stdout.read(1024):
            os.write(self.master, change(data))

    def __enter__(self):
        return f"serial:{self.port}"

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        os.close(self.slave)
        for thread in self.threads:
            thread.join(5)
        os.close(self.master)
        self.process.stdin.close()
        self.process.stdout.close()


class Every:
    """Damages every so-manieth byte: flips a bit of it, or loses it."""

    def __init__(self, number, lose):
        self.number, self.lose, self.seen, self.hit = number, lose, 0, 0

    def __call__(self, data):
        out = bytearray()
        for byte in data:
            self.seen += 1
            if self.seen % self.number:
                out.append(byte)
                continue
            self.hit += 1
            if not self.lose:
                out.append(byte ^ 4)
        return bytes(out)


def trained(board, folder, timeout_s=20):
    """Run the training of the lesson on a board; return what differs."""
    bench = Bench(board, lesson(), folder, timeout_s)
    return first_difference(bench.lesson, bench.lessons[1], bench.run)


@pytest.fixture
def command(objects):
    return [flashed(objects).path]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Wait less: the boards are fast."""
    monkeypatch.setattr(serial_board, "PATIENCE_S", 0.1)
    monkeypatch.setattr(serial_board, "HELLO_S", 1.5)


def test_the_suite_passes_over_a_serial_line(command, objects):
    with Wire(command) as board:
        verdict = examine(board, lesson(), objects)
    found = {check.name: (check.outcome, check.detail) for check in verdict.checks}
    assert verdict.passed
    assert found["kernels: layers"] == ("skip", "the firmware holds the model only")
    assert found["inference"] == ("pass", "4 samples")
    assert found["training"] == ("pass", "20 steps, 4 of them of warm-up")
    assert found["saving with power cuts"][0] == "pass"


def test_a_board_without_flash_saves_nothing(objects):
    no_flash = {"flash.c": support("no_flash.c")["no_flash.c"]}
    with Wire([flashed(objects, changes=no_flash).path]) as board:
        *_, saving = examine(board, lesson(), objects).checks
    assert (saving.outcome, saving.detail) == ("skip", "the firmware has no flash: see flash.c")


@pytest.mark.parametrize("lose", [False, True], ids=["corrupted", "lost"])
@pytest.mark.parametrize("way", ["there", "back"])
def test_damaged_bytes_cost_time_and_no_bit(command, objects, way, lose):
    damage = Every(307, lose)
    with Wire(command, **{way: damage}) as board:
        assert trained(board, objects) == ""
    assert damage.hit > 4


def test_a_board_whose_every_answer_is_damaged_is_given_up(command, objects):
    with Wire(command, back=Every(9, lose=False)) as board, pytest.raises(
        BoardLineError, match=rf"^{board} sent \d+ bytes in 1\.5 s and no answer among them: are"
    ):  # fmt: skip
        trained(board, objects)


def test_a_silent_board_is_told_from_a_loud_one(objects):
    with Wire(["cat", "/dev/stdin"], back=lambda data: b"") as board, pytest.raises(
        BoardLineError, match=r"^serial:\S+ is silent: not a byte in 1\.5 s; is the firmware"
    ):  # fmt: skip
        trained(board, objects)


def test_a_board_that_falls_silent_ends_by_the_timeout(command, objects):
    seen = bytearray()

    def cut(data):
        seen.extend(data)
        return data if len(seen) < 400 else b""

    with Wire(command, there=cut) as board, pytest.raises(
        BoardTimeoutError, match=rf"^{board} gave no whole answer to a frame in 2 s"
    ):  # fmt: skip
        trained(board, objects, timeout_s=2)


def test_the_firmware_of_another_seed_is_refused(command, objects):
    other = draw(exported("mlp")[0], RULE, 1, SEED + 1, steps=2)
    with Wire(command) as board, pytest.raises(
        BoardLineError, match=r"runs firmware [0-9a-f]{8}, and .* are [0-9a-f]{8}: write it with"
    ):  # fmt: skip
        examine(board, other, objects)


def test_the_firmware_of_another_model_is_refused(command, objects):
    other = quantize(mlp((9,), 3), np.ones((8, 9), np.float32))
    with Wire(command) as board, pytest.raises(BoardLineError, match="runs firmware"):
        examine(board, draw(other, RULE), objects)


def test_another_version_of_the_frames_is_told(objects):
    changed = support("serial_main.c")["serial_main.c"].replace(b"VERSION = 1", b"VERSION = 2")
    with Wire([flashed(objects, changes={"serial_main.c": changed}).path]) as board, pytest.raises(
        BoardLineError, match=r"speaks version 2 of the frames, this edgetrain version 1: write"
    ):  # fmt: skip
        trained(board, objects)


def test_a_port_that_does_not_open_is_named(objects):
    with pytest.raises(BoardLineError, match=r"^serial:/dev/no-port does not open or was closed"):
        trained("serial:/dev/no-port", objects)


@pytest.mark.parametrize(
    "name", ["serial:@9600", "serial:/dev/x@fast", "serial:/dev/x@0", "serial:"]
)
def test_a_port_or_speed_that_cannot_be_is_refused(name):
    with pytest.raises(ValueError, match=re.escape(repr(name))):
        board_named(name)


def test_an_emulated_uart_trains_to_the_same_bits(need, objects):
    program = flashed(objects, need("qemu-cortex-m4"), "mps2")
    machine = subprocess.Popen(
        [*program.board.launcher, "-nographic", "-monitor", "none", "-serial", "pty",
         "-kernel", program.path],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        port = re.search(r"redirected to (\S+)", machine.stdout.readline())[1]
        assert trained(f"serial:{port}", objects) == ""
    finally:
        machine.kill()
        machine.wait()
        machine.stdout.close()
