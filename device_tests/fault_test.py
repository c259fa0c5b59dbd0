"""What a program must not do is caught, with the address, and a program that hangs is ended."""

import re
import struct

import pytest

from edgetrain.device_tests.boards import BOARDS, missing
from edgetrain.device_tests.build import SUPPORT, build
from edgetrain.device_tests.program import BoardError, BoardFaultError, BoardTimeoutError
from edgetrain.device_tests.run import run

NOTHING, WRITE, READ, WRITE_NULL, WRITE_CODE, LOOP, RECURSE = range(7)
ARENA_BYTES = 1000
UNGUARDED = {
    "host": "a process has no guard around an array: host-sanitizers has",
    "qemu-aarch64": "a process has no guard around an array",
    "wasm32": "a module has one memory, without guards inside",
    "qemu-cortex-m0": "a Cortex-M0 has no memory protection: cortex-m0 catches it",
}
SLACK = {"qemu-cortex-m3": 32, "qemu-cortex-m4": 32, "qemu-cortex-m7": 32, "qemu-cortex-m33": 32,
         "qemu-cortex-m55": 32, "qemu-cortex-m55-nomve": 32, "qemu-rv32imc": 4}  # fmt: skip
"""Bytes to which the memory protection of a core rounds."""


@pytest.fixture
def faulty(board, objects):
    return build(board, {"faulty.c": (SUPPORT / "faulty.c").read_bytes()}, objects)


def ask(program, what, offset=0, timeout_s=20.0):
    return run(program, [struct.pack("<ii", what, offset)], timeout_s=timeout_s)


def guarded(board):
    if board in UNGUARDED:
        pytest.skip(f"{board}: {UNGUARDED[board]}")


def test_a_good_program_runs(board, faulty):
    assert ask(faulty, NOTHING)[0].data == struct.pack("<i", 1)


@pytest.mark.parametrize("offset", [0, ARENA_BYTES - 1])
def test_the_arena_can_be_written_to_its_ends(board, faulty, offset):
    ask(faulty, WRITE, offset)


@pytest.mark.parametrize("what", [WRITE, READ])
@pytest.mark.parametrize("side", ["before", "after", "far"])
def test_an_access_outside_of_the_arena_is_caught_with_its_address(board, faulty, what, side):
    guarded(board)
    past = -(-ARENA_BYTES // SLACK.get(board, 1)) * SLACK.get(board, 1)
    offset = {"before": -1, "after": past, "far": 40000}[side]
    if (board, side) == ("host-sanitizers", "before"):
        pytest.skip("host-sanitizers: its red zones lie behind arrays, none before the first")
    with pytest.raises(BoardFaultError) as error:
        ask(faulty, what, offset)
    message = str(error.value)
    assert message.startswith(f"{board} faulted: ")
    assert (
        re.search("(?i)write|store" if what == WRITE else "(?i)read|load", message)
        or "access" in message
    )
    if BOARDS[board].kind == "host":
        assert re.search(r"faulty.*\.c:\d+|in frame_run", message)
    else:
        assert "(frame_run+" in message
        address = BOARDS[board].ram + (1 << 20) + offset
        assert f"0x{address:08x}" in message
        if side == "before":
            assert "1 bytes before arena" in message
        assert re.search(r"\bpc=[0-9a-f]{8}", message)


def test_a_null_pointer_is_caught(board, faulty):
    if BOARDS[board].kind == "wasm" or board == "qemu-cortex-m0":
        pytest.skip(f"{board}: address 0 is memory there, and a write to it no fault")
    with pytest.raises(BoardError, match=r"null pointer|SIGSEGV"):
        ask(faulty, WRITE_NULL)


def test_a_write_to_constants_is_caught(board, faulty):
    if BOARDS[board].kind == "wasm" or board == "qemu-cortex-m0":
        pytest.skip(f"{board}: it has no memory protection, so constants can be written")
    with pytest.raises(BoardError, match=r"in flash|SIGSEGV|Sanitizer"):
        ask(faulty, WRITE_CODE)


def test_a_stack_that_runs_over_is_caught(board, faulty):
    if board == "qemu-cortex-m0":
        pytest.skip(f"{board}: {UNGUARDED[board]}")
    with pytest.raises(BoardFaultError):
        ask(faulty, RECURSE)


def test_an_endless_loop_ends_by_the_timeout(board, faulty):
    with pytest.raises(BoardTimeoutError, match=rf"^{board} did not finish .* in 1\.5 s"):
        ask(faulty, LOOP, timeout_s=1.5)


def test_a_frame_of_a_wrong_size_is_refused(board, faulty):
    with pytest.raises(BoardError, match="takes frames of 8 bytes"):
        run(faulty, [b"123"])


def test_bad_sources_are_refused_with_what_the_compiler_says(board, objects):
    with pytest.raises(BoardError, match=rf"cannot build for {board}: .* says\n(.|\n)*no_such"):
        build(board, {"bad.c": b"int f(void) { return no_such; }\n"}, objects)


def test_an_unknown_board_is_refused_with_the_names_of_the_known(objects):
    with pytest.raises(ValueError, match=r"board must be one of host, .*, got 'z80'"):
        build("z80", {}, objects)


def test_a_missing_tool_is_named_with_its_cure(monkeypatch, objects):
    monkeypatch.setattr("edgetrain.device_tests.boards.shutil.which", lambda name: None)
    lacks = missing(BOARDS["qemu-cortex-m4"])
    assert lacks[1] == "qemu-system-arm is missing: apt-get install qemu-system-arm"
    with pytest.raises(BoardError, match="arm-none-eabi-gcc is missing: apt-get install gcc-arm"):
        build("qemu-cortex-m4", {}, objects)
