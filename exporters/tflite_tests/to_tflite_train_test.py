"""What a training file promises besides its bits: variables, status, and nothing real in it."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgetrain import exporters, fixed
from edgetrain.architectures import mlp
from edgetrain.errors import BackendError, ModelError, RuleError
from edgetrain.exporters.step_writing.program import parameters
from edgetrain.exporters.tflite_tests.training_interpreters import KERNELS, load
from edgetrain.exporters.tflite_training.run import number, runners, stepper
from edgetrain.exporters.to_tflite_train import to_tflite_train
from edgetrain.parity import synthetic
from edgetrain.quantize import quantize
from edgetrain.rules import MonoForward
from edgetrain.settings import Settings

BATCH = 4
RULE = MonoForward(warmup=0, settings=Settings(batch=BATCH, momentum=0.5))


@pytest.fixture(scope="module")
def model():
    x = np.random.default_rng(0).normal(size=(16, 9)).astype(np.float32)
    return quantize(mlp((9,), 4, hidden=(8,)), x)


@pytest.fixture(scope="module")
def content(model):
    (found,) = to_tflite_train(model, "tiny", RULE, BATCH).values()
    return found


@pytest.fixture(params=KERNELS)
def calls(content, request):
    return load(content, request.param)


def train(calls, x, y, step=0):
    return calls["train"](x=x, y=y, seed=number(1), step=number(step))


def equal(found, wanted):
    return found.keys() == wanted.keys() and all(
        np.array_equal(found[k], wanted[k]) and found[k].dtype == wanted[k].dtype for k in wanted
    )


def test_a_fresh_interpreter_starts_with_the_model(calls, model):
    assert equal(calls["save"](), parameters(model, RULE, RULE.init(model)))


def test_what_was_saved_is_restored(calls, model, content):
    batches = list(synthetic(model, 6, BATCH))
    for step, batch in enumerate(batches[:3]):
        train(calls, *batch, step)
    saved = calls["save"]()
    ends = []
    for _ in range(2):
        for step, batch in enumerate(batches[3:], 3):
            train(calls, *batch, step)
        ends.append(calls["save"]())
        assert calls["restore"](**saved)["status"] == 0
        assert equal(calls["save"](), saved)

    assert not equal(ends[0], saved)
    assert equal(*ends)


def test_restore_may_come_first(calls, model):
    start = parameters(model, RULE, RULE.init(model))
    other = {name: np.zeros_like(value) for name, value in start.items()}
    calls["restore"](**other)

    assert equal(calls["save"](), other)


@pytest.mark.parametrize("wrong", [-1, 4, 2**31 - 1, -(2**31)])
def test_a_label_out_of_range_changes_nothing(calls, model, wrong):
    (x, y), second = synthetic(model, 2, BATCH)
    train(calls, x, y)
    before = calls["save"]()
    y = y.copy()
    y[2] = wrong
    found = train(calls, x, y, 1)

    assert (found["status"], found["loss"], found["saturated"]) == (1, 0, 0)
    assert equal(calls["save"](), before)
    assert train(calls, *second, 1)["status"] == 0
    assert not equal(calls["save"](), before)


def test_nothing_in_the_file_is_real(content):
    kinds = schema.TensorType
    real = {kinds.FLOAT16, kinds.FLOAT32, kinds.FLOAT64}
    read = schema.ModelT.InitFromPackedBuf(content, 0)
    found = {g.name.decode(): {t.type for t in g.tensors} for g in read.subgraphs}

    assert found.keys() == {"train", "infer", "save", "restore", "initialize"}
    assert {kinds.INT8, kinds.INT32} <= found["train"]
    assert not any(real & types for types in found.values())


def test_the_stepper_refuses_a_label_out_of_range(model):
    x, y = next(synthetic(model, 1, BATCH))
    take = exporters.stepper("tflite_train", model, RULE, BATCH)
    state = RULE.init(model)
    with pytest.raises(RuleError, match=r"labels must be in \[0, 4\)"):
        take(model, state, x, y + 4)
    assert take(model, state, x, y)[1].step == 1


def test_the_stepper_takes_the_steps_of_the_rule(model):
    x, y = next(synthetic(model, 1, BATCH))
    state = RULE.init(model)
    found = stepper(model, RULE, BATCH, 3, "BUILTIN_REF")(model, state, x, y)

    assert found[2] == RULE.step(model, state, x, y, fixed, 3)[2]


def test_an_interpreter_without_an_operator_says_so(content):
    newer = schema.ModelT.InitFromPackedBuf(content, 0)
    newer.operatorCodes[0].version = 99
    builder = flatbuffers.Builder(1024)
    builder.Finish(newer.Pack(builder), b"TFL3")
    with pytest.raises(BackendError, match=r"needs tflite-runtime 2\.14 or LiteRT"):
        runners(bytes(builder.Output()))


def test_bad_input(model):
    with pytest.raises(ModelError, match="quantize it first"):
        to_tflite_train(mlp((4,), 2))
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        to_tflite_train(model, batch=0)
    with pytest.raises(ValueError, match="name"):
        to_tflite_train(model, "a/b")
    with pytest.raises(RuleError, match="batch of at most"):
        to_tflite_train(model, batch=10**6)
    endless = MonoForward(settings=Settings(schedule="linear", steps=2**23))
    with pytest.raises(RuleError, match="may have 8388607 steps, got 8388608"):
        to_tflite_train(model, rule=endless)
