"""What torch's allocator holds in a step, beside what can be counted by hand."""

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from edgetrain.benchmark import cases
from edgetrain.benchmark.torch_nets import FORMATS, peak_bytes

FLOAT = 4


@pytest.mark.parametrize("layout", FORMATS)
def test_the_peak_holds_parameters_gradients_and_samples(layout):
    given = cases.subject(cases.dense(500, 10), 4)
    parameters = FLOAT * (500 * 10 + 10)
    least = 2 * parameters + FLOAT * 4 * 500

    assert least <= peak_bytes(given.real, given.x, 1, layout) < least + 16 * FLOAT * 4 * 10


@pytest.mark.parametrize("layout", FORMATS)
def test_the_peak_holds_what_backward_needs(layout, capfd):
    given = cases.subject(cases.mlp((8,), 8, hidden=(512,)), 256)
    parameters, samples = FLOAT * (8 * 512 + 512 + 512 * 8 + 8), FLOAT * 256 * 8
    hidden = FLOAT * 256 * 512  # the ReLU's result is kept, and meets its error

    found = peak_bytes(given.real, given.x, 1, layout)
    assert parameters + samples + 2 * hidden <= found < 5 * hidden
    assert "profiler" not in "".join(capfd.readouterr())
