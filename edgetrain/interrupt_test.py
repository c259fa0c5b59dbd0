"""Ctrl-C in a real process leaves a checkpoint that goes on to the same bits."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgetrain.architectures import mlp
from edgetrain.data import Data, digits
from edgetrain.files import save
from edgetrain.quantize import quantize
from edgetrain.rules import MonoForward
from edgetrain.settings import Settings

ROOT = Path(__file__).parent.parent
RULE = MonoForward(settings=Settings(learning_rate=0.25, weights="w16", schedule="linear"))


@pytest.fixture(scope="module")
def data():
    full = digits()
    return Data(full.x_train[:200], full.y_train[:200], full.x_test[:50], full.y_test[:50])


@pytest.fixture(scope="module")
def model(data):
    return quantize(mlp((8, 8, 1), 10, hidden=(32, 16)), data.x_train[:64], headroom=2.0)


def can_be_interrupted():
    """Undo that shells let background jobs ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_leaves_a_checkpoint_that_resumes_to_the_same_bits(model, data, tmp_path):
    base, archive = tmp_path / "model.safetensors", tmp_path / "data.npz"
    save(model, base)
    np.savez(archive, x_train=data.x_train, y_train=data.y_train, x_test=data.x_test,
             y_test=data.y_test)  # fmt: skip
    command = [
        sys.executable, "-m", "edgetrain", "train", str(base), "--data", str(archive),
        "--backend", "numpy", "--steps", "1500", "--batch", "16", "--learning-rate", "0.25",
        "--json", "--checkpoint-every", "10", "-o", str(tmp_path / "tuned.safetensors"),
    ]  # fmt: skip
    whole = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    path = tmp_path / "run.checkpoint"
    started = subprocess.Popen(
        [*command, "--checkpoint", str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL, preexec_fn=can_be_interrupted,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    started.send_signal(signal.SIGINT)
    stopped = json.loads(started.communicate(timeout=60)[0].splitlines()[-1])
    rest = subprocess.run(
        [*command, "--resume", str(path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    expected, reached = (json.loads(r.stdout.splitlines()[-1]) for r in (whole, rest))

    assert started.returncode == 130
    assert (stopped["stopped"], stopped["steps"] < 1500) == ("interrupted", True)
    assert reached["trace"] == expected["trace"] != stopped["trace"]
