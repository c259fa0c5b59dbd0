"""The vectors of Forward-Forward and momentum find broken kernels."""

import pytest

from edgetrain.device_tests import golden_goodness, golden_table
from edgetrain.device_tests.boards import BOARDS, missing

MUTANTS = [
    ("EMBED", b"/ NEUTRAL_SHARE", b"/ (NEUTRAL_SHARE + 1)"),
    ("NORMALIZE", b"above + root / 2", b"above"),
    ("NORMALIZE", b"+ zero_point, INT8_MAX)", b"+ zero_point, INT8_MAX - 1)"),
    ("NORMALIZE", b"(root + bit) <= value", b"(root + bit) < value"),
    ("GOODNESS", b"+ (1 << 30)) >> 31", b") >> 31"),
    ("GOODNESS", b", GOODNESS_MAX)", b", INT32_MAX)"),
    ("PAIR_SLOPES", b"-logistic_slope(threshold", b"-logistic_slope(1 + threshold"),
    ("CLASS_SLOPES", b"c == wrong[n] ? down : 0", b"down"),
    ("WRONG_LABELS", b"weights[c] + 1", b"weights[c]"),
    ("WRONG_LABELS", b"sum <= drawn", b"sum < drawn"),
    ("CHANNELS", b"et_clip(value, 0, CHANNEL_MAX)", b"et_clip(value, 1, CHANNEL_MAX)"),
    ("CHANNELS", b">> (LOGIT_BITS - CHANNEL_BITS)", b"/ (1 << (LOGIT_BITS - CHANNEL_BITS)) + 1"),
    ("CLASS_GOODNESS", b"sum /= (uint32_t)pixels", b"sum = (sum + 1) / (uint32_t)pixels"),
    ("ERROR", b"(*x++ - zero_point)", b"(*x++ - zero_point - 1)"),
    ("TELL", b"(INT8_MAX - x_zero_point)", b"(INT8_MAX - x_zero_point - 1)"),
    ("MOMENTUM", b"et_clip(realign, 0, 31)", b"et_clip(realign, 0, 30)"),
    ("MOMENTUM", b"half + (old < 0)", b"half"),
    ("MOMENTUM", b"et_divide_by_power(old, decay)", b"(old >> decay)"),
    ("CODES", b"+ (1 << unit) - 1) >> unit", b") >> unit"),
]


@pytest.mark.skipif(bool(missing(BOARDS["host"])), reason="there is no C compiler")
@pytest.mark.parametrize(("kernel", "old", "new"), MUTANTS)
def test_a_broken_kernel_is_found(kernel, old, new, objects, monkeypatch):
    texts = golden_table.sources()
    file = "et_updates.c" if kernel == "MOMENTUM" else "et_goodness.c"
    assert texts[file].count(old) == 1
    changed = texts | {file: texts[file].replace(old, new)}
    monkeypatch.setattr(golden_table, "sources", lambda: changed)
    lines = golden_goodness.check("host", objects)
    assert any(f" {kernel.lower()}: " in line and ": 0 of" not in line for line in lines)
