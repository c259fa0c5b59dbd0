# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The replay of the backend "numba": the updates of compiled steps, from slopes that are known."""

import numpy as np

from edgetrain.arithmetic.randomness import ROUND, UInt32
from edgetrain.arithmetic.replays import check_shapes
from edgetrain.arithmetic.rooms import SIGNED
from edgetrain.arithmetic.rounding import Int8, Int32
from edgetrain.kernels.cpu_numba_elements import I64, stream_key
from edgetrain.kernels.cpu_numba_jit import jit
from edgetrain.kernels.cpu_numba_learn import step_bias, step_rows, sum_signs
from edgetrain.kernels.cpu_numba_single import ready


@jit
def replay(w, b, slopes, seed, tensor, first, rates_w, rates_b, limit):
    """Take the steps of one device with w (channels, n) and b, in place.

    As many channels as fit in the cache take all their steps before the next ones.
    """
    steps, (channels, n) = len(slopes), w.shape
    together = max(min(channels, SIGNED // max(n, 1)), 1)
    acc, factors = np.empty(together * n, np.int32), np.empty(together * n, np.int32)
    drawn = np.empty((together * n + 6) // 4, np.uint32)
    for start in range(0, channels, together):
        count = min(together, channels - start)
        for s in range(steps):
            number = first + s
            for j in range(count):
                own = slice(j * n, j * n + n)
                total = sum_signs(slopes[s], seed, number, tensor, start + j, acc[own])
                factors[own] = rates_w[s, start + j]
                b[start + j] = step_bias(b[start + j], total, I64(rates_b[s, start + j]), limit)
            key, place = stream_key(seed, number, tensor, ROUND), w.ctypes.data
            step_rows(start, count, n, acc, factors, key, 0, 0, place, -1, drawn)


def replay_int8(
    w: Int8, b: Int32, slopes: Int32, seeds: UInt32, tensor: int, first: int, rates_w: Int32,
    rates_b: Int32, limit: int,
) -> tuple[Int8, Int32]:  # fmt: skip
    """See `edgetrain.fixed.replay_int8`."""
    check_shapes(w, b, slopes, seeds, rates_w, rates_b)
    new_w, new_b = np.array(w, np.int8, order="C"), np.array(b, np.int32, order="C")
    rates = ready(rates_w, np.int32), ready(rates_b, np.int32)
    for device, seed in enumerate(seeds.tolist()):
        own = ready(slopes[device], np.int32)
        replay(new_w[device], new_b[device], own, seed, int(tensor), int(first), *rates, int(limit))
    return new_w, new_b
