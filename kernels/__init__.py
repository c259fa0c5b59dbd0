"""The integer operations, once a backend, every one bit-identical to `edgetrain.fixed`.

A backend is a module that offers every name of OPS with the signature it has in
`edgetrain.fixed`. To add one: write ``kernels/where_tool.py``, add a line to BACKENDS, and
``parity_test.py`` holds it to the specification.

A backend may also have a ``machine``, which runs whole steps and inference in one call; see
`edgetrain.compiled` for what it executes and `edgetrain.kernels.cpu_numba_machine` for one.
"""

from functools import cache
from importlib import import_module
from types import ModuleType

from edgetrain.errors import BackendError

OPS = (
    "requantize",
    "dense_acc",
    "conv2d_acc",
    "dense_grad_w",
    "dense_grad_x",
    "conv2d_grad_w",
    "conv2d_grad_x",
    "scale_error",
    "update_int8",
    "update_int16",
    "update_bias",
    "momentum",
    "average_pool",
    "average_pool_grad",
    "max_pool",
    "max_pool_index",
    "max_pool_grad",
    "global_average_pool",
    "add",
    "look_up",
    "logits_q10",
    "cross_entropy",
    "squared_error",
    "random_signs",
    "replay_int8",
)
"""What a backend must offer."""

BACKENDS = {
    "numpy": "edgetrain.fixed",
    "numba": "edgetrain.kernels.cpu_numba",
    "c": "edgetrain.kernels.host_c",
    "triton": "edgetrain.kernels.gpu_triton",
}
"""Name of a backend and the module that implements it."""


def load(name: str) -> ModuleType:
    """Return the backend module called name.

    Args:
        name: one of BACKENDS.

    Returns:
        A module with every name of OPS.

    Raises:
        ValueError: if there is no such backend.
        BackendError: if it cannot run here; the message says what is missing.

    Example:
        >>> load("numpy").__name__
        'edgetrain.fixed'
    """
    if name not in BACKENDS:
        raise ValueError(f"backend must be one of {sorted(BACKENDS)}, got {name!r}")
    try:
        return import_module(BACKENDS[name])
    except ModuleNotFoundError as error:
        raise BackendError(
            f"backend {name!r} needs {error.name}: pip install {error.name}"
        ) from error
    except ImportError as error:
        raise BackendError(f"backend {name!r} cannot run here: {error}") from error


@cache
def why_not_numba() -> str | None:
    """Say why the backend "numba" cannot run here, or return None where it can."""
    try:
        load("numba")
    except BackendError as error:
        return str(error)
    return None


def default() -> str:
    """Name the fastest backend that runs here: "numba", else "numpy" (the same bits, slower)."""
    return "numpy" if why_not_numba() else "numba"
