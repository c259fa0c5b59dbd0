"""Damaged, hostile and unsupported ONNX models: one sentence, no crash, no huge memory."""

import tracemalloc

import numpy as np
import pytest

from edgetrain.errors import FileError, ModelError

onnx = pytest.importorskip("onnx", reason="the ONNX importer needs onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from edgetrain.exporters.from_onnx import from_onnx  # noqa: E402
from edgetrain.exporters.onnx_tests.net import Net  # noqa: E402


def small(*nodes):
    """Return a convolution with nodes after it: (kind, *constants, attributes)."""
    net = Net(2, 6, 5)
    net.conv(3, 2, 3, 3)
    for kind, *inputs in nodes:
        attributes = inputs.pop() if inputs and isinstance(inputs[-1], dict) else {}
        net.add(kind, *inputs, **attributes)
    return net.model()


def changed(change):
    """Return a small model after a change in place."""
    model = small(("Relu",))
    change(model)
    return model


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "are empty"),
        (b"\x00\x01\x02", "not an ONNX model"),
        (b"PK\x03\x04" + bytes(100), "not an ONNX model"),
        (b"\x08\x08", "no graph"),
        (small().SerializeToString()[:-40], "not an ONNX model, or cut off"),
    ],
)
def test_foreign_and_truncated_bytes(contents, message):
    with pytest.raises(FileError, match=message):
        from_onnx(contents)


def test_paths(tmp_path):
    with pytest.raises(FileError, match=r"must be a file, but there is none"):
        from_onnx(tmp_path / "missing.onnx")
    with pytest.raises(FileError, match=r"must be a file, but there is none"):
        from_onnx(tmp_path)
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(FileError, match=r"empty\.onnx is empty"):
        from_onnx(str(tmp_path / "empty.onnx"))
    with (tmp_path / "large.onnx").open("wb") as file:
        file.truncate((2 << 30) + 1)  # a hole: it takes no disk
    with pytest.raises(FileError, match="at most 2147483648"):
        from_onnx(tmp_path / "large.onnx")
    with pytest.raises(FileError):
        from_onnx("a\0b")


def cycle(model):
    model.graph.node[0].input[0] = model.graph.node[1].output[0]


def swap(model):
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(nodes[::-1])


def dims(*sizes):
    def change(model):
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(sizes)

    return change


def function(model):
    model.graph.node[1].domain = "mine"
    model.functions.append(
        helper.make_function("mine", "Relu", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])],
                             [helper.make_opsetid("", 17)])
    )  # fmt: skip


def control_flow(model):
    branch = helper.make_graph([], "g", [], [])
    node = helper.make_node("If", ["c0"], ["z"], then_branch=branch, else_branch=branch)
    model.graph.node.append(node)
    model.graph.output[0].name = "z"


def many(model):
    node = helper.make_node("Relu", [model.graph.node[0].output[0]], ["z"])
    for i in range(1 << 14):
        node.output[0] = f"z{i}"
        model.graph.node.append(node)


