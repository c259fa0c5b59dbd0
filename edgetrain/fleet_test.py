"""A fleet's replay equals that of every device by itself, faults and small memories included."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from edgetrain import fixed, kernels
from edgetrain.architectures import cnn
from edgetrain.data import Data, digits
from edgetrain.errors import DeviceMemoryError, FileError
from edgetrain.fleet import replay_many
from edgetrain.journal import load_journal
from edgetrain.quantize import quantize
from edgetrain.replay import replay
from edgetrain.rules import ForwardGradient
from edgetrain.settings import Settings
from edgetrain.state import trace
from edgetrain.train import fit
from edgetrain.watch import Options

RULE = ForwardGradient(
    settings=Settings(learning_rate=0.05, schedule="linear"), space="weight", head="same", queries=2
)
W16 = replace(RULE, settings=Settings(learning_rate=0.05, weights="w16"))


@pytest.fixture(scope="module")
def model():
    return quantize(cnn((8, 8, 1), 10, channels=(3, 2)), digits().x_train[:64], headroom=2.0)


@pytest.fixture(scope="module")
def fleet(model, tmp_path_factory):
    """Journals of devices that ran differently far, by rules of two kinds."""
    folder, full = tmp_path_factory.mktemp("fleet"), digits()
    data = Data(full.x_train[:60], full.y_train[:60], full.x_test[:20], full.y_test[:20])
    found = {}
    for seed, (rule, steps) in enumerate([(RULE, 140)] * 3 + [(RULE, 9), (W16, 9), (W16, 9)]):
        path = folder / f"{seed}.journal"
        fit(rule, model, data, ops=fixed, seed=seed, steps=steps, batch=2,
            options=Options(journal=path))  # fmt: skip
        found[seed] = load_journal(path)
    return found


def traces(runs):
    return {name: str(run) if isinstance(run, Exception) else trace(*run) for name, run in runs}


def test_a_fleet_is_replayed_as_each_of_its_devices(model, fleet):
    alone = {seed: trace(*replay(model, journal, ops=fixed)) for seed, journal in fleet.items()}

    assert len(set(alone.values())) == len(fleet)
    for backend in ("numpy", kernels.default()):
        assert traces(replay_many(model, fleet, ops=kernels.load(backend))) == alone
        assert traces(replay_many(model, fleet, ops=kernels.load(backend), most=2)) == alone


def test_a_fleet_stops_at_a_step(model, fleet):
    alone = {s: trace(*replay(model, j, ops=fixed, step=5)) for s, j in fleet.items()}

    assert traces(replay_many(model, fleet, ops=fixed, step=5)) == alone


def test_a_faulty_journal_is_found_and_keeps_no_other_from_its_weights(model, fleet):
    whole = traces(replay_many(model, fleet, ops=fixed))
    frame = fleet[1].frames[0]
    wrong = (frame._replace(payload=frame.payload[::-1]), *fleet[1].frames[1:])
    faulty = {**fleet, 1: replace(fleet[1], frames=wrong)}
    other = replace(fleet[0], header=replace(fleet[0].header, base="00000000"))
    found = dict(replay_many(model, {**faulty, "other": other}, ops=fixed))

    assert isinstance(found[1], FileError)
    assert "another base model" in str(found.pop("other"))
    assert traces(found.items()) == {**whole, 1: str(found[1])}


def test_a_small_memory_takes_smaller_batches_and_says_so(model, fleet):
    def small(w, *arguments):
        if len(w) > 1:
            raise DeviceMemoryError("full")
        return fixed.replay_int8(w, *arguments)

    ops = SimpleNamespace(**{name: getattr(fixed, name) for name in kernels.OPS})
    ops.replay_int8, sizes = small, []
    found = traces(replay_many(model, fleet, ops=ops, on_retry=sizes.append))

    assert found == traces(replay_many(model, fleet, ops=fixed))
    assert sizes == [1, 1]
