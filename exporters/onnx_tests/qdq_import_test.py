"""Graphs of onnxruntime's quantizer become int8 models with the same integers."""

import contextlib
import logging

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.errors import ModelError
from edgetrain.inference import infer, output
from edgetrain.model import Model

onnx = pytest.importorskip("onnx", reason="the ONNX importer needs onnx")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime quantizes and is compared with")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnxruntime import quantization as q  # noqa: E402

from edgetrain.exporters.from_onnx import from_onnx  # noqa: E402
from edgetrain.exporters.onnx_tests.net import Net  # noqa: E402


def plain():
    net = Net(3, 10, 8)
    net.conv(8, 3, 3, 3, pads=[1, 1, 1, 1])
    net.add("Relu")
    net.add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    net.conv(8, 1, 3, 3, group=8, pads=[1, 1, 1, 1])
    net.add("Clip", np.float32(0), np.float32(6))
    net.add("Flatten")
    net.gemm(6, 160)
    return net


def residual():
    net = Net(3, 9, 12)
    start = net.conv(8, 3, 3, 3, strides=[2, 2])
    net.conv(8, 8, 3, 3, pads=[1, 1, 1, 1])
    net.add("Relu")
    net.conv(8, 8, 1, 1)
    net.add("Add", start)
    net.add("Relu")
    net.conv(5, 8, 3, 3)
    return net


def global_pool():
    net = Net(3, 6, 7)
    net.conv(8, 3, 3, 3)
    net.add("Relu")
    net.add("GlobalAveragePool")
    net.add("Flatten")
    net.gemm(5, 8)
    return net


def signal():
    net = Net(2, 40)
    net.conv(6, 2, 5, strides=[2])
    net.add("Sigmoid")
    net.conv(4, 6, 3, dilations=[2])
    net.add("AveragePool", kernel_shape=[3], strides=[2])
    net.add("Flatten")
    net.gemm(10, 24)
    net.add("Relu")
    net.gemm(3, 10)
    return net


def pooled():
    net = Net(3, 8, 12)
    net.conv(5, 3, 3, 3, auto_pad="SAME_UPPER")
    net.add("Relu")
    net.add("AveragePool", kernel_shape=[2, 2], strides=[2, 2])  # its ties round another way
    return net


def classifier():
    net = Net(12)
    net.gemm(16, 12)
    net.add("Relu")
    net.gemm(4, 16)
    net.add("Softmax", axis=1)
    return net


NETS = {
    "plain": plain, "residual": residual, "global_pool": global_pool, "signal": signal,
    "pooled": pooled,
}  # fmt: skip


def quantized(net, folder, activations, per_channel):
    """Quantize with onnxruntime; return the file's path and test data."""

    class Reader(q.CalibrationDataReader):
        def __init__(self):
            self.batches = iter([{"x": batch} for batch in np.split(calibration, 8)])

        def get_next(self):
            return next(self.batches, None)

    calibration = net.rng.normal(size=(64, *net.shape)).astype(np.float32)
    source, target = folder / "float.onnx", folder / "int8.onnx"
    onnx.save(net.model(), source)
    logging.disable(logging.WARNING)
    with contextlib.redirect_stdout(None):
        q.quantize_static(
            source, target, Reader(), quant_format=q.QuantFormat.QDQ, per_channel=per_channel,
            activation_type=activations, weight_type=q.QuantType.QInt8,
        )  # fmt: skip
    logging.disable(logging.NOTSET)
    return target, net.rng.normal(size=(200, *net.shape)).astype(np.float32)


def ours(model, x):
    """Return our int8 output as reals."""
    x = np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(len(x), *model.graph.input_shape)
    scale, zero_point = model.scheme.activations[model.graph.output.name]
    return (infer(model, model.quantize_input(x), fixed).astype(np.float64) - zero_point) * scale


def theirs(path, x):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


@pytest.mark.parametrize("per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("activations", [q.QuantType.QInt8, q.QuantType.QUInt8])
@pytest.mark.parametrize("name", NETS)
def test_results_are_those_of_onnxruntime(name, activations, per_channel, tmp_path):
    path, x = quantized(NETS[name](), tmp_path, activations, per_channel)

    model = from_onnx(path)

    assert isinstance(model, Model)
    scale = model.scheme.activations[model.graph.output.name].scale
    difference = np.abs(np.moveaxis(ours(model, x), -1, 1) - theirs(path, x)) / scale
    assert np.mean(difference < 1.01) >= 0.99
    assert difference.max() < 4.01


def test_parameters_are_taken_over_exactly(tmp_path):
    path, _ = quantized(plain(), tmp_path, q.QuantType.QUInt8, True)
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}

    model = from_onnx(path)

    conv, dense = model.graph.trainable[0], model.graph.output
    np.testing.assert_array_equal(
        model.params[conv.name].w, stored["c0_quantized"].transpose(0, 2, 3, 1)
    )
    np.testing.assert_array_equal(model.params[conv.name].b, stored["c1_quantized"])
    np.testing.assert_array_equal(model.scheme.weights[conv.name], stored["c0_scale"])
    columns = np.arange(160).reshape(8, 5, 4).transpose(1, 2, 0).ravel()
    np.testing.assert_array_equal(model.params[dense.name].w, stored["c6_quantized"][:, columns])
    assert model.scheme.activations["input"] == (
        stored["x_scale"].item(), int(stored["x_zero_point"]) - 128,
    )  # fmt: skip
    assert [node.activation for node in model.graph.trainable] == ["relu", "relu", ""]