DAMAGED = {
    "cycle": (cycle, "no earlier node makes"),
    "not sorted": (swap, "nodes must be sorted"),
    "two tensors of one name": (lambda m: m.graph.node.append(m.graph.node[1]), "two tensors"),
    "two initializers": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "differ"),
    "no such output": (lambda m: setattr(m.graph.output[0], "name", "z"), "makes the output 'z'"),
    "no such input": (lambda m: m.graph.node[0].input.__setitem__(0, "z"), "its input 'z'"),
    "IR version": (lambda m: setattr(m, "ir_version", 99), "IR version must be from 3 to .* 99"),
    "opset": (lambda m: setattr(m.opset_import[0], "version", 99), "the opset must be from 6"),
    "no opset": (lambda m: m.ClearField("opset_import"), "the opset must be from 6 .* got 0"),
    "no inputs": (lambda m: m.graph.node[0].ClearField("input"), "'conv0': not as ONNX defines"),
    "attribute": (lambda m: m.graph.node[1].attribute.append(helper.make_attribute("a", 1)),
                  "'relu1': not as ONNX defines Relu"),
    "shape too large": (dims(1 << 40, 1 << 40, 3, 3), "'c0': at most 67108864 elements"),
    "shape larger than data": (dims(1 << 20, 2, 3, 3), "'c0': .* needs 75497472 bytes, got 216"),
    "negative shape": (dims(-3, 2, 3, 3), "'c0': at most"),
    "text": (lambda m: m.graph.node[0].attribute.append(
        helper.make_attribute("auto_pad", b"\xff")), "auto_pad"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_graphs(name):
    change, message = DAMAGED[name]
    tracemalloc.start()
    with pytest.raises(FileError, match=message):
        from_onnx(changed(change))
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def second_input(model):
    model.graph.input.append(helper.make_tensor_value_info("x2", 1, ["n", 2, 6, 5]))
    model.graph.node.append(helper.make_node("Conv", ["x2", "c0"], ["y2"]))
    model.graph.node.append(helper.make_node("Add", ["relu1", "y2"], ["z"]))
    model.graph.output[0].name = "z"


def input_of(*sizes, elements=TensorProto.FLOAT):
    info = helper.make_tensor_value_info("x", elements, sizes)
    return lambda model: model.graph.input[0].CopyFrom(info)


def stored(i, value):
    name = f"c{i}"
    return lambda m: m.graph.initializer[i].CopyFrom(numpy_helper.from_array(value, name))


UNSUPPORTED = {
    "several inputs": (second_input, r"one input .* got \['x', 'x2'\]"),
    "several outputs": (lambda m: m.graph.output.append(m.graph.output[0]), r"must have one outp"),
    "no input": (lambda m: m.graph.node[0].input.__setitem__(0, "c0"), "one input .* got"),
    "dynamic size": (input_of("n", 2, "height", 5), "'x': only the batch may vary, dimension 2"),
    "no batch": (input_of(5), "'x': its shape must be"),
    "empty": (input_of("n", 2, 0, 5), "'x': a sample has 1 to"),
    "huge": (input_of("n", 1 << 40, 1 << 40), "'x': a sample has 1 to"),
    "int64": (input_of("n", 2, 6, 5, elements=TensorProto.INT64), "'x': elements must be float32"),
    "function": (function, "'relu1': Relu of the domain 'mine'"),
    "control flow": (control_flow, "If has a graph of its own"),
    "too many nodes": (many, "a graph may have 16384 nodes"),
    "not finite": (stored(1, np.full(3, np.nan, np.float32)), "weights must be finite"),
    "overflow": (stored(1, np.full(3, 1e300)), "weights must be finite"),
    "wrong bias": (stored(1, np.zeros(7, np.float32)), "'conv0': the bias of Conv"),
    "wrong weights": (stored(0, np.zeros((3, 1, 3, 3), np.float32)), "'conv0': weights"),
    "no weights": (stored(0, np.zeros((0, 2, 3, 3), np.float32)), "'conv0'"),
    "3-D kernel": (stored(0, np.zeros((3, 2, 1, 3, 3), np.float32)), "Conv must be 1-D or 2-D"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_models(name):
    change, message = UNSUPPORTED[name]
    with pytest.raises(ModelError, match=message):
        from_onnx(changed(change))


HUGE = np.array([1 << 40, 1 << 40], np.int64)
F32, I64 = (lambda *v: np.array(v, np.float32)), (lambda *v: np.array(v, np.int64))
NODES = {
    "unknown": ([("Elu",)], "'elu1': Elu is not supported: use Relu"),
    "last resort": ([("Sin",)], "Sin is not supported: supported are .*Conv"),
    "leaky": ([("LeakyRelu",)], "'leakyrelu1': LeakyRelu makes a function"),
    "clip": ([("Clip", F32(0)[0], F32(1)[0])], "Clip is supported from 0 up"),
    "high clip": ([("Clip", F32(0)[0], F32(900)[0])], "Clip is supported from 0 up"),
    "high clip of relu": ([("Relu",), ("Clip", F32(0)[0], F32(900)[0])], "from 0 to 6"),
    "gelu": ([("Gelu", {"approximate": "tanh"})], 'Gelu is supported with approximate="none"'),
    "product": ([("Mul", "conv0")], "Mul of two computed values"),
    "quotient": ([("Div", F32(0)[0])], "the divisor must not be 0"),
    "difference": ([("Sub", "x")], "Sub of two computed values"),
    "sum of shapes": ([("Add", "x")], "two of one shape"),
    "each pixel": ([("Add", np.arange(12, dtype=np.float32).reshape(4, 3))], "cannot be folded"),
    "each sample": ([("Add", np.ones((5, 3, 4, 3), np.float32))], "the same for every sample"),
    "softmax inside": ([("GlobalAveragePool",), ("Flatten",), ("Softmax",), ("Relu",)],
                       "softmax must be the last node"),
    "softmax of pixels": ([("Softmax", {"axis": 1})], "Softmax must go over all classes"),
    "channel shuffle": ([("Reshape", I64(0, 3, 2, 2, 3))], "'reshape1': Reshape must keep"),
    "huge reshape": ([("Reshape", HUGE)], "'reshape1': Reshape must keep"),
    "merged batch": ([("Reshape", I64(-1, 3))], "'reshape1': Reshape must keep"),
    "batch in a layer": ([("Shape",), ("Gather", I64(0), {"axis": 0}),
                          ("Cast", {"to": 1}), ("Mul", "conv0")], "not depend on the size of a"),
    "batch in arithmetic": ([("Shape",), ("Mul", I64(2)[0])], "not depend on the size of a batch"),
    "integers": ([("QuantizeLinear", F32(1)[0]), ("Relu",)], "'relu2': Relu reads integers"),
    "reals": ([("DequantizeLinear", F32(1)[0])], "DequantizeLinear must read integers"),
    "flatten": ([("Flatten", {"axis": 2})], "axis of Flatten must be 1"),
    "transpose": ([("Transpose",)], "Transpose must keep the batch first"),
    "transposed": ([("Transpose", {"perm": [0, 3, 1, 2]}), ("GlobalAveragePool",)],
                   r"must read an image as \(batch, channels"),
    "dense of an image": ([("MatMul", np.ones((3, 4), np.float32))], "add a Flatten"),
    "squeeze": ([("Squeeze", I64(1))], "Squeeze must remove dimensions of size 1"),
    "unsqueeze": ([("Unsqueeze", I64(*range(20, 30)))], "Unsqueeze must keep the batch"),
    "mean": ([("ReduceMean", {"axes": [1]})], "ReduceMean must go over height and width"),
    "pad": ([("Pad", I64(0, 0, 1, 1, 0, 0, 1, 1), F32(2)[0])], "Pad must add zeros"),
    "pad channels": ([("Pad", I64(0, 1, 0, 0, 0, 0, 0, 0))], "Pad must add zeros around"),
    "huge pad": ([("Pad", I64(0, 0, 1 << 50, 0, 0, 0, 0, 0))], "Pad must add zeros around"),
    "dilated pool": ([("MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 2]})], "dilations"),
    "stride 0": ([("MaxPool", {"kernel_shape": [2, 2], "strides": [0, 1]})], "does not fit"),
    "huge stride": ([("MaxPool", {"kernel_shape": [2, 2], "strides": [1 << 62, 1]})], "strides"),
    "huge kernel": ([("MaxPool", {"kernel_shape": [99, 99]})], "does not fit"),
    "training": ([("BatchNormalization", *[np.ones(3, np.float32)] * 4, {"training_mode": 1})],
                 "model.eval"),
    "huge constant": ([("Reshape", "big")], "may have 67108864 elements"),
}  # fmt: skip


@pytest.mark.parametrize("name", NODES)
def test_unsupported_nodes_are_named(name):
    nodes, message = NODES[name]
    model = small(*nodes)
    if name == "huge constant":
        model.graph.initializer.append(numpy_helper.from_array(HUGE, "sizes"))
        model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["sizes"], ["big"]))
    if name == "gelu":
        model.opset_import[0].version = 20
    tracemalloc.start()
    with pytest.raises(ModelError, match=message):
        from_onnx(model)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "/etc/passwd"}, "data must lie beside the model"),
        ({"location": "../secret.bin"}, "data must lie beside the model"),
        ({"location": "inside/../../secret.bin"}, "data must lie beside the model"),
        ({"location": "link.bin"}, "there is no file 'link.bin' in the model's folder"),
        ({"location": "missing.bin"}, "there is no file"),
        ({"location": "."}, "there is no file"),
        ({"location": ""}, "data must lie beside"),
        ({"location": "a\0b"}, "cannot read|there is no file"),
        ({"location": "w.bin", "offset": "8"}, "needs 216 bytes, the model says 216 from 8"),
        ({"location": "w.bin", "length": "99"}, "the model says 99 from 0"),
        ({"location": "w.bin", "offset": "-8"}, "offset must be a number of bytes"),
        ({"location": "w.bin", "length": "9" * 5000}, "length must be a number of bytes"),
    ],
)
def test_external_data_stay_in_the_folder(entries, message, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "w.bin").write_bytes(bytes(216))
    (tmp_path / "secret.bin").write_bytes(bytes(216))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = small()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    (folder / "net.onnx").write_bytes(model.SerializeToString())

    with pytest.raises(FileError, match=message):
        from_onnx(folder / "net.onnx")
    with pytest.raises(FileError, match="import the model by its path"):
        from_onnx(model)
