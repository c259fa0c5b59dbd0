"""How the backend "c" hands arrays and structures to the C kernels."""

import ctypes
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import Window
from edgetrain.arithmetic.rounding import Int32, Ints
from edgetrain.kernels.host_c_build import load

LIBRARY = load()
_FIELDS = (
    "height", "width", "n_in", "out_height", "out_width", "n_out", "kernel_height", "kernel_width",
    "stride_down", "stride_right", "top", "left", "groups",
)  # fmt: skip


class CWindow(ctypes.Structure):
    """The structure et_window."""

    _fields_ = [(name, ctypes.c_int32) for name in _FIELDS]


class COutput(ctypes.Structure):
    """The structure et_output."""

    _fields_ = [
        ("multiplier", ctypes.c_void_p), ("shift", ctypes.c_void_p),
        ("zero_point", ctypes.c_int32), ("low", ctypes.c_int32), ("high", ctypes.c_int32),
    ]  # fmt: skip


class CTerm(ctypes.Structure):
    """The structure et_term."""

    _fields_ = [(name, ctypes.c_int32) for name in ("zero_point", "multiplier", "shift")]


class CKey(ctypes.Structure):
    """The structure et_key."""

    _fields_ = [("k0", ctypes.c_uint32), ("k1", ctypes.c_uint32)]


def call(name: str, *arguments: Any) -> int:
    """Call a kernel; arrays go as pointers, whole numbers as int32, None as NULL.

    Returns:
        The int32 that the kernel returns; of a void function, anything.
    """
    return int(getattr(LIBRARY, name)(*map(_argument, arguments)))


def _argument(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ctypes.c_void_p(value.ctypes.data)
    if isinstance(value, int | np.integer):
        return ctypes.c_int32(int(value))
    if isinstance(value, CWindow | COutput):
        return ctypes.byref(value)
    return value


def ready(a: Ints, dtype: Any) -> NDArray:
    """Return a with the type and the layout that a kernel reads."""
    return np.ascontiguousarray(a, dtype)


def need(name: str, a: Ints, shape: tuple[int, ...]) -> None:
    """Stop before a kernel would leave an array: compiled code does not check its indices."""
    if a.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {a.shape}")


def filter_shape(n_out: int, channels: int, window: Window) -> tuple[int, ...]:
    """Return the shape that the weights of a convolution must have."""
    if channels % window.groups or n_out % window.groups:
        raise ValueError(
            f"groups must divide the channels, got {window.groups} groups, "
            f"{channels} channels in and {n_out} out"
        )
    return (n_out, *window.kernel, channels // window.groups)


@lru_cache(maxsize=256)
def c_window(window: Window, height: int, width: int, n_in: int, n_out: int) -> CWindow:
    """Return a window and the sizes of what it reads and writes as a structure."""
    top, _, left, _ = window.padding
    return CWindow(
        height, width, n_in, *window.output_size(height, width), n_out,
        *window.kernel, *window.stride, top, left, window.groups,
    )  # fmt: skip


def pool_window(window: Window, x_shape: tuple[int, ...]) -> CWindow:
    """Return the window of a pool; under each of its positions there must be a pixel."""
    _, height, width, channels = x_shape
    top, bottom, left, right = window.padding
    if max(top, bottom) >= window.kernel[0] or max(left, right) >= window.kernel[1]:
        raise ValueError(
            f"the padding of a pool must be smaller than its kernel {window.kernel}, "
            f"got {window.padding}"
        )
    return c_window(window._replace(groups=1), height, width, channels, channels)


def per_channel(
    multiplier: Int32 | int, shift: Int32 | int, channels: int
) -> tuple[NDArray, NDArray]:
    """Return multipliers and shifts as kernels read them: int32 and int8, one a channel."""
    pair = (np.broadcast_to(np.asarray(v), (channels,)) for v in (multiplier, shift))
    return ready(next(pair), np.int32), ready(next(pair), np.int8)
