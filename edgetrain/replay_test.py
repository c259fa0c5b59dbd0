"""Replays: the weights of a run bit for bit, from any step, after a power cut at any byte."""

import errno
import os
from dataclasses import replace

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import autoencoder, ds_cnn, mlp
from edgetrain.data import Data, digits
from edgetrain.errors import FileError, RuleError
from edgetrain.journal import load_journal, read_journal
from edgetrain.quantize import quantize
from edgetrain.replay import replay
from edgetrain.rules import ForwardGradient, MonoForward
from edgetrain.settings import Settings
from edgetrain.state import trace
from edgetrain.train import fit
from edgetrain.watch import Options

STEPS = 150
W16 = Settings(learning_rate=0.05, weights="w16", momentum=0.875, schedule="linear")
PLAIN = ForwardGradient(settings=Settings(learning_rate=0.05), space="weight", head="same")
RULES = {
    "w8": PLAIN,
    "w16": replace(PLAIN, settings=W16, queries=2),
    "value": replace(PLAIN, settings=replace(W16, learning_rate=0.001), estimate="value"),
    "last": replace(PLAIN, settings=replace(W16, train=1)),
}


@pytest.fixture(scope="module")
def data():
    full = digits()
    return Data(full.x_train[:100], full.y_train[:100], full.x_test[:50], full.y_test[:50])


@pytest.fixture(scope="module")
def model(data):
    return quantize(mlp((8, 8, 1), 10, hidden=(9,)), data.x_train[:64], headroom=2.0)


class Run:
    """A run with its journal, and the trace of every step."""

    def __init__(self, model, data, path, rule=PLAIN, steps=STEPS, **options):
        self.traces, self.kept = [], {}

        def keep(step, model, state):
            self.traces.append(trace(model, state))
            self.kept[step] = model, state

        self.result = fit(
            rule, model, data, ops=fixed, seed=3, batch=4, steps=steps, on_step=keep,
            options=Options(journal=path, **options),
        )  # fmt: skip


