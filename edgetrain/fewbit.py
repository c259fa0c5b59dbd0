"""Derivatives of activations in one to four bits, so that training stores less.

The backward pass multiplies by ``f'(x)``. Instead of ``x`` a training step may keep the number of
the interval that ``x`` lies in, and use one constant level an interval. The tables here are the
best possible ones on their grid: `derivative_table` finds them by dynamic programming.

References:
    Novikov et al., "Few-Bit Backward: Quantized Gradients of Activation Functions for Memory
    Footprint Reduction", 2022 (https://arxiv.org/abs/2202.00441).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
UInt8 = NDArray[np.uint8]
Int8 = NDArray[np.int8]

REACH = 10.0  # tables cover [-REACH, REACH]; beyond it every derivative is constant or tiny
MAX_CELLS = 4096  # the cost matrix has cells**2 entries: 128 MiB
SAMPLES = 16  # midpoints a grid cell, to integrate f' and f'**2
Q6_ONE = 64  # the real number 1 in Q6

_erf = np.vectorize(math.erf, otypes=[np.float64])


def _sigmoid(x: Float) -> Float:
    return (1 + np.tanh(x / 2)) / 2


def _sigmoid_slope(x: Float) -> Float:
    return _sigmoid(x) * _sigmoid(-x)


def _tanh_slope(x: Float) -> Float:
    return 1 - np.tanh(x) ** 2


def _silu_slope(x: Float) -> Float:
    return _sigmoid(x) * (1 + x * _sigmoid(-x))


def _gelu_slope(x: Float) -> Float:
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return (1 + _erf(x / math.sqrt(2))) / 2 + x * density


def _hard_swish_slope(x: Float) -> Float:
    return np.where(x < -3, 0.0, np.where(x > 3, 1.0, x / 3 + 0.5))


DERIVATIVES: dict[str, Callable[[Float], Float]] = {
    "gelu": _gelu_slope,
    "silu": _silu_slope,
    "sigmoid": _sigmoid_slope,
    "tanh": _tanh_slope,
    "hard_swish": _hard_swish_slope,
    "softplus": _sigmoid,
}
EVEN = frozenset({"sigmoid", "tanh"})  # f'(-x) = f'(x): the intervals divide |x|


@dataclass(frozen=True)
class DerivativeTable:
    """A piecewise constant derivative: ``levels[i]`` on the interval number i.

    Attributes:
        activation: a key of DERIVATIVES.
        bits: size of an interval number, 1 to 4.
        borders: the 2**bits - 1 inner borders, rising; a border belongs to the interval above it.
        levels: the 2**bits values that stand for f'.
        symmetric: whether the intervals divide ``|x|`` instead of x.
        error: integral of ``(f'(x) - level(x))**2`` over [-10, 10].

    Example:
        >>> relu = DerivativeTable("relu", 1, (0.0,), (0.0, 1.0), symmetric=False, error=0.0)
        >>> relu.levels
        (0.0, 1.0)
    """

    activation: str
    bits: int
    borders: tuple[float, ...]
    levels: tuple[float, ...]
    symmetric: bool
    error: float

    def __post_init__(self) -> None:
        _check_bits(self.bits)
        if len(self.levels) != 2**self.bits or len(self.borders) != 2**self.bits - 1:
            raise ValueError(
                f"a table of {self.bits} bits must have {2**self.bits} levels and one border less, "
                f"got {len(self.levels)} levels and {len(self.borders)} borders"
            )
        if list(self.borders) != sorted(set(self.borders)):
            raise ValueError(f"borders must rise, got {self.borders}")


@cache
def derivative_table(activation: str, bits: int, cells: int = 1200) -> DerivativeTable:
    """Find the borders and levels with the least squared error to an activation's derivative.

    On a grid of cells, with ``cost(a, b)`` the error of the best constant (the mean of f') from
    point a to point b, the least error of k intervals up to b is

        best[k](b) = min over a of best[k - 1](a) + cost(a, b)

    Args:
        activation: a key of DERIVATIVES.
        bits: 1 to 4; the table has 2**bits intervals.
        cells: grid cells, from 2**bits to 4096. Time and memory grow with cells**2; the default
            takes less than a second.

    Returns:
        The table; asking again costs nothing.

    Raises:
        ValueError: if an argument is out of its range.

    References:
        Novikov et al., 2022, section 3 (https://arxiv.org/abs/2202.00441).

    Example:
        >>> table = derivative_table("gelu", 2)
        >>> [round(border, 3) for border in table.borders]
        [-0.467, 0.0, 0.467]
        >>> [round(level, 3) for level in table.levels]
        [-0.016, 0.32, 0.68, 1.016]
    """
    if activation not in DERIVATIVES:
        raise ValueError(f"activation must be one of {sorted(DERIVATIVES)}, got {activation!r}")
    _check_bits(bits)
    if not 2**bits <= cells <= MAX_CELLS:
        raise ValueError(f"cells must be in [{2**bits}, {MAX_CELLS}], got {cells}")
    symmetric = activation in EVEN
    grid = np.linspace(0.0 if symmetric else -REACH, REACH, cells + 1)
    cost, mean = _costs(DERIVATIVES[activation], grid)
    best, starts = np.where(np.arange(cells + 1) == 0, 0.0, np.inf), []
    for _ in range(2**bits):
        total = best + cost
        starts.append(total.argmin(axis=1))
        best = total.min(axis=1)
    ends = [cells]
    for start in reversed(starts):
        ends.insert(0, int(start[ends[0]]))
    return DerivativeTable(
        activation=activation,
        bits=bits,
        borders=tuple(grid[ends[1:-1]].tolist()),
        levels=tuple(mean[ends[1:], ends[:-1]].tolist()),
        symmetric=symmetric,
        error=float(best[cells]) * (2 if symmetric else 1),
    )


def codes(table: DerivativeTable, scale: float, zero_point: int) -> UInt8:
    """Give the interval of every int8 code: entry ``q + 128`` is that of ``scale * (q - z)``.

    Args:
        table: from `derivative_table`.
        scale: of the stored pre-activation, > 0.
        zero_point: of the stored pre-activation, in [-128, 127].

    Returns:
        uint8 (256,), each below 2**bits.

    Raises:
        ValueError: if scale or zero_point is out of its range.

    Example:
        >>> codes(derivative_table("gelu", 2), scale=0.25, zero_point=0)[126:131]
        array([0, 1, 2, 2, 3], dtype=uint8)
    """
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale must be finite and > 0, got {scale}")
    if not -128 <= zero_point <= 127:
        raise ValueError(f"zero_point must be in [-128, 127], got {zero_point}")
    x = scale * (np.arange(-128, 128) - zero_point)
    x = np.abs(x) if table.symmetric else x
    return np.searchsorted(table.borders, x, side="right").astype(np.uint8)


def levels_q6(table: DerivativeTable) -> Int8:
    """Give the levels as int8 with six fractional bits: ``round(level * 64)``, saturated.

    Args:
        table: from `derivative_table`, whose levels all lie in [-2, 2).

    Returns:
        int8 (2**bits,); half a unit rounds to even.

    Example:
        >>> levels_q6(derivative_table("gelu", 2))
        array([-1, 21, 43, 65], dtype=int8)
    """
    return to_q6(np.array(table.levels))


def to_q6(slopes: Float) -> Int8:
    """Write derivatives with six fractional bits: nearest, ties to even, saturated.

    Example:
        >>> to_q6(np.array([0.5, -0.1, 3.0]))
        array([ 32,  -6, 127], dtype=int8)
    """
    return np.clip(np.rint(slopes * Q6_ONE), -128, 127).astype(np.int8)


def pack(indices: UInt8, bits: int) -> UInt8:
    """Put interval numbers into bytes, ``bits`` bits each, the lowest bit first.

    Args:
        indices: uint8, any shape (read in C order), each below 2**bits.
        bits: 1 to 4.

    Returns:
        uint8 (ceil(indices.size * bits / 8),); unused bits of the last byte are 0.

    Raises:
        ValueError: if bits, the dtype or an index is out of its range.

    Example:
        >>> pack(np.array([1, 2, 3, 0, 1], np.uint8), bits=2)
        array([57,  1], dtype=uint8)
    """
    _check_bits(bits)
    if indices.dtype != np.uint8:
        raise ValueError(f"indices must be uint8, got {indices.dtype}")
    if indices.size and indices.max() >= 2**bits:
        raise ValueError(f"indices must be below {2**bits} for {bits} bits, got {indices.max()}")
    planes = np.unpackbits(indices.reshape(-1, 1), axis=1, count=bits, bitorder="little")
    return np.packbits(planes, bitorder="little")


def unpack(packed: UInt8, bits: int, count: int) -> UInt8:
    """Take interval numbers out of bytes again; the inverse of `pack`.

    Args:
        packed: uint8 (ceil(count * bits / 8),).
        bits: 1 to 4.
        count: how many indices were packed, >= 0.

    Returns:
        uint8 (count,), each below 2**bits.

    Raises:
        ValueError: if bits or count is out of its range, or packed has another size or dtype.

    Example:
        >>> unpack(np.array([57, 1], np.uint8), bits=2, count=5)
        array([1, 2, 3, 0, 1], dtype=uint8)
    """
    _check_bits(bits)
    if count < 0:
        raise ValueError(f"count must be >= 0, got {count}")
    size = -(-count * bits // 8)
    if packed.dtype != np.uint8 or packed.shape != (size,):
        raise ValueError(
            f"{count} indices of {bits} bits must come as uint8 ({size},), "
            f"got {packed.dtype} {packed.shape}"
        )
    planes = np.unpackbits(packed, count=count * bits, bitorder="little")
    return np.packbits(planes.reshape(count, bits), axis=1, bitorder="little")[:, 0]


def _check_bits(bits: int) -> None:
    if bits not in (1, 2, 3, 4):
        raise ValueError(f"bits must be 1, 2, 3 or 4, got {bits}")


def _costs(slope: Callable[[Float], Float], grid: Float) -> tuple[Float, Float]:
    """Return cost and mean of f' between grid points: [end, start]; cost is inf if end <= start."""
    cells, width = grid.size - 1, float(grid[1] - grid[0])
    # Midpoints, because hard_swish' jumps at -3 and 3: a sample must not lie on a grid point.
    midpoints = grid[:-1, None] + (np.arange(SAMPLES) + 0.5) * (width / SAMPLES)
    y = slope(midpoints)
    integral = np.concatenate([[0.0], np.cumsum(y.mean(axis=1) * width)])
    square = np.concatenate([[0.0], np.cumsum((y**2).mean(axis=1) * width)])
    after = np.tri(cells + 1, k=-1, dtype=bool)
    length = np.where(after, grid[:, None] - grid, 1.0)
    mean = (integral[:, None] - integral) / length
    cost = square[:, None] - square - mean**2 * length
    return np.where(after, cost, np.inf), mean
