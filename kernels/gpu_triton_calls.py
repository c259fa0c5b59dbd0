"""Layers with weights of the backend "triton", and their gradients."""

from typing import Any

import numpy as np
import torch

from edgetrain.arithmetic.layers import Window
from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN, Int8, Int16, Int32, Ints
from edgetrain.kernels import gpu_triton_layers as layers
from edgetrain.kernels.gpu_triton_launch import (
    BLOCK,
    INTERPRETED,
    empty,
    launch,
    need,
    over,
    to_device,
    to_host,
)

POINT = Window((1, 1), (1, 1), (0, 0, 0, 0))
TILE = {"M": 32, "N": 16, "K": 256} if INTERPRETED else {"M": 128, "N": 64, "K": 64}
LARGE_TILE = {"M": 128, "N": 128, "K": 128, "num_warps": 4, "num_stages": 3}
LARGE = 2048
"""A product of so many rows and filters takes the larger tile, on a GPU."""
STRIP = {"N": 64, "K": 256} if INTERPRETED else {"N": 4, "K": 1024}
"""Filters and columns that are summed up at once."""
GROUP = 4
"""Rows of tiles whose products are neighbours."""
Scales = tuple[Int32 | int, Int32 | int, int, int, int]
"""Multiplier, shift, zero point, and ends of the range of a result in int8."""
NO_SCALES: Scales = (0, 0, 0, 0, 0)


def numbers(window: Window) -> dict[str, int]:
    """Return a window as the constants of a kernel."""
    (height, width), (vertical, horizontal) = window.kernel, window.stride
    return {
        "KW": width, "SY": vertical, "SX": horizontal, "TOP": window.padding[0],
        "LEFT": window.padding[2], "TAPS": height * width,
    }  # fmt: skip


def dense_acc(x: Int8, w: Int8, b: Int32, x_zero_point: int) -> Int32:
    """See `edgetrain.fixed.dense_acc`."""
    return _dense(x, w, b, x_zero_point, NO_SCALES, torch.int32)


