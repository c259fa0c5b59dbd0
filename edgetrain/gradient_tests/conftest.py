"""Records the gradients of a step."""

import pytest

from edgetrain.model import Weights
from edgetrain.step import Step


@pytest.fixture
def gradients(monkeypatch):
    """Freeze the weights; collect the gradients of the newest step in real units, by key."""
    found: dict[str, Weights] = {}

    def update(step, key, old, acc_w, acc_b, exponent, limit, rate=256, batch=0):
        kind, name = key.split("/")
        source = step.model.graph.by_name[name].inputs[0] if kind == "node" else name
        unit = 2.0**exponent
        scale = step.model.scheme.activations[source].scale
        found[key] = Weights(acc_w * scale * unit, acc_b * unit)
        return old

    monkeypatch.setattr(Step, "update", update)
    return found
