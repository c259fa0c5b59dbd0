"""What the C exporter writes learns as the runtime does: the same trace after every step."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import ARCHITECTURES, mlp
from edgetrain.arithmetic.layers import Window
from edgetrain.errors import ModelError, RuleError
from edgetrain.exporters.c_tests.compiled import Firmware
from edgetrain.exporters.to_c import answer, to_c
from edgetrain.files_tests.cases import EVERY_OPERATION, drawn
from edgetrain.graph import INPUT, Graph, Node
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
WINDOW = Window((3, 3), (1, 1), (1, 1, 1, 1))
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
    "mono_forward, momentum": lambda: MonoForward(
        settings=Settings(**RATE, momentum=0.75), warmup=3
    ),
    "backprop, momentum, w16": lambda: Backprop(
        settings=Settings(**RATE, momentum=0.96875, weights="w16")
    ),
    "forward_gradient, momentum": lambda: ForwardGradient(settings=Settings(**RATE, momentum=0.5)),
    "forward_gradient, weight, momentum, w16": lambda: ForwardGradient(
        settings=Settings(**RATE, momentum=0.875, weights="w16"), space="weight"
    ),
    "forward_forward, channel": lambda: ForwardForward(
        settings=Settings(learning_rate=1.0), labels="channel", blocks="layer"
    ),
    "forward_forward, channel, threshold, random, w16": lambda: ForwardForward(
        settings=Settings(learning_rate=1.0, weights="w16", schedule="linear", steps=50),
        labels="channel", goodness_loss="threshold", negatives="random",
    ),
    "forward_forward, channel, momentum, last three": lambda: ForwardForward(
        settings=Settings(learning_rate=0.5, momentum=0.875, train=3), labels="channel",
        blocks="residual",
    ),
    "forward_forward, channel, network": lambda: ForwardForward(
        settings=Settings(**RATE), labels="channel", blocks="network"
    ),
}  # fmt: skip
INPUT_LABELS = {
    "symmetric, hard": lambda: ForwardForward(settings=Settings(**RATE)),
    "symmetric, random, w16": lambda: ForwardForward(
        settings=Settings(**RATE, weights="w16"), negatives="random", sharpness=1.0
    ),
    "threshold, hard, steps": lambda: ForwardForward(
        settings=Settings(**RATE, schedule="steps", steps=40), goodness_loss="threshold"
    ),
    "threshold, random, momentum, clipped": lambda: ForwardForward(
        settings=Settings(**RATE, momentum=0.75, error_clip=0.25), goodness_loss="threshold",
        negatives="random", sharpness=2.0,
    ),
    "last two, momentum, w16": lambda: ForwardForward(
        settings=Settings(**RATE, momentum=0.5, weights="w16", train=2)
    ),
    "first": lambda: ForwardForward(settings=Settings(**RATE, train=("hidden1",))),
    "classifier": lambda: ForwardForward(settings=Settings(**RATE, train=1)),
}  # fmt: skip

FEW = [("mlp", 1), ("resnet8", 2), ("every operation", 3)]
SIZES = {
    rule: FEW if "momentum" in rule else [*((name, 1) for name in NETWORKS), *FEW[1:]]
    for rule in RULES
}
"""Networks and batches with which a rule is tried."""


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


def learn_in_step(rule, model, batch, steps, folder):
    """Train in C and in NumPy; after every step both must be equal, and say the same."""
    c = Firmware(folder, model, rule, batch, seed=7)
    state = rule.init(model)
    assert c.trace() == trace(model, state)
    for x, y in batches(model, batch, steps):
        status, loss = c.train(x, y)
        model, state, metrics = rule.step(model, state, x, y, fixed, 7)
        assert (status, loss, c.trace()) == (0, metrics["loss"], trace(model, state))
        np.testing.assert_array_equal(c.infer(x[0]), answer(model, rule, state, x[:1], fixed)[0])


@pytest.mark.parametrize(
    ("rule", "name", "batch"), [(rule, *size) for rule, sizes in SIZES.items() for size in sizes]
)
def test_every_step_gives_our_bits(rule, name, batch, tmp_path):
    steps = 4 if name == "mobilenet_v1" else STEPS
    learn_in_step(RULES[rule](), network(name), batch, steps, tmp_path)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("rule", INPUT_LABELS)
def test_every_step_with_labels_in_the_input_gives_our_bits(rule, batch, tmp_path):
    learn_in_step(INPUT_LABELS[rule](), network("mlp"), batch, STEPS, tmp_path)


@pytest.mark.parametrize("hidden", [(7,), (9, 8, 6)])
def test_one_hidden_layer_predicts_and_of_more_all_but_the_first(hidden, tmp_path):
    x = np.random.default_rng(0).normal(0, 1, (32, 2, 3, 2)).astype(np.float32)
    model = quantize(mlp((2, 3, 2), 5, hidden), x, headroom=1.5)
    learn_in_step(ForwardForward(settings=Settings(**RATE)), model, 2, 5, tmp_path)


@pytest.mark.parametrize(
    "rule",
    ["mono_forward, momentum", "forward_forward, channel", "forward_gradient, same, sign, w16"],
)
@pytest.mark.parametrize(("op", "activation"), [("dense", "relu"), ("global_average_pool", "")])
def test_a_network_may_end_with_any_node(rule, op, activation, tmp_path):
    nodes = [
        Node("conv", "conv2d", (INPUT,), 4, window=WINDOW, activation="relu"),
        Node("last", "conv2d", ("conv",), 3, window=WINDOW),
        Node("pool", "global_average_pool", ("last",)),
    ]
    if op == "dense":
        nodes[1:] = [Node("flat", "flatten", ("conv",)), Node("end", op, ("flat",), 3,
                     activation=activation)]  # fmt: skip
    x = np.random.default_rng(0).normal(0, 1, (32, 5, 4, 2)).astype(np.float32)
    model = quantize(drawn(Graph((5, 4, 2), tuple(nodes))), x, headroom=1.5)
    learn_in_step(RULES[rule](), model, 2, 8, tmp_path)


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


def test_a_node_may_be_called_like_what_we_name_ourselves(tmp_path):
    names = ("head0", "unit", "losses", "wrong", "outputs")
    sources = (INPUT, *names)
    nodes = [
        Node(name, "dense", (source,), 4, activation="relu" if name != names[-1] else "")
        for name, source in zip(names, sources, strict=False)
    ]
    x = np.random.default_rng(0).normal(0, 1, (8, 4)).astype(np.float32)
    model = quantize(drawn(Graph((4,), tuple(nodes))), x)
    rule = MonoForward(settings=Settings(learning_rate=0.5), blocks="layer", warmup=0)
    learn_in_step(rule, model, 1, 5, tmp_path)


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
    class Mine(MonoForward):
        """A rule of one's own."""

    with pytest.raises(ModelError, match="got Mine: learn with one of these, or on a host"):
        to_c(network("mlp"), rule=Mine())
    with pytest.raises(ModelError, match="quantize it first"):
        to_c(ARCHITECTURES["mlp"]((12,), 5))
    with pytest.raises(RuleError, match="use labels='channel'"):
        to_c(network("cnn"), rule=ForwardForward(labels="input"))
    for batch in (0, 33):
        with pytest.raises(ValueError, match=f"from 1 to Settings.batch, 32, .* got {batch}"):
            to_c(network("mlp"), batch=batch)


def test_the_header_says_what_an_answer_is():
    model = network("mlp")
    assert "one less for each 1/16" in to_c(model, rule=ForwardForward())["model.h"].decode()
    assert "1/16" not in to_c(model, rule=ForwardForward(labels="channel"))["model.h"].decode()
