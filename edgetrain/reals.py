"""The float forward pass: what calibration observes, and the yardstick of quantization.

Its sums are exact, and so the same with any number of threads, any library of linear algebra and
any processor: layers add up whole multiples of a power of two, as `edgetrain.arithmetic.matmul`.
"""

from collections.abc import Mapping

import numpy as np

from edgetrain.arithmetic.activations import FUNCTIONS, Reals
from edgetrain.arithmetic.layers import Window, pad, pool_counts, taps
from edgetrain.graph import INPUT, Node
from edgetrain.model import Float, FloatModel, Weights

CAPS = {"": None, "relu": np.inf, "relu6": 6.0}
FLOAT64_BITS = 53
"""A float64 holds every integer of so many bits."""
FILTER_BITS = 23
"""Of a weight; an input has those that the sums of its filters leave, mostly 20 to 29."""


def forward(model: FloatModel, x: Float) -> dict[str, Float]:
    """Return every value of the network, by name.

    Args:
        model: the network.
        x: float32 (batch, *input_shape).

    Returns:
        float32 arrays (batch, ...): INPUT and the result of every node.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> values = forward(mlp((4,), 3), np.ones((2, 4), np.float32))
        >>> values["classifier"].shape
        (2, 3)
    """
    values = {INPUT: x}
    for node in model.graph.nodes:
        values[node.name] = _apply(model, node, values)
    return values


def output(model: FloatModel, x: Float, batch: int = 256) -> Float:
    """Return the network's output (samples, ...), computed in batches.

    With `FloatModel.softmax` these are probabilities, else the result of the last node.
    """
    name = model.graph.output.name
    y = np.concatenate([forward(model, x[i : i + batch])[name] for i in range(0, len(x), batch)])
    if not model.softmax:
        return y
    shares = np.exp(y - y.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), np.float32)


def _apply(model: FloatModel, node: Node, values: Mapping[str, Float]) -> Float:
    x = values[node.inputs[0]]
    if node.has_weights:
        return _fused(node, _linear(node, model.params[node.name], x))
    if node.op == "add":
        return _fused(node, x + values[node.inputs[1]])
    if node.op == "flatten":
        return x.reshape(len(x), -1)
    if node.op == "activation":
        return FUNCTIONS[node.activation](x.astype(np.float64)).astype(np.float32)
    if node.op == "global_average_pool":
        return _mean(x)
    window = node.moving
    if node.op == "max_pool":
        padded = np.pad(
            x, [(0, 0), window.padding[:2], window.padding[2:], (0, 0)], constant_values=-np.inf
        )
        return np.maximum.reduce(taps(padded, window))
    total = sum(taps(pad(x, window.padding, 0), window))
    return (total / pool_counts(x.shape[1], x.shape[2], window)).astype(np.float32)


def _linear(node: Node, weights: Weights, x: Float) -> Float:
    w, b = weights
    w_whole, w_unit = _whole(w, FILTER_BITS)
    sums = np.abs(w_whole).reshape(len(w), -1).sum(axis=1)
    x_whole, x_unit = _whole(x, FLOAT64_BITS - int(sums.max()).bit_length())
    dense = node.op == "dense"
    y = x_whole @ w_whole.T if dense else conv2d(x_whole, w_whole, node.moving)
    y *= x_unit * w_unit.ravel()
    y += b
    return y.astype(np.float32)


def _mean(x: Float) -> Float:
    """Average over height and width."""
    pixels = x.shape[1] * x.shape[2]
    whole, unit = _whole(x, FLOAT64_BITS - pixels.bit_length())
    return (whole.sum(axis=(1, 2)) * unit[:, 0, 0] / pixels).astype(np.float32)


def _whole(values: Float, bits: int) -> tuple[Reals, Reals]:
    """Round numbers to integers of at most so many bits, and the power of two that is their unit.

    Each sample, or each filter, has a unit of its own: (n, 1, ...) of values (n, ...).
    """
    axes = tuple(range(1, values.ndim))
    high, low = (end(values, axes, keepdims=True, initial=0) for end in (np.max, np.min))
    unit = np.ldexp(1.0, np.frexp(np.maximum(high, -low))[1] - bits)
    scaled = values / unit
    return np.rint(scaled, out=scaled), unit


def conv2d(x: Reals, w: Reals, window: Window) -> Reals:
    """Float convolution: x (batch, height, width, n_in), w (n_out, kh, kw, n_in / groups)."""
    views = taps(pad(x, window.padding, 0), window)
    groups, per_group = window.groups, w.shape[0] // window.groups
    filters = w.reshape(groups, per_group, -1, w.shape[3])
    shape = (*views[0].shape[:3], groups, per_group)
    y = np.zeros(shape, x.dtype)
    for t, view in enumerate(views):
        split = view.reshape(*view.shape[:3], groups, -1)
        if groups == 1:
            y[..., 0, :] += view @ filters[0, :, t].T
        else:
            y += np.einsum("bhwgi,goi->bhwgo", split, filters[:, :, t])
    return y.reshape(*shape[:3], -1)


def _fused(node: Node, y: Float) -> Float:
    cap = CAPS[node.activation]
    return y if cap is None else np.clip(y, 0, cap)
