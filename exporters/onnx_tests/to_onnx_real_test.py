"""MLPerf Tiny's networks in ONNX Runtime, on real inputs; skipped where the files are absent."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("ai_edge_litert")

from edgetrain import fixed
from edgetrain.exporters.from_tflite import from_tflite
from edgetrain.exporters.onnx_tests.to_onnx_test import run, session, written
from edgetrain.graph import INPUT, Graph
from edgetrain.inference import apply, infer
from edgetrain.model import Model
from edgetrain.scheme import Scheme

SHARED = Path(__file__).parents[3] / "shared"
NETWORKS = {
    "resnet": ("mlperf_pretrainedResnet_quant.tflite", "cifar10_subset.npz", 1),
    "keywords": ("mlperf_kws_ref_model.tflite", "tts_keywords_mfcc.npz", 1),
    "persons": ("mlperf_vww_96_int8.tflite", "cifar10_subset.npz", 3),
}
AGREEMENT = {"resnet": 0.97, "keywords": 0.97, "persons": 0.99}
"""Measured on the first 1,000: 98.4, 97.6 and 100 %, and 97.7 and 98.3 % on the first 3,000."""


def shared(kind, name):
    found = SHARED / kind / name
    if not found.exists():
        pytest.skip(f"needs {name} in the folder shared/{kind} beside the project")
    return found


@cache
def network(name):
    """The model, 1,000 inputs (codes as stored, or pixels minus 128, enlarged) and its logits."""
    file, data, enlarge = NETWORKS[name]
    model = from_tflite(shared("models", file))
    with np.load(shared("data", data)) as arrays:
        x = np.concatenate([arrays["x_test"], arrays["x_train"]])[:1000]
    x = x if x.dtype == np.int8 else (x.astype(np.int16) - 128).astype(np.int8)
    x = x.reshape(len(x), *x.shape[1:3], -1)
    x = x.repeat(enlarge, axis=1).repeat(enlarge, axis=2)
    return model, x, infer(model, x, fixed)


def reals_of(model, x, name=INPUT):
    scale, zero_point = model.scheme.activations[name]
    return (x.astype(np.float32) - zero_point) * np.float32(scale)


def codes_of(model, y):
    scale, zero_point = model.scheme.activations[model.graph.output.name]
    return np.clip(np.rint(y / np.float32(scale)) + zero_point, -128, 127).astype(np.int64)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_exact_gives_our_bytes(name):
    model, x, logits = network(name)
    assert model.softmax
    contents, wanted = written(model), fixed.probabilities(logits, *model.scheme.softmax)
    y = run(contents, x)
    np.testing.assert_array_equal(y, wanted, strict=True)
    np.testing.assert_array_equal(run(contents, x[:50], False), wanted[:50], strict=True)
    assert len(np.unique(y)) > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_qdq_mostly_agrees(name):
    model, x, wanted = network(name)
    model = replace(model, softmax=False)
    y = codes_of(model, run(written(model, form="qdq"), reals_of(model, x)))
    assert np.abs(y - wanted).max() <= 8
    assert (y.argmax(axis=1) == wanted.argmax(axis=1)).mean() >= AGREEMENT[name]


def alone(model, node):
    """The model of one node that reads what it reads in the network."""
    graph = Graph(model.graph.shapes[node.inputs[0]], (replace(node, inputs=(INPUT,)),))
    ends = {INPUT: node.inputs[0], node.name: node.name}
    weights = [node.name] if node.has_weights else []
    scheme = Scheme(
        graph,
        {name: model.scheme.activations[ours] for name, ours in ends.items()},
        {name: model.scheme.weights[name] for name in weights},
    )
    return Model(scheme, {name: model.params[name] for name in weights})


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_of_qdq_alone_is_within_one_code(name):
    model, x, _ = network(name)
    values, differing = {INPUT: x[:20]}, []
    for node in model.graph.nodes:
        values[node.name] = apply(model, node, values, fixed)
        if len(node.inputs) == 1:
            single = alone(model, node)
            given = reals_of(model, values[node.inputs[0]], node.inputs[0])
            y = codes_of(single, run(written(single, form="qdq"), given))
            off = np.abs(y - values[node.name])
            assert off.max() <= 1
            differing.append((off > 0).mean())
    assert np.median(differing) < 0.005


@pytest.mark.slow
def test_any_batch_runs_in_one_session():
    model, x, logits = network("keywords")
    running = session(written(model))
    wanted = fixed.probabilities(logits[:9], *model.scheme.softmax)
    for count in (1, 9, 0, 3):
        given = np.ascontiguousarray(x[:count].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(running.run(None, {"input": given})[0], wanted[:count])
