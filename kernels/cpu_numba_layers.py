"""Layers and pools of the backend "numba", as single instructions of its machine."""

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
    sizes = _sizes(x.shape, n_out, window)
    out, zero = np.empty((len(x), *sizes[3:5], n_out), np.int32), int(x_zero_point)
    if _is_depthwise(window, channels):
        x = np.repeat(x, n_out // channels, axis=3)
        _sums("channel_sums", _sizes(x.shape, n_out, window), x, w, b, zero, out)
        return out
    parts, own = window.groups, n_out // window.groups
    for g in range(parts):
        inputs = np.split(x, parts, axis=3)[g]
        filters, biases = w[g * own : (g + 1) * own], b[g * own : (g + 1) * own]
        part = np.empty((*out.shape[:3], own), np.int32)
        _sums("sums", _sizes(inputs.shape, own, window), inputs, filters, biases, zero, part)
        out[..., g * own : (g + 1) * own] = part
    return out


def _sums(name: str, sizes: tuple[int, ...], x: Int8, w: Int8, b: Int32, zero: int,
          out: Int32) -> None:  # fmt: skip
    """Lay out weights, and compute a layer."""
    is_channels = name == "channel_sums"
    packed = room((rooms.packed_channels if is_channels else rooms.packed)(sizes))
    bias = room(rooms.whole(len(b), rooms.COLUMNS), np.int32)
    execute("pack_channels" if is_channels else "pack", sizes, is_block=0, w=with_slack(w),
            b=ready(b, np.int32), zero=zero, packed=packed, bias=bias)  # fmt: skip
    area = room(rooms.area(sizes), np.int16, rooms.behind(sizes))
    execute(name, sizes, batch=len(x), x=ready(x, np.int8), zero=zero, packed=packed, bias=bias,
            area=area, y=out)  # fmt: skip


def conv2d_grad_w(x: Int8, e: Int8, x_zero_point: int, window: Window) -> Int32:
    """See `edgetrain.fixed.conv2d_grad_w`."""
    n_out, channels = e.shape[3], x.shape[3]
    need("e", e, (len(x), *window.output_size(*x.shape[1:3]), n_out))
    shape, zero = _filter_shape(n_out, channels, window), int(x_zero_point)
    if _is_depthwise(window, channels):
        x = np.repeat(x, n_out // channels, axis=3)
        sizes, taps = _sizes(x.shape, n_out, window), np.zeros((*shape[1:3], n_out), np.int32)
        area = room(rooms.centred(sizes), np.int16, rooms.behind(sizes))
        execute("grad_w_channels", sizes, batch=len(x), x=with_slack(x), e=with_slack(e),
                zero=zero, area=area, y=taps)  # fmt: skip
        return np.ascontiguousarray(taps.transpose(2, 0, 1)).reshape(shape)
    inputs, errors = (np.split(a, window.groups, axis=3) for a in (x, e))
    parts = [_grad_w(*part, zero, window) for part in zip(inputs, errors, strict=True)]
    return np.concatenate(parts)


def _grad_w(x: Int8, e: Int8, zero: int, window: Window) -> Int32:
    """Gradient of the weights of one group."""
    n_out = e.shape[3]
    sizes = _sizes(x.shape, n_out, window)
    out = np.zeros((*window.kernel, x.shape[3], n_out), np.int32)
    area = room(rooms.turned_image(sizes), np.int16)
    execute("grad_w", sizes, batch=len(x), x=with_slack(x, rooms.behind(sizes)), e=with_slack(e),
            zero=zero, area=area, packed=room(rooms.packed_errors(sizes)), y=out)  # fmt: skip
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
    if _is_depthwise(window, channels):
        shape = (*x_shape[:3], n_out)
        many = _grad_x(e, w, ratio, shape, window, "grad_x_channels")
        return many.reshape(*x_shape, -1).sum(axis=4, dtype=np.int32)
    parts = []
    own, inputs = n_out // window.groups, channels // window.groups
    for g in range(window.groups):
        mine = slice(g * own, (g + 1) * own)
        shape = (*x_shape[:3], inputs)
        parts.append(_grad_x(e[..., mine], w[mine], ratio[mine], shape, window, "grad_x"))
    return np.concatenate(parts, axis=3)


def _grad_x(e: Int8, w: Int8, ratio: Int16, shape: tuple[int, ...], window: Window,
            name: str) -> Int32:  # fmt: skip
    """Error of the input of one group, or of a depthwise layer with a channel an output."""
    sizes = _sizes(shape, len(w), window)
    out = np.empty(shape, np.int32)
    packed = room(w.size if name == "grad_x_channels" else rooms.packed_back(sizes))
    pack = {"grad_x": "pack_back", "grad_x_channels": "pack_channels_back"}[name]
    execute(pack, sizes, is_block=0, w=ready(w, np.int8), packed=packed)
    execute(
        name, sizes, batch=shape[0], e=with_slack(e), packed=packed, ratio=ready(ratio, np.int16),
        room=room(rooms.back(sizes), behind=rooms.behind(sizes)),
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


def _is_depthwise(window: Window, channels: int) -> bool:
    return window.groups == channels > 1


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
