"""Prediction with all heads: sums of log-probabilities, odd batches, and what is laid out anew."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from edgetrain import fixed, kernels
from edgetrain.arithmetic.losses import LOGIT_MAX, log_softmax
from edgetrain.kernels.cpu_numba_single import execute
from edgetrain.rules import MonoForward
from edgetrain.rules.parity_test import CASES, describe, network

SUMS = [
    (name, replace(rule, warmup=0)) for name, rule in CASES
    if isinstance(rule, MonoForward)
    and (rule.predict_with, rule.settings.loss) == ("sum", "cross_entropy")
]  # fmt: skip


@pytest.fixture(scope="module")
def ops():
    return kernels.load("numba")


@pytest.mark.parametrize("width", [1, 2, 3, 40, 1500])
def test_log_probabilities_are_added_up(width):
    """Of equal outputs, of ones next to each other, and of ones as far apart as can be."""
    rng = np.random.default_rng(1)
    sizes = rng.choice([0, 1, 300, 1024, 16 * 1024, LOGIT_MAX // 3], (200, 1))
    x = np.clip(sizes * rng.integers(-3, 4, (200, width)), -LOGIT_MAX, LOGIT_MAX).astype(np.int32)
    total = rng.integers(-(2**29), 2**29, x.shape).astype(np.int32)
    wanted = total + log_softmax(x)

    execute("log_softmax", batch=len(x), x=x, width=width, y=total)

    np.testing.assert_array_equal(total, wanted)


def trained(name, rule, ops, steps=8):
    """Return models and states of a short run: the last two."""
    model, x, y = network(name)
    run = [(model, rule.init(model))]
    for i in range(steps):
        rows = np.arange(4 * i, 4 * i + 4) % len(x)
        run.append(rule.step(*run[-1], x[rows], y[rows], ops, 3)[:2])
    return run[-2:]


def check(rule, model, state, x, ops):
    """Hold a prediction against the specification, and return it."""
    found = rule.predict(model, state, x, ops)
    np.testing.assert_array_equal(found, rule.predict(model, state, x, fixed), strict=True)
    return found


@pytest.mark.parametrize(("name", "rule"), SUMS, ids=describe)
def test_batches_of_every_size_predict_the_same_bits(name, rule, ops):
    _, (model, state) = trained(name, rule, ops)
    shape = 65, *model.graph.input_shape
    x = np.random.default_rng(2).integers(-128, 128, shape).astype(np.int8)
    heads = [t for key, t in state.tensors.items() if key[:5] == "head/" and key[-2:] == "/w"]

    assert all(w.any() for w in heads)
    for size in (65, 1, 3, 32, 33):
        check(rule, model, state, x[:size], ops)
    check(rule, model, state, x[::2], ops)
    assert rule.predict(model, state, x[:0], ops).shape == (0, 3)


@pytest.mark.parametrize("name", ["mlp", "ds_cnn"])
def test_a_new_model_or_a_new_state_is_laid_out_anew(name, ops):
    rule = next(rule for other, rule in SUMS if other == name)
    (old, before), (new, after) = trained(name, rule, ops)
    x = network(name)[1]
    pairs = (old, before), (new, before), (new, after), (old, after), (old, before)
    found = [check(rule, *pair, x, ops) for pair in pairs]

    assert len({one.tobytes() for one in found}) == 4  # else the comparison says little
    np.testing.assert_array_equal(found[0], found[-1])


def test_heads_of_other_scales_do_not_share_a_program(ops):
    name, rule = SUMS[0]
    _, (model, state) = trained(name, rule, ops)
    x = network(name)[1]
    finer = {
        key: tensor - np.array([[0, 1], [0, 0]], np.int32) if key.endswith("/scale") else tensor
        for key, tensor in state.tensors.items()
    }
    one = check(rule, model, state, x, ops)
    other = check(rule, model, replace(state, tensors=finer), x, ops)

    assert (one != other).any()
