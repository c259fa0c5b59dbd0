from dataclasses import replace

import numpy as np
import pytest

from edgetrain import evaluate as module
from edgetrain import fixed
from edgetrain.architectures import autoencoder, mlp
from edgetrain.data import Data
from edgetrain.errors import DataError, ModelError
from edgetrain.evaluate import area_under_curve, evaluate, targets
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.inference import output
from edgetrain.model import FloatModel, Weights
from edgetrain.quantize import quantize
from edgetrain.rules import ForwardForward

CLASSES = 3


def identity(task, size=CLASSES, reach=1.0):
    """A network whose outputs are its inputs."""
    graph = Graph((size,), (Node("classifier", "dense", (INPUT,), size),))
    weights = Weights(np.eye(size, dtype=np.float32), np.zeros(size, np.float32))
    calibration = np.array([[-reach] * size, [reach] * size], np.float32)
    return quantize(FloatModel(graph, {"classifier": weights}), calibration, task=task)


def one_hot(labels):
    return np.eye(CLASSES, dtype=np.float32)[list(labels)]


def measure(model, x, y):
    return evaluate(None, model, None, x, np.asarray(y), ops=fixed)


# --- classifiers ---


def test_accuracy_is_the_share_of_right_labels():
    x = one_hot([0, 1, 2, 2, 1])

    assert measure(identity("classify"), x, [0, 1, 2, 0, 0]) == {"accuracy": 0.6, "samples": 5}


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.int64])
def test_labels_may_be_integers_of_any_size(dtype):
    y = np.array([2, 0], dtype)

    assert measure(identity("classify"), one_hot([2, 0]), y)["accuracy"] == 1


@pytest.mark.parametrize("samples", [1, 255, 256, 257, 700])
def test_every_sample_of_every_batch_counts(samples, monkeypatch):
    labels = np.random.default_rng(0).integers(0, CLASSES, samples)
    wrong = labels.copy()
    wrong[-1] = (wrong[-1] + 1) % CLASSES

    report = measure(identity("classify"), one_hot(labels), wrong)

    assert report == {"accuracy": (samples - 1) / samples, "samples": samples}


def test_batches_make_no_difference(monkeypatch):
    x = np.random.default_rng(1).normal(0, 1, (50, 4)).astype(np.float32)
    model = quantize(mlp((4,), CLASSES), x)
    whole = module.outputs(None, model, None, x, fixed)

    monkeypatch.setattr(module, "BATCH", 7)

    np.testing.assert_array_equal(module.outputs(None, model, None, x, fixed), whole)
    scale, zero_point = model.scheme.activations["classifier"]
    codes = output(model, model.quantize_input(x), fixed)
    np.testing.assert_array_equal(scale * (codes.astype(float) - zero_point), whole)


def test_a_softmax_gives_probabilities():
    x = np.random.default_rng(1).normal(0, 1, (50, 4)).astype(np.float32)
    model = replace(quantize(mlp((4,), CLASSES), x), softmax=True)

    found = module.outputs(None, model, None, x, fixed)

    np.testing.assert_allclose(found.sum(axis=1), 1, atol=2 / 256)
    assert found.min() >= 0


# --- regressions ---


@pytest.mark.parametrize("reach", [1.0, 100.0])
def test_squared_error_is_in_real_units(reach):
    x = reach * np.array([[0.5, -0.25, 1.0], [0.0, 1.0, -1.0]], np.float32)
    y = x + reach * np.array([[0.1, 0.0, 0.0], [0.0, 0.2, 0.3]], np.float32)

    report = measure(identity("regress", reach=reach), x, y)

    want = reach**2 * (0.1**2 + 0.2**2 + 0.3**2) / 6
    assert report["squared_error"] == pytest.approx(want, rel=0.1)
    assert report == {"squared_error": report["squared_error"], "samples": 2}


def test_a_perfect_regression_has_nearly_no_error():
    x = np.random.default_rng(2).uniform(-1, 1, (300, CLASSES)).astype(np.float32)

    model = identity("regress")
    steps = [model.scheme.activations[name].scale for name in (INPUT, "classifier")]

    assert measure(model, x, x)["squared_error"] < sum(step**2 for step in steps) / 9


# --- reconstructions ---


def anomalies():
    """Samples in range are reproduced; what lies outside the range of calibration is not."""
    x = np.random.default_rng(3).uniform(-1, 1, (40, CLASSES)).astype(np.float32)
    y = np.arange(40) % 2
    x[y == 1, 0] += 4
    return x, y


def test_anomalies_that_are_all_worse_have_an_auc_of_one():
    report = measure(identity("reconstruct"), *anomalies())

    assert report["auc"] == 1
    assert report["squared_error"] > 1
    assert report["samples"] == 40


def test_exchanged_labels_have_an_auc_of_zero():
    x, y = anomalies()

    assert measure(identity("reconstruct"), x, 1 - y)["auc"] == 0


@pytest.mark.parametrize("labels", [[0] * 40, [1] * 40, list(range(40)), np.zeros((40, CLASSES))])
def test_there_is_no_auc_without_both_labels(labels):
    x, _ = anomalies()

    assert set(measure(identity("reconstruct"), x, labels)) == {"squared_error", "samples"}


