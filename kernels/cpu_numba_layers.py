"""Layers and pools of the backend "numba", as single instructions of its machine."""

import math

import numpy as np

from edgetrain.arithmetic import rooms
from edgetrain.arithmetic.instructions import SCALING
from edgetrain.arithmetic.layers import Window
from edgetrain.arithmetic.rounding import Int8, Int16, Int32, Ints
from edgetrain.kernels.cpu_numba_gemm import ADDED
from edgetrain.kernels.cpu_numba_single import execute, need, ready, room, with_slack

POINT = Window((1, 1), (1, 1), (0, 0, 0, 0))
"""A dense layer is a convolution of one pixel."""


def dense_acc(x: Int8, w: Int8, b: Int32, x_zero_point: int) -> Int32:
    """See `edgetrain.fixed.dense_acc`."""
    return conv2d_acc(x[:, None, None], w[:, None, None], b, x_zero_point, POINT)[:, 0, 0]


def dense_grad_w(x: Int8, e: Int8, x_zero_point: int) -> Int32:
    """See `edgetrain.fixed.dense_grad_w`."""
    return conv2d_grad_w(x[:, None, None], e[:, None, None], x_zero_point, POINT)[:, 0, 0]


def dense_grad_x(e: Int8, w: Int8, ratio: Int16) -> Int32:
    """See `edgetrain.fixed.dense_grad_x`."""
    x_shape = (len(e), 1, 1, w.shape[1])
    return conv2d_grad_x(e[:, None, None], w[:, None, None], ratio, x_shape, POINT)[:, 0, 0]


def _sizes(x_shape: tuple[int, ...], n_out: int, window: Window) -> tuple[int, ...]:
    batch, height, width, channels = x_shape
    out = window.output_size(height, width)
    top, _, left, _ = window.padding
    return (height, width, channels, *out, n_out, *window.kernel, *window.stride, top, left, batch)


def conv2d_acc(x: Int8, w: Int8, b: Int32, x_zero_point: int, window: Window) -> Int32:
    """See `edgetrain.fixed.conv2d_acc`."""
    n_out, channels = len(w), x.shape[3]
    need("w", w, _filter_shape(n_out, channels, window))
    need("b", b, (n_out,))
    sizes, zero, bias = _sizes(x.shape, n_out, window), int(x_zero_point), ready(b, np.int32)
    pack, sums, count = "pack_channels", "channel_sums", rooms.packed_channels(sizes)
    if not rooms.is_depthwise(sizes, window.groups):
        pack, sums, count = "pack", "sums", rooms.packed(sizes)
        w = _widened(w, sizes, window.groups)
    packed, less = room(count), room(rooms.whole(n_out, rooms.COLUMNS), np.int32)
    execute(pack, sizes, is_block=0, w=with_slack(w), b=bias, zero=zero, packed=packed, bias=less)
    out = np.empty((len(x), *sizes[3:5], n_out), np.int32)
    execute(sums, sizes, batch=len(x), x=ready(x, np.int8), zero=zero, packed=packed, bias=less,
            area=room(rooms.area(sizes), np.int16, rooms.behind(sizes)), y=out)  # fmt: skip
    return out


def _widened(w: Int8, sizes: tuple[int, ...], groups: int) -> Int8:
    """Return the weights of a convolution in groups as those of an ordinary one."""
    if groups == 1:
        return w
    n_out, height, width, _ = w.shape
    biases, wide = np.zeros(n_out, np.int32), np.empty((n_out, height, width, sizes[2]), np.int8)
    execute("widen", sizes, is_block=0, w=ready(w, np.int8), b=biases, groups=groups, w_out=wide,
            b_out=biases.copy())  # fmt: skip
    return wide


def conv2d_grad_w(x: Int8, e: Int8, x_zero_point: int, window: Window) -> Int32:
    """See `edgetrain.fixed.conv2d_grad_w`."""
    n_out, channels = e.shape[3], x.shape[3]
    need("e", e, (len(x), *window.output_size(*x.shape[1:3]), n_out))
    shape, zero = _filter_shape(n_out, channels, window), int(x_zero_point)
    sizes, groups = _sizes(x.shape, n_out, window), window.groups
    given: dict[str, Ints] = {"x": with_slack(x, rooms.behind(sizes)), "e": with_slack(e)}
    if rooms.is_depthwise(sizes, groups):
        out = np.zeros((*shape[1:], n_out), np.int32)
        area = room(rooms.centred(sizes), np.int16, rooms.behind(sizes))
        execute("grad_w_channels", sizes, batch=len(x), zero=zero, area=area, y=out, **given)
    else:
        sums = np.zeros((*window.kernel, channels, n_out), np.int32)
        area = room(rooms.turned_image(sizes), np.int16)
        execute("grad_w", sizes, batch=len(x), zero=zero, area=area, y=sums,
                packed=room(rooms.packed_errors(sizes)), **given)  # fmt: skip
        execute("narrow", sizes, groups=groups, y=sums)
        out = sums.reshape(-1)[: math.prod(shape)].reshape(*shape[1:], n_out)
        out -= np.int32(zero + ADDED) * e.sum(axis=(0, 1, 2), dtype=np.int32)
    return np.ascontiguousarray(out.transpose(3, 0, 1, 2))


def conv2d_grad_x(
    e: Int8, w: Int8, ratio: Int16, x_shape: tuple[int, ...], window: Window
) -> Int32:
    """See `edgetrain.fixed.conv2d_grad_x`."""
    batch, height, width, channels = x_shape
    n_out = len(w)
    need("e", e, (batch, *window.output_size(height, width), n_out))
    need("w", w, _filter_shape(n_out, channels, window))
    need("ratio", ratio, (n_out,))
    sizes, kind, count = _sizes(x_shape, n_out, window), "_channels", w.size
    if not rooms.is_depthwise(sizes, window.groups):
        kind, count, w = "", rooms.packed_back(sizes), _widened(w, sizes, window.groups)
    packed, out = room(count), np.empty(x_shape, np.int32)
    execute(f"pack{kind}_back", sizes, is_block=0, w=ready(w, np.int8), packed=packed)
    execute(
        f"grad_x{kind}", sizes, batch=batch, e=with_slack(e), packed=packed,
        ratio=ready(ratio, np.int16), room=room(rooms.back(sizes), behind=rooms.behind(sizes)),
        image=room(rooms.image(sizes), np.int32), y=out, **dict.fromkeys(SCALING, 0),
    )  # fmt: skip
    return out


def _filter_shape(n_out: int, channels: int, window: Window) -> tuple[int, ...]:
    if channels % window.groups or n_out % window.groups:
        raise ValueError(
            f"groups must divide the channels, got {window.groups} groups, "
            f"{channels} channels in and {n_out} out"
        )
    return (n_out, *window.kernel, channels // window.groups)


def average_pool(x: Int8, window: Window) -> Int8:
    """See `edgetrain.fixed.average_pool`."""
    return _pool("average", x, window)


def max_pool(x: Int8, window: Window) -> Int8:
    """See `edgetrain.fixed.max_pool`."""
    return _pool("maximum", x, window)


def _pool(name: str, x: Int8, window: Window) -> Int8:
    sizes = _sizes(x.shape, x.shape[3], window)
    out: Ints = np.empty((len(x), *sizes[3:5], x.shape[3]), np.int8)
    execute(name, sizes, batch=len(x), x=ready(x, np.int8), y=out)
    return out
