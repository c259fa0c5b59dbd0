"""Forward-Forward finds the gradient of its goodness."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import mlp
from edgetrain.arithmetic.goodness import NORMAL_CODE
from edgetrain.blocks import Block, split
from edgetrain.gradient_tests.replica import (
    BATCH,
    CLASSES,
    NETWORKS,
    check,
    quantized,
    real,
    real_params,
    replica,
    settle,
    values_of,
    with_heads,
)
from edgetrain.rules import ForwardForward, channel_labels, input_labels


def logistic(value):
    return np.log1p(np.exp(-value))


def pair_loss(positive, negative, kind: str, threshold: float) -> float:
    if kind == "symmetric":
        return float(logistic(positive - negative).sum())
    return float((logistic(positive - threshold) + logistic(threshold - negative)).sum())


@pytest.fixture
def wrong(monkeypatch):
    """Fix the wrong labels of Forward-Forward."""
    labels = np.random.default_rng(8).integers(1, CLASSES, BATCH)
    for module in (input_labels, channel_labels):
        monkeypatch.setattr(module, "wrong_labels", lambda step, shares, y: (y + labels) % CLASSES)
    return labels


@pytest.mark.parametrize("kind", ["symmetric", "threshold"])
@pytest.mark.parametrize("sharpness", [1.0, 4.0])
def test_forward_forward_finds_the_gradient_of_the_goodness(kind, sharpness, gradients, wrong):
    model, x, y = quantized(mlp((10,), CLASSES, hidden=(16, 12)).graph)
    rule = ForwardForward(goodness_loss=kind, sharpness=sharpness)
    settle(rule, model, x, y)

    pair = np.concatenate([input_labels.embed(model, x, labels) for labels in (y, (y + wrong) % 4)])
    for node, source, _ in input_labels.layers(model, pair, fixed):
        block = Block((node,), node.inputs[0])
        params, run = real_params(model, block), replica(model, block)
        start = real(model, block.source, source)
        unit = NORMAL_CODE * model.scheme.activations[node.name].scale

        def loss(start=start, unit=unit, params=params, run=run) -> float:
            goodness = sharpness * ((run(start, params) / unit) ** 2).mean(axis=1)
            return pair_loss(goodness[:BATCH], goodness[BATCH:], kind, sharpness)

        check(gradients, params, loss)


@pytest.mark.parametrize("kind", ["symmetric", "threshold"])
@pytest.mark.parametrize(("name", "choice"), [("cnn", 2), ("resnet8", "residual")])
def test_a_channel_a_class_finds_the_gradient_of_the_goodness(
    kind, name, choice, gradients, wrong
):  # fmt: skip
    model, x, y = quantized(NETWORKS[name])
    model = with_heads(model, choice, size=1.5)
    rule = ForwardForward(goodness_loss=kind, blocks=choice)
    settle(rule, model, x, y)

    values, rows = values_of(model, x), np.arange(BATCH)
    for block in split(model.graph, choice)[:-1]:
        params, run = real_params(model, block), replica(model, block)
        start, head = real(model, block.source, values[block.source]), f"head/{block.output}"

        def loss(start=start, head=head, params=params, run=run) -> float:
            channels = np.maximum(run(start, params) @ params[head].w.T + params[head].b, 0)
            goodness = (channels**2).mean(axis=(1, 2))
            return pair_loss(goodness[rows, y], goodness[rows, (y + wrong) % CLASSES], kind, 1.0)

        check(gradients, params, loss)
