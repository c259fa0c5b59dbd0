"""A TensorFlow Lite file as plain values, read as if nobody had checked it.

Only what a network for inference needs is read: one subgraph, its tensors and operators, and the
entry that `edgetrain.exporters.to_tflite` writes. Offsets that point outside of the file end in
one `FileError`; nothing is copied before its size is known to lie inside the file.
"""

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgetrain.errors import EdgetrainError, FileError

MAX_BYTES = 1 << 30
MAX_ITEMS = 1 << 14
"""Most tensors, operators or buffers of a file."""
MAX_DIMENSION = 1 << 24
MAX_RANK = 8
METADATA = "edgetrain"
"""Name of the metadata entry that holds JSON; see `edgetrain.exporters.metadata`."""

_DAMAGE = (
    struct.error, ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError,
    RecursionError, MemoryError,
)  # fmt: skip
"""What the reader of flat buffers raises for offsets that lead nowhere."""


def _names(enumeration: type) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int)}


OPERATORS = _names(schema.BuiltinOperator)
TYPES = _names(schema.TensorType)
_WINDOW = ("Padding", "StrideH", "StrideW", "FusedActivationFunction")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "Conv2DOptions": (*_WINDOW, "DilationHFactor", "DilationWFactor"),
    "DepthwiseConv2DOptions": (*_WINDOW, "DilationHFactor", "DilationWFactor"),
    "Pool2DOptions": (*_WINDOW, "FilterHeight", "FilterWidth"),
    "FullyConnectedOptions": ("FusedActivationFunction", "WeightsFormat", "KeepNumDims"),
    "AddOptions": ("FusedActivationFunction",),
    "ReducerOptions": ("KeepDims",),
    "SoftmaxOptions": ("Beta",),
    "GeluOptions": ("Approximate",),
}
"""The options that are read, by their table in the file."""
_OPTION_TABLES = _names(schema.BuiltinOptions)
DTYPES: Mapping[str, np.dtype[Any]] = {
    "FLOAT32": np.dtype("<f4"),
    "FLOAT16": np.dtype("<f2"),
    "INT8": np.dtype("i1"),
    "INT32": np.dtype("<i4"),
}
"""Types of tensors whose contents are read."""


class Tensor(NamedTuple):
    """A tensor; `data` is None unless it is constant, `scales` is empty unless quantized."""

    name: str
    type: str
    shape: tuple[int, ...]
    dynamic: tuple[int, ...]  # the same, with -1 where a size is open
    data: NDArray[Any] | None
    scales: NDArray[np.float32]
    zero_points: NDArray[np.int64]
    axis: int


class Operator(NamedTuple):
    """An operator; -1 among its inputs is one that was left out."""

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]  # of those in OPTIONS


