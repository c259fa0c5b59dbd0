"""Constants of an ONNX file, read as if nobody had checked them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from edgetrain.errors import FileError, ModelError

MAX_ELEMENTS = 1 << 26
"""No constant and no sample of a model that is imported has more elements."""
STORED: dict[int, tuple[np.dtype[Any], str]] = {
    TensorProto.FLOAT: (np.dtype(np.float32), "float_data"),
    TensorProto.DOUBLE: (np.dtype(np.float64), "double_data"),
    TensorProto.FLOAT16: (np.dtype(np.float16), "int32_data"),
    TensorProto.INT8: (np.dtype(np.int8), "int32_data"),
    TensorProto.UINT8: (np.dtype(np.uint8), "int32_data"),
    TensorProto.INT32: (np.dtype(np.int32), "int32_data"),
    TensorProto.INT64: (np.dtype(np.int64), "int64_data"),
    TensorProto.BOOL: (np.dtype(np.bool_), "int32_data"),
}
"""Element type → its NumPy type, and the field that holds elements one by one."""

Array = NDArray[np.generic]


def array(tensor: TensorProto, folder: Path | None) -> Array:
    """Return a tensor's elements.

    Args:
        tensor: an initializer or an attribute.
        folder: that of the model's file, where external data lie; None for a model without one.

    Raises:
        FileError: if the declared shape and the stored bytes do not fit, before any memory of the
            declared size is taken; or if external data lie outside of the folder.
        ModelError: if the element type is not supported.

    Example:
        >>> array(numpy_helper.from_array(np.arange(3, dtype=np.int64)), None)
        array([0, 1, 2])
    """
    name, shape = tensor.name or "constant", tuple(tensor.dims)
    if tensor.data_type not in STORED:
        raise ModelError(
            f"tensor {name!r}: elements must be float, int8, uint8, int32, int64 or bool, "
            f"got {_type_name(tensor.data_type)}"
        )
    dtype, field = STORED[tensor.data_type]
    if any(size < 0 for size in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise FileError(f"tensor {name!r}: at most {MAX_ELEMENTS} elements, got the shape {shape}")
    count = math.prod(shape)
    if tensor.data_location == TensorProto.EXTERNAL:
        raw = _external(tensor, name, count * dtype.itemsize, folder)
        return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    in_bytes = tensor.HasField("raw_data")
    stored = len(tensor.raw_data) if in_bytes else len(getattr(tensor, field))
    wanted = count * dtype.itemsize if in_bytes else count
    if stored != wanted:
        unit = "bytes" if in_bytes else "elements"
        raise FileError(
            f"tensor {name!r}: the shape {shape} needs {wanted} {unit}, got {stored}: "
            "the file is damaged"
        )
    return np.asarray(numpy_helper.to_array(tensor)).reshape(shape)


def _external(tensor: TensorProto, name: str, length: int, folder: Path | None) -> bytes:
    """Read the bytes of a tensor that lies in a file beside the model's."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise FileError(
            f"tensor {name!r} lies in the file {location!r}: import the model by its path, "
            "or save it as one file (torch.onnx.export(..., external_data=False))"
        )
    inside = folder.resolve()
    path = Path(location)
    if not location or path.is_absolute() or ".." in path.parts or "\\" in location:
        raise FileError(f"tensor {name!r}: data must lie beside the model, got {location!r}")
    try:
        target = (inside / path).resolve()
        if not target.is_relative_to(inside) or not target.is_file():
            raise FileError(
                f"tensor {name!r}: there is no file {location!r} in the model's folder {inside}"
            )
        return _slice(target, name, _number(entries, "offset", 0), entries, length)
    except (OSError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"tensor {name!r}: cannot read {location!r}: {error}") from error


def _slice(path: Path, name: str, offset: int, entries: dict[str, str], length: int) -> bytes:
    """Read length bytes from offset, if the file has them and its description agrees."""
    given = _number(entries, "length", length)
    size = path.stat().st_size
    if given != length or offset + length > size:
        raise FileError(
            f"tensor {name!r} needs {length} bytes, the model says {given} from {offset} of "
            f"{path.name}, which has {size}: the files do not belong together or are damaged"
        )
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _number(entries: dict[str, str], key: str, default: int) -> int:
    """Read a count of bytes that is written as text."""
    written = entries.get(key, str(default))
    if not (written.isascii() and written.isdigit() and len(written) < 19):
        raise FileError(f"external data: {key} must be a number of bytes, got {written[:40]!r}")
    return int(written)


def _type_name(code: int) -> str:
    """Name an element type."""
    known = onnx.TensorProto.DataType
    return known.Name(code).lower() if code in known.values() else f"the unknown type {code}"
