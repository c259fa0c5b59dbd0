"""Compiled steps are values, allocate nothing after the first, and check what they are given."""

import tracemalloc
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from edgetrain import fixed, kernels
from edgetrain.architectures import ds_cnn, mlp
from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.compiled import training
from edgetrain.compiled.block import BlockParams
from edgetrain.compiled.builder import Builder
from edgetrain.errors import RuleError
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Weights
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward
from edgetrain.settings import Settings
from edgetrain.state import State, trace

SETTINGS = Settings(batch=8, learning_rate=2**-4)
CONTRASTS = [
    ForwardForward(settings=SETTINGS),
    ForwardForward(settings=replace(SETTINGS, momentum=0.5, weights="w16"), blocks="layer",
                   goodness_loss="threshold", negatives="random"),
]  # fmt: skip
RULES = [
    MonoForward(settings=SETTINGS, warmup=0), Backprop(settings=SETTINGS),
    ForwardGradient(settings=SETTINGS), ForwardGradient(settings=SETTINGS, space="weight"),
    MonoForward(settings=replace(SETTINGS, momentum=0.875), warmup=0),
    ForwardGradient(settings=replace(SETTINGS, momentum=0.5, weights="w16"), space="weight"),
    *CONTRASTS,
]  # fmt: skip
REGRESSION = ForwardGradient(settings=replace(SETTINGS, loss="squared_error"), queries=2)


@pytest.fixture(scope="module")
def ops():
    return kernels.load("numba")


def grouped():
    """A network with a convolution in groups of channels."""
    window = Window((3, 3), (1, 1), (1, 1, 1, 1), 4)
    nodes = (
        Node("groups", "conv2d", (INPUT,), 64, window, "relu"),
        Node("mean", "global_average_pool", ("groups",)),
        Node("classifier", "dense", ("mean",), 10),
    )
    graph, rng = Graph((12, 12, 32), nodes), np.random.default_rng(6)
    params = {node.name: Weights(rng.normal(0, 0.2, graph.weight_shape(node)),
                                 np.zeros(node.n_out)) for node in graph.trainable}  # fmt: skip
    return FloatModel(graph, params)


NETWORKS = {
    "mlp": lambda: mlp((256,), 10), "ds_cnn": lambda: ds_cnn((25, 10, 1), 10, channels=32),
    "grouped": grouped,
}  # fmt: skip


@pytest.fixture(params=NETWORKS)
def given(request):
    """A model and a batch, whose arrays are larger than what Python allocates for a step."""
    real = NETWORKS[request.param]()
    x = np.random.default_rng(5).normal(size=(8, *real.graph.input_shape)).astype(np.float32)
    model = quantize(real, x, headroom=2.0)
    return model, model.quantize_input(x), np.arange(8) % 10


def name_of(rule):
    return f"{type(rule).__name__} {getattr(rule, 'space', '')}"


every_rule = pytest.mark.parametrize("rule", RULES, ids=name_of)


@pytest.mark.parametrize("rule", [*RULES, REGRESSION], ids=name_of)
def test_steps_after_the_first_allocate_nothing(given, rule, ops):
    model, x, y = given
    if rule is REGRESSION:
        y = np.eye(10, dtype=np.int32)[y] << LOGIT_BITS
    state = rule.init(model)
    for _ in range(3):
        model, state, _ = rule.step(model, state, x, y, ops)
    kept = training.kept_bytes(model, state)

    tracemalloc.start()
    model, state, _ = rule.step(model, state, x, y, ops)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    for _ in range(5):
        model, state, _ = rule.step(model, state, x, y, ops)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert isinstance(model.params, BlockParams)
    assert training.kept_bytes(model, state) == kept
    assert (
        peak - before < 16384
    )  # small objects of Python; the arrays of a step are several times that


def test_older_models_and_states_keep_their_values(given, ops):
    model, x, y = given
    rule = RULES[0]
    run = [(model, rule.init(model))]
    traces = [trace(*run[0])]
    for _ in range(5):
        run.append(rule.step(*run[-1], x, y, ops)[:2])
        traces.append(trace(*run[-1]))

    assert [trace(*pair) for pair in run] == traces
    assert len(set(traces)) == 6
    again = rule.step(*run[2], x, y, ops)  # from the middle, beside all others
    assert trace(*again[:2]) == traces[3]
    assert [trace(*pair) for pair in run] == traces


def test_a_state_of_another_model_or_of_numpy_goes_on(given, ops):
    model, x, y = given
    rule = RULES[0]
    start = model, rule.init(model)
    one = rule.step(*rule.step(*start, x, y, ops)[:2], x, y, fixed)
    other = rule.step(*rule.step(*start, x, y, fixed)[:2], x, y, ops)

    assert trace(*one[:2]) == trace(*other[:2])


@every_rule
def test_batches_of_several_sizes_in_one_run(given, rule, ops):
    model, x, y = given
    here = there = model, rule.init(model)
    for size in (8, 3, 8, 1):
        here = rule.step(*here, x[:size], y[:size], fixed)[:2]
        there = rule.step(*there, x[:size], y[:size], ops)[:2]
        assert trace(*here) == trace(*there)


