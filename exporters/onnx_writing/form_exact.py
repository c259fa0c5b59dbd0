"""The form "exact": integers only, the same bytes as `edgetrain.inference.output`.

Between nodes a value is uint8, its int8 code + 128, because products of uint8 are exact in ONNX
Runtime on every x86; products of uint8 and int8 saturate where there is no VNNI.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import (
    ADD_LEFT_SHIFT,
    Window,
    global_pool_multiplier,
    pool_counts,
)
from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN, Int32, rescale
from edgetrain.exporters.onnx_writing.layout import channels, filters, flatten, sliding
from edgetrain.exporters.onnx_writing.softmax import softmax
from edgetrain.exporters.onnx_writing.write import Operand, Writer
from edgetrain.graph import INPUT, Node, Shape
from edgetrain.model import Model

OFFSET = 128
"""Of the uint8 values from the int8 codes."""
MIDDLE = np.uint8(OFFSET)
POSITIVE = 1 << 62
"""Makes every product positive: ONNX shifts unsigned numbers only."""


def exact(write: Writer, model: Model) -> str:
    """Append a network that reads and gives int8 codes.

    Args:
        write: to an empty graph.
        model: the network.

    Returns:
        The name of the result.
    """
    first = write.at("codes")
    values = {INPUT: first.op("BitwiseXor", first.cast(INPUT, np.uint8), MIDDLE)}
    for node in model.graph.nodes:
        values[node.name] = OPERATIONS[node.op](write.at(node.name), model, node, values)
    last, result = write.at("result"), values[model.graph.output.name]
    if model.softmax:
        result = softmax(write.at("softmax"), result, *model.scheme.softmax)
    return last.cast(last.op("BitwiseXor", result, MIDDLE), np.int8)


class Rounding(NamedTuple):
    """How `edgetrain.arithmetic.rounding.rescale` is one product, sum and unsigned shift.

    The result is ``((acc * factor + nudge) >> bits) - origin`` with the nudge up, or down where
    acc is negative. Each is an array of int64, bits of uint64, with an entry a channel.
    """

    factor: NDArray[np.int64]
    up: NDArray[np.int64]
    down: NDArray[np.int64]
    bits: NDArray[np.uint64]
    origin: NDArray[np.int64]


def rounding(multiplier: Int32 | int, shift: Int32 | int) -> Rounding:
    """Return what scales by ``multiplier * 2**(shift - 31)``.

    Both roundings are one shift: ``floor((floor(a / 2**31) + b) / 2**r)`` is
    ``floor((a + b * 2**31) / 2**(31 + r))``. Ties go away from zero by 1 less in ``b`` where the
    accumulator is negative. The sum may pass 2**63; as uint64 it is right.

    Args:
        multiplier: a number, or int32 (channels,).
        shift: likewise.
    """
    factor, exponent = np.atleast_1d(np.asarray(multiplier, np.int64), np.asarray(shift, np.int64))
    factor, exponent = np.broadcast_arrays(factor, exponent)
    right = np.maximum(-exponent, 0)
    half = np.where(right > 0, np.int64(1) << (right + 30), 0)
    away = np.where(right > 0, np.int64(1) << 31, 0)
    up, total = POSITIVE + (1 << 30) + half, 31 + right
    grown = factor << np.maximum(exponent, 0)
    return Rounding(grown, up, up - away, total.astype(np.uint64), POSITIVE >> total)


def requantize(
    write: Writer, acc: str, multiplier: Int32 | int, shift: Int32 | int, shape: Shape,
    zero_point: int, limits: tuple[int, int] = (INT8_MIN, INT8_MAX),
) -> str:  # fmt: skip
    """Append `edgetrain.arithmetic.rounding.requantize`.

    Args:
        write: where to.
        acc: name of int32 accumulators.
        multiplier: a number, or int32 (channels,).
        shift: likewise.
        shape: of a sample of acc.
        zero_point: int8 code of the real number 0.
        limits: lowest and highest int8 code.

    Returns:
        The name of the uint8 result.
    """
    factor, up, down, bits, origin = rounding(multiplier, shift)
    product = write.op("Mul", write.cast(acc, np.int64), channels(factor, shape))
    nudge: Operand = channels(up, shape)
    if limits[0] < zero_point:  # below, where ties go elsewhere, everything is cut off
        negative = write.op("Less", acc, np.int32(0))
        nudge = write.op("Where", negative, channels(down, shape), nudge)
    positive = write.cast(write.op("Add", product, nudge), np.uint64)
    shifted = write.op("BitShift", positive, channels(bits, shape), direction="RIGHT")
    scaled, moved = write.cast(shifted, np.int32), zero_point + OFFSET
    if np.max(shift) < 0:  # what is halved at least has room for a zero point
        low, high = (np.int32(limit + OFFSET) for limit in limits)
        codes = write.op("Sub", scaled, channels((origin - moved).astype(np.int32), shape))
        return write.cast(write.op("Clip", codes, low, high), np.uint8)
    low, high = (np.int32(limit - zero_point) for limit in limits)
    centred = write.op("Sub", scaled, channels(origin.astype(np.int32), shape))
    codes = write.op("Add", write.op("Clip", centred, low, high), np.int32(moved))
    return write.cast(codes, np.uint8)


def counts(height: int, width: int, window: Window) -> NDArray[np.int32]:
    """Count the pixels under each position of a pool: (1, 1, h, w), or one if all are equal."""
    count = pool_counts(height, width, window).transpose(0, 3, 1, 2)
    return count if count.min() < count.max() else count[:, :, :1, :1]


def add_table(zero_point: int, scale: tuple[int, int]) -> NDArray[np.int32]:
    """Return what every code of one term of a sum stands for, with 20 more bits."""
    codes = np.arange(INT8_MIN, INT8_MAX + 1) - zero_point
    return rescale(codes << ADD_LEFT_SHIFT, *scale).astype(np.int32)


def _linear(write: Writer, model: Model, node: Node, values: Mapping[str, str]) -> str:
    scheme, (w, b), x = model.scheme, model.params[node.name], values[node.inputs[0]]
    zero_point = np.uint8(scheme.activations[node.inputs[0]].zero_point + OFFSET)
    codes = (w.astype(np.int16) + OFFSET).astype(np.uint8)
    if node.op == "dense":
        acc = write.op("MatMulInteger", x, codes.T, zero_point, MIDDLE, main=True)
    else:
        acc = write.op(
            "ConvInteger", x, filters(codes), zero_point, MIDDLE, main=True,
            group=node.moving.groups, **sliding(node.moving),
        )  # fmt: skip
    shape = model.graph.shapes[node.name]
    if b.any():
        acc = write.op("Add", acc, channels(b, shape))
    target = scheme.activations[node.name].zero_point
    limits = scheme.output_limits[node.name]
    return requantize(write, acc, *scheme.requantize[node.name], shape, target, limits)


def _average_pool(write: Writer, model: Model, node: Node, values: Mapping[str, str]) -> str:
    height, width, n = model.graph.shapes[node.inputs[0]]
    ones = np.ones((n, 1, *node.moving.kernel), np.uint8)
    total = write.op(
        "ConvInteger",
        values[node.inputs[0]],
        ones,
        MIDDLE,
        main=True,
        group=n,
        **sliding(node.moving),
    )
    count = counts(height, width, node.moving)
    half = write.op("Mul", write.op("Sign", total), count // 2)
    average = write.op("Div", write.op("Add", total, half), count)  # truncates
    return write.cast(write.op("Add", average, np.int32(OFFSET)), np.uint8)


def _max_pool(write: Writer, model: Model, node: Node, values: Mapping[str, str]) -> str:
    return write.op("MaxPool", values[node.inputs[0]], main=True, **sliding(node.moving))


def _global_pool(write: Writer, model: Model, node: Node, values: Mapping[str, str]) -> str:
    height, width, _ = model.graph.shapes[node.inputs[0]]
    count, scheme = height * width, model.scheme
    total = write.op(
        "ReduceSum", write.cast(values[node.inputs[0]], np.int32), np.array([2, 3], np.int64),
        keepdims=0, main=True,
    )  # fmt: skip
    zero = count * (scheme.activations[node.inputs[0]].zero_point + OFFSET)
    acc = write.op("Sub", total, np.int32(zero))
    scale = global_pool_multiplier(*scheme.global_pools[node.name], count)
    target = scheme.activations[node.name].zero_point
    return requantize(write, acc, *scale, model.graph.shapes[node.name], target)


def _add(write: Writer, model: Model, node: Node, values: Mapping[str, str]) -> str:
    scheme = model.scheme
    *scales, result = scheme.adds[node.name]
    terms = []
    for name, scale in zip(node.inputs, scales, strict=True):
        table = add_table(scheme.activations[name].zero_point, scale)
        terms.append(write.op("Gather", table, write.cast(values[name], np.int32)))
    acc = write.op("Add", *terms, main=True)
    target = scheme.activations[node.name].zero_point
    limits = scheme.output_limits[node.name]
    return requantize(write, acc, *result, model.graph.shapes[node.name], target, limits)


def _flatten(write: Writer, model: Model, node: Node, values: Mapping[str, str]) -> str:
    return flatten(write, model.graph, node, values[node.inputs[0]])


def _activation(write: Writer, model: Model, node: Node, values: Mapping[str, str]) -> str:
    table = (model.scheme.tables[node.name].astype(np.int16) + OFFSET).astype(np.uint8)
    return write.op("Gather", table, write.cast(values[node.inputs[0]], np.int32), main=True)


OPERATIONS: Mapping[str, Callable[[Writer, Model, Node, Mapping[str, str]], str]] = {
    "dense": _linear,
    "conv2d": _linear,
    "average_pool": _average_pool,
    "max_pool": _max_pool,
    "global_average_pool": _global_pool,
    "add": _add,
    "flatten": _flatten,
    "activation": _activation,
}
