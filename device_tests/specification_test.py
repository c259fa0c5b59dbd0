"""Kernels on every board, plain and fast forms, against the specification."""

import re

from edgetrain.device_tests import golden, golden_layers

OPERATIONS = {"divide_by_power", "rescale", "requantize", "update_int8", "update_int16",
              "update_bias", "softmax"}  # fmt: skip


def counted(lines):
    """Return what each line is about, how many results are wrong, and of how many."""
    found = [re.fullmatch(r"(.+): (\d+) of (\d+) wrong", line).groups() for line in lines]
    return {name: (int(wrong), int(of)) for name, wrong, of in found}


def test_rounding_is_that_of_the_specification(board, objects):
    found = counted(golden.check(board, objects))
    assert set(found) == OPERATIONS
    assert {name: wrong for name, (wrong, _) in found.items() if wrong} == {}
    assert sum(of for _, of in found.values()) >= 33_133
    assert min(of for _, of in found.values()) >= 8


def test_layers_are_those_of_the_specification(board, objects):
    found = counted(golden_layers.check(board, objects))
    assert len(found) == len(golden_layers.layer_cases()) > 25
    assert {name: wrong for name, (wrong, _) in found.items() if wrong} == {}
    assert sum(of for _, of in found.values()) >= 11_316
