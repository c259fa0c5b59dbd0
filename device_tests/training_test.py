"""Training on every board gives the bits of NumPy, at every step."""

from functools import cache

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import ds_cnn, mlp, resnet8
from edgetrain.device_tests.network import INFER, INIT, TRAIN, answer, build_network, question
from edgetrain.device_tests.run import run
from edgetrain.exporters.to_c import answer as device_answer
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward
from edgetrain.settings import Settings
from edgetrain.state import trace

STEPS = 24
SEED = 7
CLASSES = 5
W8, W16 = Settings(learning_rate=0.05), Settings(learning_rate=0.05, weights="w16")
MOMENTUM = Settings(learning_rate=0.5, weights="w16", momentum=0.875)
RULES = {
    # A short warm-up, so that most steps teach every block.
    "mono_forward": MonoForward(settings=W8, warmup=4),
    "mono_forward-w16": MonoForward(settings=W16, warmup=4),
    "mono_forward-layers": MonoForward(settings=W8, blocks="layer", warmup=4),
    "mono_forward-layers-w16": MonoForward(settings=W16, blocks="layer", warmup=4),
    "backprop": Backprop(settings=W8),
    "backprop-w16": Backprop(settings=W16),
    "forward_gradient": ForwardGradient(settings=W8),
    "forward_gradient-weight-w16": ForwardGradient(settings=W16, space="weight"),
    # The label is in the input of the fully connected network, in channels of the others.
    "forward_forward": ForwardForward(settings=Settings(learning_rate=0.5)),
    "forward_forward-momentum-w16": ForwardForward(
        settings=MOMENTUM, goodness_loss="threshold", negatives="random"
    ),
}
NETWORKS = {
    "mlp": (mlp((12,), CLASSES, hidden=(24, 16)), 3),
    "ds_cnn": (ds_cnn((13, 9, 1), CLASSES, channels=8, blocks=2), 1),
    "resnet8": (resnet8((8, 8, 3), CLASSES, channels=4), 1),
}
"""Network and samples of a training step."""


@cache
def exported(network):
    floats, batch = NETWORKS[network]
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (32, *floats.graph.input_shape)).astype(np.float32)
    return quantize(floats, x, headroom=1.5), batch


@cache
def expected(network, rule):
    """Frames, and what NumPy makes of them: (loss, trace, None) or (0, trace, outputs)."""
    model, batch = exported(network)
    state, rng = RULES[rule].init(model), np.random.default_rng(1)
    frames, wanted = [question(model, batch, INIT)], [(0, trace(model, state), None)]
    for _ in range(STEPS):
        x = rng.integers(-128, 128, (batch, *model.graph.input_shape)).astype(np.int8)
        y = rng.integers(0, CLASSES, batch).astype(np.int32)
        model, state, metrics = RULES[rule].step(model, state, x, y, fixed, SEED)
        frames.append(question(model, batch, TRAIN, x, y))
        wanted.append((metrics["loss"], trace(model, state), None))
    frames.append(question(model, batch, INFER, x[:1]))
    y = device_answer(model, RULES[rule], state, x[:1], fixed)
    wanted.append((0, trace(model, state), y[0].tolist()))
    return frames, wanted


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("network", NETWORKS)
def test_training_is_bit_exact(board, network, rule, objects):
    frames, wanted = expected(network, rule)
    model, batch = exported(network)
    program = build_network(board, model, RULES[rule], objects, batch, SEED)
    got = [answer(model, reply) for reply in run(program, frames)]
    assert {a.status for a in got} == {0}
    assert [a.trace for a in got] == [trace for _, trace, _ in wanted]
    assert [a.loss for a in got] == [loss for loss, _, _ in wanted]
    assert got[-1].y.tolist() == wanted[-1][2]
    assert len({a.trace for a in got[1:-1]}) == STEPS


@pytest.mark.parametrize("label", [-1, CLASSES, 2**31 - 1])
def test_a_label_out_of_range_is_refused_and_changes_nothing(board, label, objects):
    model, batch = exported("mlp")
    program = build_network(board, model, RULES["mono_forward"], objects, batch, SEED)
    x = np.zeros((batch, 12), np.int8)
    y = np.array([0, 0, label], np.int32)
    frames = [question(model, batch, INIT), question(model, batch, TRAIN, x, y)]
    before, after = (answer(model, reply) for reply in run(program, frames))
    assert after.status == -1
    assert after.trace == before.trace
