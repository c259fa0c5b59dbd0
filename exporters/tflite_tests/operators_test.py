"""Each operator, exported, in every interpreter here."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.errors import ModelError
from edgetrain.exporters.tflite_tests.interpreters import EXACT, HERE, largest_difference, run
from edgetrain.exporters.tflite_tests.networks import (
    FUNCTIONS,
    IMAGE,
    NETWORKS,
    codes,
    drawn,
    quantized,
)  # fmt: skip
from edgetrain.exporters.to_tflite import to_tflite
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.inference import output
from edgetrain.model import FloatModel
from edgetrain.quantize import quantize
from edgetrain.reals import output as float_output

SEEDS = range(6)
ROUNDS_ONCE = {"litert_ref": ("dense", "dense relu", "dense relu6", "dense of an image")}
"""What an interpreter otherwise exact computes with one rounding."""
A_STEP_BEFORE_AN_ADD = 4
"""A step of what is added can be so many of the sum, whose scale is its own."""
SLACK = dict.fromkeys((*EXACT, "litert_ref"), 0)


@pytest.fixture(params=HERE)
def interpreter(request):
    return request.param


@pytest.mark.parametrize("name", NETWORKS)
def test_an_int8_operator_gives_our_bytes(name, interpreter):
    slack = 1 if name in ROUNDS_ONCE.get(interpreter, ()) else SLACK.get(interpreter, 1)
    slack *= 1 if len(NETWORKS[name][1]) == 1 else A_STEP_BEFORE_AN_ADD
    seen = set()
    for seed in SEEDS:
        model = quantized(name, seed)
        x = codes(model, 24, seed)
        wanted = output(model, x, fixed)
        found = run(interpreter, to_tflite(model)["model.tflite"], x)
        assert largest_difference(found, wanted) <= slack
        seen |= set(np.unique(wanted).tolist())
    assert len(seen) > 30


@pytest.mark.parametrize("name", NETWORKS)
def test_a_float_operator_gives_our_numbers(name, interpreter):
    model, x = drawn(*NETWORKS[name], 0)
    content = to_tflite(model)["model.tflite"]
    wanted = float_output(model, x)
    found = run(interpreter, content, x).reshape(wanted.shape)
    np.testing.assert_allclose(found, wanted, atol=2e-5 * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("classes", [2, 10, 300])
def test_probabilities_are_ours(classes, interpreter):
    for seed in SEEDS:
        model, x = drawn((6,), (Node("fc", "dense", (INPUT,), classes),), seed, softmax=True)
        int8 = quantize(model, x)
        samples = codes(int8, 24, seed)
        wanted = output(int8, samples, fixed)
        found = run(interpreter, to_tflite(int8)["model.tflite"], samples)
        assert largest_difference(found, wanted) <= (0 if interpreter in EXACT else 4)
        floats = run(interpreter, to_tflite(model)["model.tflite"], x)
        np.testing.assert_allclose(floats, float_output(model, x), atol=1e-5)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_smooth_activation_differs_by_one_at_most(function, interpreter):
    if (function, interpreter) == ("gelu", "tflite_micro"):
        pytest.skip("TensorFlow Lite Micro has no GELU")
    nodes = (Node("f", "activation", (INPUT,), activation=function),)
    for seed in SEEDS:
        model, x = drawn((6,), nodes, seed, sd=3.0)
        int8 = quantize(model, x)
        samples = codes(int8, 24, seed)
        found = run(interpreter, to_tflite(int8)["model.tflite"], samples)
        assert largest_difference(found, output(int8, samples, fixed)) <= 1


def test_what_has_no_operator_is_refused_by_name():
    pool = Node("odd", "average_pool", (INPUT,), 0, Window((3, 3), (2, 2), (1, 1, 1, 1)))
    with pytest.raises(ModelError, match=r"node 'odd'.*average pool with the padding"):
        to_tflite(FloatModel(Graph((8, 8, 2), (pool,)), {}))
    silu = Node("f", "activation", (INPUT,), activation="silu")
    with pytest.raises(ModelError, match=r"node 'f'.*no operator for silu.*ONNX"):
        to_tflite(FloatModel(Graph(IMAGE, (silu,)), {}))


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", "-x", "n" * 101])
def test_a_name_that_is_no_file_name_is_refused(name):
    with pytest.raises(ValueError, match="name"):
        to_tflite(quantized("dense", 0), name)
