"""A TensorFlow Lite file out of subgraphs, tensors and operators, without TensorFlow."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import DTypeLike, NDArray

from edgetrain.exporters.tflite_reading.read import METADATA

ALIGNMENT = 16
"""Interpreters read the contents of tensors in place."""
TYPES = {
    np.dtype(np.bool_): schema.TensorType.BOOL,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int16): schema.TensorType.INT16,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.uint32): schema.TensorType.UINT32,
    np.dtype(np.int64): schema.TensorType.INT64,
    np.dtype(np.float32): schema.TensorType.FLOAT32,
}


class _AlignedBuffer(schema.BufferT):
    """A buffer whose contents begin at a multiple of ALIGNMENT."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802 - the library's name
        """Write the buffer and return its offset."""
        builder.StartVector(1, len(self.data), ALIGNMENT)
        head = builder.Head() - len(self.data)
        builder.head = head
        builder.Bytes[head : head + len(self.data)] = self.data
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return int(schema.BufferEnd(builder))


class File:
    """Collects the subgraphs and signatures of a file; the first subgraph is its main one."""

    def __init__(self) -> None:
        self._buffers: list[Any] = [schema.BufferT()]
        self._known: dict[bytes, int] = {}
        self._codes: dict[tuple[str, int], int] = {}
        self._graphs: list[Any] = []
        self._signatures: list[Any] = []

    def buffer(self, data: NDArray[Any]) -> int:
        """Store the contents of a constant and return its index; equal contents are stored once."""
        contents = data.astype(data.dtype.newbyteorder("<")).tobytes()
        if contents not in self._known:
            buffer = _AlignedBuffer()
            buffer.data = contents
            self._buffers.append(buffer)
            self._known[contents] = len(self._buffers) - 1
        return self._known[contents]

    def operator_code(self, op: str, version: int) -> int:
        """Return the index of an operator."""
        return self._codes.setdefault((op, version), len(self._codes))

    def add(self, graph: Any) -> int:
        """Add a subgraph and return its index."""
        self._graphs.append(graph)
        return len(self._graphs) - 1

    def signature(
        self, key: str, subgraph: int, inputs: Mapping[str, int], outputs: Mapping[str, int]
    ) -> None:
        """Give a subgraph a name by which it is called, and its tensors theirs."""
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = key, subgraph
        signature.inputs = [_named(*pair) for pair in inputs.items()]
        signature.outputs = [_named(*pair) for pair in outputs.items()]
        self._signatures.append(signature)

    def finish(self, metadata: Mapping[str, str]) -> bytes:
        """Return the file.

        Args:
            metadata: of `edgetrain.exporters.metadata`.
        """
        entry = schema.MetadataT()
        text = json.dumps(dict(metadata), sort_keys=True).encode()
        entry.name, entry.buffer = METADATA, self.buffer(np.frombuffer(text, np.uint8))
        model = schema.ModelT()
        model.version, model.description = 3, f"edgetrain {metadata['edgetrain']}"
        model.subgraphs, model.signatureDefs = self._graphs, self._signatures
        model.operatorCodes = [_operator_code(*code) for code in self._codes]
        model.metadata, model.buffers = [entry], self._buffers
        size = sum(len(contents) + ALIGNMENT for contents in self._known)
        builder = flatbuffers.Builder(1024 + size)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


class Subgraph:
    """Collects the tensors and operators of one subgraph of a file.

    Attributes:
        file: that it belongs to.
        index: of the subgraph in the file.
        known: what is in the graph already and may be used again, by keys of who writes it.
    """

    def __init__(self, file: File, name: str) -> None:
        self._graph = schema.SubGraphT()
        self._graph.name, self._graph.tensors, self._graph.operators = name, [], []
        self._graph.inputs, self._graph.outputs = [], []
        self.file, self.index = file, file.add(self._graph)
        self.known: dict[Any, Any] = {}

    def tensor(
        self, name: str, dtype: DTypeLike, shape: Sequence[int], data: NDArray[Any] | None = None,
        *, open_batch: bool = False, scales: Sequence[float] = (), zero_point: int = 0,
        axis: int = 0,
    ) -> int:  # fmt: skip
        """Add a tensor and return its index.

        Args:
            name: of the tensor.
            dtype: a key of TYPES; None for a handle of a variable.
            shape: of the tensor.
            data: of a constant; None for what operators make.
            open_batch: whether a caller may change the first size.
            scales: one, or one a channel; none for floats and whole numbers.
            zero_point: of all channels.
            axis: of the channels.
        """
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, list(shape)
        tensor.type = schema.TensorType.RESOURCE if dtype is None else TYPES[np.dtype(dtype)]
        tensor.buffer = 0 if data is None else self.file.buffer(data)
        if open_batch:
            tensor.shapeSignature = [-1, *shape[1:]]
        if len(scales):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray(scales, np.float32)
            tensor.quantization.zeroPoint = np.full(len(scales), zero_point, np.int64)
            tensor.quantization.quantizedDimension = axis
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(
        self, op: str, version: int, inputs: Sequence[int], outputs: Sequence[int],
        options: str = "", **values: Any,
    ) -> None:  # fmt: skip
        """Add an operator.

        Args:
            op: its name in the schema.
            version: of the operator.
            inputs: indices of tensors.
            outputs: indices of the tensors that it makes.
            options: name of its table of options, if it has one.
            values: the options, by the names of the table.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self.file.operator_code(op, version)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in values.items():
                if not hasattr(operator.builtinOptions, name):
                    raise AttributeError(f"{options} has no option {name}")
                setattr(operator.builtinOptions, name, value)
        self._graph.operators.append(operator)

    def ends(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Say which tensors the subgraph is given and which it returns."""
        self._graph.inputs, self._graph.outputs = list(inputs), list(outputs)


def _operator_code(op: str, version: int) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, op)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = version
    return code


def _named(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
