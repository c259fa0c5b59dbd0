"""What edgetrain writes as ONNX it reads again without a change."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnx")

from edgetrain.architectures import ARCHITECTURES
from edgetrain.description import describe
from edgetrain.exporters.from_onnx import from_onnx
from edgetrain.exporters.to_onnx import to_onnx
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
