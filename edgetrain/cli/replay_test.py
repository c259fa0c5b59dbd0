"""`train --journal` and `replay`: the same file again, a fleet at once, and bad input."""

import json
import re

import pytest

from edgetrain import kernels
from edgetrain.errors import BackendError

SPSA = ("--rule", "forward-gradient", "--space", "weight", "--head", "same")


def train(model, *more):
    return ("train", model, "--data", "digits.npz", *SPSA, "--steps", "20", "--batch", "4",
            "--learning-rate", "0.02", *more)  # fmt: skip


@pytest.fixture
def run(folder, model, report):
    """A run with its journal; the summary of the training."""
    if not (folder / "run.json").exists():
        found = report(*train(model, "--journal", "run.journal", "-o", "tuned.st"))
        (folder / "run.json").write_text(json.dumps(found))
    return json.loads((folder / "run.json").read_text())


def test_a_replay_writes_the_very_file_of_the_training(folder, model, run, report):
    found = report("replay", model, "run.journal", "-o", "again.st")

    assert (found["trace"], found["steps"], found["dropped_bytes"]) == (run["trace"], 20, 0)
    assert (folder / "again.st").read_bytes() == (folder / "tuned.st").read_bytes()


def test_a_replay_goes_on_from_any_step(folder, model, run, report):
    middle = report("replay", model, "run.journal", "--step", "7", "--checkpoint", "c.ckpt")
    found = report("replay", model, "run.journal", "--resume", "c.ckpt", "-o", "again.st")

    assert middle["steps"] == 7
    assert middle["trace"] != run["trace"]
    assert found["trace"] == run["trace"]


def test_a_training_goes_on_behind_its_journal(folder, model, run, report):
    whole = (folder / "run.journal").read_bytes()
    (folder / "cut.journal").write_bytes(whole[:-3])
    found = report("replay", model, "cut.journal")
    assert (found["steps"], found["dropped_bytes"]) == (0, 1 + 5 + 8 - 3)

    assert report(*train(model, "--journal", "cut.journal"))["trace"] == run["trace"]
    assert (folder / "cut.journal").read_bytes() == whole


def test_a_fleet(folder, model, run, edgetrain, report):
    fleet = folder / "fleet"
    fleet.mkdir(exist_ok=True)
    for seed in (1, 2):
        report(*train(model, "--seed", seed, "--journal", f"fleet/{seed}.journal"))
    found = report("replay", model, "--many", "fleet", "-o", "weights")
    assert (found["replayed"], found["failed"]) == (2, 0)
    assert (
        report("replay", model, "fleet/1.journal", "-o", "one.st")["trace"]
        == (found["journals"]["1.journal"]["trace"])
    )
    assert (folder / "weights" / "1.safetensors").read_bytes() == (folder / "one.st").read_bytes()

    (fleet / "3.journal").write_bytes(b"ETJ\x01 no journal")
    code, out, _ = edgetrain("replay", model, "--many", "fleet", "-o", "weights")
    assert code == 1
    assert "2 of 3 replayed" in out
    assert "3.journal" in out


@pytest.fixture
def refused(edgetrain, folder):
    """Run a command that must fail and change nothing; return its one sentence."""

    def run(*arguments):
        before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        code, out, err = edgetrain(*arguments)
        assert (code, out) == (1, "")
        assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before
        (sentence,) = [s for s in err.splitlines() if s.startswith("edgetrain: error: ")]
        return sentence

    return run


def test_bad_journals(folder, model, run, report, refused):
    report("new", "--arch", "mlp", "--data", "digits.npz", "--seed", "5", "-o", "other.st")
    whole = (folder / "run.journal").read_bytes()
    (folder / "flipped.journal").write_bytes(whole[:-12] + b"\x01" + whole[-11:])

    assert "another base model" in refused("replay", "other.st", "run.journal", "-o", "never.st")
    assert "damaged at byte" in refused("replay", model, "flipped.journal", "-o", "never.st")
    assert "not a journal" in refused("replay", model, "digits.npz", "-o", "never.st")
    assert "there is no such file" in refused("replay", model, "absent.journal", "-o", "never.st")
    assert "20 steps" in refused("replay", model, "run.journal", "--step", "21", "-o", "never.st")
    assert "no file *.journal" in refused("replay", model, "--many", ".x", "-o", "never")
    assert "--many" in refused("replay", model)
    assert "-o" in refused("replay", model, "--many", ".")


def test_a_backend_that_cannot_run_here_changes_nothing(folder, model, run, refused):
    try:
        kernels.load("triton")
    except BackendError:
        command = ("replay", model, "run.journal", "--backend", "triton", "-o", "never.st")
        without = re.compile("backend 'triton' (cannot run here|needs torch)")
        assert without.search(refused(*command))
        assert without.search(refused(*command[:2], "--many", ".", *command[3:]))
    else:
        pytest.skip("triton runs here, on an NVIDIA GPU or interpreted: no refusal to see")


def test_journals_that_cannot_be_written(model, run, refused):
    command = ("train", model, "--data", "digits.npz", "--journal", "never.journal")

    assert "--space weight" in refused(*command)
    assert "--head same" in refused(*command, "--rule", "forward-gradient", "--space", "weight")
    assert "another run" in refused(*train(model, "--seed", "9", "--journal", "run.journal"))
    assert "not a journal" in refused(*train(model, "--journal", "digits.npz"))
    assert "leave out resume" in refused(*train(model, "--journal", "j", "--resume", "c"))


def test_c_with_a_journal_is_exported(folder, model, report, refused):
    command = ("export", model, "--to", "c", "--journal", "-o", "firmware")
    report(*command, *SPSA, "--learning-rate", "0.02", "--name", "net")

    assert "uint32_t net_frame(" in (folder / "firmware" / "src" / "net.h").read_text()
    assert "--space weight" in refused(*command)
    assert "journal is no option" in refused(
        "export", model, "--to", "onnx", "--journal", "-o", "x"
    )
