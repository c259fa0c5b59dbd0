"""Counted instructions are exact, and the same at every run."""

import pytest

unicorn = pytest.importorskip("unicorn", reason="counting needs edgetrain[device]")

from edgetrain.device_tests.boards import BOARDS  # noqa: E402
from edgetrain.device_tests.network import build_network  # noqa: E402
from edgetrain.device_tests.run import run  # noqa: E402
from edgetrain.device_tests.training_test import RULES, SEED, expected, exported  # noqa: E402
from edgetrain.device_tests.unicorn_board import Machine  # noqa: E402


def program_and_frames(board, objects):
    model, batch = exported("mlp")
    frames, _ = expected("mlp", "mono_forward")
    program = build_network(board, model, RULES["mono_forward"], objects, batch, SEED, traced=False)
    return program, [*frames[:3], frames[-1]]


def test_counts_repeat_and_change_no_result(board, objects):
    program, frames = program_and_frames(board, objects)
    plain = run(program, frames)
    counted = run(program, frames, count=True)
    assert [r.data for r in counted] == [r.data for r in plain]
    assert {r.instructions for r in plain} == {None}
    if BOARDS[board].kind == "host":
        assert {r.instructions for r in counted} == {None}
        return
    assert counted == run(program, frames, count=True)
    last = run(program, frames, count=True, uncounted=2)
    assert [r.instructions for r in last] == [None, None, *(r.instructions for r in counted[2:])]
    _, first, second, infer = [r.instructions for r in counted]
    assert infer < first
    assert infer < second
    assert 1000 < infer < 100_000


def test_blocks_count_what_single_instructions_count(board, objects):
    if BOARDS[board].kind != "unicorn":
        return
    program, frames = program_and_frames(board, objects)
    machine, single = Machine(program), [0]

    def step(uc, address, size, data):
        single[0] += 1

    machine.uc.hook_add(unicorn.UC_HOOK_CODE, step)
    singles = []
    for frame in frames:
        single[0] = 0
        machine.call(frame, 60)
        singles.append(single[0])
    blocks = [r.instructions for r in run(program, frames, count=True)]
    if BOARDS[board].core in ("", "CORTEX_M0"):
        assert blocks == singles
    for block, each in zip(blocks, singles, strict=True):
        # Unicorn's hook leaves out what an IT instruction skips; QEMU's plugin and blocks do not.
        assert each <= block <= 1.06 * each
