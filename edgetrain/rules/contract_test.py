"""What every learning rule must do; a new line in RULES is tested here at once."""

import copy
from dataclasses import replace
from functools import cache
from types import ModuleType

import numpy as np
import pytest

from edgetrain import fixed, kernels
from edgetrain.architectures import cnn, mlp
from edgetrain.arithmetic.rounding import Int8
from edgetrain.errors import BackendError, RuleError
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Model, Weights
from edgetrain.quantize import quantize
from edgetrain.rules import RULES, ForwardGradient, Rule
from edgetrain.settings import Settings
from edgetrain.state import State, trace

LEARNING_RATES = {
    "mono_forward": 2**-2,
    "forward_forward": 2**-4,
    "forward_gradient": 2**-3,
    "backprop": 2**-2,
}
"""Rates with which a rule learns the small task; a new rule needs a line."""
CLASSES, ROOM, BATCH = 3, 3, 16


def drive(
    rule: Rule, model: Model, state: State, x, y, ops: ModuleType, steps: int, seed: int = 0
) -> tuple[Model, State, list[int], list[str]]:
    """Take steps on successive batches; return model, state, losses and traces."""
    losses, traces = [], []
    for _ in range(steps):
        first = state.step * BATCH % len(x)
        rows = slice(first, first + BATCH)
        model, state, metrics = rule.step(model, state, x[rows], y[rows], ops, seed)
        losses.append(metrics["loss"])
        traces.append(trace(model, state))
    return model, state, losses, traces


@pytest.fixture(scope="module", params=kernels.BACKENDS)
def ops(request: pytest.FixtureRequest) -> ModuleType:
    try:
        return kernels.load(request.param)
    except BackendError as error:
        pytest.skip(str(error))


@pytest.fixture(params=RULES)
def rule(request: pytest.FixtureRequest) -> Rule:
    settings = Settings(learning_rate=LEARNING_RATES[request.param], batch=BATCH)
    return RULES[request.param](settings=settings)


@cache
def network(name: str) -> tuple[Model, Int8]:
    shape = {"mlp": (36,), "cnn": (6, 6, 1)}[name]
    x = np.random.default_rng(2).normal(size=(4, *shape)).astype(np.float32)
    real = mlp(shape, CLASSES, hidden=(8,)) if name == "mlp" else cnn(shape, CLASSES, 0, (4, 4))
    model = quantize(real, x)
    return model, model.quantize_input(x)


@pytest.fixture(scope="module")
def task():
    """Three clouds of points, with room for a label in front."""
    rng = np.random.default_rng(0)
    y = np.arange(128) % CLASSES
    points = rng.normal(size=(CLASSES, 9))[y] + rng.normal(0, 0.4, (len(y), 9))
    x = np.pad(points, ((0, 0), (ROOM, 0))).astype(np.float32)
    model = quantize(mlp((ROOM + 9,), CLASSES, hidden=(16, 12)), x, headroom=2.0)
    return model, model.quantize_input(x), y


def test_a_rule_learns(rule, task, ops):
    model, x, y = task
    _, _, losses, _ = drive(rule, model, rule.init(model), x, y, ops, 60)

    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_the_same_seed_gives_the_same_bits_and_another_one_others(rule, task, ops):
    model, x, y = task
    first, again, other = (
        drive(rule, model, rule.init(model), x, y, ops, 12, seed)[3] for seed in (5, 5, 6)
    )

    assert first == again
    assert first[-1] != other[-1]


def test_a_run_that_resumes_equals_one_that_was_never_interrupted(rule, task, ops):
    model, x, y = task
    _, _, losses, whole = drive(rule, model, rule.init(model), x, y, ops, 20)
    middle, state, early, half = drive(rule, model, rule.init(model), x, y, ops, 10)

    params = {n: Weights(p.w.copy(), p.b.copy()) for n, p in middle.params.items()}
    tensors = {name: tensor.copy() for name, tensor in reversed(list(state.tensors.items()))}
    resumed = copy.deepcopy(rule), replace(model, params=params), State(state.step, tensors)
    _, _, late, rest = drive(*resumed, x, y, ops, 10)

    assert half + rest == whole
    assert early + late == losses


