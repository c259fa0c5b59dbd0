"""A writer of small ONNX graphs, for the tests of the importer."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the ONNX importer needs onnx")

from onnx import TensorProto, helper, numpy_helper


class Net:
    """Writes an ONNX graph line by line."""

    def __init__(self, *shape, batch="n"):
        self.batch = batch
        self.shape, self.nodes, self.constants, self.last = shape, [], [], "x"
        self.rng = np.random.default_rng(0)

    def add(self, kind, *inputs, source=None, **attributes):
        name = f"{kind.lower()}{len(self.nodes)}"
        inputs = [source or self.last, *(self.constant(i) for i in inputs)]
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        self.last = name
        return name

    def constant(self, value):
        if isinstance(value, str):
            return value
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def conv(self, n_out, n_in, *kernel, **attributes):
        w = self.rng.normal(0, (2 / (n_in * np.prod(kernel))) ** 0.5, (n_out, n_in, *kernel))
        b = self.rng.normal(0, 0.1, n_out)
        return self.add("Conv", w.astype(np.float32), b.astype(np.float32), **attributes)

    def gemm(self, n_out, n_in):
        w = self.rng.normal(0, (2 / n_in) ** 0.5, (n_out, n_in))
        b = self.rng.normal(0, 0.1, n_out)
        return self.add("Gemm", w.astype(np.float32), b.astype(np.float32), transB=1)

    def matmul(self, n_out, n_in):
        return self.add("MatMul", self.rng.normal(0, 0.5, (n_in, n_out)).astype(np.float32))

    def batch_norm(self, n, source=None):
        rows = [self.rng.uniform(low, 1.5, n) for low in (0.5, -1, -1, 0.5)]
        rows = [row.astype(np.float32) for row in rows]
        return self.add("BatchNormalization", *rows, source=source, epsilon=1e-3)

    def model(self, opset=17):
        x, y = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in (("x", [self.batch, *self.shape]), (self.last, None))
        )
        graph = helper.make_graph(self.nodes, "net", [x], [y], self.constants)
        imports = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=imports, ir_version=9)