def test_the_target_of_a_reconstruction_is_the_input():
    x = np.random.default_rng(4).uniform(-1, 1, (30, 2, 3, 1)).astype(np.float32)
    model = quantize(autoencoder((2, 3, 1), hidden=8, code=4), x, task="reconstruct")
    outputs = module.outputs(None, model, None, x, fixed)

    report = measure(model, x, np.zeros(30, int))

    want = ((outputs - x.reshape(30, 6)) ** 2).mean()
    assert report["squared_error"] == pytest.approx(want, rel=0.01)


def pairwise(scores, y):
    """The definition: a share of pairs, ties count half."""
    wins = [(a > b) + (a == b) / 2 for a in scores[y == 1] for b in scores[y == 0]]
    return np.mean(wins)


def test_curve_of_random_scores_is_a_half():
    rng = np.random.default_rng(5)

    found = area_under_curve(rng.normal(size=20_000), rng.integers(0, 2, 20_000))

    assert found == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize("seed", range(10))
def test_curve_counts_pairs_and_halves_ties(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, 60).astype(float)
    y = rng.integers(0, 2, 60)

    assert area_under_curve(scores, y) == pytest.approx(pairwise(scores, y), abs=1e-12)


def test_curve_of_equal_scores_is_a_half():
    assert area_under_curve(np.ones(5), np.array([0, 1, 0, 0, 1])) == 0.5


# --- refusals ---


@pytest.mark.parametrize(
    ("task", "y", "message"),
    [
        ("classify", [0, CLASSES], "labels from 0 to 2, got 1 outside"),
        ("classify", [-1, 0], "labels from 0 to 2, got 1 outside"),
        ("classify", [[0], [1]], "2 whole-number labels"),
        ("classify", [True, False], "must hold labels"),
        ("classify", [0.0, 1.0], "whole-number labels"),
        ("classify", [0.0, np.nan], "whole-number labels"),
        ("regress", [0, 1], "3 real numbers a sample"),
        ("regress", [[0, 1, 2]] * 2, "3 real numbers a sample"),
        ("regress", [[0.0, 1.0]] * 2, "3 real numbers a sample"),
        ("regress", [[0.0, 1.0, 2.0]], "3 real numbers a sample"),
        ("regress", [0.0, 1.0], "3 real numbers a sample"),
    ],
)
def test_wrong_labels_and_targets_are_refused(task, y, message):
    with pytest.raises(DataError, match=message):
        measure(identity(task), one_hot([0, 1]), y)


def test_the_message_names_the_array():
    with pytest.raises(DataError, match=r"^y_test must hold labels"):
        targets(identity("classify"), one_hot([0]), np.array([7]), "y_test")


@pytest.mark.parametrize("task", ["classify", "regress", "reconstruct"])
def test_no_samples_are_refused(task):
    with pytest.raises(DataError, match="at least one sample"):
        measure(identity(task), np.zeros((0, CLASSES), np.float32), np.zeros(0, int))


def test_samples_of_another_shape_are_refused():
    with pytest.raises(ModelError, match="samples of shape"):
        measure(identity("classify"), np.zeros((2, CLASSES + 1), np.float32), [0, 1])


@pytest.mark.parametrize("labels", [[0], [0, 1, 2], []])
def test_another_number_of_labels_than_samples_is_refused(labels):
    with pytest.raises(DataError):
        measure(identity("classify"), one_hot([0, 1]), np.array(labels, int))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["x_test", "y_test"])
def test_data_that_are_not_finite_never_reach_an_evaluation(name, bad):
    good = one_hot([0, 1])
    arrays = dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), good)
    broken = good.copy()
    broken[1, 2] = bad

    assert measure(identity("regress"), Data(**arrays).x_test, good)["samples"] == 2
    with pytest.raises(DataError, match=f"{name} must be finite"):
        Data(**arrays | {name: broken})


# --- rules ---


@pytest.fixture
def forward_forward():
    x = np.random.default_rng(6).uniform(-1, 1, (60, 8)).astype(np.float32)
    model = quantize(mlp((8,), CLASSES, hidden=(16, 16)), x)
    rule = ForwardForward()
    return rule, model, rule.init(model), x


def test_a_rule_with_state_predicts_itself(forward_forward):
    rule, model, state, x = forward_forward
    own = rule.predict(model, state, model.quantize_input(x), fixed).argmax(axis=1)
    network = output(model, model.quantize_input(x), fixed).argmax(axis=1)
    assert (own != network).any()

    assert evaluate(rule, model, state, x, own, ops=fixed)["accuracy"] == 1
    assert evaluate(None, model, None, x, network, ops=fixed)["accuracy"] == 1
    assert evaluate(rule, model, state, x, network, ops=fixed)["accuracy"] < 1


def test_a_rule_without_state_leaves_it_to_the_network(forward_forward):
    rule, model, _, x = forward_forward
    network = output(model, model.quantize_input(x), fixed).argmax(axis=1)

    assert evaluate(rule, model, None, x, network, ops=fixed)["accuracy"] == 1


def test_targets_follow_the_task():
    model = identity("classify")
    x = np.array([[0.5, -0.25, 0.125]], np.float32)

    labels = targets(model, x, np.array([2], np.uint8))
    numbers = targets(replace(model, task="regress"), x, x.astype(np.float64))
    unit = max(1.0, 128 * model.scheme.activations["classifier"].scale)

    assert (labels.tolist(), labels.dtype) == ([2], np.int32)
    np.testing.assert_allclose(numbers * unit / 1024, x, atol=unit / 1024)
    assert numbers.dtype == np.int32
    np.testing.assert_array_equal(
        targets(replace(model, task="reconstruct"), x, np.array([9])), numbers
    )
