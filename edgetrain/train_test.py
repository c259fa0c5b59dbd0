"""The loop: batches fixed by seed and epoch, resume to the same bits, logs, early stop, Ctrl-C."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import autoencoder, mlp
from edgetrain.data import Data, digits
from edgetrain.errors import DataError, FileError, RuleError
from edgetrain.files import load_checkpoint, save_checkpoint
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward
from edgetrain.settings import Settings
from edgetrain.state import State, trace
from edgetrain.train import fit
from edgetrain.watch import Options

ROOT = Path(__file__).parent.parent
RULE = MonoForward(settings=Settings(learning_rate=0.25, weights="w16", schedule="linear"))


@pytest.fixture(scope="module")
def data():
    full = digits()
    return Data(full.x_train[:200], full.y_train[:200], full.x_test[:50], full.y_test[:50])


@pytest.fixture(scope="module")
def model(data):
    return quantize(mlp((8, 8, 1), 10, hidden=(32, 16)), data.x_train[:64], headroom=2.0)


def run(model, data, rule=RULE, **arguments):
    return fit(rule, model, data, ops=fixed, **{"seed": 7, "batch": 16, **arguments})


def test_the_same_seed_gives_the_same_run(model, data):
    a, b = run(model, data, steps=20), run(model, data, steps=20)

    assert trace(a.model, a.state) == trace(b.model, b.state)
    assert a.history[0]["loss"] == b.history[0]["loss"]


def test_another_seed_gives_another_run(model, data):
    a, b = run(model, data, steps=20), run(model, data, steps=20, seed=8)

    assert trace(a.model, a.state) != trace(b.model, b.state)


def test_an_interrupted_run_resumes_to_the_same_bits(model, data, tmp_path):
    whole = run(model, data, steps=30)
    path = tmp_path / "run.checkpoint"

    def stop(step, current, state):
        if step == 17:
            raise KeyboardInterrupt

    part = run(model, data, steps=30, options=Options(checkpoint=path), on_step=stop)
    assert (part.stopped, part.steps) == ("interrupted", 17)
    rest = run(model, data, steps=30, options=Options(resume=path))

    assert rest.steps == 30
    assert trace(rest.model, rest.state) == trace(whole.model, whole.state)


def test_a_checkpoint_is_written_every_so_many_steps(model, data, tmp_path):
    path, seen = tmp_path / "run.checkpoint", []

    def watch(step, current, state):
        if path.exists():
            seen.append(load_checkpoint(path)[1].step)

    options = Options(checkpoint=path, checkpoint_every=5)
    run(model, data, steps=12, options=options, on_step=watch)

    assert seen[0] == 5
    assert load_checkpoint(path)[1].step == 12


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"seed": 8}, "seed"),
        ({"batch": 8}, "batch"),
        ({"rule": Backprop()}, "rule"),
        ({"steps": 40}, "rule"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(model, data, tmp_path, change, word):
    path = tmp_path / "run.checkpoint"
    run(model, data, steps=10, options=Options(checkpoint=path))

    with pytest.raises(FileError, match=f"another run: its {word}"):
        run(model, data, **{"steps": 10, "options": Options(resume=path), **change})


def test_a_checkpoint_of_another_model_is_refused(model, data, tmp_path):
    path = tmp_path / "run.checkpoint"
    run(model, data, steps=10, options=Options(checkpoint=path))
    other = quantize(mlp((8, 8, 1), 10, 1, hidden=(32, 16)), data.x_train[:64], headroom=2.0)

    with pytest.raises(FileError, match="another run: its base"):
        run(other, data, steps=10, options=Options(resume=path))


def test_a_checkpoint_of_other_data_is_refused(model, data, tmp_path):
    path = tmp_path / "run.checkpoint"
    run(model, data, steps=10, options=Options(checkpoint=path))
    other = Data(data.x_train, np.roll(data.y_train, 1), data.x_test, data.y_test)

    with pytest.raises(FileError, match="another run: its data"):
        run(model, other, steps=10, options=Options(resume=path))


def test_every_sample_is_seen_once_an_epoch(model, data):
    seen = []

    class Spy(MonoForward):
        def step(self, model, state, x, y, ops, seed=0):
            seen.append(x)
            return super().step(model, state, x, y, ops, seed)

    run(model, data, Spy(settings=RULE.settings), epochs=1, batch=25)
    codes = model.quantize_input(data.x_train)

    assert len(seen) == 8
    shown = np.sort(np.concatenate(seen).reshape(200, -1), axis=0)
    np.testing.assert_array_equal(shown, np.sort(codes.reshape(200, -1), axis=0))


def test_fewer_samples_than_a_batch_are_one_batch(model, data):
    few = Data(data.x_train[:5], data.y_train[:5], data.x_test, data.y_test)

    assert run(model, few, epochs=2).steps == 2


def test_the_log_has_a_line_an_epoch_and_a_trace_a_step(model, data, tmp_path):
    path = tmp_path / "log.jsonl"
    result = run(model, data, steps=24, options=Options(log=path, trace_every=1))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    traces = [line["trace"] for line in lines if "trace" in line]
    epochs = [line for line in lines if "loss" in line]

    assert len(traces) == 24
    assert traces[-1] == trace(result.model, result.state)
    assert len(set(traces)) == 24
    assert [line["step"] for line in epochs] == [12, 24]
    assert {"epoch", "loss", "saturated", "seconds"} <= set(epochs[0])


def test_validation_is_measured_and_stops_a_run_that_gets_no_better(model, data):
    still = MonoForward(settings=replace(RULE.settings, train=0))
    frozen = Backprop(settings=replace(still.settings, train=("classifier",), learning_rate=2**-16))
    options = Options(validation=0.25, patience=2)
    result = run(model, data, frozen, epochs=50, options=options)

    assert result.stopped == "early"
    assert result.steps < 50 * 9
    assert all("validation_accuracy" in record for record in result.history)


def test_an_early_stop_comes_at_the_same_step_after_a_resume(model, data, tmp_path):
    path = tmp_path / "run.checkpoint"
    rule = Backprop(settings=Settings(learning_rate=2**-3))
    common = {"rule": rule, "epochs": 60}
    watch = {"validation": 0.25, "patience": 2}
    whole = run(model, data, **common, options=Options(**watch))
    assert whole.stopped == "early"

    def stop(step, current, state):
        if step == whole.steps - 13:  # in the middle of an epoch of 9 steps
            raise KeyboardInterrupt

    run(model, data, **common, options=Options(**watch, checkpoint=path), on_step=stop)
    again = Options(**watch, resume=path, checkpoint=path)
    rest, nothing = (run(model, data, **common, options=again) for _ in range(2))

    for result in (rest, nothing):
        assert (result.stopped, result.steps) == ("early", whole.steps)
        assert trace(result.model, result.state) == trace(whole.model, whole.state)
    assert nothing.history == ()
    last, expected = ({**r.history[-1], "seconds": 0} for r in (rest, whole))
    assert last == expected


@pytest.mark.parametrize("rule", [RULE, Backprop(), ForwardForward(), ForwardGradient()])
def test_every_rule_resumes_to_the_same_bits(model, data, tmp_path, rule):
    path = tmp_path / "run.checkpoint"
    whole = run(model, data, rule, steps=9)

    def stop(step, current, state):
        if step == 4:
            raise KeyboardInterrupt

    run(model, data, rule, steps=9, options=Options(checkpoint=path), on_step=stop)
    rest = run(model, data, rule, steps=9, options=Options(resume=path))

    assert trace(rest.model, rest.state) == trace(whole.model, whole.state)


@pytest.mark.parametrize("damage", ["lost", "reshaped", "uncounted", "miscounted"])
def test_a_damaged_checkpoint_of_this_run_is_refused(model, data, tmp_path, damage):
    path = tmp_path / "run.checkpoint"
    run(model, data, steps=4, options=Options(checkpoint=path))
    current, state, extra = load_checkpoint(path)
    tensors = dict(state.tensors)
    if damage == "lost":
        del tensors["exponents"]
    if damage == "reshaped":
        tensors["exponents"] = tensors["exponents"][1:]
    if damage == "uncounted":
        del extra["watch"]
    if damage == "miscounted":
        extra["watch"]["steps"] = "three"
    save_checkpoint(path, current, State(2, tensors), extra)

    with pytest.raises(FileError, match="is damaged"):
        run(model, data, steps=4, options=Options(resume=path))


def test_a_log_on_a_full_disk_is_one_sentence(model, data):
    if not Path("/dev/full").exists():
        pytest.skip(
            "only Linux has /dev/full, a disk that is always full: no other way to fill one"
        )

    with pytest.raises(FileError, match=r"the log /dev/full cannot be written: No space left"):
        run(model, data, steps=3, options=Options(log=Path("/dev/full")))


def test_patience_without_validation_is_refused():
    with pytest.raises(ValueError, match="validation share"):
        Options(patience=3)


def test_labels_out_of_range_are_refused_before_a_step(model, data):
    wrong = Data(data.x_train, data.y_train + 5, data.x_test, data.y_test)

    with pytest.raises(DataError, match=r"14|10"):
        run(model, wrong, steps=1)


def test_an_unwritable_checkpoint_is_refused_before_a_step(model, data, tmp_path):
    (tmp_path / "file").write_text("")
    calls = []
    with pytest.raises(FileError, match="cannot be written"):
        run(
            model, data, steps=1, on_step=lambda *a: calls.append(a),
            options=Options(checkpoint=tmp_path / "file" / "run.checkpoint"),
        )  # fmt: skip

    assert calls == []


def test_an_autoencoder_learns_to_reconstruct(data):
    network = autoencoder((8, 8, 1), hidden=32, code=8)
    model = quantize(network, data.x_train[:64], headroom=2.0, task="reconstruct")
    rule = Backprop(settings=Settings(learning_rate=0.5, weights="w16"))
    result = run(model, data, rule, epochs=15)

    assert result.history[-1]["loss"] < 0.7 * result.history[0]["loss"]


def test_forward_forward_refuses_an_autoencoder_by_name(data):
    model = quantize(autoencoder((8, 8, 1)), data.x_train[:64], task="reconstruct")

    with pytest.raises(RuleError, match="'reconstruction'"):
        run(model, data, ForwardForward(), steps=1)


def test_one_class_is_none_to_tell_from_another():
    model = quantize(mlp((4,), 1), np.ones((2, 4), np.float32), task="classify")
    with pytest.raises(RuleError, match="needs 2 or more, got 1"):
        ForwardForward().init(model)
