# mypy: disallow-untyped-defs=False
"""How the backend "numba" compiles, and the proof that it can."""

from collections.abc import Callable
from typing import Any

from numba import config, njit


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function when it is first called; keep the result on disk where that works.

    Numba's cache looks at the file that defines a kernel and does not notice that a callee in
    another file has changed: a kernel and its callees live in one file.
    """
    try:
        return njit(cache=True)(function)
    except RuntimeError:  # no directory that can be written to
        return njit(function)


@njit
def _probe(x):
    return x + 1


if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set, so Numba compiles nothing")
try:
    _probe(1)
except Exception as error:
    raise ImportError(f"Numba is installed but cannot compile: {error}") from error
