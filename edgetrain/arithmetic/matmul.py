"""Exact integer matrix products through floating-point BLAS.

A float32 holds every integer below 2**24 and a float64 every integer below 2**53, so a product
whose partial sums stay below that bound is exact in any order of summation. This is how the
reference stays readable and still usable as a fallback; it is not arithmetic in floats.
"""

import numpy as np

from edgetrain.arithmetic.rounding import Int32, Ints

FLOAT32_EXACT = 2**24


def exact_matmul(a: Ints, b: Ints, bound: int) -> Int32:
    """Multiply integer matrices exactly: ``a @ b``.

    Args:
        a: integers (..., rows, inner).
        b: integers (inner, columns).
        bound: largest possible ``abs(a[i, k] * b[k, j])``, at most 2**31 divided by inner.

    Returns:
        int32 (..., rows, columns).

    Example:
        >>> exact_matmul(np.array([[127, -128]]), np.array([[127], [127]]), bound=2**14)
        array([[-127]], dtype=int32)
    """
    kind = np.float32 if bound * a.shape[-1] < FLOAT32_EXACT else np.float64
    return (a.astype(kind) @ b.astype(kind)).astype(np.int32)
