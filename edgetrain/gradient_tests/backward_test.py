"""Backpropagation, blocks and heads find true gradients, in true units."""

from dataclasses import replace

import numpy as np
import pytest

from edgetrain.arithmetic.activations import FUNCTIONS
from edgetrain.blocks import split
from edgetrain.gradient_tests.replica import (
    BATCH,
    CLASSES,
    NETWORKS,
    chain,
    check,
    cross_entropy,
    quantized,
    real,
    real_params,
    replica,
    settle,
    values_of,
    with_heads,
)
from edgetrain.graph import INPUT
from edgetrain.outputs import targets_q10
from edgetrain.rules import Backprop, MonoForward
from edgetrain.settings import Settings
from edgetrain.state import output_span


@pytest.mark.parametrize("name", NETWORKS)
def test_backpropagation_finds_the_gradient_of_the_cross_entropy(name, gradients):
    model, x, y = quantized(NETWORKS[name])
    settle(Backprop(), model, x, y)

    (block,) = split(model.graph, "network")
    params, run = real_params(model, block), replica(model, block)
    start = real(model, INPUT, x)
    check(gradients, params, lambda: cross_entropy(run(start, params), y))


@pytest.mark.parametrize("bits", [3, 4, 8])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_few_bits_of_a_derivative_are_enough(function, bits, gradients):
    model, x, y = quantized(chain(function, function))
    settle(Backprop(settings=Settings(bits=bits)), model, x, y)

    (block,) = split(model.graph, "network")
    params, run = real_params(model, block), replica(model, block)
    start = real(model, INPUT, x)
    cosine, ratio = {3: (0.95, 0.15), 4: (0.98, 0.1), 8: (0.995, 0.05)}[bits]
    check(gradients, params, lambda: cross_entropy(run(start, params), y), cosine, ratio)


@pytest.mark.parametrize(
    ("name", "choice"),
    [("mlp", "layer"), ("cnn", 2), ("resnet8", "residual"), ("resnet8", 2), ("ds_cnn", "residual")],
)
def test_every_block_finds_the_gradient_of_its_own_loss(name, choice, gradients):
    model, x, y = quantized(NETWORKS[name])
    model = with_heads(model, choice)
    settle(MonoForward(settings=Settings(), blocks=choice, warmup=0), model, x, y)

    values, blocks = values_of(model, x), split(model.graph, choice)
    assert len(blocks) > 1
    for block in blocks:
        params, run = real_params(model, block), replica(model, block)
        start, head = real(model, block.source, values[block.source]), f"head/{block.output}"

        def loss(start=start, head=head, params=params, run=run) -> float:
            result = run(start, params)
            if head in params:
                result = result.mean(axis=tuple(range(1, result.ndim - 1)))
                result = result @ params[head].w.T + params[head].b
            return cross_entropy(result, y)

        check(gradients, params, loss)


@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("choice", ["network", "layer"])
def test_a_regression_finds_the_gradient_of_its_squared_error(scale, choice, gradients):
    """The loss is half the sum of squares of (output - target) / span."""
    model, x, _ = quantized(NETWORKS["mlp"], task="regress")
    activations = model.scheme.activations
    wide = activations["classifier"]._replace(scale=activations["classifier"].scale * scale)
    scheme = replace(model.scheme, activations={**activations, "classifier": wide})
    model = with_heads(replace(model, scheme=scheme), choice)
    span = output_span(model, model.graph.output)
    assert (span > 1) == (scale > 0.1)
    target = np.random.default_rng(7).normal(1, 1, (BATCH, CLASSES)) * span
    settings = Settings(loss="squared_error")
    settle(MonoForward(settings=settings, blocks=choice, warmup=0), model, x,
           targets_q10(model, target))  # fmt: skip

    values = values_of(model, x)
    for block in split(model.graph, choice):
        params, run = real_params(model, block), replica(model, block)
        start, head = real(model, block.source, values[block.source]), f"head/{block.output}"
        top = head if head in params else "node/classifier"

        def loss(start=start, head=head, params=params, run=run) -> float:
            result = run(start, params)
            if head in params:
                result = result @ params[head].w.T + params[head].b
            return float((((result - target) / span) ** 2).sum() / 2)

        check(gradients, params, loss, factors={top: span})  # the last layer learns in spans
