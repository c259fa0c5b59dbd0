"""Rules and networks whose steps are written, and what a step must be."""

import numpy as np

from edgetrain import fixed
from edgetrain.exporters.step_writing.program import chosen, parameters, write_step
from edgetrain.exporters.training_tests.eager import Eager
from edgetrain.model import Weights


def given(model, rule, state, x, y, seed):
    """Return what enters a written step."""
    scalars = {"seed": np.array(seed, np.int64), "step": np.array(state.step, np.int64)}
    return {"x": x, "y": y, **scalars, **parameters(model, chosen(rule), state)}


def eager_step(model, rule, state, x, y, seed=0):
    """Take a step with the emitter that computes; return what leaves it."""
    emit = Eager(given(model, rule, state, x, y, seed))
    write_step(emit, model, chosen(rule), state, len(x))
    return emit.outputs


def wanted(model, rule, state, x, y, seed=0):
    """Return what must leave a step, and model and state behind it."""
    model, state, metrics = rule.step(model, state, x, y, fixed, seed)
    found = parameters(model, chosen(rule), state)
    left = {f"next/{name}": value for name, value in found.items()}
    return {**left, "next/step": np.array(state.step), "status": np.array(0),
            **{name: np.array(value) for name, value in metrics.items()}}, model, state  # fmt: skip


def differences(found, wanted):
    """Name what differs."""
    return [name for name, value in wanted.items() if not np.array_equal(found[name], value)]


def weights(model, given):
    """Return a model with parameters by the names of a step."""
    return model.replace_params(
        {name: Weights(*(given.get(f"node/{name}/{part}", old)
                         for part, old in zip(("w", "b"), pair, strict=True)))
         for name, pair in model.params.items()}
    )  # fmt: skip
