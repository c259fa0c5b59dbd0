from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from edgetrain.architectures import mlp
from edgetrain.errors import ModelError
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Weights
from edgetrain.quantize import quantize

GRAPH = mlp((4,), 2, hidden=(3,)).graph


@pytest.fixture
def real():
    return mlp((4,), 2, hidden=(3,))


@pytest.fixture
def model(real):
    return quantize(real, np.linspace(-1, 3, 40, dtype=np.float32).reshape(10, 4))


def weights(n_out: int, n_in: int, n_bias: int | None = None) -> Weights:
    return Weights(np.ones((n_out, n_in), np.int8), np.zeros(n_bias or n_out, np.int32))


def test_missing_and_foreign_parameters_are_refused(real, model):
    for value in (real, model):
        some = {"hidden1": value.params["hidden1"]}
        with pytest.raises(ModelError, match=r"given for \['classifier', 'hidden1'\], got \['hidd"):
            replace(value, params=some)
        more = {**value.params, "foreign": value.params["hidden1"]}
        with pytest.raises(ModelError, match="'foreign'"):
            replace(value, params=more)


@pytest.mark.parametrize("wrong", [weights(3, 5), weights(4, 4), weights(3, 4, 2), weights(4, 3)])
def test_parameters_of_another_shape_are_refused_with_their_node(real, model, wrong):
    for value in (real, model):
        with pytest.raises(ModelError, match=r"'hidden1': weights must be \(3, 4\).*\(3,\)"):
            replace(value, params={**value.params, "hidden1": wrong})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("part", ["w", "b"])
def test_real_weights_that_are_not_finite_are_refused(real, bad, part):
    params = {n: Weights(p.w.copy(), p.b.copy()) for n, p in real.params.items()}
    getattr(params["classifier"], part).flat[1] = bad
    with pytest.raises(ModelError, match="'classifier': weights must be finite"):
        FloatModel(GRAPH, params)


def test_a_bias_with_which_an_accumulator_could_overflow_is_refused(model):
    limit = 2**31 - 1 - 4 * 255 * 127
    assert model.scheme.bias_limits["hidden1"] == limit
    w, _ = model.params["hidden1"]
    for sign in (1, -1):
        most = Weights(w, np.array([0, sign * limit, 0], np.int32))
        assert model.replace_params({"hidden1": most}).params["hidden1"] is most
        over = Weights(w, np.array([0, sign * (limit + 1), 0], np.int32))
        with pytest.raises(ModelError, match=r"'hidden1': an int32 accumulator.*fan-in 4"):
            model.replace_params({"hidden1": over})
    lowest = Weights(w, np.array([0, -(2**31), 0], np.int32))  # its absolute value is no int32
    with pytest.raises(ModelError, match="'hidden1'"):
        model.replace_params({"hidden1": lowest})


def test_a_fan_in_with_which_an_accumulator_could_overflow_is_refused():
    most = (2**31 - 1) // (255 * 127)
    for n_in in (most, most + 1):
        graph = Graph((n_in,), (Node("wide", "dense", (INPUT,), 1),))
        real = FloatModel(graph, {"wide": Weights(np.ones((1, n_in)), np.zeros(1))})
        x = np.zeros((1, n_in), np.float32)
        if n_in == most:
            quantize(real, x)
            continue
        with pytest.raises(ModelError, match=f"'wide': an int32 accumulator .*fan-in {n_in}"):
            quantize(real, x)


def test_input_codes_are_nearest_and_saturate(model):
    scale, zero_point = model.scheme.activations[INPUT]
    assert (scale, zero_point) == (np.float32(4 / 255), -64)
    x = np.array([[0.0, scale, -0.4 * scale, 2.6 * scale], [9.0, -9.0, 3.0, -1.0]], np.float32)

    codes = model.quantize_input(x)

    assert codes.dtype == np.int8
    assert codes.tolist() == [[-64, -63, -64, -61], [127, -128, 127, -128]]


@pytest.mark.parametrize("shape", [(2, 3), (2, 4, 1), (4,), (2, 2, 2, 1)])
def test_samples_of_another_shape_are_refused(model, shape):
    with pytest.raises(ModelError, match=r"samples of shape \(4,\), got"):
        model.quantize_input(np.zeros(shape, np.float32))


def test_models_are_never_changed_in_place(model):
    new = Weights(-model.params["hidden1"].w, model.params["hidden1"].b)
    other = model.replace_params({"hidden1": new})

    assert other.params["hidden1"] is new
    assert other.params["classifier"] is model.params["classifier"]
    assert model.params["hidden1"] is not new
    assert other.scheme is model.scheme
    with pytest.raises(FrozenInstanceError):
        model.task = "regress"
