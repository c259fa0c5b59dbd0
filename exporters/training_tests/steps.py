"""What a written step must give, beside the rule."""

import numpy as np

from edgetrain import fixed
from edgetrain.exporters.step_writing.program import chosen, parameters


def given(model, rule, state, x, y, seed=0):
    """Return what enters a written step."""
    scalars = {"seed": np.array(seed, np.int64), "step": np.array(state.step, np.int64)}
    return {"x": x, "y": y, **scalars, **parameters(model, chosen(rule), state)}


def wanted(model, rule, state, x, y, seed=0):
    """Return what must leave a step, and model and state behind it."""
    model, state, metrics = rule.step(model, state, x, y, fixed, seed)
    found = parameters(model, chosen(rule), state)
    left = {f"next/{name}": value for name, value in found.items()}
    left |= {"next/step": np.array(state.step), "status": np.array(0)}
    return left | {name: np.array(value) for name, value in metrics.items()}, model, state


def differences(found, wanted):
    """Name what differs."""
    return [name for name, value in wanted.items() if not np.array_equal(found[name], value)]
