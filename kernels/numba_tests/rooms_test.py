"""Kernels write nothing outside the room that `edgetrain.arithmetic.rooms` gives them."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from edgetrain import fixed, kernels
from edgetrain.arithmetic import rooms
from edgetrain.fixed import Window
from edgetrain.kernels import cpu_numba_layers
from edgetrain.kernels.numba_tests import check

FENCE = 1 << 16
MARK = 0x5A


@pytest.fixture
def fenced(monkeypatch):
    """Give kernels rooms with a fence behind them; return a check that nobody crossed one."""
    fences = []

    def room(count, dtype=np.int8, behind=rooms.VECTORS):
        assert behind <= FENCE
        size = count * np.dtype(dtype).itemsize
        raw = np.full(size + FENCE, MARK, np.uint8)
        fences.append(raw[size:])
        return raw[:size].view(dtype)

    def stand():
        assert fences
        assert all((fence == MARK).all() for fence in fences)
        fences.clear()

    monkeypatch.setattr(cpu_numba_layers, "room", room)
    return stand


@pytest.mark.parametrize("name", check.NETWORKS)
def test_layers_of_the_architectures_stay_in_their_rooms(name, fenced):
    check.check_layers(name, kernels.load("numba"))

    fenced()


@pytest.mark.parametrize("groups", [1, 3])
@pytest.mark.parametrize("kernel", [(1, 1), (3, 2), (2, 4)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 3)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 1, 2), (3, 3, 3, 3)])
def test_layers_of_any_shape_stay_in_their_rooms(groups, kernel, stride, padding, fenced):
    ops, rng = kernels.load("numba"), np.random.default_rng(8)
    window = Window(kernel, stride, padding, groups)
    for height, width, n_out in [(4, 5, 3), (9, 4, 72)]:
        x = rng.integers(-128, 128, (2, height, width, 3)).astype(np.int8)
        w = rng.integers(-127, 128, (n_out, *kernel, 3 // groups)).astype(np.int8)
        e = rng.integers(-127, 128, (2, *window.output_size(height, width), n_out)).astype(np.int8)
        b, ratio = np.arange(n_out, dtype=np.int32), np.full(n_out, 77, np.int16)
        for op, given in {
            "conv2d_acc": (x, w, b, 5, window), "conv2d_grad_w": (x, e, 5, window),
            "conv2d_grad_x": (e, w, ratio, x.shape, window),
        }.items():  # fmt: skip
            np.testing.assert_array_equal(getattr(ops, op)(*given), getattr(fixed, op)(*given))
            fenced()
