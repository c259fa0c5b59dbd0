"""How good a model is: accuracy, squared error, or how well it tells anomalies.

These numbers are for people and may be floats.
"""

from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.probabilities import PROBABILITY_SCALE, PROBABILITY_ZERO_POINT
from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.compiled.inference import output
from edgetrain.data import check_labels
from edgetrain.errors import DataError
from edgetrain.model import Float, Model
from edgetrain.outputs import targets_q10
from edgetrain.rules import Rule
from edgetrain.state import State, output_span

BATCH = 256


def targets(model: Model, x: Float, y: NDArray[np.generic], name: str = "y") -> Ints:
    """Return what a model is to learn from samples: labels, or Q10 numbers.

    Args:
        model: the network; its task decides.
        x: float32 (samples, *input_shape).
        y: int32 labels (samples,), or float32 targets (samples, outputs); not used where the
            task is to reconstruct x.
        name: of y in messages.

    Returns:
        int32 labels (samples,), or int32 (samples, outputs), Q10.

    Raises:
        DataError: if labels or targets do not fit the model's outputs.
    """
    if model.task == "reconstruct":
        if len(y) != len(x):
            raise DataError(f"{name} must have one entry a sample ({len(x)}), got {len(y)}")
        return targets_q10(model, x.reshape(len(x), -1))
    outputs = model.graph.output_size
    if model.task == "regress":
        if y.dtype.kind != "f" or y.shape != (len(x), outputs):
            raise DataError(
                f"{name} must be {outputs} real numbers a sample for this model, "
                f"got {y.dtype} {y.shape}"
            )
        return targets_q10(model, y.astype(np.float32))
    if y.dtype.kind == "f" or y.shape != (len(x),):
        raise DataError(
            f"{name} must be {len(x)} whole-number labels for this model, got {y.dtype} {y.shape}"
        )
    check_labels(y, outputs, name)
    return y.astype(np.int32)


def outputs(
    rule: Rule | None, model: Model, state: State | None, x: Float, ops: ModuleType
) -> NDArray[np.float64]:
    """Return the outputs for real samples, float64 (samples, outputs), computed in batches.

    A rule predicts in units of `edgetrain.state.output_span`; without one these are the real
    numbers that the int8 output of an exported file stands for, its rounding and its limits
    included: probabilities where the model ends with a softmax.
    """
    parts = []
    for i in range(0, len(x), BATCH):
        codes = model.quantize_input(x[i : i + BATCH])
        if rule is None or state is None:
            parts.append(output_reals(model, output(model, codes, ops)))
        else:
            found = rule.predict(model, state, codes, ops).astype(np.float64)
            parts.append(found * _unit(model))
    return np.concatenate(parts)


def output_reals(model: Model, codes: Int8) -> NDArray[np.float64]:
    """Return the real numbers (samples, outputs) that `edgetrain.inference.output` stands for."""
    scale, zero_point = model.scheme.activations[model.graph.output.name]
    if model.softmax:
        scale, zero_point = PROBABILITY_SCALE, PROBABILITY_ZERO_POINT
    return scale * (codes.reshape(len(codes), -1).astype(np.float64) - zero_point)


def _unit(model: Model) -> float:
    """Return the real value of one unit of Q10 outputs and targets."""
    return output_span(model, model.graph.output) / 2**LOGIT_BITS


def evaluate(
    rule: Rule | None,
    model: Model,
    state: State | None,
    x: Float,
    y: NDArray[np.generic],
    *,
    ops: ModuleType,
) -> dict[str, float]:
    """Measure a model on real samples.

    Args:
        rule: whose prediction counts (with state); None for the network's own int8 output, as an
            exported file gives it.
        model: the network.
        state: of the rule.
        x: float32 (samples, *input_shape).
        y: labels or targets; of a reconstruction, labels 0 (normal) and 1 (anomaly).
        ops: the backend.

    Returns:
        "samples" and, by the model's task, "accuracy", or "squared_error" (mean, real units), and
        for a reconstruction with both labels "auc".

    Raises:
        DataError: if labels or targets do not fit the model, or there are no samples.

    Example:
        >>> from edgetrain import fixed
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> x = np.ones((3, 4), np.float32)
        >>> model = quantize(mlp((4,), 2), x)
        >>> evaluate(None, model, None, x, np.array([0, 0, 1]), ops=fixed)["samples"]
        3
    """
    if len(x) == 0:
        raise DataError("evaluation needs at least one sample, got none")
    wanted = targets(model, x, y, "y_test")
    found = outputs(rule, model, state, x, ops)
    if model.task == "classify":
        return {"accuracy": float((found.argmax(axis=1) == wanted).mean()), "samples": len(x)}
    errors = ((found - wanted * _unit(model)) ** 2).mean(axis=1)
    report = {"squared_error": float(errors.mean()), "samples": len(x)}
    if model.task == "reconstruct" and y.ndim == 1 and set(np.unique(y)) == {0, 1}:
        report["auc"] = area_under_curve(errors, y)
    return report


def area_under_curve(scores: NDArray[np.float64], y: NDArray[np.generic]) -> float:
    """Return how often an anomaly (1) has a higher score than a normal sample (0).

    Example:
        >>> area_under_curve(np.array([1.0, 2.0, 3.0, 3.0]), np.array([0, 0, 1, 0]))
        0.8333333333333334
    """
    anomalies, normal = scores[y == 1], np.sort(scores[y == 0])
    below = np.searchsorted(normal, anomalies, side="left")
    up_to = np.searchsorted(normal, anomalies, side="right")
    return float((below + up_to).mean() / 2 / len(normal))
