"""Kernels on every board, plain and fast forms, against the specification."""

import re

from edgetrain.device_tests import golden, golden_goodness, golden_layers, golden_training

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


def test_training_is_that_of_the_specification(board, objects):
    cases = golden_training.training_cases()
    for end, least in (("ERROR", 127), ("LEARN", 0)):  # some saturate
        assert any(c.returned > least for c in cases if c.kernel.endswith(end))
    found = counted(golden_training.check(board, objects))
    assert len(found) == len(cases)
    assert {name: wrong for name, (wrong, _) in found.items() if wrong} == {}


def test_goodness_is_that_of_the_specification(board, objects):
    found = counted(golden_goodness.check(board, objects))
    assert {name.split()[1].upper() for name in found} == set(golden_goodness.KERNELS)
    assert {name: wrong for name, (wrong, _) in found.items() if wrong} == {}
