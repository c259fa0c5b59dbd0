"""A TensorFlow Lite file out of tensors and operators, without TensorFlow."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgetrain.exporters.tflite_reading.read import METADATA

ALIGNMENT = 16
"""Interpreters read the contents of tensors in place."""
VERSIONS = {
    "ADD": (1, 2), "AVERAGE_POOL_2D": (1, 2), "CONV_2D": (1, 3), "DEPTHWISE_CONV_2D": (1, 3),
    "FULLY_CONNECTED": (1, 4), "GELU": (1, 2), "HARD_SWISH": (1, 1), "LOGISTIC": (1, 2),
    "MAX_POOL_2D": (1, 2), "MEAN": (1, 2), "PAD": (1, 2), "PADV2": (1, 2), "RESHAPE": (1, 1),
    "SOFTMAX": (1, 2), "TANH": (1, 2),
}  # fmt: skip
"""Version of each operator for float32 and for int8, the lowest that there is."""
TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int32): schema.TensorType.INT32,
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


class Writer:
    """Collects the tensors and operators of one subgraph.

    Args:
        int8: whether the network's arithmetic is int8; decides the versions of operators.
    """

    def __init__(self, int8: bool) -> None:
        self.int8 = int8
        self._graph = schema.SubGraphT()
        self._graph.name, self._graph.tensors, self._graph.operators = "main", [], []
        self._buffers: list[Any] = [schema.BufferT()]
        self._codes: dict[str, int] = {}

    def tensor(
        self, name: str, shape: Sequence[int], data: NDArray[Any] | None = None,
        scales: Sequence[float] = (), zero_point: int = 0, axis: int = 0,
    ) -> int:  # fmt: skip
        """Add a tensor and return its index.

        Args:
            name: of the tensor.
            shape: with the batch, 1, first if it is not constant.
            data: of a constant; None for what operators make.
            scales: one, or one a channel; none for floats.
            zero_point: of all channels.
            axis: of the channels.
        """
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name, list(shape)
        if data is None:
            tensor.type = schema.TensorType.INT8 if self.int8 else schema.TensorType.FLOAT32
            tensor.shapeSignature = [-1, *shape[1:]]
            tensor.buffer = 0
        else:
            tensor.type, tensor.buffer = TYPES[data.dtype], self._buffer(data)
        if len(scales):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray(scales, np.float32)
            tensor.quantization.zeroPoint = np.full(len(scales), zero_point, np.int64)
            tensor.quantization.quantizedDimension = axis
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def operator(
        self, op: str, inputs: Sequence[int], output: int, options: str = "", **values: Any
    ) -> None:
        """Add an operator.

        Args:
            op: a key of VERSIONS.
            inputs: indices of tensors.
            output: index of the tensor that it makes.
            options: name of its table of options, if it has one.
            values: the options, by the names of the table.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(op, len(self._codes))
        operator.inputs, operator.outputs = list(inputs), [output]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for name, value in values.items():
                if not hasattr(operator.builtinOptions, name):
                    raise AttributeError(f"{options} has no option {name}")
                setattr(operator.builtinOptions, name, value)
        self._graph.operators.append(operator)

    def finish(self, start: int, end: int, metadata: Mapping[str, str]) -> bytes:
        """Return the file.

        Args:
            start: index of the input tensor.
            end: index of the output tensor.
            metadata: of `edgetrain.exporters.metadata`.
        """
        model = schema.ModelT()
        model.version, model.description = 3, f"edgetrain {metadata['edgetrain']}"
        self._graph.inputs, self._graph.outputs = [start], [end]
        model.subgraphs = [self._graph]
        model.operatorCodes = [self._operator_code(op) for op in self._codes]
        model.signatureDefs = [self._signature(start, end)]
        entry = schema.MetadataT()
        text = json.dumps(dict(metadata), sort_keys=True).encode()
        entry.name, entry.buffer = METADATA, self._buffer(np.frombuffer(text, np.uint8))
        model.metadata, model.buffers = [entry], self._buffers
        builder = flatbuffers.Builder(1024 + sum(map(_size, self._buffers)))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _buffer(self, data: NDArray[Any]) -> int:
        buffer = _AlignedBuffer()
        buffer.data = data.astype(data.dtype.newbyteorder("<")).tobytes()
        self._buffers.append(buffer)
        return len(self._buffers) - 1

    def _operator_code(self, op: str) -> Any:
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, op)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = VERSIONS[op][self.int8]
        return code

    def _signature(self, start: int, end: int) -> Any:
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "serving_default", 0
        signature.inputs, signature.outputs = [_named("input", start)], [_named("output", end)]
        return signature


def _named(name: str, index: int) -> Any:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry


def _size(buffer: Any) -> int:
    return len(buffer.data) + ALIGNMENT if buffer.data is not None else 0