@pytest.fixture(scope="module")
def run(model, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "run.journal"
    done = Run(model, data, path)
    done.content = path.read_bytes()
    return done


@pytest.mark.parametrize("name", RULES)
def test_a_replay_has_the_weights_of_the_run(model, data, tmp_path, name):
    done = Run(model, data, tmp_path / "j", RULES[name])
    journal = load_journal(tmp_path / "j")

    assert journal.steps == STEPS
    assert len(set(done.traces)) > STEPS // 2
    assert trace(*replay(model, journal, ops=fixed)) == done.traces[-1]


def test_a_convolutional_network(data, tmp_path):
    model = quantize(ds_cnn((8, 8, 1), 10, channels=4, blocks=1), data.x_train[:64])
    done = Run(model, data, tmp_path / "j", steps=5)

    assert trace(*replay(model, load_journal(tmp_path / "j"), ops=fixed)) == done.traces[-1]


def test_a_regression_has_the_same_weights_whatever_its_errors_were(data, tmp_path):
    flat = Data(*(x.reshape(len(x), -1) for x in (data.x_train, data.x_train)),
                *(x.reshape(len(x), -1) for x in (data.x_test, data.x_test)))  # fmt: skip
    real = autoencoder((64,), hidden=8, code=3)
    model = quantize(real, flat.x_train, headroom=2.0, task="reconstruct")
    done = Run(model, flat, tmp_path / "j", steps=40)
    again, _ = replay(model, load_journal(tmp_path / "j"), ops=fixed)

    for name, weights in done.result.model.params.items():
        np.testing.assert_array_equal(again.params[name].w, weights.w)
        np.testing.assert_array_equal(again.params[name].b, weights.b)


def test_a_replay_stops_at_any_step_and_goes_on_from_it(model, run):
    journal = read_journal(run.content)
    for step in range(1, STEPS + 1, 7):
        middle = replay(model, journal, ops=fixed, step=step)
        assert trace(*middle) == run.traces[step - 1]
        assert trace(*replay(model, journal, ops=fixed, start=middle)) == run.traces[-1]
    assert replay(model, journal, ops=fixed, step=0)[0] is model
    assert replay(model, journal, ops=fixed, start=run.kept[STEPS])[1].step == STEPS


def test_a_start_of_another_run_is_refused(model, data, run, tmp_path):
    journal = read_journal(run.content)
    other = Run(model, data, tmp_path / "j", replace(PLAIN, perturbation=0.3), steps=10)
    strange = Run(model, data, tmp_path / "k", RULES["w16"], steps=10)

    with pytest.raises(FileError, match="not written from this start"):
        replay(model, journal, ops=fixed, start=other.kept[10])
    with pytest.raises(FileError, match="not a state of the journal's rule"):
        replay(model, journal, ops=fixed, start=strange.kept[10])
    with pytest.raises(FileError, match="cannot go to step 5"):
        replay(model, journal, ops=fixed, step=5, start=run.kept[6])
    with pytest.raises(FileError, match=f"cannot go to step {STEPS + 1}"):
        replay(model, journal, ops=fixed, step=STEPS + 1)


def test_a_journal_of_another_base_is_refused(data, run):
    other = quantize(mlp((8, 8, 1), 10, hidden=(9,), seed=4), data.x_train[:64], headroom=2.0)

    with pytest.raises(FileError, match="of another base model"):
        replay(other, read_journal(run.content), ops=fixed)


def test_signs_that_lead_elsewhere_are_noticed(model, run):
    journal = read_journal(run.content)
    frame = journal.frames[0]
    swapped = frame._replace(payload=frame.payload[::-1])

    with pytest.raises(FileError, match="the weights at step 128 have the trace"):
        replay(model, replace(journal, frames=(swapped, *journal.frames[1:])), ops=fixed)


def test_after_a_power_cut_at_any_byte_the_run_goes_on_to_the_same_bits(model, data, run, tmp_path):
    path = tmp_path / "run.journal"
    first = len(run.content) - (1 + 128 // 4 + 8) - (1 + -(-(STEPS - 128) // 4) + 8)
    for cut in range(first, len(run.content)):
        whole = 128 if cut >= first + 41 else 0
        path.write_bytes(run.content[:cut])
        assert read_journal(path.read_bytes()).steps == whole
        if cut % 7:
            continue
        rest = Run(model, data, path)
        assert rest.traces == run.traces[whole:]
        assert path.read_bytes() == run.content


def test_ctrl_c_keeps_every_step(model, data, run, tmp_path):
    path = tmp_path / "run.journal"

    def stop(step, current, state):
        if step == 57:
            raise KeyboardInterrupt

    arguments = {"ops": fixed, "seed": 3, "batch": 4, "steps": STEPS}
    options = Options(journal=path)
    stopped = fit(PLAIN, model, data, on_step=stop, options=options, **arguments)
    middle = replay(model, load_journal(path), ops=fixed)

    assert (stopped.stopped, middle[1].step) == ("interrupted", 57)
    assert trace(*middle) == run.traces[56]
    assert Run(model, data, path).traces == run.traces[57:]
    assert trace(*replay(model, load_journal(path), ops=fixed)) == run.traces[-1]


def test_a_journal_of_another_run_is_not_touched(model, data, run, tmp_path):
    path = tmp_path / "run.journal"
    path.write_bytes(run.content)

    with pytest.raises(FileError, match="another run: its queries is 1, here it is 2"):
        Run(model, data, path, replace(PLAIN, queries=2))
    with pytest.raises(FileError, match="another run: its steps is 150, here it is 9"):
        Run(model, data, path, steps=9)
    assert path.read_bytes() == run.content


def test_rules_that_a_journal_cannot_hold(model, data, tmp_path):
    for rule in (MonoForward(), ForwardGradient(), ForwardGradient(space="weight")):
        with pytest.raises(RuleError, match="--head same"):
            Run(model, data, tmp_path / "j", rule)
    assert not (tmp_path / "j").exists()
    with pytest.raises(ValueError, match="goes on from its journal by itself"):
        Options(journal=tmp_path / "j", resume=tmp_path / "c")


def test_a_full_disk_leaves_what_can_be_replayed(model, data, run, tmp_path, monkeypatch):
    path = tmp_path / "run.journal"
    path.write_bytes(run.content[:-19])

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="No space left"):
        Run(model, data, path)
    assert load_journal(path).steps >= 128


def test_a_small_journal(model, data, tmp_path):
    path = tmp_path / "run.journal"
    Run(model, data, path, steps=1280)
    frames = path.stat().st_size - len(read_journal(path.read_bytes()).header.packed())

    assert frames == 10 * (1 + 128 * 2 // 8 + 8)
