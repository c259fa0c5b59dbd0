"""Recorded steps in another Python: in CI that of an Arm processor, as phones have."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.exporters.step_writing.program import chosen, parameters
from edgetrain.exporters.tflite_training.run import number
from edgetrain.exporters.to_tflite_train import to_tflite_train
from edgetrain.exporters.training_tests.cases import RULES, SEED, network
from edgetrain.parity import synthetic
from edgetrain.rules import configured

ARM = "EDGETRAIN_ARM_PYTHON"
"""Where this is set it names the Python that replays the steps; `.ci/arm_python` makes one."""
CASES = [
    ("mlp", "mono_forward"), ("mlp", "activity"), ("mlp", "weight, two passes"),
    ("mlp", "forward_forward"), ("ds_cnn", "mono_forward"), ("mixed", "backprop"),
]  # fmt: skip
STEPS, BATCH = 20, 3


def record(file, name, rule):
    """Write a case for `replay_steps`."""
    model, rule = network(name), configured(RULES[rule], batch=BATCH)
    (content,) = to_tflite_train(model, rule=rule, batch=BATCH).values()
    state, losses = rule.init(model), []
    batches = list(synthetic(model, STEPS, BATCH))
    for x, y in batches:
        model, state, metrics = rule.step(model, state, x, y, fixed, SEED)
        losses.append(metrics["loss"])
    x, y = (np.stack(part) for part in zip(*batches, strict=True))
    file.write_bytes(content)
    ends = parameters(model, chosen(rule), state)
    np.savez(file.with_suffix(".npz"), x=x, y=y, loss=losses, seed=number(SEED), **ends)


@pytest.mark.slow
def test_steps_on_another_machine(tmp_path):
    for name, rule in CASES:
        record(tmp_path / f"{name}-{rule}.tflite", name, rule)
    script = Path(__file__).with_name("replay_steps.py")
    python = os.environ.get(ARM, sys.executable)
    done = subprocess.run(
        [python, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["equal"]) >= 2 * len(CASES)
    assert {name: n for name, n in told["equal"].items() if n != STEPS} == {}
    if ARM in os.environ:
        assert told["machine"] == "aarch64"
        assert len(told["equal"]) == 4 * len(CASES)
