"""The headers of the kernels state the stack that their calls take."""

import re

import pytest

from edgetrain.device_tests.footprint import kernel_stacks
from edgetrain.kernels.host_c_build import sources

STATED = re.compile(
    r"Stack of a call at most: (\d+) bytes on a Cortex-M0, (\d+) on an M4, (\d+) on an M55"
)
CORES = ("qemu-cortex-m0", "qemu-cortex-m4", "qemu-cortex-m55")
HEADERS = {name: text.decode() for name, text in sources().items() if STATED.search(text.decode())}
STALE, WORD = 1.25, 16
"""By how much another compiler may exceed a header, or stay below it; and what is rounded."""
PRIVATE = {"et_dsp.h", "et_fast.h", "et_mve.h", "et_tables.h", "et_tile_dsp.h", "et_tile_mve.h",
           "et_train.h", "et_view.h"}  # fmt: skip


def test_every_public_header_states_its_stack():
    assert set(HEADERS) == {name for name in sources() if name.endswith(".h")} - PRIVATE


@pytest.mark.parametrize("core", CORES)
def test_the_stack_is_what_a_compiler_makes(core, need, objects):
    stacks = kernel_stacks(need(core), objects)
    for name, text in HEADERS.items():
        stated = int(STATED.search(text)[1 + CORES.index(core)])
        declared = re.findall(r"^[a-z][\w *]*?\b(et_\w+)\(", text, re.MULTILINE)
        measured = max(stacks[function] for function in declared if function in stacks)
        assert measured <= STALE * stated, name
        assert stated <= STALE * measured + WORD, name
