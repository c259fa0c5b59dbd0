"""Softmax, tasks, names, files and old versions of ONNX."""

import numpy as np
import pytest

from edgetrain import reals
from edgetrain.errors import ModelError

onnx = pytest.importorskip("onnx", reason="the ONNX importer needs onnx")

from onnx.reference import ReferenceEvaluator  # noqa: E402

from edgetrain.exporters import read  # noqa: E402
from edgetrain.exporters.from_onnx import from_onnx  # noqa: E402
from edgetrain.exporters.onnx_tests.net import Net  # noqa: E402

I64 = lambda *v: np.array(v, np.int64)  # noqa: E731


def image():
    net = Net(3, 7, 10)
    net.conv(4, 3, 3, 3, strides=[2, 2])
    return net


def softmax_net(kind="Softmax", **attributes):
    net = Net(4)
    net.gemm(3, 4)
    net.add(kind, **attributes)
    return net.model()


def test_softmax_and_task():
    x = np.ones((2, 4), np.float32)
    model = from_onnx(softmax_net())
    (wanted,) = ReferenceEvaluator(softmax_net()).run(None, {"x": x})
    np.testing.assert_allclose(reals.output(model, x), wanted, rtol=1e-5)
    assert (model.task, model.softmax, len(model.graph.nodes)) == ("classify", True, 1)
    assert from_onnx(softmax_net("LogSoftmax", axis=1)).softmax
    assert from_onnx(softmax_net(), "regress").task == "regress"
    net = Net(4)
    net.gemm(1, 4)
    assert from_onnx(net.model()).task == "regress"


def test_a_flattened_image_is_no_classifier():
    net = image()
    net.add("Flatten")
    with pytest.raises(ModelError, match=r"classes would get another order.*task='regress'"):
        from_onnx(net.model())
    assert from_onnx(net.model(), "reconstruct").task == "reconstruct"


def test_file_bytes_and_external_data_give_one_model(tmp_path):
    graph = image().model()
    onnx.save(graph, tmp_path / "one.onnx")
    onnx.save(
        onnx.ModelProto.FromString(graph.SerializeToString()), tmp_path / "two.onnx",
        save_as_external_data=True, location="weights.bin", size_threshold=0,
    )  # fmt: skip
    assert (tmp_path / "weights.bin").stat().st_size > 0

    sources = [graph.SerializeToString(), str(tmp_path / "one.onnx"), tmp_path / "two.onnx"]
    models = [*map(from_onnx, [graph, *sources]), read(tmp_path / "two.onnx")]

    for model in models[1:]:
        assert model.graph == models[0].graph
        for name, (w, b) in models[0].params.items():
            np.testing.assert_array_equal(model.params[name].w, w)
            np.testing.assert_array_equal(model.params[name].b, b)


def test_what_the_output_does_not_need_is_dropped():
    net = image()
    net.add("NonZero", source="conv0")  # is not supported
    net.add("Sigmoid", source="conv0")
    assert [node.op for node in from_onnx(net.model()).graph.nodes] == ["conv2d", "activation"]


def test_names_are_those_of_the_nodes_and_differ():
    net = Net(4)
    for _ in range(3):
        net.gemm(4, 4)
    for node, name in zip(net.nodes, ("/fc/Gemm", "/fc/gemm", ""), strict=True):
        node.name = name
    names = [node.name for node in from_onnx(net.model()).graph.nodes]
    assert names == ["fc_gemm", "fc_gemm_2", "gemm2"]


def test_old_opsets():
    net = image()
    net.add("Clip", min=0.0, max=6.0)
    net.add("Dropout")
    net.add("ReduceMean", axes=[2, 3], keepdims=1)
    net.add("Squeeze", axes=[2, 3])
    net.gemm(3, 4)
    net.add("Softmax")
    model = from_onnx(net.model(opset=9))
    assert model.graph.nodes[0].activation == "relu6"
    assert model.softmax


@pytest.mark.parametrize(("opset", "axis"), [(9, {}), (17, {"axis": 1}), (17, {"axis": -3})])
def test_a_softmax_of_one_pixel(opset, axis):
    net = image()
    net.add("GlobalAveragePool")
    net.add("Softmax", **axis)
    assert from_onnx(net.model(opset)).softmax


def test_the_batch_may_be_fixed():
    net = Net(3, 4, 5, batch=2)
    net.add("Reshape", I64(2, 60))
    net.gemm(2, 60)
    assert from_onnx(net.model()).graph.input_shape == (4, 5, 3)
    net = Net(3, 4, 5, batch=2)
    net.add("Reshape", I64(1, 120))
    net.gemm(2, 120)
    with pytest.raises(ModelError, match="Reshape must keep the batch"):
        from_onnx(net.model())
