from dataclasses import replace

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import autoencoder, cnn, mlp, resnet8
from edgetrain.memory import candidates, forecast, plans, weight_bytes
from edgetrain.quantize import quantize
from edgetrain.rules import RULES, MonoForward
from edgetrain.settings import Settings


def quantized(real, task="classify"):
    x = np.random.default_rng(0).normal(size=(4, *real.graph.input_shape)).astype(np.float32)
    return quantize(real, x, task=task)


MODELS = {
    "mlp": quantized(mlp((32,), 4, hidden=(24, 16))),
    "cnn": quantized(cnn((8, 8, 1), 4, channels=(4, 6, 8))),
    "resnet8": quantized(resnet8((8, 8, 3), 4, channels=4)),
    "autoencoder": quantized(autoencoder((24,), hidden=16), "reconstruct"),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]


def test_every_rule_is_forecast_once_a_way_to_cut(model):
    rows = plans(model)
    keys = [(row.rule, row.blocks) for row in rows]

    assert keys[0] == ("inference", "-")
    assert len(set(keys)) == len(keys)
    for name in RULES:
        assert any(rule.startswith(name) for rule, _ in keys), name
    for kind in ("activity", "weight"):
        assert (f"forward_gradient {kind}", "-") in keys


def test_convolutional_networks_are_cut_in_every_way_that_is_possible():
    cuts = {name: [r.blocks for r in plans(m) if r.rule == "mono_forward"]
            for name, m in MODELS.items()}  # fmt: skip

    assert cuts["mlp"] == ["layer"]
    assert cuts["cnn"] == ["layer", "residual", "2"]
    assert cuts["resnet8"] == ["layer", "residual", "3", "2"]


@pytest.mark.parametrize("weights", ["w8", "w16"])
@pytest.mark.parametrize("momentum", [0.0, 0.875])
@pytest.mark.parametrize("batch", [1, 3])
def test_a_forecast_is_what_the_rule_really_makes(model, weights, momentum, batch):
    settings = Settings(weights=weights, momentum=momentum, learning_rate=2**-4)
    loss = "cross_entropy" if model.task == "classify" else "squared_error"
    full = replace(settings, batch=batch, loss=loss)
    rows = {(row.rule, row.blocks): row for row in plans(model, batch, settings)}
    for name, blocks, rule in candidates(model, full):
        row = rows[name, blocks]
        assert row == forecast(name, blocks, rule, model, batch)
        if row.refused:
            continue
        state = rule.init(model)
        assert row.state_bytes == sum(tensor.nbytes for tensor in state.tensors.values()) > 0
        cost = rule.cost(model, batch)
        assert (row.arena_bytes, row.macs_per_step) == (cost.arena_bytes, cost.macs)
        x = np.zeros((batch, *model.graph.input_shape), np.int8)
        y = np.zeros(batch, np.int64)
        if loss == "squared_error":
            y = np.zeros((batch, model.graph.output_size), np.int32)
        _, after, _ = rule.step(model, state, x, y, fixed)
        assert after.nbytes == row.state_bytes


def test_weights_are_a_byte_each_and_biases_four(model):
    biases = sum(node.n_out for node in model.graph.trainable)

    assert weight_bytes(model) == model.graph.parameters - biases + 4 * biases
    assert {row.weights_bytes for row in plans(model)} == {weight_bytes(model)}


def test_masters_cost_two_bytes_a_weight_and_momentum_four():
    model = MODELS["mlp"]
    weights = model.graph.parameters - (24 + 16 + 4)
    plain, wide, fast = (
        plans(model, settings=Settings(**options))[-2].state_bytes
        for options in ({}, {"weights": "w16"}, {"momentum": 0.5})
    )

    assert plans(model)[-2].rule == "backprop"
    assert wide - plain == 2 * weights
    assert fast - plain == 4 * weights + 3 * 4  # and an exponent a layer


def test_what_a_rule_cannot_train_is_a_row_with_the_reason():
    refused = {row.rule: row for row in plans(MODELS["autoencoder"]) if row.refused}

    assert set(refused) == {"forward_forward"}
    row = refused["forward_forward"]
    assert "'reconstruction'" in row.refused
    assert (row.state_bytes, row.arena_bytes, row.macs_per_step) == (0, 0, 0)
    assert not any(row.refused for row in plans(MODELS["cnn"]))


def test_rules_are_in_the_order_of_the_memory_that_they_need():
    rows = {(row.rule, row.blocks): row for row in plans(MODELS["resnet8"], 2)}
    arena = {key: row.arena_bytes for key, row in rows.items()}

    assert arena["inference", "-"] < arena["forward_gradient weight", "-"]
    assert arena["forward_gradient weight", "-"] < arena["forward_gradient activity", "-"]
    assert arena["mono_forward", "layer"] <= arena["mono_forward", "2"]
    assert arena["mono_forward", "2"] < arena["backprop", "network"]
    assert arena["backprop, last layer", "network"] < arena["mono_forward", "2"]


def test_multiplications_of_a_step_are_what_a_hand_counts():
    model = MODELS["mlp"]  # 32 to 24 to 16 to 4
    first, second, third = 32 * 24, 24 * 16, 16 * 4
    rows = {row.rule: row.macs_per_step for row in plans(model, batch=5)}

    assert rows["inference"] == 5 * (first + second + third)
    # Forward, weights and error of the input; the first layer's input needs no error.
    assert rows["backprop"] == 5 * (2 * first + 3 * second + 3 * third)
    assert rows["backprop, last layer"] == 5 * (first + second + 2 * third)
    heads = 3 * 4 * (24 + 16)
    assert rows["mono_forward"] == 5 * (2 * (first + second + third) + heads)
    assert rows["forward_gradient weight"] == 5 * (3 * (first + second + third) + third)
    assert MonoForward().cost(model, 5).macs == rows["mono_forward"]
