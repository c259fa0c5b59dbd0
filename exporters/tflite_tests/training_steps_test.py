"""Whole steps of training files: equal to the rule in every interpreter, with all its options."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.exporters.tflite_tests.training_interpreters import KERNELS, load
from edgetrain.exporters.tflite_training.run import calling
from edgetrain.exporters.to_tflite_train import to_tflite_train
from edgetrain.exporters.training_tests.cases import NETWORKS, OPTIONS, RULES, SEED, network
from edgetrain.parity import compare, synthetic
from edgetrain.rules import ForwardGradient, MonoForward, configured


def agrees(model, rule, kernels, steps=4, batch=3):
    """Assert that all steps, and the prediction behind them, are those of the rule."""
    rule = configured(rule, batch=batch)
    (content,) = to_tflite_train(model, rule=rule, batch=batch).values()
    calls = load(content, kernels)
    step = calling(calls, SEED)
    last = []

    def remembering(*given):
        last[:] = step(*given)
        return tuple(last)

    batches = list(synthetic(model, steps, batch))
    _, row = compare(rule, model, batches, {"numpy": fixed, "file": remembering}, seed=SEED)
    assert (row.equal, row.difference) == (steps, None)
    x = batches[-1][0][:1]
    wanted = rule.predict(*last[:2], x, fixed)
    np.testing.assert_array_equal(calls["infer"](x=x)["output"], wanted)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETWORKS)
def test_rules_on_networks(name, rule):
    agrees(network(name), RULES[rule], KERNELS[0])


@pytest.mark.parametrize("options", OPTIONS)
def test_options(options):
    agrees(network("mlp"), OPTIONS[options], KERNELS[0], steps=6, batch=4)


@pytest.mark.parametrize("rule", [MonoForward(warmup=1), ForwardGradient()])
def test_numbers_instead_of_classes(rule):
    rule = configured(rule, loss="squared_error")

    agrees(network("mlp", "regress"), rule, KERNELS[0])


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ["mlp", "mixed"])
def test_every_interpreter(name, kernels):
    agrees(network(name), MonoForward(warmup=0), kernels)


@pytest.mark.slow
@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(
    ("name", "rule"),
    [("mlp", "mono_forward"), ("mlp", "activity"), ("mlp", "weight, two passes"),
     ("ds_cnn", "mono_forward")],
)  # fmt: skip
def test_two_hundred_steps(name, rule, kernels):
    agrees(network(name), RULES[rule], kernels, steps=200)
