"""Local classifiers: what a block that is not the last one learns from.

A head is a dense layer on a block's result, averaged over the image where there is one. It lives
in the training state as

| tensor | what |
|---|---|
| ``head/NAME/w`` | int8 (outputs, features), one scale |
| ``head/NAME/b`` | int32 (outputs,) |
| ``head/NAME/scale`` | int32 (2, 2): multiplier and shift to Q10 logits, and of the error back |

NAME is the value that the head reads.
"""

import math
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import ACTIVATION_RANGE
from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.rounding import (
    INT32_MAX,
    WEIGHT_MAX,
    Int8,
    Int32,
    quantize_multiplier,
)
from edgetrain.model import Model, Weights
from edgetrain.settings import FULL_RATE, Settings
from edgetrain.state import UNIT_RATIO, State, learnable, output_span
from edgetrain.step import ONE, Step

TYPICAL_CODE = 20
TYPICAL_LOGIT = 8.0
"""A new head's scale gives logits of this size from weights of a quarter of their range that see
features of TYPICAL_CODE."""


def feature_count(model: Model, name: str) -> int:
    """Number of features that a head on a value reads: channels of an image, else all."""
    return model.graph.shapes[name][-1]


def scale(model: Model, name: str) -> float:
    """Return the weight scale of a head: the model's own if it came with one."""
    if name in model.head_scales:
        return model.head_scales[name]
    x_scale = model.scheme.activations[name].scale
    quarter = (WEIGHT_MAX + 1) / 4
    return TYPICAL_LOGIT / (
        quarter * TYPICAL_CODE * x_scale * math.sqrt(feature_count(model, name))
    )


def initial(
    model: Model, name: str, settings: Settings, fresh: Int8 | None = None
) -> dict[str, NDArray]:
    """Return the tensors of a head: the model's own if it came with one.

    Args:
        model: the network.
        name: of the value that the head reads.
        settings: learning rate and form of the weights.
        fresh: int8 (outputs, features), weights of a new head that is applied to every pixel;
            None for zeros and a head on the average of the pixels.
    """
    outputs, features = model.graph.output_size, feature_count(model, name)
    x_scale, w_scale = model.scheme.activations[name].scale, scale(model, name)
    if name in model.heads:
        w, b = model.heads[name]
    else:
        w = np.zeros((outputs, features), np.int8) if fresh is None else fresh
        b = np.zeros(outputs, np.int32)
    averaged = pixels(model, name) if fresh is None else 1
    span = output_span(model, model.graph.output)
    forth = quantize_multiplier(x_scale * w_scale / span * 2**LOGIT_BITS)
    back = quantize_multiplier(w_scale / span / UNIT_RATIO / averaged)
    key = f"head/{name}"
    return {
        f"{key}/w": w,
        f"{key}/b": b,
        f"{key}/scale": np.array([forth, back], np.int32),
        **learnable(key, w, x_scale, np.full(outputs, w_scale / span), settings),
    }


def pixels(model: Model, name: str) -> int:
    """Number of pixels that a head on a value averages."""
    return math.prod(model.graph.shapes[name][:-1])


def features(model: Model, name: str, y: Int8, ops: ModuleType) -> Int8:
    """Average a value over its image: int8 (batch, channels), the scale of the value."""
    if y.ndim == 2:
        return y
    zero_point = model.scheme.activations[name].zero_point
    return ops.global_average_pool(y, zero_point, *ONE, zero_point)


def logits(model: Model, state: State, name: str, pooled: Int8, ops: ModuleType) -> Int32:
    """Return a head's Q10 outputs, int32 (batch, outputs)."""
    tensors = state.tensors
    zero_point = model.scheme.activations[name].zero_point
    acc = ops.dense_acc(pooled, tensors[f"head/{name}/w"], tensors[f"head/{name}/b"], zero_point)
    forth = tensors[f"head/{name}/scale"][0]
    return ops.logits_q10(acc, int(forth[0]), int(forth[1]))


def learn(
    step: Step, name: str, pooled: Int8, y_shape: tuple[int, ...], e: Int8, exponent: int,
    rate: int = FULL_RATE,
) -> tuple[Int8, int]:  # fmt: skip
    """Return the error of the value that a head reads, and let the head learn.

    Args:
        step: collects the new state.
        name: of the value.
        pooled: int8 (batch, features), from `features`.
        y_shape: of the value.
        e: int8 (batch, outputs), error of the head's outputs.
        exponent: of e.
        rate: factor of the learning rate in Q8.

    Returns:
        int8 of y_shape, and its exponent.
    """
    ops, tensors, key = step.ops, step.tensors, f"head/{name}"
    w, b = tensors[f"{key}/w"], tensors[f"{key}/b"]
    back = tensors[f"{key}/scale"][1]
    acc = ops.dense_grad_x(e, w, np.full(len(b), UNIT_RATIO, np.int16))
    error, error_exponent = step.scale(
        step.row(name, 1), acc, (int(back[0]), int(back[1])), exponent
    )
    if len(y_shape) == 4:
        error = np.broadcast_to(error[:, None, None, :], y_shape)
    zero_point = step.model.scheme.activations[name].zero_point
    limit = INT32_MAX - pooled.shape[1] * ACTIVATION_RANGE * WEIGHT_MAX
    new = step.update(
        key, Weights(w, b), ops.dense_grad_w(pooled, e, zero_point),
        e.sum(axis=0, dtype=np.int32), exponent, limit, rate,
    )  # fmt: skip
    tensors[f"{key}/w"], tensors[f"{key}/b"] = new
    return error, error_exponent