class Net(NamedTuple):
    """The only subgraph of a file."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    metadata: Mapping[str, Any]  # of a file that edgetrain wrote, else empty


def read_tflite(source: str | Path | bytes) -> Net:
    """Read a .tflite file.

    Args:
        source: path or contents.

    Raises:
        FileError: if it cannot be read, is truncated, damaged or no TensorFlow Lite model.
    """
    content, what = (source, "the model") if isinstance(source, bytes) else (_load(source), source)
    try:
        if len(content) < 8 or content[4:8] != b"TFL3":
            raise FileError("it is not a TensorFlow Lite file: it lacks the mark TFL3")
        return _net(schema.Model.GetRootAs(content), content)
    except EdgetrainError as error:
        raise FileError(f"{what} cannot be imported: {error}") from error
    except _DAMAGE as error:
        raise FileError(f"{what} is truncated or damaged: {error!s:.200}") from error


def _load(path: str | Path) -> bytes:
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FileError(f"{path} must be at most {MAX_BYTES} bytes, got {size}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} cannot be read: {error}") from error


def _net(model: Any, content: bytes) -> Net:
    if model.Version() != 3:
        raise FileError(f"the schema's version must be 3, got {model.Version()}")
    if model.SubgraphsLength() != 1:
        raise FileError(f"a model must have one subgraph, got {model.SubgraphsLength()}")
    graph = model.Subgraphs(0)
    buffers = _count(model.BuffersLength(), "buffers")
    tensors = tuple(
        _tensor(t, model, buffers, len(content))
        for t in _items(graph.Tensors, graph.TensorsLength(), "tensors")
    )
    codes = [
        OPERATORS.get(max(c.BuiltinCode(), c.DeprecatedBuiltinCode()), "an unknown operator")
        for c in _items(model.OperatorCodes, model.OperatorCodesLength(), "operator codes")
    ]
    operators = tuple(
        Operator(
            _at(codes, o.OpcodeIndex(), "operator code"),
            _indices(o.InputsAsNumpy(), len(tensors), -1),
            _indices(o.OutputsAsNumpy(), len(tensors)),
            _options(o),
        )
        for o in _items(graph.Operators, graph.OperatorsLength(), "operators")
    )
    return Net(
        tensors,
        operators,
        _indices(graph.InputsAsNumpy(), len(tensors)),
        _indices(graph.OutputsAsNumpy(), len(tensors)),
        _metadata(model, buffers),
    )


def _options(operator: Any) -> Mapping[str, Any]:
    kind, table = _OPTION_TABLES.get(operator.BuiltinOptionsType(), ""), operator.BuiltinOptions()
    if table is None or kind not in OPTIONS:
        return {}
    options = getattr(schema, kind)()
    options.Init(table.Bytes, table.Pos)
    return {name: getattr(options, name)() for name in OPTIONS[kind]}


def _tensor(tensor: Any, model: Any, buffers: int, size: int) -> Tensor:
    name = (tensor.Name() or b"").decode(errors="replace")
    kind = TYPES.get(tensor.Type(), "an unknown type")
    shape = _shape(tensor.ShapeAsNumpy(), name)
    dynamic = _shape(tensor.ShapeSignatureAsNumpy(), name)
    if dynamic and len(dynamic) != len(shape):
        raise FileError(f"tensor {name!r:.60}: shape {shape} and signature {dynamic} disagree")
    raw = _buffer(model, tensor.Buffer(), buffers)
    data = None
    if raw is not None and kind in DTYPES:
        wanted = math.prod(shape) * DTYPES[kind].itemsize
        if len(raw) != wanted:
            raise FileError(
                f"tensor {name!r:.60} must have {wanted} bytes, got {len(raw)} of {size}"
            )
        data = raw.view(DTYPES[kind]).reshape(shape)
    quantization = tensor.Quantization()
    scales = np.zeros(0, np.float32)
    zero_points = np.zeros(0, np.int64)
    if quantization is not None and quantization.ScaleLength():
        scales = _array(quantization.ScaleAsNumpy(), np.float32)
        zero_points = _array(quantization.ZeroPointAsNumpy(), np.int64)
        zero_points = zero_points if len(zero_points) else np.zeros(len(scales), np.int64)
        if len(zero_points) != len(scales) or not (np.isfinite(scales) & (scales > 0)).all():
            raise FileError(f"tensor {name!r:.60}: scales must be finite and > 0, one a zero point")
    axis = quantization.QuantizedDimension() if quantization is not None else 0
    return Tensor(name, kind, shape, dynamic or shape, data, scales, zero_points, axis)


def _array(found: Any, dtype: type) -> NDArray[Any]:
    """Return what the reader found of a vector; it gives 0 for one that is not there."""
    return np.zeros(0, dtype) if isinstance(found, int) else np.asarray(found, dtype)


def _shape(found: Any, name: str) -> tuple[int, ...]:
    shape = tuple(_array(found, np.int64).tolist())
    if len(shape) > MAX_RANK or not all(-1 <= n <= MAX_DIMENSION for n in shape):
        raise FileError(f"tensor {name!r:.60}: a shape must be small numbers, got {shape!s:.80}")
    return shape


def _buffer(model: Any, index: int, buffers: int) -> NDArray[np.uint8] | None:
    if index >= buffers:
        raise FileError(f"there are {buffers} buffers, number {index} is asked for")
    buffer = model.Buffers(index)
    if buffer.Offset() > 1:
        raise FileError("buffers that lie outside of the flat buffer are not supported")
    return _array(buffer.DataAsNumpy(), np.uint8) if buffer.DataLength() else None


def _metadata(model: Any, buffers: int) -> Mapping[str, Any]:
    for entry in _items(model.Metadata, model.MetadataLength(), "metadata entries"):
        if entry.Name() == METADATA.encode():
            raw = _buffer(model, entry.Buffer(), buffers)
            found = json.loads(bytes(raw)) if raw is not None else {}
            return found if isinstance(found, dict) else {}
    return {}


def _items(get: Callable[[int], Any], length: int, what: str) -> Iterator[Any]:
    return (get(i) for i in range(_count(length, what)))


def _count(length: int, what: str) -> int:
    if length > MAX_ITEMS:
        raise FileError(f"a model must have at most {MAX_ITEMS} {what}, got {length}")
    return length


def _indices(found: Any, count: int, low: int = 0) -> tuple[int, ...]:
    indices = tuple(_array(found, np.int64).tolist())
    if len(indices) > MAX_ITEMS or not all(low <= i < count for i in indices):
        raise FileError(f"there are {count} tensors, got the indices {indices!s:.80}")
    return indices


def _at(items: list[str], index: int, what: str) -> str:
    if not 0 <= index < len(items):
        raise FileError(f"there are {len(items)} {what}s, number {index} is asked for")
    return items[index]
