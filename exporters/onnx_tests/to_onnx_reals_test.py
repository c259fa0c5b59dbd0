"""The forms that read and give real numbers: "qdq" and "float"."""

import collections
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
import onnx
import onnxruntime

from edgetrain import fixed, reals
from edgetrain.data import digits
from edgetrain.demo import pretrained
from edgetrain.exporters.onnx_tests.to_onnx_test import LAYERS, NETWORKS, codes, run, written
from edgetrain.files_tests.cases import EVERY_OPERATION, drawn, int8
from edgetrain.graph import INPUT
from edgetrain.inference import output
from edgetrain.quantize import quantize
from edgetrain.shift import rotate


def reals_of(model, x):
    scale, zero_point = model.scheme.activations[INPUT]
    return (x.astype(np.float32) - zero_point) * np.float32(scale)


def codes_of(model, y):
    scale, zero_point = model.scheme.activations[model.graph.output.name]
    return np.rint(y / np.float32(scale)).astype(np.int64) + zero_point


def distances(model, x, y):
    return np.abs(codes_of(model, y) - output(model, model.quantize_input(x), fixed))


@pytest.mark.parametrize("optimized", [True, False])
@pytest.mark.parametrize("name", [*LAYERS, "every operation", "add", "mlp", "cnn"])
def test_qdq_of_a_layer_is_within_one_code(name, optimized):
    model = int8(NETWORKS[name])
    x = reals_of(model, codes(model.graph.input_shape, 200)[2:])
    found = distances(model, x, run(written(model, form="qdq"), x, optimized))
    assert found.max() <= (1 if name in LAYERS else 2)
    assert (found > 1).mean() <= 0.01


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_float_gives_our_reals(name, softmax):
    model = NETWORKS[name]
    one = len(model.graph.shapes[model.graph.output.name]) == 1
    model = replace(model, softmax=softmax and one)
    x = np.random.default_rng(0).uniform(-3, 3, (20, *model.graph.input_shape)).astype(np.float32)
    contents, wanted = written(model), reals.output(model, x)
    bound = 1e-5 * max(np.abs(wanted).max(), 1)
    for optimized in (True, False):
        np.testing.assert_allclose(run(contents, x, optimized), wanted, rtol=0, atol=bound)


def fused(contents, folder):
    """Return how often each operator is left when ONNX Runtime has optimized a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "fused.onnx")
    onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(folder / "fused.onnx").graph
    return collections.Counter(node.op_type for node in graph.node)


def test_qdq_is_fused_into_integer_kernels(tmp_path):
    found = fused(written(int8(NETWORKS["resnet8"]), form="qdq"), tmp_path)
    assert (found["QLinearConv"], found["QLinearAdd"], found["QGemm"]) == (9, 3, 1)
    assert (found["QuantizeLinear"], found["DequantizeLinear"]) == (1, 1)
    assert not found["Conv"] + found["Gemm"] + found["Add"]


@pytest.mark.slow
def test_qdq_agrees_on_the_shipped_network():
    data = digits()
    x = np.concatenate([data.x_train, data.x_test])
    x = np.concatenate([x, rotate(x, 5.0)])
    model = quantize(pretrained(), data.x_train)
    wanted = output(model, model.quantize_input(x), fixed)
    y = run(written(model, form="qdq"), x)
    assert len(x) > 2000
    assert (y.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= 0.999
    found = distances(model, x, y)
    assert found.max() <= 3
    assert (found > 1).mean() <= 0.01


def test_a_float_softmax_follows_the_last_codes():
    model = int8(drawn(EVERY_OPERATION))
    x = reals_of(model, codes(model.graph.input_shape))
    logits = run(written(model, form="qdq"), x)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    y = run(written(replace(model, softmax=True), form="qdq"), x)
    np.testing.assert_allclose(y, shares / shares.sum(axis=1, keepdims=True), atol=1e-6)
