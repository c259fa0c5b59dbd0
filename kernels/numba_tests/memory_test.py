"""The memory of programs: arrays that do not meet, no gaps, and the sizes that were promised."""

import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from edgetrain import kernels
from edgetrain.benchmark import cases
from edgetrain.benchmark.measure import How, kept
from edgetrain.compiled import builder
from edgetrain.compiled.builder import ALIGNMENT
from edgetrain.kernels.numba_tests import check
from edgetrain.rules.parity_test import CASES, describe, network

TORCH = 11_420_264
"""Bytes of torch's step of the DS-CNN with 32 samples, in the layout that needs less, by
`edgetrain bench --only memory` with torch 2.13 on x86-64."""
TIMES = {"mono_forward": 40, "forward_gradient weight": 60}


@pytest.fixture
def layouts(monkeypatch):
    """Collect what is laid out: arrays, bytes before them, bytes behind them, and the size."""
    found = []
    lay_out = builder._lay_out

    def seen(buffers, base, further):
        size = lay_out(buffers, base, further)
        found.append((buffers, base, further, size))
        return size

    monkeypatch.setattr(builder, "_lay_out", seen)
    return found


def check_places(buffers, base, further, size):
    """Hold places against lifetimes; return the most bytes that live at one time."""
    crowds = np.zeros(max(b.lives[1] for b in buffers) + 1, int)
    for i, a in enumerate(buffers):
        crowds[a.lives[0] : a.lives[1] + 1] += -(-a.size // ALIGNMENT) * ALIGNMENT
        assert base <= a.start
        assert a.start + a.size + further <= size
        for b in buffers[:i]:
            is_alone = a.lives[1] < b.lives[0] or b.lives[1] < a.lives[0]
            assert is_alone or a.start + a.size <= b.start or b.start + b.size <= a.start
    return base + crowds.max() + further


@pytest.mark.parametrize(("name", "rule"), CASES, ids=describe)
def test_arrays_that_live_at_the_same_time_never_meet(name, rule, layouts):
    model, x, y = network.__wrapped__(name)  # a new one: programs are kept with their model
    rule.step(model, rule.init(model), x[:4], y[:4], kernels.load("numba"))

    for layout in layouts:
        check_places(*layout)


@pytest.mark.parametrize("kind", check.RULES)
@pytest.mark.parametrize("name", ["mlp", "ds_cnn", "resnet8"])
def test_memories_have_no_gaps_where_most_arrays_live(name, kind, layouts):
    rule, (model, x) = check.RULES[kind], check.quantized(name)
    rule.step(model, rule.init(model), x, np.arange(4) % 3, kernels.load("numba"))

    (layout,) = layouts
    assert layout[-1] <= 1.02 * check_places(*layout)


@pytest.mark.parametrize("area", [np.uint8, np.int16], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("kind", TIMES)
def test_a_step_keeps_a_fortieth_or_a_sixtieth_of_what_torch_holds(kind, area, monkeypatch):
    """With the types of activations of every target's micro-kernel."""
    ops = kernels.load("numba")
    if np.dtype(ops.machine.AREA).itemsize > np.dtype(area).itemsize:
        pytest.skip("this processor's micro-kernel reads int16: uint8 is not enough for it")
    monkeypatch.setattr(ops.machine, "AREA", area)
    given = cases.subject(cases.ds_cnn((49, 10, 1), 12), 32)

    assert TIMES[kind] * kept(cases.rules(32)[kind], given, How(ops)) <= TORCH


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="closes pages with mprotect")
def test_no_instruction_reads_or_writes_further_than_it_says():
    from edgetrain.kernels.numba_tests import apart

    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, apart.__file__],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]
    assert int(done.stdout.split()[-2]) >= len(CASES)  # programs: one at least of each