def test_a_step_leaves_its_arguments_alone(rule, task, ops):
    model, x, y = task
    model, state, *_ = drive(rule, model, rule.init(model), x, y, ops, 40)
    before = copy.deepcopy((model.params, state.tensors, x, y))
    after, later, _ = rule.step(model, state, x[:BATCH], y[:BATCH], ops)

    assert trace(after, later) != trace(model, state)
    assert later.step == state.step + 1
    for name, weights in model.params.items():
        np.testing.assert_array_equal(weights.w, before[0][name].w, err_msg=name)
        np.testing.assert_array_equal(weights.b, before[0][name].b, err_msg=name)
    assert set(state.tensors) == set(before[1]) == set(later.tensors)
    for name, tensor in state.tensors.items():
        np.testing.assert_array_equal(tensor, before[1][name], err_msg=name)
    np.testing.assert_array_equal(x, before[2])
    np.testing.assert_array_equal(y, before[3])


def test_state_and_weights_stay_integers_of_one_type_and_shape(rule, task, ops):
    model, x, y = task
    state = rule.init(model)
    after, later, *_ = drive(rule, model, state, x, y, ops, 3)

    for name, tensor in later.tensors.items():
        assert np.issubdtype(tensor.dtype, np.signedinteger), name
        assert (tensor.dtype, tensor.shape) == (
            state.tensors[name].dtype, state.tensors[name].shape,
        ), name  # fmt: skip
    for name, (w, b) in after.params.items():
        assert (w.dtype, b.dtype) == (np.int8, np.int32), name
        assert w.min() >= -127, name


def test_predictions_of_what_was_learned_are_right(rule, task, ops):
    model, x, y = task
    after, state, *_ = drive(rule, model, rule.init(model), x, y, ops, 120)
    outputs = rule.predict(after, state, x, ops)

    assert (outputs.shape, outputs.dtype) == ((len(x), CLASSES), np.int32)
    assert np.mean(outputs.argmax(axis=1) == y) > 0.9


def test_a_rule_can_be_printed_and_compared(rule):
    assert type(rule)() == type(rule)()
    assert rule == replace(rule) != type(rule)()
    assert type(rule).__name__ in repr(rule)
    assert str(rule.settings.learning_rate) in repr(rule)
    assert eval(repr(rule), dict(RULES_BY_CLASS, Settings=Settings)) == rule


RULES_BY_CLASS = {kind.__name__: kind for kind in RULES.values()}


@pytest.mark.parametrize(
    "bad",
    [
        np.array([0, 1, 2, CLASSES]),
        np.array([0, 1, 2, -1]),
        np.array([0, 1, 2]),
        np.array([[0], [1], [2], [0]]),
        np.array([0.0, 1.0, 2.0, 0.0]),
    ],
    ids=["too large", "negative", "too few", "two axes", "floats"],
)
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_bad_labels_are_refused_before_anything_changes(rule, name, bad):
    model, x = network(name)
    state = rule.init(model)
    before = trace(model, state)

    with pytest.raises(RuleError, match="labels must be"):
        rule.step(model, state, x[:4], bad, fixed)
    assert trace(model, state) == before


def test_a_batch_whose_sums_could_overflow_is_refused(rule):
    model, _ = network("cnn")
    too_large = replace(rule, settings=replace(rule.settings, batch=2**11))  # 36 pixels a sample

    with pytest.raises(RuleError, match=r"'conv1'.* overflow int32: use a batch of at most 1827"):
        too_large.init(model)
    replace(rule, settings=replace(rule.settings, batch=1827)).init(model)


@pytest.mark.parametrize(
    ("rate", "message"),
    [(2.0**-60, "rounds to zero for '.*': choose a larger"),
     (2.0**40, "overflows for '.*': choose a smaller")],
)  # fmt: skip
@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_learning_rate_that_no_integer_holds_is_refused(rule, name, rate, message):
    model, _ = network(name)

    with pytest.raises(RuleError, match=message) as raised:
        replace(rule, settings=replace(rule.settings, learning_rate=rate)).init(model)
    assert model.graph.trainable[0].name in str(raised.value)


def test_an_exact_head_needs_a_linear_layer_at_the_end():
    nodes = (Node("dense", "dense", (INPUT,), 3), Node("end", "activation", ("dense",),
             activation="sigmoid"))  # fmt: skip
    x = np.eye(4, dtype=np.float32)
    params = {"dense": Weights(np.ones((3, 4), np.float32), np.zeros(3, np.float32))}
    model = quantize(FloatModel(Graph((4,), nodes), params), x)

    with pytest.raises(RuleError, match="'end' is not: use head='same'"):
        ForwardGradient().init(model)
    ForwardGradient(head="same").init(model)
