"""The vectors of training find broken kernels for Helium."""

import pytest

from edgetrain.device_tests import golden, golden_goodness, golden_table, golden_training

BOARD = "qemu-cortex-m55"
MUTANTS = [
    ("CONV_ERROR", "et_conv2d_error_mve.c", b"vneg.s32 q1", b"vmvn q1"),
    ("CONV_ERROR", "et_conv2d_error_mve.c", b"vshl.u32 q1,q0,%q[sign]", b"vshr.u32 q1,q0,#31"),
    ("CONV_ERROR", "et_conv2d_error_mve.c", b"(row + v->top) % down,", b"row % down,"),
    ("CONV_LEARN", "et_conv2d_learn_mve.c", b"j - v->width,", b"j - v->width + 1,"),
    ("DEPTHWISE_ERROR", "et_depthwise_error_mve.c", b"width - 1 - j);", b"j);"),
    ("DEPTHWISE_LEARN", "et_depthwise_learn_mve.c", b"values, x_zero_point", b"values, 0"),
    ("DENSE_LEARN", "et_update_mve.c", b"above | below", b"above | (below & 0)"),
    ("DENSE_LEARN", "et_update_mve.c", b"(fraction, low)", b"(low, fraction)"),
    ("UPDATE_INT16", "et_update_mve.c", b"vmax.s16 q1,q1,q2", b"vmax.s16 q1,q1,q1"),
    ("DENSE_LEARN", "et_update_mve.c", b"low, 32 - MASTER_BITS", b"low, 31 - MASTER_BITS"),
    ("UPDATE_INT16", "et_update_mve.c", b"masters ? INT16_MAX", b"masters ? INT16_MAX - 1"),
    ("UPDATE_INT16", "et_update_mve.c", b"multiplier < 1 << 16", b"multiplier < 1 << 17"),
    ("MOMENTUM", "et_update_mve.c", b"vqadd.s32 q1,q1,q0", b"vmov q1,q0"),
    ("MOMENTUM", "et_update_mve.c", b"vqadd.s32 q1,q1,q0", b"vadd.i32 q1,q1,q0"),
    ("MOMENTUM", "et_update_mve.c", b"if (decay == 0)", b"if (decay < 0)"),
    ("SCALE", "et_tile_mve.h", b"shift == 0 ? -32 : -31", b"-31"),
    ("SCALE", "et_errors_mve.c", b"if (shift > 0)", b"if (shift > 1)"),
    ("CLOSE", "et_errors_mve.c", b"vpt.s8 lt", b"vpt.s8 le"),
    ("BIAS_LEARN", "et_errors_mve.c", b"MOST = 256", b"MOST = 512"),
    ("MERGE", "et_errors_mve.c", b"- base, -31)", b"- base, -3)"),
    ("SHAKE_WEIGHTS", "et_perturb_mve.c", rb"vmax.s8 q0,q0,%q[least]\n\t", b""),
    ("ESTIMATE", "et_perturb_mve.c", b"et_min(high, INT8_MAX + 1)", b"et_min(high, INT8_MAX)"),
]
CHECKS = {"UPDATE_INT16": golden.check, "MOMENTUM": golden_goodness.check}
"""Of kernels whose vectors are not those of `golden_training`."""


@pytest.mark.parametrize(("kernel", "file", "old", "new"), MUTANTS)
def test_a_broken_kernel_is_found(kernel, file, old, new, need, objects, monkeypatch):
    need(BOARD)
    texts = golden_table.sources()
    assert texts[file].count(old) == 1
    changed = texts | {file: texts[file].replace(old, new)}
    for module in (golden, golden_table):
        monkeypatch.setattr(module, "sources", lambda: changed)
    lines = CHECKS.get(kernel, golden_training.check)(BOARD, objects)
    assert any(f" {kernel.lower()}: " in f" {line}" and ": 0 of" not in line for line in lines)