def test_a_softmax_at_the_end(tmp_path):
    path, x = quantized(classifier(), tmp_path, q.QuantType.QInt8, False)

    model = from_onnx(path)

    assert model.softmax
    assert model.task == "classify"
    shares = (output(model, model.quantize_input(x), fixed) + 128.0) / 256
    assert np.abs(shares - theirs(path, x)).max() < 0.02


def dense(changes=(), drop=()):
    """Return a quantized dense layer as a graph, with some constants changed or nodes left out."""
    constants = {
        "xs": np.float32(0.1), "xz": np.int8(3), "ws": np.float32(0.02), "wz": np.int8(0),
        "w": np.array([[1, -127], [5, 100]], np.int8), "bs": np.float32(0.1) * np.float32(0.02),
        "b": np.array([7, -(2**30) - 1], np.int32), "ys": np.float32(0.3), "yz": np.int8(-5),
        **dict(changes),
    }  # fmt: skip
    nodes = [
        ("QuantizeLinear", ["x", "xs", "xz"], "xq"), ("DequantizeLinear", ["xq", "xs", "xz"], "xr"),
        ("DequantizeLinear", ["w", "ws", "wz"], "wr"), ("DequantizeLinear", ["b", "bs"], "br"),
        ("Gemm", ["xr", "wr", "br"], "g"),
        ("QuantizeLinear", ["g", "ys", "yz"], "yq"), ("DequantizeLinear", ["yq", "ys", "yz"], "y"),
    ]  # fmt: skip
    made = []
    for kind, inputs, name in nodes:
        if name in drop:
            made.append(helper.make_node("Identity", inputs[:1], [name], name))
        else:
            made.append(helper.make_node(kind, inputs, [name], name))
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 2]) for n in "xy")
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(made, "dense", [x], [y], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_large_bias_keeps_every_bit():
    model = from_onnx(dense())

    assert model.params["g"].b.tolist() == [7, -(2**30) - 1]
    assert model.params["g"].w.tolist() == [[1, 5], [-127, 100]]
    assert model.scheme.activations == {
        "input": (np.float32(0.1), 3), "g": (np.float32(0.3), -5)
    }  # fmt: skip


def test_unsigned_codes_are_moved_to_signed_ones():
    unsigned = {
        "w": np.array([[129, 1], [133, 228]], np.uint8), "wz": np.uint8(128),
        "xz": np.uint8(131), "yz": np.uint8(123),
    }  # fmt: skip
    model, signed = from_onnx(dense(unsigned.items())), from_onnx(dense())

    np.testing.assert_array_equal(model.params["g"].w, signed.params["g"].w)
    assert model.scheme.activations == signed.scheme.activations


@pytest.mark.parametrize(
    ("changes", "drop", "message"),
    [
        ({"w": np.array([[1, -128], [5, 100]], np.int8)}, (), "'g': weights must be from -127"),
        ({"wz": np.int8(1)}, (), "'wr': weights must be symmetric.*WeightSymmetric"),
        ({"ws": np.float32(0)}, (), "'wr': scales must be positive"),
        ({"xs": np.float32(np.inf)}, (), "'xq': activations must be int8 or uint8"),
        ({"xz": np.int16(0)}, (), "'xz': elements must be .*int8.* got int16"),
        ({"bs": np.float32(0.3)}, (), "'g': the scale of the bias"),
        ({"ys": np.float32(1e-30)}, (), "no integer form"),
        ({}, ("xq", "xr"), "quantized in part: 'input'"),
        ({}, ("yq", "y"), "quantized in part: 'g'"),
        ({"w": np.ones((2, 2), np.float32)}, ("wr",), "'g': the graph is quantized in part"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named(changes, drop, message):
    with pytest.raises(ModelError, match=message):
        from_onnx(dense(changes.items(), drop))


def test_a_value_has_one_quantization():
    graph = dense()
    graph.graph.node[1].input[1] = "ys"
    with pytest.raises(ModelError, match="'xr': a value can have one quantization"):
        from_onnx(graph)


def test_the_other_format_is_refused_with_the_cure():
    net = Net(4)
    net.add("DynamicQuantizeLinear")
    net.nodes[0].output.extend(["scale", "zero_point"])
    with pytest.raises(ModelError, match=r"DynamicQuantizeLinear.*export the QDQ format"):
        from_onnx(net.model())
