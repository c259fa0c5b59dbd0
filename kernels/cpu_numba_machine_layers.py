# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Instructions of the machine for weights, layers and gradients: they read operands and call."""

import numpy as np

from edgetrain.arithmetic.instructions import FIRST
from edgetrain.arithmetic.layers import ADD_LEFT_SHIFT
from edgetrain.kernels import cpu_numba_depthwise as depthwise
from edgetrain.kernels import cpu_numba_errors as errors
from edgetrain.kernels import cpu_numba_errors_channels as errors_channels
from edgetrain.kernels import cpu_numba_gemm as gemm
from edgetrain.kernels import cpu_numba_gradients as gradients
from edgetrain.kernels import cpu_numba_losses as losses
from edgetrain.kernels import cpu_numba_pack as packing
from edgetrain.kernels import cpu_numba_pools as pools
from edgetrain.kernels.cpu_numba_elements import I32, add_codes
from edgetrain.kernels.cpu_numba_gemm import LANES, LEFT_TYPE, C, H, N, W
from edgetrain.kernels.cpu_numba_jit import part
from edgetrain.kernels.cpu_numba_memory import (
    NEW,
    OLD,
    OUT,
    X,
    bytes_at,
    codes,
    copy,
    ints,
    shorts,
    sizes,
    whole,
)  # fmt: skip
from edgetrain.kernels.cpu_numba_vectors import add_vector

P, ALL = FIRST, 2**60


@part
def area_at(address):
    """Array of the type that the micro-kernel reads as a."""
    return bytes_at(address, ALL).view(LEFT_TYPE)


def input(row, first, count, places):
    """Copy samples from the caller."""
    r = whole(row)
    size = r[P + 1]
    copy(r[P], places[X] + first * size, count * size)


def output(row, first, count, places):
    """Copy results to the caller."""
    r = whole(row)
    size = r[P + 1]
    copy(places[OUT] + first * size, r[P], count * size)


def clear(row, first, count, places):
    """Fill with zeros."""
    r = whole(row)
    target = bytes_at(r[P], r[P + 1])
    for i in range(target.size):
        target[i] = 0


def keep(row, first, count, places):
    """Copy old parameters to new ones."""
    r = whole(row)
    copy(places[NEW] + r[P], places[OLD] + r[P], r[P + 1])


def widen(row, first, count, places):
    """Write weights and biases of a convolution in groups as those of an ordinary one."""
    r, g = whole(row), sizes(row)
    base = places[OLD] if r[P] else 0
    packing.widen(codes(base + r[P + 1], ALL), g, r[P + 3], codes(r[P + 4], ALL))
    copy(r[P + 5], base + r[P + 2], 4 * g[N])


def narrow(row, first, count, places):
    """Keep of a weight gradient what belongs to a convolution in groups."""
    r = whole(row)
    packing.narrow(ints(r[P + 1], ALL), sizes(row), r[P])


def pack(row, first, count, places):
    """Lay out the weights of a layer."""
    r = whole(row)
    base = places[OLD] if r[P] else 0
    packing.pack(codes(base + r[P + 1], ALL), ints(base + r[P + 2], ALL), sizes(row), r[P + 3],
              codes(r[P + 4], ALL), ints(r[P + 5], ALL))  # fmt: skip


def pack_channels(row, first, count, places):
    """Lay out the weights of a depthwise layer."""
    r = whole(row)
    base = places[OLD] if r[P] else 0
    depthwise.pack_channels(codes(base + r[P + 1], ALL), ints(base + r[P + 2], ALL), sizes(row),
                            r[P + 3], codes(r[P + 4], ALL), ints(r[P + 5], ALL))  # fmt: skip


def pack_channels_back(row, first, count, places):
    """Lay out the weights through which errors of a depthwise layer flow back."""
    r = whole(row)
    base = places[OLD] if r[P] else 0
    errors_channels.turn_back(codes(base + r[P + 1], ALL), sizes(row), codes(r[P + 2], ALL))


def pack_back(row, first, count, places):
    """Lay out the weights through which errors flow back."""
    r = whole(row)
    base = places[OLD] if r[P] else 0
    errors.pack_back(codes(base + r[P + 1], ALL), sizes(row), codes(r[P + 2], ALL))


def layer(row, first, count, places):
    """Compute a dense layer or convolution."""
    r = whole(row)
    gemm.layer(codes(r[P], ALL), count, sizes(row), r[P + 1], codes(r[P + 2], ALL),
               ints(r[P + 3], ALL), ints(r[P + 4], ALL), ints(r[P + 5], ALL), r[P + 6], r[P + 7],
               r[P + 8], area_at(r[P + 9]), codes(r[P + 10], ALL))  # fmt: skip


def channels(row, first, count, places):
    """Compute a depthwise convolution."""
    r = whole(row)
    depthwise.depthwise(codes(r[P], ALL), count, sizes(row), r[P + 1], codes(r[P + 2], ALL),
                        ints(r[P + 3], ALL), ints(r[P + 4], ALL), ints(r[P + 5], ALL), r[P + 6],
                        r[P + 7], r[P + 8], area_at(r[P + 9]),
                        codes(r[P + 10], ALL))  # fmt: skip


