"""Train neural networks on the device itself, in pure integers."""

from pathlib import Path as _Path
from typing import Any as _Any

from edgetrain.errors import (
    BackendError,
    DataError,
    DeviceMemoryError,
    EdgetrainError,
    FileError,
    ModelError,
    RuleError,
)

_checkout = _Path(__file__).resolve().parent.parent
if (_checkout / "pyproject.toml").is_file() and (_checkout / "kernels").is_dir():
    # A wheel has kernels/ and exporters/ inside this package, a checkout beside it.
    __path__.append(str(_checkout))

__version__ = "0.1.0"
_CROSSINGS = (
    "from_onnx", "from_tflite", "from_torch", "to_c", "to_onnx", "to_onnx_train", "to_tflite",
    "to_tflite_train",
)  # fmt: skip
__all__ = [
    "BackendError",
    "DataError",
    "DeviceMemoryError",
    "EdgetrainError",
    "FileError",
    "ModelError",
    "RuleError",
]


def __getattr__(name: str) -> _Any:
    """Load an importer or exporter when it is first asked for; each needs a tool of its own."""
    if name not in _CROSSINGS:
        raise AttributeError(f"module 'edgetrain' has no attribute {name!r}")
    from edgetrain.exporters import load

    return load(name)
