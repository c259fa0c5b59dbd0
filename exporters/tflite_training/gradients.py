"""The backward pass on tensors; every function is its namesake in `edgetrain.fixed`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.gradients import RATIO_BITS
from edgetrain.arithmetic.layers import Window, pool_counts
from edgetrain.arithmetic.rounding import INT8_MIN
from edgetrain.exporters.tflite_training.operations import matmul
from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant
from edgetrain.exporters.tflite_training.windows import (
    by_group,
    gathered,
    seeing,
    seen,
    without_groups,
)

UNIT = 1 << RATIO_BITS


def grad_b(e: Tensor) -> Tensor:
    """Sum an error up over all but its last axis: int32 (n_out,)."""
    return e.cast(np.int32).reshape(-1, e.shape[-1]).sum(0)


def dense_grad_w(x: Tensor, e: Tensor, x_zero_point: int) -> Tensor:
    """Gradient of a dense layer's weights: int32 (n_out, n_in)."""
    sums = matmul(e.cast(np.int8), x, turn_a=True)
    if not x_zero_point:
        return sums
    return sums - (grad_b(e) * x_zero_point).reshape(-1, 1)


def dense_grad_x(e: Tensor, w: Operand, ratio: NDArray[Any]) -> Tensor:
    """Error of a dense layer's input: int32 (batch, n_in)."""
    weights = constant(e.graph, w, np.int8)
    return _scaled(e, ratio, lambda part: matmul(part, weights))


def _scaled(e: Tensor, ratio: NDArray[Any], product: Callable[[Tensor], Tensor]) -> Tensor:
    """Multiply errors by their ratio and by something linear that reads int8.

    The 15-bit products of errors and ratios are ``128 * high + low``.
    """
    narrow = e.cast(np.int8)
    if np.all(ratio == UNIT):
        return product(narrow) * UNIT
    wide = e.cast(np.int32) * ratio.astype(np.int32)
    high = (wide + UNIT // 2) >> RATIO_BITS
    low = wide - high * UNIT
    return product(high.cast(np.int8)) * UNIT + product(low.cast(np.int8))


def conv2d_grad_w(x: Tensor, e: Tensor, x_zero_point: int, window: Window) -> Tensor:
    """Gradient of a convolution's weights: int32 (n_out, kernel height, width, n_in / groups)."""
    channels, n_out, groups = x.shape[3], e.shape[3], window.groups
    patches = gathered(x, seen(*x.shape[1:3], window), x_zero_point)
    rows, taps = patches.shape[0] * patches.shape[1], patches.shape[2]
    if channels == groups > 1:
        wide = patches.cast(np.int32).reshape(rows, taps, channels, 1)
        errors = e.cast(np.int32).reshape(rows, 1, channels, n_out // channels)
        sums = (wide * errors).sum(0).reshape(taps, n_out).transpose(1, 0)
    else:
        errors = by_group(e.cast(np.int8).reshape(1, rows, 1, n_out), groups)
        sums = matmul(errors, by_group(patches, groups), turn_a=True).reshape(n_out, -1)
    if x_zero_point:
        sums = sums - (grad_b(e) * x_zero_point).reshape(-1, 1)
    return sums.reshape(n_out, *window.kernel, channels // groups)


def conv2d_grad_x(
    e: Tensor, w: Operand, ratio: NDArray[Any], x_shape: tuple[int, ...], window: Window
) -> Tensor:
    """Error of a convolution's input: int32 of x_shape."""
    weights = constant(e.graph, w, np.int8)
    table, groups, n_in = seeing(*x_shape[1:3], window), window.groups, weights.shape[3]
    taps = table.shape[1]
    if n_in == 1 and groups > 1:
        repeats = weights.shape[0] // groups
        filters = weights.reshape(groups, repeats, taps).transpose(2, 0, 1).cast(np.int32)
        scaled = e.cast(np.int32) * ratio.astype(np.int32)
        seen_by = gathered(scaled, table, 0).reshape(-1, taps, groups, repeats)
        return (seen_by * filters).sum(1, 3).reshape(*x_shape)
    filters = weights.reshape(groups, -1, taps, n_in).transpose(0, 2, 1, 3)
    flat = filters.reshape(groups, -1, n_in)
    sums = _scaled(e, ratio, lambda part: matmul(by_group(gathered(part, table, 0), groups), flat))
    return without_groups(sums).reshape(*x_shape)


def average_pool_grad(e: Tensor, x_shape: tuple[int, ...], window: Window) -> Tensor:
    """Error of an average pool's input, times 256: int32 of x_shape."""
    count = pool_counts(x_shape[1], x_shape[2], window)
    share = (e.cast(np.int32) * 256 + count // 2) // count
    return gathered(share, seeing(*x_shape[1:3], window), 0).sum(2).reshape(*x_shape)


def max_pool_index(x: Tensor, window: Window) -> Tensor:
    """Say which tap of each window won, the first of equals: int32 of the pooled shape."""
    views = gathered(x.cast(np.int32), seen(*x.shape[1:3], window), INT8_MIN - 1)
    return views.argmax(2).reshape(x.shape[0], *window.output_size(*x.shape[1:3]), -1)


def max_pool_grad(e: Tensor, index: Tensor, x_shape: tuple[int, ...], window: Window) -> Tensor:
    """Error of a max pool's input: int32 of x_shape."""
    table = seeing(*x_shape[1:3], window)
    taps = np.arange(table.shape[1]).reshape(1, 1, -1, 1)
    wins = gathered(index, table, -1).equal(taps).cast(np.int32)
    return (gathered(e.cast(np.int32), table, 0) * wins).sum(2).reshape(*x_shape)
