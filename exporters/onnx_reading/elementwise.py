"""ONNX operators that work on each element: activations, arithmetic, normalization."""

import math
from collections.abc import Callable
from typing import cast

import numpy as np

from edgetrain.arithmetic.activations import FUNCTIONS
from edgetrain.errors import ModelError
from edgetrain.exporters.onnx_reading.builder import Builder
from edgetrain.exporters.onnx_reading.graph import Op
from edgetrain.exporters.onnx_reading.pending import combined, curved, scaled, settle, unfolded
from edgetrain.exporters.onnx_reading.values import Curve, Reals, Value, in_source_order
from edgetrain.model import Float, Weights
from edgetrain.quantize import fold_batch_norm

_erf = np.vectorize(math.erf, otypes=[np.float64])


def activation(build: Builder, op: Op) -> Value:
    """Read a function of one number."""
    return curved(build, op, build.value(op), CURVES[op.kind](build, op))


def _clip(build: Builder, op: Op) -> Curve:
    low, high = (
        _bound(build, op, i, name, default)
        for i, name, default in ((1, "min", -math.inf), (2, "max", math.inf))
    )
    return lambda z: np.clip(z, low, high)


def _bound(build: Builder, op: Op, i: int, name: str, default: float) -> float:
    given = build.constant(op, i)
    if given is None:
        return float(op.attributes.get(name, default))
    if given.array.size != 1:
        raise ModelError(f"node {op.name!r}: {name} of Clip must be one number")
    return float(given.array.reshape(()))


def _hard_sigmoid(build: Builder, op: Op) -> Curve:
    alpha, beta = (float(op.attributes.get(k, d)) for k, d in (("alpha", 0.2), ("beta", 0.5)))
    return lambda z: np.clip(alpha * z + beta, 0, 1)


def _gelu(build: Builder, op: Op) -> Curve:
    if op.attributes.get("approximate", "none") == "none":
        return FUNCTIONS["gelu"]
    return lambda z: z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2


def _swish(build: Builder, op: Op) -> Curve:
    alpha = float(op.attributes.get("alpha", 1.0))
    return lambda z: z * FUNCTIONS["sigmoid"](alpha * z)


def _leaky(build: Builder, op: Op) -> Curve:
    alpha = float(op.attributes.get("alpha", 0.01))
    return lambda z: np.where(z < 0, alpha * z, z)


CURVES: dict[str, Callable[[Builder, Op], Curve]] = {
    "Relu": lambda build, op: lambda z: np.maximum(z, 0),
    "Clip": _clip,
    "Sigmoid": lambda build, op: FUNCTIONS["sigmoid"],
    "Tanh": lambda build, op: FUNCTIONS["tanh"],
    "HardSwish": lambda build, op: FUNCTIONS["hard_swish"],
    "HardSigmoid": _hard_sigmoid,
    "Gelu": _gelu,
    "Swish": _swish,
    "Erf": lambda build, op: _erf,
    "LeakyRelu": _leaky,
    "Softplus": lambda build, op: lambda z: np.logaddexp(z, 0),
}
"""Operator → its function of one number; what parts of a graph make together must have a name."""


def add(build: Builder, op: Op) -> Value:
    """Read a sum: of two branches, or of a value and a constant."""
    if build.known(op.inputs[0]) is not None:
        return _shifted(build, op, 1, 0, 1.0, 1.0)
    if build.known(op.inputs[1]) is not None:
        return _shifted(build, op, 0, 1, 1.0, 1.0)
    a, b = build.value(op, 0), build.value(op, 1)
    together = combined(op, a, b, np.add)
    try:
        return _branches(build, op, settle(build, a), settle(build, b))
    except ModelError:
        if together is None:
            raise
        return together


def subtract(build: Builder, op: Op) -> Value:
    """Read a difference of a value and a constant."""
    if build.known(op.inputs[0]) is not None:
        return _shifted(build, op, 1, 0, -1.0, 1.0)
    if build.known(op.inputs[1]) is not None:
        return _shifted(build, op, 0, 1, 1.0, -1.0)
    together = combined(op, build.value(op, 0), build.value(op, 1), np.subtract)
    return together or _no_product(op)


