"""Mono-Forward's own options: the rate of early blocks, and the warm-up of new heads."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import cnn, mlp
from edgetrain.quantize import quantize
from edgetrain.rules import MonoForward
from edgetrain.settings import Settings
from edgetrain.step import Step

SETTINGS = Settings(learning_rate=2**-2, batch=4)


def task(network):
    x = np.random.default_rng(0).normal(size=(4, *network.graph.input_shape)).astype(np.float32)
    model = quantize(network, x, headroom=2.0)
    return model, model.quantize_input(x), np.array([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("network", "early_rate", "rate"),
    [
        (cnn((8, 8, 1), 3), None, 26),
        (cnn((8, 8, 1), 3), 0.5, 128),
        (mlp((6,), 3, hidden=(8, 8)), None, 256),
        (mlp((6,), 3, hidden=(8, 8)), 0.25, 64),
    ],
)
def test_early_blocks_learn_at_their_own_rate(network, early_rate, rate, monkeypatch):
    model, x, y = task(network)
    seen = {}

    def record(step, node, acc_w, acc_b, exponent, rate=256, batch=0):
        seen[node.name] = rate

    monkeypatch.setattr(Step, "update_node", record)
    rule = MonoForward(settings=SETTINGS, early_rate=early_rate, warmup=0)
    rule.step(model, rule.init(model), x, y, fixed)
    *early, last = rule.plans(model)

    assert {seen[name] for plan in early for name in plan.trained} == {rate}
    assert {seen[name] for name in last.trained} == {256}


def test_while_a_new_head_warms_up_its_block_does_not_learn():
    model, x, y = task(mlp((6,), 3, hidden=(8,)))
    rule = MonoForward(settings=SETTINGS, warmup=12)
    state, current = rule.init(model), model
    for step in range(30):
        if step == 12:
            np.testing.assert_array_equal(current.params["hidden1"].w, model.params["hidden1"].w)
            assert state.tensors["head/hidden1/w"].any()
        current, state, _ = rule.step(current, state, x, y, fixed)

    assert (current.params["hidden1"].w != model.params["hidden1"].w).any()
