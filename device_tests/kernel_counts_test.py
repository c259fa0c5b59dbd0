"""Kernels stay as fast as they are: counts are exact, and a wrong result has no count."""

import pytest

from edgetrain.device_tests.kernel_counts import BARS, Call, count
from edgetrain.device_tests.program import BoardError

COLUMNS = {"qemu-cortex-m4": 1, "qemu-cortex-m55": 2}


def test_kernels_stay_under_their_bars(board, objects):
    if board not in COLUMNS:
        pytest.skip(f"there are bars for {' and '.join(COLUMNS)} only")
    bars = {name: bar for name, row in BARS.items() if (bar := row[COLUMNS[board]]) is not None}
    calls = [BARS[name][0] for name in bars]
    builds = [count(board, calls, objects, (level,)) for level in ("-O2", "-O3")]
    counts = dict(zip(bars, map(min, *builds), strict=True))
    assert {name: n for name, n in counts.items() if n > bars[name]} == {}


def test_without_scratch_memory_a_kernel_takes_longer(board, objects):
    if board not in COLUMNS:
        pytest.skip(f"the fast forms are those of {' and '.join(COLUMNS)}")
    calls = [Call("conv", (6, 6, 8), 8, scratch=scratch) for scratch in (True, False)]
    fast, plain = count(board, calls, objects)
    assert fast < plain / 2


def test_a_wrong_result_has_no_count(board, objects, monkeypatch):
    if board not in COLUMNS:
        pytest.skip("one kind of board is enough")
    monkeypatch.setattr("edgetrain.fixed.conv2d", lambda x, w, *rest: x[..., :1] + w[:, 0, 0, 0])
    with pytest.raises(BoardError, match="differs from the specification"):
        count(board, [Call("conv", (4, 4, 8), 8)], objects)
