"""The demo keeps its promises: every rule wins back accuracy, in less memory than backprop."""

from functools import cache

import numpy as np
import pytest

from edgetrain import demo, kernels
from edgetrain.blocks import split
from edgetrain.files import save
from edgetrain.model import FloatModel
from edgetrain.rules import Backprop
from edgetrain.state import State


@cache
def backend():
    return kernels.load(kernels.default())


@cache
def factory_model():
    return demo.factory_model(backend())


@cache
def outcome(rule):
    return demo.run(rule, factory_model(), demo.device_data(), backend())


# --- data ---


def test_sizes_of_the_data():
    source, device = demo.source_data(), demo.device_data()

    assert (len(source.x_train), len(device.x_train), len(device.x_test)) == (1000, 397, 400)
    assert (len(source.y_train), len(device.y_train), len(device.y_test)) == (1000, 397, 400)
    assert source.input_shape == device.input_shape == (8, 8, 1)


def test_the_device_sees_none_of_the_source_samples():
    source, device = demo.source_data(), demo.device_data()
    labels = np.concatenate([device.y_train, device.y_test])

    assert len(source.x_test) == len(labels)
    assert sorted(labels) == sorted(source.y_test)
    trained = {image.tobytes() for image in source.x_train}
    assert not any(image.tobytes() in trained for image in source.x_test)


def test_the_device_sees_all_digits_turned_and_noisy(monkeypatch):
    device = demo.device_data()
    with monkeypatch.context() as patch:
        patch.setattr(demo, "DEGREES", 0.0)
        patch.setattr(demo, "NOISE", 0.0)
        clean = demo.device_data()

    assert set(device.y_train) == set(device.y_test) == set(range(10))
    np.testing.assert_array_equal(device.y_test, clean.y_test)
    assert 0.1 < np.abs(device.x_test - clean.x_test).mean() < 0.3
    assert device.x_test.min() == 0
    assert device.x_test.max() == 1


def test_the_seed_decides_the_data():
    once, again, other = demo.device_data(3), demo.device_data(3), demo.device_data(4)

    np.testing.assert_array_equal(once.x_train, again.x_train)
    np.testing.assert_array_equal(once.y_test, again.y_test)
    assert (once.y_test != other.y_test).any()


# --- the shipped network ---


def test_the_shipped_network_loads_and_fits_the_data():
    model = demo.pretrained()

    assert isinstance(model, FloatModel)
    assert model.graph.input_shape == (8, 8, 1)
    assert model.graph.output_size == 10


def test_an_int8_network_in_its_place_is_refused(monkeypatch, tmp_path):
    (tmp_path / "assets").mkdir()
    save(factory_model(), tmp_path / "assets" / "digits_ds_cnn.safetensors")
    monkeypatch.setattr(demo, "files", lambda package: tmp_path)

    with pytest.raises(TypeError, match="must be a float model, got Model"):
        demo.pretrained()


@pytest.mark.slow
def test_the_factory_model_has_a_head_for_every_early_block():
    model = factory_model()

    assert set(model.heads) == {block.output for block in split(model.graph, "auto")[:-1]}
    assert len(model.heads) > 0
    for name, head in model.heads.items():
        assert head.w.any()
        assert model.head_scales[name] > 0


@pytest.mark.slow
def test_the_factory_model_knows_the_source_and_not_the_shifted_data():
    model, device, source = factory_model(), demo.device_data(), demo.source_data()

    def accuracy(x, y):
        logits = Backprop().predict(model, State(), model.quantize_input(x), backend())
        return (logits.argmax(axis=1) == y).mean()

    assert accuracy(source.x_test, source.y_test) > 0.9
    assert 0.3 < accuracy(device.x_test, device.y_test) < 0.6


# --- runs ---


@pytest.mark.slow
@pytest.mark.parametrize("rule", demo.RULES)
def test_every_rule_wins_back_accuracy(rule):
    found = outcome(rule)

    assert found.rule == rule
    assert found.accuracy_after > found.accuracy_before + 0.10
    assert found.accuracy_before == outcome("backprop").accuracy_before


@pytest.mark.slow
@pytest.mark.parametrize("rule", demo.RULES)
def test_an_outcome_agrees_with_itself(rule):
    found, y = outcome(rule), demo.device_data().y_test

    assert found.steps == demo.RULES[rule][1]
    assert len(found.predictions) == len(y)
    assert np.mean(np.array(found.predictions) == y) == found.accuracy_after
    assert found.curve[0] == (0, found.accuracy_before)
    assert found.curve[-1] == (found.steps, found.accuracy_after)
    assert [step for step, _ in found.curve] == sorted({step for step, _ in found.curve})
    assert len(found.curve) == 1 + demo.POINTS
    assert found.seconds > 0


@pytest.mark.slow
def test_local_rules_need_less_memory_than_backprop():
    arena = {rule: outcome(rule).arena_bytes for rule in demo.RULES}

    assert arena["mono_forward"] < arena["backprop"]
    assert arena["forward_gradient"] < arena["backprop"]
    assert {outcome(rule).backprop_arena_bytes for rule in demo.RULES} == {arena["backprop"]}


@pytest.mark.slow
def test_a_run_can_be_repeated_bit_for_bit(monkeypatch):
    rule, _ = demo.RULES["mono_forward"]
    monkeypatch.setattr(demo, "RULES", {"short": (rule, 40)})
    steps = []

    def run(seed, on_step=None):
        return demo.run("short", factory_model(), demo.device_data(), backend(), seed, on_step)

    once, again, other = run(0), run(0, lambda *step: steps.append(step)), run(1)

    assert once.trace == again.trace
    assert once.curve == again.curve
    assert once.predictions == again.predictions
    assert once.trace != other.trace
    assert steps == [(i + 1, 40) for i in range(40)]
