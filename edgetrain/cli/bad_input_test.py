"""Bad input: one clear sentence, a non-zero exit, nothing written, nothing half-changed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgetrain.data import digits

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def refused(edgetrain, folder):
    """Run a command that must fail; return its one sentence."""

    def run(*arguments):
        before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        code, out, err = edgetrain(*arguments)
        after = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        assert code == 1
        assert out == ""
        errors = [line for line in err.splitlines() if line.startswith("edgetrain: error: ")]
        assert len(errors) == 1
        assert "Traceback" not in err
        assert after == before
        return errors[0]

    return run


def save_data(folder, name, **changes):
    """Write digits with some arrays exchanged."""
    data = digits()
    arrays = {
        "x_train": data.x_train[:60], "y_train": data.y_train[:60],
        "x_test": data.x_test[:20], "y_test": data.y_test[:20],
    }  # fmt: skip
    arrays |= {key: value(arrays[key].copy()) for key, value in changes.items()}
    np.savez(folder / name, **arrays)
    return name


def train(model, data="digits.npz", *more):
    return ("train", model, "--data", data, "--steps", "2", "-o", "never.st", *more)


def test_a_truncated_model(refused, folder, model):
    (folder / "cut.st").write_bytes((folder / model).read_bytes()[:-100])

    assert "cut.st" in refused(*train("cut.st"))


def test_a_foreign_file(refused, folder):
    (folder / "foreign.st").write_bytes(b"PK\x03\x04 this is no model" * 50)

    assert "foreign.st" in refused("evaluate", "foreign.st", "--data", "digits.npz")


def test_a_missing_model(refused):
    assert "absent.st" in refused("analyze", "absent.st")


def with_nan(x):
    x[3] = np.nan
    return x


def with_infinity(x):
    x[3] = np.inf
    return x


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": with_nan}, "x_train"),
        ({"x_test": with_infinity}, "x_test"),
        ({"y_test": lambda y: y - 5}, "y_test"),
        ({"y_train": lambda y: y.astype(np.float32)}, "y_train"),
        ({"y_train": lambda y: y.astype(str)}, "y_train"),
        ({"x_train": lambda x: x[:0], "y_train": lambda y: y[:0]}, "x_train"),
        ({"x_train": lambda x: x[:-1]}, "x_train"),
        ({"x_train": lambda x: x[:, :7], "x_test": lambda x: x[:, :7]}, "7"),
    ],
)
def test_bad_data(refused, folder, model, changes, words):
    name = save_data(folder, "bad.npz", **changes)

    assert words in refused(*train(model, name))
    assert refused("evaluate", model, "--data", name)


def test_training_labels_out_of_range(refused, folder, model):
    name = save_data(folder, "bad.npz", y_train=lambda y: y + 40)

    assert "y_train" in refused(*train(model, name))


def test_nan_in_calibration_data(refused, folder):
    name = save_data(folder, "nan.npz", x_train=with_nan)

    assert "x_train" in refused("new", "--arch", "mlp", "--data", name, "-o", "never.st")


def test_an_ambiguous_shape_is_asked_for(refused, folder):
    flat = {key: lambda x: x.reshape(-1, 8, 8) for key in ("x_train", "x_test")}
    name = save_data(folder, "ambiguous.npz", **flat)

    assert "--input" in refused("new", "--arch", "cnn", "--data", name, "-o", "never.st")


def test_an_unknown_name_is_answered_with_the_known_ones(refused, model):
    assert "mono_forward" in refused(*train(model, "digits.npz", "--rule", "magic"))
    assert "ds_cnn" in refused("new", "--arch", "vgg", "--data", "digits.npz", "-o", "never.st")
    assert "numpy" in refused(*train(model, "digits.npz", "--backend", "abacus"))


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        ("1e-12", "rounds to zero"),
        ("1e9", "overflows"),
        ("0", "> 0"),
        ("-1", "> 0"),
        ("nan", "finite"),
        ("fast", "2^-6"),
    ],
)
def test_a_learning_rate_that_cannot_be(refused, model, rate, words):
    assert words in refused(*train(model, "digits.npz", "--learning-rate", rate))


@pytest.mark.parametrize("width", ["0", "-1", "nan", "inf"])
def test_a_width_that_cannot_be(refused, width):
    command = ("new", "--arch", "mobilenet_v1", "--data", "digits.npz", "-o", "never.st")

    assert "--width must be" in refused(*command, "--width", width)


def test_sizes_that_the_architecture_does_not_take(refused):
    for arch, sizes in (("autoencoder", "8,8"), ("ds_cnn", "8,8"), ("mlp", "8,x"), ("cnn", "²")):
        option = "--hidden" if arch in ("mlp", "autoencoder") else "--channels"
        command = ("new", "--arch", arch, "--data", "digits.npz", "-o", "never.st")
        assert f"{option}" in refused(*command, option, sizes)


def test_an_option_that_the_rule_does_not_have(refused, model):
    sentence = refused(*train(model, "digits.npz", "--rule", "backprop", "--queries", "2"))

    assert "--queries" in sentence
    assert "backprop" in sentence


def test_a_rule_that_cannot_train_a_node_names_it(refused, report):
    report("new", "--arch", "autoencoder", "--data", "digits.npz", "-o", "auto.st")

    assert "'reconstruction'" in refused(
        *train("auto.st", "digits.npz", "--rule", "forward-forward")
    )


def test_an_unwritable_output_is_found_before_training(refused, folder, model):
    (folder / "plain").write_text("a file, no folder")

    assert "plain" in refused("train", model, "--data", "digits.npz", "-o", "plain/out.st")


def test_a_checkpoint_of_another_model(refused, report, model):
    report("new", "--arch", "mlp", "--data", "digits.npz", "--seed", "5", "-o", "other.st")
    report("train", "other.st", "--data", "digits.npz", "--steps", "2", "--checkpoint", "o.ckpt")

    assert "another run" in refused(*train(model, "digits.npz", "--resume", "o.ckpt"))


def test_a_full_disk_leaves_the_old_file(refused, folder, model, monkeypatch):
    (folder / "kept.st").write_bytes(b"the old file")

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    sentence = refused("train", model, "--data", "digits.npz", "--steps", "1", "-o", "kept.st")

    assert "No space left" in sentence
    assert (folder / "kept.st").read_bytes() == b"the old file"


def without_numba(folder, *arguments):
    """Run a command in a process of its own in which Numba cannot be imported."""
    program = "import sys; sys.modules['numba'] = None; from edgetrain.__main__ import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_numba_absent_is_said_with_the_cure(folder, model):
    done = without_numba(
        folder, "evaluate", model, "--data", "digits.npz", "--backend", "numba"
    )  # fmt: skip

    assert done.returncode == 1
    assert "pip install" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_numba_numpy_is_used_and_said_so(folder, model):
    done = without_numba(folder, "evaluate", model, "--data", "digits.npz", "--json")

    assert '"backend": "numpy"' in done.stdout
    assert "NumPy" in done.stderr
