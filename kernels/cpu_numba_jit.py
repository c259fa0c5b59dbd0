# mypy: disallow-untyped-defs=False
"""How the backend "numba" compiles, and the proof that it can."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba import cfunc, config, njit

from edgetrain.kernels.cpu_numba_cache import CHOSEN, folder

OPTIONS = {"error_model": "numpy"}


def part(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function into those that call it."""
    return njit(**OPTIONS)(function)


def jit(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function when it is first called; keep the result on disk where that works."""
    return _kept(lambda **how: njit(**how)(function))


def callable_by_address(function: Callable[..., Any], signature: Any) -> Any:
    """Compile a function for callers that know its address, which is good while this lives."""
    return _kept(lambda **how: cfunc(signature, **how)(function))


def _kept(compiled: Callable[..., Any]) -> Any:
    """Compile with the cache in the folder of this version of the kernels."""
    if folder() is not None:
        try:
            with _cache_in(str(folder())):
                return compiled(cache=True, **OPTIONS)
        except RuntimeError:  # the folder has gone, or Numba finds fault with it
            pass
    warnings.warn(
        "compiled kernels cannot be kept, every start compiles them again: set "
        f"{CHOSEN} to a folder that can be written",
        stacklevel=1,
    )
    return compiled(**OPTIONS)


@contextmanager
def _cache_in(place: str) -> Iterator[None]:
    """Let Numba choose a folder for what is compiled meanwhile; it asks at the definition."""
    before, config.CACHE_DIR = config.CACHE_DIR, place
    try:
        yield
    finally:
        config.CACHE_DIR = before


@njit
def _probe(x):
    return x + 1


if config.DISABLE_JIT:
    raise ImportError("NUMBA_DISABLE_JIT is set, so Numba compiles nothing")
try:
    _probe(1)
except Exception as error:
    raise ImportError(f"Numba is installed but cannot compile: {error}") from error
