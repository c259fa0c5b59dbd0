"""What edgetrain writes as ONNX it reads again without a change."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnx")

from edgetrain.architectures import ARCHITECTURES
from edgetrain.description import describe
from edgetrain.errors import ModelError
from edgetrain.exporters.from_onnx import from_onnx
from edgetrain.exporters.to_onnx import to_onnx
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel
from edgetrain.quantize import quantize

SHAPES = {
    "mlp": (5,), "cnn": (9, 7, 2), "ds_cnn": (13, 9, 3), "resnet8": (9, 7, 2),
    "mobilenet_v1": (16, 24, 3), "autoencoder": (6,),
}  # fmt: skip


def same(a, b):
    (header, tensors), (other, others) = describe(a), describe(b)
    assert header == other
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(others[name], tensor, strict=True)


@pytest.fixture(params=SHAPES)
def network(request):
    shape = SHAPES[request.param]
    return ARCHITECTURES[request.param](shape, 6 if request.param == "autoencoder" else 4)


def test_a_float_model(network):
    model = replace(network, softmax=len(network.graph.shapes[network.graph.output.name]) == 1)
    same(from_onnx(to_onnx(model)["model.onnx"]), model)


def test_an_int8_model_with_its_history(network):
    x = np.random.default_rng(0).normal(0, 1, (32, *network.graph.input_shape)).astype(np.float32)
    model = replace(quantize(network, x), history=("made", "tuned"), task="regress")
    found = from_onnx(to_onnx(model, form="qdq")["model.onnx"])
    same(found, model)
    assert from_onnx(to_onnx(model, form="qdq")["model.onnx"], task="classify").task == "classify"


def test_an_average_pool_over_the_whole_image_keeps_its_rounding():
    window = Window((4, 3), (4, 3), (0, 0, 0, 0))
    graph = Graph((4, 3, 5), (Node("pool", "average_pool", (INPUT,), 0, window),))
    x = np.random.default_rng(0).normal(0, 1, (32, 4, 3, 5)).astype(np.float32)
    model = quantize(FloatModel(graph, {}), x)
    same(from_onnx(to_onnx(model, form="qdq")["model.onnx"]), model)


def test_the_form_exact_is_for_running_only(network):
    x = np.ones((2, *network.graph.input_shape), np.float32)
    with pytest.raises(ModelError, match=r"form exact.*running only"):
        from_onnx(to_onnx(quantize(network, x))["model.onnx"])
