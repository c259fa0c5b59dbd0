"""Measured bytes are those of the network, and the same on every board where they must be."""

import re

from edgetrain.device_tests.boards import BOARDS
from edgetrain.device_tests.build import STACK_BYTES
from edgetrain.device_tests.measure import measure
from edgetrain.device_tests.network import build_network, saved_bytes
from edgetrain.device_tests.run import run
from edgetrain.device_tests.training_test import RULES, SEED, expected, exported
from edgetrain.exporters.to_c import to_c


def test_bytes_of_a_network_are_measured(board, objects):
    model, batch = exported("mlp")
    rule = RULES["mono_forward"]
    program = build_network(board, model, rule, objects, batch, SEED, traced=False)
    frames, _ = expected("mlp", "mono_forward")
    found = measure(program, run(program, [*frames[:3], frames[-1]]))
    if BOARDS[board].kind not in ("unicorn", "qemu"):
        assert found is None
        return
    files = to_c(model, "net", rule, batch, SEED)
    saved = saved_bytes(files)
    arenas = {int(n) for n in re.findall(rb"ARENA_BYTES = (\d+)", files["net.c"])}
    assert found.arena in {-(-n // 8) * 8 for n in arenas}
    assert saved <= found.state <= saved + 32  # alignment, and what the start-up code keeps
    weights = sum(params.w.nbytes for params in model.params.values())
    assert weights < found.flash - found.code < 5 * weights  # and constants of layers
    assert 4000 < found.code < 40_000
    assert 256 < found.stack < STACK_BYTES // 2
    assert found.ram == found.state + found.arena + found.stack