def dense(
    x: Int8, w: Int8, b: Int32, x_zero_point: int, multiplier: Int32, shift: Int32,
    y_zero_point: int = 0, low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """See `edgetrain.fixed.dense`."""
    scales = (multiplier, shift, y_zero_point, low, high)
    return _dense(x, w, b, x_zero_point, scales, torch.int8)


def _dense(
    x: Int8, w: Int8, b: Int32, x_zero_point: int, scales: Scales, dtype: torch.dtype
) -> Ints:
    n_out, n_in = w.shape
    need("x", x, (len(x), n_in))
    need("b", b, (n_out,))
    out = empty((len(x), n_out), dtype)
    given = (to_device(x, np.int8), to_device(w, np.int8), to_device(b, np.int32), out)
    run_dense(*given, int(x_zero_point), *_on_device(scales, n_out))
    return to_host(out)


def run_dense(
    x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, out: torch.Tensor, zero_point: int,
    multiplier: torch.Tensor, shift: torch.Tensor, y_zero: int, low: int, high: int,
) -> None:  # fmt: skip
    """Run `dense` on tensors of the device: int8 out is requantized, int32 is not."""
    rows, (n_out, n_in) = len(x), w.shape
    is_large = not INTERPRETED and min(rows, n_out) >= LARGE
    tile: dict[str, Any] = LARGE_TILE if is_large else TILE
    start = empty(tuple(b.shape), torch.int32)
    some = (-(-n_out // STRIP["N"]),)
    launch(layers.offsets, some, w, b, start, n_in, n_out, zero_point, **STRIP)
    grid = (-(-rows // tile["M"]) * -(-n_out // tile["N"]),)
    launch(layers.dense, grid, x, w, start, out, multiplier, shift, rows, n_in, n_out, y_zero,
           low, high, FUSED=out.dtype == torch.int8, EVEN=n_in % tile["K"] == 0, GROUP=GROUP,
           **tile)  # fmt: skip


def _on_device(scales: Scales, n_out: int) -> tuple[Any, ...]:
    multiplier, shift, zero_point, low, high = scales
    return (*(to_device(np.full(n_out, v), np.int32) for v in (multiplier, shift)),
            int(zero_point), int(low), int(high))  # fmt: skip


def conv2d_acc(x: Int8, w: Int8, b: Int32, x_zero_point: int, window: Window) -> Int32:
    """See `edgetrain.fixed.conv2d_acc`."""
    return _conv2d(x, w, b, x_zero_point, window, NO_SCALES, torch.int32)


def conv2d(
    x: Int8, w: Int8, b: Int32, x_zero_point: int, window: Window, multiplier: Int32,
    shift: Int32, y_zero_point: int = 0, low: int = INT8_MIN, high: int = INT8_MAX,
) -> Int8:  # fmt: skip
    """See `edgetrain.fixed.conv2d`."""
    scales = (multiplier, shift, y_zero_point, low, high)
    return _conv2d(x, w, b, x_zero_point, window, scales, torch.int8)


def _conv2d(
    x: Int8, w: Int8, b: Int32, x_zero_point: int, window: Window, scales: Scales,
    dtype: torch.dtype,
) -> Ints:  # fmt: skip
    n_out, (batch, height, width, channels) = len(w), x.shape
    need("w", w, _filter_shape(n_out, channels, window))
    need("b", b, (n_out,))
    if window == POINT:
        pixels = _dense(x.reshape(-1, channels), w.reshape(n_out, -1), b, x_zero_point, scales,
                        dtype)  # fmt: skip
        return pixels.reshape(batch, height, width, n_out)
    size = window.output_size(height, width)
    out = empty((batch, *size, n_out), dtype)
    part, sizes = n_out // window.groups, (height, width, channels, *size, n_out)
    given = (to_device(x, np.int8), to_device(w, np.int8), to_device(b, np.int32), out)
    multiplier, shift, *limits = _on_device(scales, n_out)
    ends = (part, int(x_zero_point), *limits)
    constants = {**numbers(window), "FUSED": dtype == torch.int8}
    if _is_depthwise(window, channels):
        launch(layers.depthwise, over(out.numel()), *given, multiplier, shift, out.numel(), *sizes,
               *ends, **constants, BLOCK=BLOCK)  # fmt: skip
        return to_host(out)
    grid = (*_tiles(batch * size[0] * size[1], part), window.groups)
    launch(layers.conv2d, grid, *given, multiplier, shift, batch, *sizes, w.shape[3], *ends,
           **constants, **TILE)  # fmt: skip
    return to_host(out)


def dense_grad_w(x: Int8, e: Int8, x_zero_point: int) -> Int32:
    """See `edgetrain.fixed.dense_grad_w`."""
    return conv2d_grad_w(x[:, None, None], e[:, None, None], x_zero_point, POINT)[:, 0, 0]


def conv2d_grad_w(x: Int8, e: Int8, x_zero_point: int, window: Window) -> Int32:
    """See `edgetrain.fixed.conv2d_grad_w`."""
    n_out, (batch, height, width, channels) = e.shape[3], x.shape
    size = window.output_size(height, width)
    need("e", e, (batch, *size, n_out))
    shape = _filter_shape(n_out, channels, window)
    out = empty(shape, torch.int32)
    part, sizes = n_out // window.groups, (height, width, channels, *size, n_out)
    given, constants = (to_device(x, np.int8), to_device(e, np.int8), out), numbers(window)
    if _is_depthwise(window, channels):
        taps = (n_out, constants["TAPS"])
        launch(layers.depthwise_grad_w, taps, *given, batch * size[0] * size[1], *sizes, part,
               int(x_zero_point), **constants, BLOCK=BLOCK)  # fmt: skip
        return to_host(out)
    grid = (*_tiles(part, constants["TAPS"] * shape[3]), window.groups)
    launch(layers.conv2d_grad_w, grid, *given, batch, *sizes, shape[3], part, int(x_zero_point),
           **constants, **TILE)  # fmt: skip
    return to_host(out)


def dense_grad_x(e: Int8, w: Int8, ratio: Int16) -> Int32:
    """See `edgetrain.fixed.dense_grad_x`."""
    x_shape = (len(e), 1, 1, w.shape[1])
    return conv2d_grad_x(e[:, None, None], w[:, None, None], ratio, x_shape, POINT)[:, 0, 0]


def conv2d_grad_x(
    e: Int8, w: Int8, ratio: Int16, x_shape: tuple[int, ...], window: Window
) -> Int32:
    """See `edgetrain.fixed.conv2d_grad_x`."""
    n_out, (batch, height, width, channels) = len(w), x_shape
    size = window.output_size(height, width)
    need("e", e, (batch, *size, n_out))
    need("w", w, _filter_shape(n_out, channels, window))
    need("ratio", ratio, (n_out,))
    out = empty(x_shape, torch.int32)
    part, sizes = n_out // window.groups, (height, width, channels, *size, n_out)
    given = (to_device(e, np.int8), to_device(w, np.int8), to_device(ratio, np.int16), out)
    if _is_depthwise(window, channels):
        launch(layers.depthwise_grad_x, over(out.numel()), *given, out.numel(), *sizes, part,
               **numbers(window), BLOCK=BLOCK)  # fmt: skip
        return to_host(out)
    grid = (*_tiles(batch * height * width, w.shape[3]), window.groups)
    launch(layers.conv2d_grad_x, grid, *given, batch, *sizes, w.shape[3], part, **numbers(window),
           **TILE)  # fmt: skip
    return to_host(out)


def _tiles(rows: int, columns: int) -> tuple[int, int]:
    return -(-rows // TILE["M"]), -(-columns // TILE["N"])


def _is_depthwise(window: Window, channels: int) -> bool:
    return window.groups == channels > 1


def _filter_shape(n_out: int, channels: int, window: Window) -> tuple[int, ...]:
    if channels % window.groups or n_out % window.groups:
        raise ValueError(
            f"groups must divide the channels, got {window.groups} groups, "
            f"{channels} channels in and {n_out} out"
        )
    return (n_out, *window.kernel, channels // window.groups)