def multiply(build: Builder, op: Op) -> Value:
    """Read a product: by a constant, or of functions of one value, as in ``x * sigmoid(x)``."""
    for i in (0, 1):
        if build.known(op.inputs[i]) is not None:
            return scaled(
                build, op, build.value(op, 1 - i), _constant(build, op, 1 - i, i), np.array(0.0)
            )
    a, b = build.value(op, 0), build.value(op, 1)
    together = combined(op, a, b, np.multiply)
    if together is None:
        together = combined(op, a, unfolded(build, b), np.multiply)
    if together is None:
        together = combined(op, unfolded(build, a), b, np.multiply)
    return together or _no_product(op)


def divide(build: Builder, op: Op) -> Value:
    """Read a division by a constant."""
    if build.known(op.inputs[1]) is None:
        return _no_product(op)
    divisor = _constant(build, op, 0, 1)
    if not divisor.all():
        raise ModelError(f"node {op.name!r}: the divisor must not be 0")
    return scaled(build, op, build.value(op), 1 / divisor, np.array(0.0))


def batch_normalization(build: Builder, op: Op) -> Value:
    """Read a normalization with running statistics."""
    if op.attributes.get("training_mode", 0) or not op.attributes.get("spatial", 1):
        raise ModelError(
            f"node {op.name!r}: BatchNormalization must be in inference mode, a channel at a time: "
            "export the model after model.eval()"
        )
    value = build.value(op)
    gamma, beta, mean, variance = (
        cast(Float, build.needed(op, i).array.astype(np.float64).ravel()) for i in range(1, 5)
    )
    if not len(gamma) == len(beta) == len(mean) == len(variance) or (variance < 0).any():
        raise ModelError(
            f"node {op.name!r}: BatchNormalization needs four vectors of one length and variances "
            f"of at least 0, got {[len(v) for v in (gamma, beta, mean, variance)]} numbers"
        )
    identity = Weights(np.ones((len(gamma), 1), np.float32), np.zeros(len(gamma), np.float32))
    epsilon = float(op.attributes.get("epsilon", 1e-5))
    scale, shift = fold_batch_norm(identity, gamma, beta, mean, variance, epsilon)
    form = (-1, *[1] * (len(value.dims) - 1))
    factor, offset = (_spread(build, op, value, a.reshape(form)) for a in (scale, shift))
    return scaled(build, op, value, factor, offset)


def _shifted(build: Builder, op: Op, x: int, c: int, sign: float, constant: float) -> Value:
    """Compute ``sign * x + constant * c``."""
    offset = constant * _constant(build, op, x, c)
    return scaled(build, op, build.value(op, x), np.array(sign), np.asarray(offset))


def _constant(build: Builder, op: Op, x: int, c: int) -> Reals:
    """Return input c laid out over what input x is a view of."""
    value, constant = build.value(op, x), build.needed(op, c).array
    axis = op.attributes.get("axis", -1)  # before opset 7, where the constant begins
    if axis >= 0:
        after = max(len(value.dims) + 1 - axis - constant.ndim, 0)
        constant = constant.reshape(*constant.shape, *[1] * after)
    return _spread(build, op, value, constant)


def _spread(build: Builder, op: Op, value: Value, constant: np.ndarray) -> Reals:
    shape = build.shapes[value.source]
    spread = in_source_order(constant, value.dims, shape)
    if spread is None:
        raise ModelError(
            f"node {op.name!r}: the constant of {op.kind} must be one number, or one a channel or "
            f"element, the same for every sample, got {constant.shape} for samples of {shape}"
        )
    return spread


def _branches(build: Builder, op: Op, a: Value, b: Value) -> Value:
    """Add two computed values."""
    if len(a.dims) == len(b.dims) == 1 and {len(a.dims[0]), len(b.dims[0])} <= {0, 1}:
        a, b = build.flat(a, op.name)[0], build.flat(b, op.name)[0]
    shapes = build.shapes[a.source], build.shapes[b.source]
    if a.dims != b.dims or shapes[0] != shapes[1]:
        raise ModelError(
            f"node {op.name!r}: Add of computed values needs two of one shape and layout, "
            f"got samples of {shapes[0]} and {shapes[1]}"
        )
    name = build.append(op.name, "add", (a, b))
    return Value(name, a.dims)


def _no_product(op: Op) -> Value:
    raise ModelError(
        f"node {op.name!r}: {op.kind} of two computed values (attention, squeeze-and-excitation) "
        "is not supported; x * Sigmoid(x), x * HardSigmoid(x) and sums of two values are"
    )
