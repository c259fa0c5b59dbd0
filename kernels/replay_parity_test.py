"""Replays on every backend against the specification, bit for bit."""

import numpy as np
import pytest

from edgetrain.kernels.parity_test import check, int8, int32


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 31), (4, 32), (5, 70), (7, 0)])
@pytest.mark.parametrize("queries", [1, 3])
def test_replays_of_any_size(backend, shape, queries):
    rng = np.random.default_rng(queries)
    devices, steps, (channels, n) = 3, 9, shape
    w, b = int8(rng, devices, channels, n), int32(rng, 900, devices, channels)
    seeds, tensor = rng.integers(0, 2**32, devices, dtype=np.uint32), int(rng.integers(2**32))
    for largest, bound in ((64, 2**31 - 1), (2**24, 2**16)):
        slopes = rng.choice([-largest, 0, largest], (devices, steps, queries)).astype(np.int32)
        rates = rng.integers(0, bound, (2, steps, channels)).astype(np.int32)
        arguments = (slopes, seeds, tensor, bound, rates[0], rates[1] >> 8, 1000)
        check(backend, "replay_int8", w, b, *arguments)
        check(backend, "replay_int8", w[:, :, ::-1], b[::-1], *arguments)


def test_replays_of_shapes_that_do_not_fit_are_refused(backend):
    w, b, slopes = np.zeros((2, 3, 4), np.int8), np.zeros((2, 3), np.int32), np.zeros((2, 5, 1))
    seeds, rates = np.zeros(2, np.uint32), np.zeros((5, 3), np.int32)
    whole = (w, b, slopes.astype(np.int32), seeds, 1, 0, rates, rates, 9)
    for place in (1, 2, 3, 6, 7):
        wrong = (*whole[:place], whole[place][1:], *whole[place + 1 :])
        with pytest.raises(ValueError, match="must have shape"):
            backend.replay_int8(*wrong)
