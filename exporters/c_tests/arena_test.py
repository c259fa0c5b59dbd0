"""The arena: what lives at the same time lies apart, and hardly a byte is lost between."""

from itertools import pairwise

import numpy as np
import pytest

from edgetrain.architectures import ds_cnn, resnet8
from edgetrain.exporters.c_tests.training_test import NETWORKS, RULES, network
from edgetrain.exporters.c_writing.forms import FORMS
from edgetrain.exporters.to_c import programs
from edgetrain.quantize import quantize

LOST = 1.16
"""Most that the arena of a small network may exceed the bytes that live at one time."""


def alive(program):
    """Return the names of the buffers that live at each line."""
    lives = {name: (used[0], used[-1]) for name, used in program.used.items() if used}
    return [
        [name for name, (born, dead) in lives.items() if born <= line <= dead]
        for line in range(len(program.lines))
    ]


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", RULES)
def test_what_lives_together_lies_apart(rule, name):
    _, _, *written = programs(network(name), RULES[rule](), batch=2)
    for program in written:
        assert all(program.used.values())
        for form in FORMS:
            offsets, total = program.arena(form)
            sizes = {n: b.sizes[FORMS.index(form)] for n, b in program.buffers.items()}
            most = 0
            for names in alive(program):
                places = sorted((offsets[n], offsets[n] + sizes[n]) for n in names if sizes[n])
                for (_, end), (start, _) in pairwise(places):
                    assert end <= start
                assert not places or places[-1][1] <= total
                most = max(most, sum(sizes[n] for n in names))
            assert most <= total <= LOST * most


@pytest.mark.parametrize("rule", [rule for rule in RULES if "value" not in rule])
@pytest.mark.parametrize("large", [ds_cnn((49, 10, 1), 12), resnet8((32, 32, 3), 10)])
def test_large_networks_lose_nothing(rule, large):
    model = quantize(large, np.ones((1, *large.graph.input_shape), np.float32))
    _, _, *written = programs(model, RULES[rule]())
    for program in written:
        sizes = {n: b.sizes[FORMS.index("dsp")] for n, b in program.buffers.items()}
        most = max(sum(sizes[n] for n in names) for names in alive(program))
        assert program.arena("dsp")[1] == most
