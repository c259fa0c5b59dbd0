"""How the backend "triton" reaches an NVIDIA GPU, or Triton's interpreter on the CPU."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from edgetrain.arithmetic.rounding import Ints
from edgetrain.errors import DeviceMemoryError

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
"""Triton reads this variable when a kernel is defined."""
if not INTERPRETED and not torch.cuda.is_available():
    raise ImportError(
        "it needs an NVIDIA GPU that this PyTorch can use, or TRITON_INTERPRET=1 in the "
        "environment for the slow interpreter on the CPU"
    )
DEVICE = "cpu" if INTERPRETED else "cuda"
OPTIONS = {} if INTERPRETED else {"enable_fp_fusion": False}
BLOCK = 4096 if INTERPRETED else 1024
"""Elements of one program; the interpreter pays for each program."""
MAX_ELEMENTS = 2**31 - 1
"""Kernels count elements in int32."""


def to_device(a: Ints, dtype: Any) -> torch.Tensor:
    """Copy an array to the device, contiguous and of one type."""
    check_size(a.shape)
    with enough_memory():
        return torch.from_numpy(np.array(a, dtype, order="C")).to(DEVICE)


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Reserve a tensor on the device."""
    check_size(shape)
    with enough_memory():
        return torch.empty(shape, dtype=dtype, device=DEVICE)


def zeros(count: int, dtype: torch.dtype) -> torch.Tensor:
    """Return zeros on the device."""
    with enough_memory():
        return torch.zeros(count, dtype=dtype, device=DEVICE)


def to_host(t: torch.Tensor) -> Ints:
    """Copy a tensor back."""
    return t.cpu().numpy()


def check_size(shape: tuple[int, ...]) -> None:
    """Raise ValueError if a kernel could not count the elements of a tensor."""
    if math.prod(shape) > MAX_ELEMENTS:
        raise ValueError(f"a tensor must have at most {MAX_ELEMENTS} elements, got {shape}")


@contextmanager
def enough_memory() -> Iterator[None]:
    """Raise DeviceMemoryError where the device has no memory left."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise DeviceMemoryError("the GPU is out of memory: use a smaller --batch") from error


def need(name: str, a: Ints, shape: tuple[int, ...]) -> None:
    """Stop before a kernel would leave an array."""
    if a.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {a.shape}")


def launch(kernel: Any, grid: tuple[int, ...], *args: Any, **constants: Any) -> None:
    """Run a kernel over a grid, nothing where the grid is empty."""
    if 0 in grid:
        return
    # Wrapping of integers is meant; NumPy, which interprets, would warn.
    with np.errstate(all="ignore") if INTERPRETED else nullcontext():
        kernel[grid](*args, **constants, **OPTIONS)


def over(count: int) -> tuple[int]:
    """Return the grid of a kernel over so many elements."""
    return (-(-count // BLOCK),)
