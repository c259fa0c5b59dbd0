"""The walk of rules over an emitter, independent of any format: computed, it is the rule."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.errors import ModelError
from edgetrain.exporters.step_writing.program import (
    chosen,
    parameters,
    write_inference,
    write_step,
)
from edgetrain.exporters.training_tests.cases import NETWORKS, OPTIONS, RULES, SEED, network
from edgetrain.exporters.training_tests.eager import Eager
from edgetrain.exporters.training_tests.steps import differences, given, wanted
from edgetrain.parity import synthetic
from edgetrain.rules import ForwardGradient, MonoForward, configured


def computed(model, rule, state, x, y, seed):
    emit = Eager(given(model, rule, state, x, y, seed))
    write_step(emit, model, chosen(rule), state, len(x))
    return emit


def agrees(model, rule, steps=4, batch=3):
    rule = configured(rule, batch=batch)
    state = rule.init(model)
    for x, y in synthetic(model, steps, batch):
        emit = computed(model, rule, state, x, y, SEED)
        must, model, state = wanted(model, rule, state, x, y, SEED)
        assert differences(emit.outputs, must) == []
        assert emit.wanted == list(parameters(model, chosen(rule), state))
    answer = Eager(given(model, rule, state, x, y))
    write_inference(answer, model, chosen(rule), state)
    np.testing.assert_array_equal(answer.outputs["output"], rule.predict(model, state, x, fixed))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETWORKS)
def test_rules_on_networks(name, rule):
    agrees(network(name), RULES[rule])


@pytest.mark.parametrize("options", OPTIONS)
def test_options(options):
    agrees(network("mlp"), OPTIONS[options], steps=6, batch=4)


@pytest.mark.parametrize("rule", [MonoForward(warmup=1), ForwardGradient()])
def test_numbers_instead_of_classes(rule):
    agrees(network("mlp", "regress"), configured(rule, loss="squared_error"))


@pytest.mark.parametrize("blocks", ["layer", "residual", "network", 1, 2, ("block2_pointwise",)])
def test_every_choice_of_blocks(blocks):
    agrees(network("ds_cnn"), MonoForward(blocks=blocks, warmup=1), steps=2)


@pytest.mark.parametrize("label", [-1, 5, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("rule", RULES)
def test_with_a_label_out_of_range_nothing_changes(rule, label):
    model, rule = network("mlp"), configured(RULES[rule], batch=3, momentum=0.5)
    state = rule.init(model)
    for x, y in synthetic(model, 3, 3):
        _, model, state = wanted(model, rule, state, x, y)
    entered = given(model, rule, state, x, np.where(np.arange(3) == 1, label, y).astype(np.int32))
    left = computed(model, rule, state, x, entered["y"], 0).outputs

    assert left["status"] == 1
    assert left["next/step"] == state.step
    assert [n for n, value in entered.items() if f"next/{n}" in left
            and not np.array_equal(left[f"next/{n}"], value)] == []  # fmt: skip


def test_a_rule_from_elsewhere_is_refused():
    class Other:
        settings = None

    with pytest.raises(ModelError, match=r"rules of edgetrain\.rules, got Other"):
        chosen(Other())
