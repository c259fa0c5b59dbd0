"""Kernels stay as fast as they are: counts are exact, and a wrong result has no count."""

import pytest

from edgetrain.device_tests.kernel_counts import BARS, Call, count
from edgetrain.device_tests.program import BoardError

COLUMNS = {"qemu-cortex-m4": 1, "qemu-cortex-m55": 2}


@pytest.fixture(params=COLUMNS)
def core(request, need):
    """A board with fast forms of the kernels, and bars for them."""
    return need(request.param)


def test_kernels_stay_under_their_bars(core, objects):
    bars = {name: bar for name, row in BARS.items() if (bar := row[COLUMNS[core]]) is not None}
    calls = [BARS[name][0] for name in bars]
    builds = [count(core, calls, objects, (level,)) for level in ("-O2", "-O3")]
    counts = dict(zip(bars, map(min, *builds), strict=True))
    assert {name: n for name, n in counts.items() if n > bars[name]} == {}


def test_without_scratch_memory_a_kernel_takes_longer(core, objects):
    calls = [Call("conv", (6, 6, 8), 8, scratch=scratch) for scratch in (True, False)]
    fast, plain = count(core, calls, objects)
    assert fast < plain / 2


def test_a_wrong_result_has_no_count(core, objects, monkeypatch):
    monkeypatch.setattr("edgetrain.fixed.conv2d", lambda x, w, *rest: x[..., :1] + w[:, 0, 0, 0])
    with pytest.raises(BoardError, match="differs from the specification"):
        count(core, [Call("conv", (4, 4, 8), 8)], objects)