@pytest.mark.parametrize("rule", CONTRASTS, ids=lambda r: r.goodness_loss)
def test_exponents_of_contrasts_rise_and_sink_as_specified(given, rule, ops):
    """In batches of 3, the last of them smaller; at step 31 exponents may be lowered."""
    model, x, y = given
    start = rule.init(model)
    for first, number in [(start.tensors["exponents"][0, 0], 0), (0, 30)]:
        tensors = dict(start.tensors)
        tensors["exponents"] = np.full_like(tensors["exponents"], [first, 0])
        here = there = model, State(number, tensors)
        for i in range(8):
            rows = slice(3 * (i % 3), 3 * (i % 3) + 3)
            *here, metrics = rule.step(*here, x[rows], y[rows], fixed, 7)
            *there, found = rule.step(*there, x[rows], y[rows], ops, 7)
            assert found == metrics
            assert trace(*here) == trace(*there)
        moved = here[1].tensors["exponents"][:, 0] - first
        assert (moved.max() > 0) if number == 0 else (moved.min() < 0)
    np.testing.assert_array_equal(rule.predict(*here, x, fixed), rule.predict(*there, x, ops))


def test_rules_of_different_rates_do_not_share_constants(given, ops):
    model, x, y = given
    for rate in (2**-3, 2**-5):
        rule = MonoForward(settings=Settings(batch=8, learning_rate=rate), warmup=0)
        start = model, rule.init(model)
        ours, wanted = (rule.step(*start, x, y, backend)[:2] for backend in (ops, fixed))
        assert trace(*ours) == trace(*wanted)


def test_a_layer_may_have_the_name_of_a_heads_scale(ops):
    nodes = (
        Node("block/scale", "dense", (INPUT,), 6, activation="relu"),
        Node("classifier", "dense", ("block/scale",), 3),
    )
    rng, y = np.random.default_rng(5), np.arange(4) % 3
    params = {n: Weights(rng.normal(size=s), np.zeros(s[0])) for n, s in
              {"block/scale": (6, 8), "classifier": (3, 6)}.items()}  # fmt: skip
    x = rng.normal(size=(4, 8)).astype(np.float32)
    model = quantize(FloatModel(Graph((8,), nodes), params), x)
    rule = MonoForward(settings=replace(SETTINGS, weights="w16", momentum=0.5), warmup=0)
    start = model, rule.init(model)
    ours, wanted = (
        rule.step(*start, model.quantize_input(x), y, backend)[:2] for backend in (ops, fixed)
    )
    assert trace(*ours) == trace(*wanted)


@every_rule
def test_bad_samples_and_labels_are_refused_before_anything_runs(given, rule, ops):
    model, x, y = given
    state = rule.init(model)

    for samples, labels, said in [
        (x.astype(np.float32), y, "x must be int8"), (x[:, :-1], y, "x must be int8"),
        (np.repeat(x, 2, 0), np.repeat(y, 2), "a step takes 1 to 8 samples"),
        (x, y + 9, "labels must be in"), (x, y - 1, "labels must be in"),
        (x, y[:-1], "labels must be 8 integers"),
    ]:  # fmt: skip
        with pytest.raises(RuleError, match=said):
            rule.step(model, state, samples, labels, ops)


def test_arrays_that_live_at_the_same_time_never_overlap():
    builder = Builder()
    lasting = builder.state([1, 2, 3])
    arrays = [builder.array(size) for size in (100, 5000, 30, 700, 64)]
    outside = builder.array(50)
    builder.emit("clear", y=outside, size=50)
    with builder.each(1):
        for first, second in pairwise(arrays):
            builder.emit("input", y=first, size=1)
            builder.emit("spread", x=first, pixels=1, width=1, y=second)
        builder.emit("output", x=outside, size=1)
    _, size = builder.finish()

    every = [lasting, outside, *arrays]
    assert all(b.start % 64 == 0 and b.start + b.size <= size for b in every)
    for a in arrays:  # what was written before the loop is read in each of its turns
        assert a.start >= outside.start + outside.size or outside.start >= a.start + a.size
    for first, second in pairwise(arrays):
        apart = (
            first.start + first.size <= second.start or second.start + second.size <= first.start
        )
        assert apart
    assert size < sum(-(-b.size // 64) * 64 for b in every)  # dead arrays give their place away


def test_what_a_loop_of_one_turn_needs_is_prepared_right_before_it_is_read():
    for whole in (False, True):
        builder = Builder(whole)
        x, raw, ready, y = (builder.array(64) for _ in range(4))
        with builder.each(1):
            builder.prepare("clear", y=raw, size=64)
            builder.prepare("spread", x=raw, pixels=1, width=1, y=ready)
            builder.emit("input", y=x, size=64)
            builder.emit("spread", x=x, pixels=1, width=1, y=y)
            builder.emit("spread", x=ready, pixels=1, width=1, y=y)
            builder.emit("output", x=y, size=64)
        rows, _ = builder.finish()

        names = [name for name, _, _ in rows]
        first = ["clear", "spread", "each", "input", "spread", "spread", "output"]
        late = ["each", "input", "spread", "clear", "spread", "spread", "output"]
        assert names == (late if whole else first)
        assert rows[names.index("each")][2][0] == (6 if whole else 4)
        assert ready.lives == ((4, 5) if whole else (1, 6))
