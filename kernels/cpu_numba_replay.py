# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The replay of the backend "numba": the updates of compiled steps, from slopes that are known."""

import numpy as np

from edgetrain.arithmetic.randomness import UInt32
from edgetrain.arithmetic.replays import check_shapes
from edgetrain.arithmetic.rooms import learning_signs
from edgetrain.arithmetic.rounding import Int8, Int32
from edgetrain.kernels.cpu_numba_jit import jit
from edgetrain.kernels.cpu_numba_learn import NO_MOMENTUM
from edgetrain.kernels.cpu_numba_learn_signs import draw_keys, step_rows, stepped_together
from edgetrain.kernels.cpu_numba_memory import PLACES
from edgetrain.kernels.cpu_numba_single import ready, room, with_slack


@jit
def replay(w, b, slopes, seed, tensor, first, rates_w, rates_b, limit, room):
    """Take the steps of one device with w (channels, n) and b, in place.

    As many channels as fit in the cache take all their steps before the next ones.
    """
    together, places = stepped_together(w.shape[1], len(w)), np.zeros(PLACES, np.int64)
    keys = np.empty((slopes.shape[1] + 1, 2), np.uint32)
    for start in range(0, len(w), together):
        end = min(start + together, len(w))
        for s in range(len(slopes)):
            draw_keys(seed, first + s, tensor, keys)
            step_rows(slopes[s], keys, start, rates_w[s, start:end],
                      rates_b[s, start:end], places, w.ctypes.data, -1, NO_MOMENTUM, w.shape[1],
                      len(w), b, b, limit, room.ctypes.data)  # fmt: skip


def replay_int8(
    w: Int8, b: Int32, slopes: Int32, seeds: UInt32, tensor: int, first: int, rates_w: Int32,
    rates_b: Int32, limit: int,
) -> tuple[Int8, Int32]:  # fmt: skip
    """See `edgetrain.fixed.replay_int8`."""
    check_shapes(w, b, slopes, seeds, rates_w, rates_b)
    new_w, new_b = with_slack(w)[: w.size].reshape(w.shape), np.array(b, np.int32, order="C")
    if not slopes.shape[2]:
        return new_w, new_b
    space = room(learning_signs((1, 1, w.shape[2], 1, 1, w.shape[1], 1, 1, 1, 1, 0, 0, 1)))
    rates = ready(rates_w, np.int32), ready(rates_b, np.int32)
    for device, seed in enumerate(seeds.tolist()):
        own = ready(slopes[device], np.int32)
        replay(new_w[device], new_b[device], own, seed, int(tensor), int(first), *rates, int(limit),
               space)  # fmt: skip
    return new_w, new_b
