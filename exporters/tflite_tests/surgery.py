"""Change a .tflite file as another converter would have written it."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

OPERATORS = schema.BuiltinOperator
TYPES = schema.TensorType


class File:
    """A file as objects; `bytes` writes it again."""

    def __init__(self, content):
        self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        self.graph = self.model.subgraphs[0]

    def __bytes__(self):
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def code(self, op):
        """Return the index of an operator code, a new one if need be."""
        for i, code in enumerate(self.model.operatorCodes):
            if code.builtinCode == getattr(OPERATORS, op):
                return i
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(OPERATORS, op)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 2
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def tensor(self, name, shape, kind, scale=None, zero_point=0, data=None):
        """Add a tensor and return its index."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, shape, kind, 0
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [scale], [zero_point]
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            tensor.buffer = len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, op, inputs, outputs, position):
        """Insert an operator."""
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.code(op), inputs, outputs
        self.graph.operators.insert(position, operator)
        return operator
