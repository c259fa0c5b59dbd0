"""Smooth activations as 256-entry tables, filled once on the host.

Processors and libraries round exp, tanh and erf differently in the last bit. They are computed here
by operations that IEEE 754 rounds alike, so that a table is the same on every machine.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN, Int8

Reals = NDArray[np.float64]
LN_2_HIGH, LN_2_LOW = 0.6931471803691238, 1.9082149292705877e-10
"""Sum up to log(2); the first has few enough bits for exact products with whole numbers."""


def _exp(x: Reals) -> Reals:
    """Return 2**whole times the Taylor series of what is left, at most log(2) / 2."""
    x = np.clip(x, -700, 700)
    whole = np.rint(x / LN_2_HIGH)
    rest = (x - whole * LN_2_HIGH) - whole * LN_2_LOW
    total = np.ones_like(rest)
    for n in range(13, 0, -1):
        total *= rest / n
        total += 1
    return np.ldexp(total, whole.astype(np.int32))


def _sigmoid(x: Reals) -> Reals:
    return 1 / (1 + _exp(-x))


def _erf(x: Reals) -> Reals:
    """Add up the series ``exp(-x**2) * x**n * 2 / (1 * 3 * .. * n)``, all of one sign."""
    sign, x = np.sign(x), np.clip(x, -6, 6)
    term = x * _exp(-x * x) * (2 / math.sqrt(math.pi))
    total, factor = term.copy(), 2 * x * x
    for n in range(3, 250, 2):
        term *= factor / n
        total += term
    return np.where(abs(x) < 6, total, sign)


FUNCTIONS: dict[str, Callable[[Reals], Reals]] = {
    "sigmoid": _sigmoid,
    "tanh": lambda x: 2 * _sigmoid(2 * x) - 1,
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
