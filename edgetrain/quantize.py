"""Float model to int8 model: calibration, scales, and the proof that nothing overflows."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import WEIGHT_MAX
from edgetrain.errors import DataError, ModelError
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import Float, FloatModel, Model, Weights
from edgetrain.reals import forward
from edgetrain.scheme import Quantization, Scheme

SHARING = ("flatten", "max_pool", "average_pool")
"""Operations whose result has the scale of what they read."""
FIXED = {"sigmoid": Quantization(1 / 256, -128), "tanh": Quantization(1 / 128, 0)}
"""Activations of a known range have a known scale, as in TensorFlow Lite."""
LOGIT_RANGE = 8.0
"""A linear output can hold at least -8 to 8: a classifier that learns makes larger logits."""

Method = Literal["min_max", "percentile"]


def quantize(
    model: FloatModel,
    x: Float,
    method: Method = "min_max",
    percentile: float = 99.9,
    headroom: float = 1.0,
    task: str | None = None,
) -> Model:
    """Quantize after training: int8 weights a channel, int8 activations a tensor.

    The same network, samples and options give the same model, bit for bit, on every machine: the
    float network is computed with exact sums, and all else by single operations that IEEE 754
    rounds alike. What is not so is what comes in: weights that a framework has trained, and samples
    that the caller has scaled. How the samples are ordered matters to "percentile" only.

    Args:
        model: the real-valued network.
        x: float32 (samples, *input_shape), a few hundred samples of what the network will see.
        method: "min_max" takes the whole observed range, "percentile" cuts outliers off.
        percentile: of the values on either side that stay inside, in (50, 100].
        headroom: room for weights and activations to grow while training, 1 or more.
        task: "classify", "regress" or "reconstruct"; None for that of the float model.

    Returns:
        The int8 model.

    Raises:
        DataError: if the calibration data are empty, misshapen or not finite.
        ModelError: if an accumulator could overflow; it names the node.

    References:
        Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", 2018, sections 2.1 and 3.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> x = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)
        >>> model = quantize(mlp((4,), 3), x)
        >>> model.params["hidden1"].w.dtype, model.scheme.activations["hidden1"].zero_point
        (dtype('int8'), -128)
    """
    _check(model, x, method, percentile, headroom)
    graph = model.graph
    ranges = observe(model, x, method, percentile)
    activations = {INPUT: affine(*ranges[INPUT])}
    for node in graph.nodes:
        activations[node.name] = _activation(graph, node, ranges[node.name], activations, headroom)
    scales = {n.name: weight_scales(model.params[n.name].w, headroom) for n in graph.trainable}
    scheme = Scheme(graph, activations, scales)
    params = {}
    for node in graph.trainable:
        w, b = model.params[node.name]
        scale = scales[node.name].reshape(-1, *[1] * (w.ndim - 1))
        bias = np.rint(b / scheme.acc_scale(node))
        if np.abs(bias).max() >= 2**31:
            raise ModelError(
                f"node {node.name!r}: a bias is {np.abs(bias).max():.3g} units of its accumulator "
                "and does not fit in int32: calibrate with data of the real size"
            )
        codes = np.clip(np.rint(w / scale), -WEIGHT_MAX, WEIGHT_MAX)
        params[node.name] = Weights(codes.astype(np.int8), bias.astype(np.int32))
    return Model(scheme, params, task=task or model.task, softmax=model.softmax)


def observe(
    model: FloatModel, x: Float, method: Method = "min_max", percentile: float = 99.9
) -> Mapping[str, tuple[float, float]]:
    """Return the range of every value of the network over the calibration data."""
    lows: dict[str, list[float]] = {}
    highs: dict[str, list[float]] = {}
    tails = (0.0, 100.0) if method == "min_max" else (100 - percentile, percentile)
    batch = 64
    for i in range(0, len(x), batch):
        with np.errstate(over="ignore", invalid="ignore"):
            values = forward(model, x[i : i + batch])
        for name, value in values.items():
            if not np.isfinite(value).all():
                raise ModelError(
                    f"node {name!r}: results of the float network leave float32: calibrate with "
                    "data of the real size"
                )
            low, high = np.percentile(value, tails) if method != "min_max" else (
                value.min(), value.max(),
            )  # fmt: skip
            lows.setdefault(name, []).append(float(low))
            highs.setdefault(name, []).append(float(high))
    best_low, best_high = (min, max) if method == "min_max" else (_mean, _mean)
    return {name: (float(best_low(lows[name])), float(best_high(highs[name]))) for name in lows}


def affine(low: float, high: float) -> Quantization:
    """Choose scale and zero point for a range, which is widened to hold 0.

    Example:
        >>> affine(-0.5, 127.0)
        Quantization(scale=0.5, zero_point=-127)
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max((high - low) / 255, 1e-8)))
    return Quantization(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


def weight_scales(w: Float, headroom: float = 1.0) -> NDArray[np.float64]:
    """Choose a scale a channel; a channel of zeros takes the layer's largest.

    Example:
        >>> weight_scales(np.array([[1.27, 0.5], [0, 0]], np.float32))
        array([0.01, 0.01])
    """
    largest = np.abs(w.reshape(len(w), -1)).max(axis=1).astype(np.float64)
    fallback = largest.max() or 1.0
    largest = np.where(largest > 1e-6 * fallback, largest, fallback)
    return (largest * headroom / WEIGHT_MAX).astype(np.float32).astype(np.float64)


def fold_batch_norm(
    weights: Weights, gamma: Float, beta: Float, mean: Float, variance: Float, epsilon: float
) -> Weights:
    """Fold a batch normalization into the layer before it.

    Args:
        weights: float32 w (n_out, ...) and b (n_out,) of the layer.
        gamma: float32 (n_out,), factor of the normalization.
        beta: float32 (n_out,), offset.
        mean: float32 (n_out,), running mean.
        variance: float32 (n_out,), running variance.
        epsilon: added to the variance.

    Returns:
        float32 weights and biases of the layer that does both.

    Example:
        >>> one = np.ones(1, np.float32)
        >>> fold_batch_norm(Weights(one.reshape(1, 1), one), one * 2, one, one, one * 4, 0.0)
        Weights(w=array([[1.]], dtype=float32), b=array([1.], dtype=float32))
    """
    factor = gamma / np.sqrt(variance + epsilon)
    w = weights.w * factor.reshape(-1, *[1] * (weights.w.ndim - 1))
    b = (weights.b - mean) * factor + beta
    return Weights(w.astype(np.float32), b.astype(np.float32))


def _mean(values: Sequence[float]) -> float:
    """Average, rounded once from the exact sum."""
    return math.fsum(values) / len(values)


def _activation(
    graph: Graph,
    node: Node,
    observed: tuple[float, float],
    known: Mapping[str, Quantization],
    headroom: float,
) -> Quantization:
    """Choose the quantization of a node's result."""
    if node.op in SHARING:
        return known[node.inputs[0]]
    if node.activation in FIXED:
        return FIXED[node.activation]
    low, high = observed[0] * headroom, observed[1] * headroom
    if node.activation in ("relu", "relu6"):
        low, high = 0.0, min(high, 6.0) if node.activation == "relu6" else high
    elif node == graph.output and node.has_weights:
        low, high = min(low, -LOGIT_RANGE), max(high, LOGIT_RANGE)
    return affine(low, high)


def _check(model: FloatModel, x: Float, method: str, percentile: float, headroom: float) -> None:
    if method not in ("min_max", "percentile"):
        raise ValueError(f"method must be 'min_max' or 'percentile', got {method!r}")
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile must be in (50, 100], got {percentile}")
    if not 1 <= headroom <= 8:
        raise ValueError(f"headroom must be in [1, 8], got {headroom}")
    if len(x) == 0 or x.shape[1:] != model.graph.input_shape:
        raise DataError(
            f"calibration needs samples of shape {model.graph.input_shape}, got {x.shape}"
        )
    if not np.isfinite(x).all():
        raise DataError("calibration data must be finite, got NaN or infinity")
