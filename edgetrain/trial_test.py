import pytest

from edgetrain import fixed
from edgetrain.architectures import mlp
from edgetrain.data import digits
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, MonoForward, configured
from edgetrain.settings import Settings
from edgetrain.train import fit
from edgetrain.trial import FACTOR, STEPS, steady

DATA = digits()
MODEL = quantize(mlp((8, 8, 1), 10), DATA.x_train[:64], headroom=2.0)


def saturated(rule):
    result = fit(rule, MODEL, DATA, ops=fixed, steps=STEPS)
    return sum(record["saturated"] for record in result.history)


@pytest.mark.parametrize("kind", [Backprop, MonoForward])
def test_a_rate_that_saturates_is_made_smaller(kind):
    wild = kind(settings=Settings(learning_rate=30.0, schedule="linear"))
    found = steady(wild, MODEL, DATA, ops=fixed)

    constant = configured(found, schedule="constant")
    assert saturated(constant) == 0
    assert saturated(configured(constant, learning_rate=found.settings.learning_rate / FACTOR)) > 0
    assert configured(found, learning_rate=30.0) == wild


def test_a_good_rate_is_kept():
    rule = MonoForward(settings=Settings(learning_rate=0.1))
    assert steady(rule, MODEL, DATA, ops=fixed) == rule


def test_it_gives_up_after_so_many_trials(monkeypatch):
    monkeypatch.setattr("edgetrain.trial.TRIALS", 2)
    wild = Backprop(settings=Settings(learning_rate=30.0))
    rate = steady(wild, MODEL, DATA, ops=fixed).settings.learning_rate
    assert rate == pytest.approx(30 * FACTOR)


def test_ctrl_c_ends_it(monkeypatch):
    class Interrupted:
        stopped = "interrupted"

    monkeypatch.setattr("edgetrain.trial.fit", lambda *a, **k: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        steady(Backprop(), MODEL, DATA, ops=fixed)
