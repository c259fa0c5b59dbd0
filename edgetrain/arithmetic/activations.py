"""Smooth activations as 256-entry tables, filled once on the host."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN, Int8

Reals = NDArray[np.float64]
_erf = np.vectorize(math.erf)


def _sigmoid(x: Reals) -> Reals:
    return 1 / (1 + np.exp(-x))


FUNCTIONS: dict[str, Callable[[Reals], Reals]] = {
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "gelu": lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2,
    "silu": lambda x: x * _sigmoid(x),
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
}
"""The activations that are a node of their own; ReLU and ReLU6 are fused into their layer."""


def activation_table(
    name: str, x_scale: float, x_zero_point: int, y_scale: float, y_zero_point: int
) -> Int8:
    """Tabulate an activation over all int8 codes, to nearest, ties to even.

    Args:
        name: one of FUNCTIONS.
        x_scale: scale of the input.
        x_zero_point: zero point of the input.
        y_scale: scale of the result.
        y_zero_point: zero point of the result.

    Returns:
        int8 (256,): entry ``q + 128`` is the result for code q.

    Raises:
        ValueError: if there is no activation of that name.

    Example:
        >>> activation_table("tanh", 1 / 32, 0, 1 / 127, 0)[[0, 128, 255]]
        array([-127,    0,  127], dtype=int8)
    """
    if name not in FUNCTIONS:
        raise ValueError(f"activation must be one of {sorted(FUNCTIONS)}, got {name!r}")
    x = x_scale * (np.arange(-128, 128, dtype=np.float64) - x_zero_point)
    codes = np.rint(FUNCTIONS[name](x) / y_scale) + y_zero_point
    return np.clip(codes, INT8_MIN, INT8_MAX).astype(np.int8)