def sums(row, first, count, places):
    """Compute a dense layer or convolution as int32 sums."""
    r = whole(row)
    gemm.layer_sums(codes(r[P], ALL), count, sizes(row), r[P + 1], codes(r[P + 2], ALL),
                    ints(r[P + 3], ALL), area_at(r[P + 4]), ints(r[P + 5], ALL))  # fmt: skip


def channel_sums(row, first, count, places):
    """Compute a depthwise convolution as int32 sums."""
    r = whole(row)
    depthwise.depthwise_sums(codes(r[P], ALL), count, sizes(row), r[P + 1], codes(r[P + 2], ALL),
                             ints(r[P + 3], ALL), area_at(r[P + 4]),
                             ints(r[P + 5], ALL))  # fmt: skip


def average(row, first, count, places):
    """Average under a window."""
    r = whole(row)
    pools.average(codes(r[P], ALL), count, sizes(row), codes(r[P + 1], ALL))


def maximum(row, first, count, places):
    """Take the largest under a window."""
    r = whole(row)
    pools.maximum(codes(r[P], ALL), count, sizes(row), codes(r[P + 1], ALL))


def winners(row, first, count, places):
    """Say which pixel under a window is the largest."""
    r = whole(row)
    pools.winners(codes(r[P], ALL), count, sizes(row), bytes_at(r[P + 1], ALL))


def average_grad(row, first, count, places):
    """Send errors back through an average pool, times 256."""
    r, g = whole(row), sizes(row)
    grad = ints(r[P + 1], count * g[H] * g[W] * g[C])
    grad[:] = 0
    pools.average_grad(codes(r[P], ALL), count, g, grad)


def maximum_grad(row, first, count, places):
    """Send errors back through a max pool, shifted left."""
    r, g = whole(row), sizes(row)
    grad = ints(r[P + 3], count * g[H] * g[W] * g[C])
    grad[:] = 0
    pools.maximum_grad(codes(r[P], ALL), bytes_at(r[P + 1], ALL), count, g, r[P + 2], grad)


def mean(row, first, count, places):
    """Average each channel over the image."""
    r = whole(row)
    pools.global_average(codes(r[P], ALL), count, r[P + 1], r[P + 2], r[P + 3], r[P + 4], r[P + 5],
                         r[P + 6], codes(r[P + 7], ALL))  # fmt: skip


def add(row, first, count, places):
    """Add two values."""
    r = whole(row)
    size = count * r[P + 13]
    done = size - size % LANES
    for i in range(0, done, LANES):
        add_vector(r[P] + i, r[P + 1], r[P + 2], r[P + 3], r[P + 4] + i, r[P + 5], r[P + 6],
                   r[P + 7], ADD_LEFT_SHIFT, r[P + 8], r[P + 9], r[P + 10], r[P + 11], r[P + 12],
                   r[P + 14] + i)  # fmt: skip
    rest = size - done
    add_codes(codes(r[P] + done, rest), r[P + 1], r[P + 2], r[P + 3], codes(r[P + 4] + done, rest),
              r[P + 5], r[P + 6], r[P + 7], ADD_LEFT_SHIFT, r[P + 8], r[P + 9], r[P + 10],
              r[P + 11], r[P + 12], codes(r[P + 14] + done, rest))  # fmt: skip


def look_up(row, first, count, places):
    """Apply a function given by its table."""
    r = whole(row)
    x, table, y = codes(r[P], ALL), codes(r[P + 1], 256), codes(r[P + 3], ALL)
    for i in range(count * r[P + 2]):
        y[i] = table[np.int16(x[i]) + 128]


def centre(row, first, count, places):
    """Take off the zero point and shift left, to int32."""
    r = whole(row)
    size = count * r[P + 3]
    x, y = codes(r[P], size), ints(r[P + 4], size)
    for i in range(size):
        y[i] = I32(I32(I32(x[i]) - I32(r[P + 1])) << I32(r[P + 2]))


def logits(row, first, count, places):
    """Turn sums into Q10 outputs."""
    r = whole(row)
    width = r[P + 3]
    losses.logits_q10(ints(r[P], count * width), ints(r[P + 1], width), ints(r[P + 2], width),
                      width, ints(r[P + 4], ALL))  # fmt: skip


def grad_w(row, first, count, places):
    """Add up the gradient of a layer's weights."""
    r = whole(row)
    gradients.grad_w(codes(r[P], ALL), codes(r[P + 1], ALL), count, sizes(row), r[P + 2],
                     area_at(r[P + 3]), codes(r[P + 4], ALL), ints(r[P + 5], ALL))  # fmt: skip


def grad_w_channels(row, first, count, places):
    """Add up the gradient of a depthwise layer's weights."""
    r = whole(row)
    depthwise.depthwise_grad_w(codes(r[P], ALL), codes(r[P + 1], ALL), count, sizes(row), r[P + 2],
                               shorts(r[P + 3], ALL), ints(r[P + 4], ALL))  # fmt: skip
