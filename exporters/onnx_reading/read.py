"""Files and bytes to an ONNX model in memory, and what every model must have."""

from pathlib import Path
from typing import TypeAlias

import onnx
from onnx import ModelProto

from edgetrain.errors import FileError

MAX_BYTES = 2 << 30
"""Protocol buffers have no larger message."""
OLDEST_IR, OLDEST_OPSET = 3, 6
STANDARD = ("", "ai.onnx")
"""Names of the domain of ONNX's own operators."""

Source: TypeAlias = "str | Path | bytes | ModelProto"


def read_model(source: Source) -> tuple[ModelProto, Path | None]:
    """Read a model.

    Args:
        source: a path, the contents of a file, or a model that is in memory.

    Returns:
        The model, unchecked but for its version, and the folder for its external data, if it has
        one.

    Raises:
        FileError: if the file cannot be read, is no ONNX model, or of another version.

    Example:
        >>> read_model(b"")
        Traceback (most recent call last):
            ...
        edgetrain.errors.FileError: the bytes are empty, not an ONNX model
    """
    if isinstance(source, ModelProto):
        model, what, folder = source, "the model", None
    elif isinstance(source, bytes):
        model, what, folder = _parse(source, "the bytes"), "the bytes", None
    else:
        path = Path(source)
        model, what, folder = _parse(_contents(path), str(path)), str(path), path.parent
    _check_version(model, what)
    return model, folder


def opset(model: ModelProto) -> int:
    """Return the version of ONNX's own operators that a model uses, 0 if it says none."""
    return max((i.version for i in model.opset_import if i.domain in STANDARD), default=0)


def _contents(path: Path) -> bytes:
    """Read a file of a bounded size."""
    try:
        size = path.stat().st_size if path.is_file() else None
        contents = path.read_bytes() if size is not None and size <= MAX_BYTES else b""
    except (OSError, ValueError) as error:
        raise FileError(f"cannot read {path}: {error}") from error
    if size is None:
        raise FileError(f"{path} must be a file, but there is none of that name")
    if size > MAX_BYTES:
        raise FileError(f"{path} has {size} bytes, an ONNX file at most {MAX_BYTES}")
    return contents


def _parse(contents: bytes, what: str) -> ModelProto:
    """Parse a protocol buffer."""
    if not contents:
        raise FileError(f"{what} are empty, not an ONNX model" if what == "the bytes" else
                        f"{what} is empty, not an ONNX model")  # fmt: skip
    try:
        return onnx.load_model_from_string(contents)
    except Exception as error:  # that of protobuf has no public type
        raise FileError(f"{what}: not an ONNX model, or cut off: {error}") from error


def _check_version(model: ModelProto, what: str) -> None:
    """Raise FileError unless this program knows the model's versions."""
    newest = onnx.defs.onnx_opset_version()
    if not model.HasField("graph") or not model.graph.output:
        raise FileError(f"{what}: not an ONNX model, or cut off: it has no graph with an output")
    if not OLDEST_IR <= model.ir_version <= onnx.IR_VERSION:
        raise FileError(
            f"{what}: the IR version must be from {OLDEST_IR} to {onnx.IR_VERSION}, "
            f"got {model.ir_version}: update the package onnx or export again"
        )
    if not OLDEST_OPSET <= opset(model) <= newest:
        raise FileError(
            f"{what}: the opset must be from {OLDEST_OPSET} to {newest}, got {opset(model)}: "
            "export with opset_version=18, or update the package onnx"
        )
