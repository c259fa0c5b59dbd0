"""Parity: every rule is equal to itself, and one wrong bit is found where it is."""

from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from edgetrain import fixed, kernels
from edgetrain.architectures import autoencoder, cnn, mlp
from edgetrain.errors import BackendError
from edgetrain.parity import compare, synthetic
from edgetrain.quantize import quantize
from edgetrain.rules import RULES, Backprop
from edgetrain.settings import Settings


@pytest.fixture(scope="module")
def model():
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 1)).astype(np.float32)
    return quantize(cnn((6, 6, 1), 4, channels=(3, 3)), x)


def broken(**changes) -> ModuleType:
    """Return the reference with some operations exchanged."""
    return SimpleNamespace(**{**{name: getattr(fixed, name) for name in kernels.OPS}, **changes})


@pytest.mark.parametrize("name", RULES)
def test_every_rule_on_every_backend_that_runs_here(model, name):
    backends = {}
    for backend in kernels.BACKENDS:
        try:
            backends[backend] = kernels.load(backend)
        except BackendError:
            continue
    rule = RULES[name](settings=Settings(learning_rate=0.25, batch=4))
    rows = compare(rule, model, synthetic(model, 12, 4), backends)

    assert [(row.backend, row.equal, row.difference) for row in rows] == [
        (backend, 12, None) for backend in backends
    ]


def test_a_wrong_update_is_found_at_its_index(model):
    calls = []

    def update(w, acc, multiplier, key):
        new, saturated = fixed.update_int8(w, acc, multiplier, key)
        calls.append(w.shape)
        if len(calls) == 2 * 3 + 1:  # the first update of the third step
            new = new.copy()
            new.flat[5] += 1 if new.flat[5] < 127 else -1
        return new, saturated

    rule = Backprop(settings=Settings(learning_rate=0.1))
    backends = {"numpy": fixed, "wrong": broken(update_int8=update), "right": broken()}
    reference, wrong, right = compare(rule, model, synthetic(model, 6, 4), backends)
    name, at = wrong.difference.tensor, wrong.difference.at

    assert (wrong.equal, wrong.difference.step) == (2, 3)
    assert np.ravel_multi_index(at, model.params[name.split("/")[1]].w.shape) == 5
    assert abs(wrong.difference.wanted - wrong.difference.found) == 1
    assert f"step 3, {name}[" in str(wrong.difference)
    assert len(calls) == 3 * 3  # no step behind the difference
    assert (reference.equal, right.equal, right.difference) == (6, 6, None)


def test_a_wrong_loss_is_found_though_the_weights_are_right(model):
    def cross_entropy(logits, labels):
        error, loss = fixed.cross_entropy(logits, labels)
        return error, loss + np.int32(1)

    backends = {"numpy": fixed, "wrong": broken(cross_entropy=cross_entropy)}
    found = compare(Backprop(), model, synthetic(model, 2, 4), backends)[1].difference

    assert (found.step, found.tensor, found.at) == (1, "loss", ())
    assert found.found == found.wanted + 4


def test_synthetic_batches_repeat_and_span_the_range():
    x = np.random.default_rng(0).normal(size=(8, 12)).astype(np.float32)
    classes = quantize(mlp((12,), 3), x)
    numbers = quantize(autoencoder((12,), hidden=8, code=3), x, task="reconstruct")
    batches, again = (list(synthetic(classes, 50, 16, seed=1)) for _ in range(2))
    codes, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))

    assert (codes.min(), codes.max(), codes.dtype) == (-128, 127, np.int8)
    assert set(labels) == {0, 1, 2}
    for (x1, y1), (x2, y2) in zip(batches, again, strict=True):
        np.testing.assert_array_equal(x1, x2)
        np.testing.assert_array_equal(y1, y2)
    _, y = next(synthetic(numbers, 1, 16))
    assert (y.shape, y.min() >= -1024, y.max() < 1024) == ((16, 12), True, True)
