"""Kernels on every board, plain and fast forms, against the specification."""

from edgetrain.device_tests import golden, golden_layers


def test_rounding_is_that_of_the_specification(board, objects):
    assert golden.check(board, objects) == [
        "divide_by_power: 0 of 1505 wrong", "rescale: 0 of 10450 wrong",
        "requantize: 0 of 10450 wrong", "update_int8: 0 of 4480 wrong",
        "update_int16: 0 of 4480 wrong", "update_bias: 0 of 8 wrong", "softmax: 0 of 1760 wrong",
    ]  # fmt: skip


def test_layers_are_those_of_the_specification(board, objects):
    lines = golden_layers.check(board, objects)
    assert len(lines) == len(golden_layers.layer_cases()) > 25
    assert [line for line in lines if ": 0 of " not in line] == []
