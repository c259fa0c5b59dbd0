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


def agrees(model, rule, kernels=KERNELS[:1], steps=4, batch=3):
    """Assert that all steps, and the prediction behind them, are those of the rule."""
    rule = configured(rule, batch=batch)
    (content,) = to_tflite_train(model, rule=rule, batch=batch).values()
    calls = {name: load(content, name) for name in kernels}
    last = []

    def remembered(*given):
        last[:] = rule.step(*given, fixed, SEED)
        return tuple(last)

    batches = list(synthetic(model, steps, batch))
    steppers = {name: calling(some, SEED) for name, some in calls.items()}
    rows = compare(rule, model, batches, {"numpy": remembered, **steppers}, seed=SEED)
    assert [(row.equal, row.difference) for row in rows] == [(steps, None)] * len(rows)
    x = batches[-1][0][:1]
    wanted = rule.predict(*last[:2], x, fixed)
    for some in calls.values():
        np.testing.assert_array_equal(some["infer"](x=x)["output"], wanted)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETWORKS)
def test_rules_on_networks(name, rule):
    agrees(network(name), RULES[rule])


@pytest.mark.parametrize("options", OPTIONS)
def test_options(options):
    agrees(network("mlp"), OPTIONS[options], steps=6, batch=4)


@pytest.mark.parametrize("rule", [MonoForward(warmup=1), ForwardGradient()])
def test_numbers_instead_of_classes(rule):
    rule = configured(rule, loss="squared_error")

    agrees(network("mlp", "regress"), rule)


@pytest.mark.parametrize("name", ["mlp", "mixed"])
def test_every_interpreter(name):
    agrees(network(name), MonoForward(warmup=0), KERNELS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rule"),
    [("mlp", "mono_forward"), ("mlp", "activity"), ("mlp", "weight, two passes"),
     ("ds_cnn", "mono_forward")],
)  # fmt: skip
def test_two_hundred_steps(name, rule):
    agrees(network(name), RULES[rule], KERNELS, steps=200)
