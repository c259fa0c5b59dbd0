"""`delta` and `apply` on files, and what they refuse."""

import pytest


@pytest.fixture
def tuned(folder, model, report):
    if not (folder / "fine.st").exists():
        report("train", model, "--data", "digits.npz", "--steps", "5", "-o", "fine.st")
        report("delta", model, "fine.st", "-o", "fine.delta")
    return "fine.st"


def test_a_delta_makes_the_very_file(folder, model, tuned, report):
    found = report("apply", model, "fine.delta", "-o", "again.st")

    assert (folder / "again.st").read_bytes() == (folder / tuned).read_bytes()
    assert found["result"] == report("delta", model, tuned, "-o", "fine.delta")["result"]
    assert (folder / "fine.delta").stat().st_size < (folder / tuned).stat().st_size


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("apply", "fine.st", "fine.delta"), "another base model"),
        (("apply", "fine.st", "digits.npz"), "not a delta"),
        (("apply", "fine.st", "absent.delta"), "there is no such file"),
        (("delta", "fine.st", "other.st"), "send the whole model"),
        (("delta", "fine.st", "digits.npz"), "digits.npz"),
    ],
)
def test_bad_input(folder, tuned, report, edgetrain, command, words):
    if not (folder / "other.st").exists():
        report("new", "--arch", "cnn", "--data", "digits.npz", "-o", "other.st")
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    code, out, err = edgetrain(*command, "-o", "never")

    assert (code, out) == (1, "")
    assert words in err
    assert "Traceback" not in err
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before
