"""Channels that a normalization had cut off before the network was quantized."""

from dataclasses import replace

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import ds_cnn
from edgetrain.data import digits
from edgetrain.model import Model, Weights
from edgetrain.quantize import quantize
from edgetrain.rules import RULES, configured
from edgetrain.train import fit

DATA = digits()
DEAD = [1, 3]
LAYER = "block1_pointwise"


@pytest.fixture(scope="module")
def model():
    alive = quantize(ds_cnn((8, 8, 1), 10, channels=8, blocks=2), DATA.x_train[:64], headroom=2.0)
    scheme, params = alive.scheme, dict(alive.params)
    scales = scheme.weights[LAYER].copy()
    scales[DEAD] = 1e-12
    w, b = (part.copy() for part in params[LAYER])
    w[DEAD], b[DEAD] = 0, 1 << 20
    params[LAYER] = Weights(w, b)
    weights = {**scheme.weights, LAYER: scales}
    return Model(replace(scheme, weights=weights), params)


@pytest.mark.parametrize("rule", RULES)
def test_they_stay_as_they_are_and_the_others_learn(rule, model):
    chosen = configured(RULES[rule](), learning_rate=0.01)
    trained = fit(chosen, model, DATA, ops=fixed, steps=40, batch=16).model

    for name, (w, b) in model.params.items():
        changed = (trained.params[name].w != w).reshape(len(w), -1).any(axis=1)
        if name == LAYER:
            assert not changed[DEAD].any()
            np.testing.assert_array_equal(trained.params[name].b[DEAD], b[DEAD])
    assert any((trained.params[name].w != model.params[name].w).any() for name in model.params)
