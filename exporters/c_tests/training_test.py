"""What the C exporter writes learns as the runtime does: the same trace after every step."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import ARCHITECTURES
from edgetrain.errors import ModelError
from edgetrain.exporters.c_tests.compiled import Firmware
from edgetrain.exporters.to_c import to_c
from edgetrain.files_tests.cases import EVERY_OPERATION, drawn
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.inference import output
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward
from edgetrain.settings import Settings
from edgetrain.state import trace

STEPS = 34
"""The exponents of errors are lowered after 32 at the earliest."""
NETWORKS = {
    "mlp": (12,), "cnn": (9, 7, 2), "ds_cnn": (13, 9, 3), "resnet8": (8, 10, 3),
    "mobilenet_v1": (32, 32, 1), "every operation": (8, 8, 2),
}  # fmt: skip
RATE = {"learning_rate": 0.05}
RULES = {
    "backprop": lambda: Backprop(settings=Settings(**RATE)),
    "backprop, last two": lambda: Backprop(settings=Settings(**RATE, train=2)),
    "mono_forward": lambda: MonoForward(settings=Settings(**RATE)),
    "mono_forward, layer, w16": lambda: MonoForward(
        settings=Settings(**RATE, weights="w16"), blocks="layer"
    ),
    "mono_forward, residual, clipped": lambda: MonoForward(
        settings=Settings(**RATE, error_clip=0.25, schedule="linear", steps=50),
        blocks="residual", warmup=5,
    ),
    "forward_gradient": lambda: ForwardGradient(settings=Settings(**RATE)),
    "forward_gradient, same, sign, w16": lambda: ForwardGradient(
        settings=Settings(**RATE, weights="w16"), head="same", estimate="sign", queries=3
    ),
    "forward_gradient, weight": lambda: ForwardGradient(settings=Settings(**RATE), space="weight"),
    "forward_gradient, weight, value, w16": lambda: ForwardGradient(
        settings=Settings(learning_rate=1e-3, weights="w16"), space="weight", estimate="value",
        head="same", queries=2,
    ),
    "mono_forward, steps": lambda: MonoForward(
        settings=Settings(**RATE, schedule="steps", steps=40), blocks=3
    ),
}  # fmt: skip


def network(name, softmax=False):
    rng = np.random.default_rng(0)
    shape = NETWORKS[name]
    model = drawn(EVERY_OPERATION) if name == "every operation" else ARCHITECTURES[name](shape, 5)
    return quantize(model, rng.normal(0, 1, (32, *shape)).astype(np.float32), headroom=1.5)


def batches(model, batch, steps):
    rng = np.random.default_rng(1)
    for _ in range(steps):
        x = rng.integers(-128, 128, (batch, *model.graph.input_shape)).astype(np.int8)
        yield x, rng.integers(0, model.graph.output_size, batch).astype(np.int32)


@pytest.mark.parametrize(
    ("name", "batch"), [*((name, 1) for name in NETWORKS), ("resnet8", 2), ("every operation", 3)]
)
@pytest.mark.parametrize("rule", RULES)
def test_every_step_gives_our_bits(rule, name, batch, tmp_path):
    rule, model = RULES[rule](), network(name)
    steps = 4 if name == "mobilenet_v1" else STEPS
    c = Firmware(tmp_path, model, rule, batch, seed=7)
    state = rule.init(model)
    assert c.trace() == trace(model, state)
    for x, y in batches(model, batch, steps):
        status, loss = c.train(x, y)
        model, state, metrics = rule.step(model, state, x, y, fixed, 7)
        assert (status, loss, c.trace()) == (0, metrics["loss"], trace(model, state))
        np.testing.assert_array_equal(c.infer(x[0]), output(model, x[:1], fixed).ravel())


def test_numbers_are_learned_too(tmp_path):
    rng = np.random.default_rng(0)
    shape = NETWORKS["cnn"]
    x = rng.normal(0, 1, (32, *shape)).astype(np.float32)
    model = quantize(ARCHITECTURES["cnn"](shape, 3), x, task="regress")
    rule = MonoForward(settings=Settings(**RATE, loss="squared_error"))
    c, state = Firmware(tmp_path, model, rule, 2), rule.init(model)
    for codes, _ in batches(model, 2, STEPS):
        y = rng.integers(-2000, 2000, (2, 3)).astype(np.int32)
        _, loss = c.train(codes, y)
        model, state, metrics = rule.step(model, state, codes, y, fixed)
        assert (loss, c.trace()) == (metrics["loss"], trace(model, state))


@pytest.mark.parametrize("label", [-1, 5, 2**31 - 1])
def test_a_label_out_of_range_changes_nothing(label, tmp_path):
    model = network("mlp")
    c = Firmware(tmp_path, model, Backprop(), 2)
    before = c.trace()
    x = np.zeros((2, 12), np.int8)
    assert c.train(x, np.array([0, label], np.int32)) == (-1, -1)
    assert c.train(None, np.zeros(2, np.int32))[0] == c.train(x, None)[0] == -1
    assert c.trace() == before


def test_any_name_of_a_node_is_a_name_in_c(tmp_path):
    names = ("int", "x", "loss", "x_w", "w", "scales", "e", "x w", "step__y")
    sources = (INPUT, *names)
    nodes = [
        Node(name, "dense", (source,), 3, activation="relu")
        for name, source in zip(names, sources, strict=False)
    ]
    graph = Graph((3,), (*nodes, Node("arena", "dense", (names[-1],), 2)))
    model = quantize(drawn(graph), np.ones((4, 3), np.float32))
    rule = Backprop(settings=Settings(learning_rate=0.5))
    c, state = Firmware(tmp_path, model, rule), rule.init(model)
    for x, y in batches(model, 1, 5):
        c.train(x, y)
        model, state, _ = rule.step(model, state, x, y, fixed)
    assert c.trace() == trace(model, state)


def test_init_begins_again(tmp_path):
    model = network("cnn")
    c = Firmware(tmp_path, model, MonoForward())
    before = c.trace()
    for x, y in batches(model, 1, 3):
        c.train(x, y)
    assert c.trace() != before
    c.library.net_init()
    assert c.trace() == before


def test_only_the_kernels_that_are_used_are_written():
    dense = to_c(network("mlp"), rule=Backprop())
    assert not {"et_pools.c", "et_softmax.c"} & set(dense)
    assert "et_pools.c" in to_c(network("cnn"), rule=Backprop())


@pytest.mark.parametrize("name", ["", "1st", "a-b", "et_net", "größe", "string"])
def test_a_name_that_is_none_of_c_is_refused(name):
    with pytest.raises(ValueError, match="identifier"):
        to_c(network("mlp"), name)


def test_what_cannot_be_written_is_refused():
    with pytest.raises(ModelError, match="momentum=0"):
        to_c(network("mlp"), rule=Backprop(settings=Settings(momentum=0.5)))
    with pytest.raises(ModelError, match="got ForwardForward"):
        to_c(network("mlp"), rule=ForwardForward())
