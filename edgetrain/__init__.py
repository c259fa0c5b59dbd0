"""Train neural networks on the device itself, in pure integers."""

from pathlib import Path as _Path

from edgetrain.errors import (
    BackendError,
    DataError,
    EdgetrainError,
    FileError,
    ModelError,
    RuleError,
)

_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and (_checkout / "kernels").is_dir():
    # A wheel has kernels/ inside this package, a checkout has it beside this package.
    __path__.append(str(_checkout))

__version__ = "0.1.0"
__all__ = [
    "BackendError",
    "DataError",
    "EdgetrainError",
    "FileError",
    "ModelError",
    "RuleError",
]
