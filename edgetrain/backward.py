"""A block's forward pass, which keeps what `Plan` says, and its backward pass."""

import math
from collections.abc import Mapping
from functools import lru_cache
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.blocks import Plan
from edgetrain.fewbit import DERIVATIVES, codes, derivative_table, levels_q6, pack, to_q6, unpack
from edgetrain.graph import Node
from edgetrain.inference import accumulate, apply, ends_linear, still_needed
from edgetrain.model import Model
from edgetrain.scheme import Quantization
from edgetrain.settings import FULL_RATE
from edgetrain.state import constants
from edgetrain.step import Step

Kept = dict[str, NDArray]
GUARD_BITS = 8
"""Whole errors get this many fraction bits before they are scaled: a tie that is rounded up adds
to every pixel, and made gradients behind three pools a fifth too long."""
SLOPE_FACTOR = (2**30, -5)
"""The factor 1 / 64: derivatives are in Q6."""
ALL_CODES = 8
"""With this many bits an activation's int8 input is kept instead of a derivative code."""


def forward(model: Model, plan: Plan, x: Int8, ops: ModuleType) -> tuple[Ints, Kept]:
    """Run a block and keep what its backward pass needs.

    Args:
        model: the network.
        plan: of the block.
        x: int8 (batch, ...), the value that enters.
        ops: the backend.

    Returns:
        The value that leaves, int8 (of the network's linear last layer: its int32 accumulators);
        and the kept arrays under the keys of `Plan.kept_bytes`.
    """
    values = {plan.block.source: x}
    kept: Kept = {}
    for i, node in enumerate(plan.block.nodes):
        if node.inputs[0] in plan.values:
            kept[f"value/{node.inputs[0]}"] = values[node.inputs[0]]
        if ends_linear(model, node):
            return accumulate(model, node, values[node.inputs[0]], ops), kept
        y = values[node.name] = apply(model, node, values, ops)
        if node.name in plan.masks:
            kept[f"mask/{node.name}"] = np.packbits(opened(model, node, y))
        if node.name in plan.indices:
            kept[f"index/{node.name}"] = ops.max_pool_index(values[node.inputs[0]], node.moving)
        if node.name in plan.codes:
            kept[f"code/{node.name}"] = _code(model, plan, node, values[node.inputs[0]])
        values = still_needed(values, plan.block.nodes[i + 1 :], node)
    return values[plan.block.output], kept


def backward(
    step: Step, plan: Plan, kept: Kept, e: Int8, exponent: int, rate: int = FULL_RATE
) -> None:
    """Send an error through a block and let its trained nodes learn.

    Args:
        step: collects the new weights.
        plan: of the block.
        kept: from `forward`.
        e: int8, the error of the value that leaves the block.
        exponent: of e.
        rate: factor of the learning rate in Q8.
    """
    errors = {plan.block.output: [(e, exponent)]}
    for node in reversed(plan.block.nodes):
        if node.name in plan.active:
            _backward_node(step, plan, node, kept, errors, rate)


def _backward_node(
    step: Step, plan: Plan, node: Node, kept: Kept, errors: dict[str, list[tuple[Int8, int]]],
    rate: int,
) -> None:  # fmt: skip
    """Take a node's error, pass it on to what the node reads, let the node learn."""
    e, exponent = step.merge(node.name, errors.pop(node.name))
    if node.activation in ("relu", "relu6"):
        e = e * _mask(step.model, plan, node, kept, e.shape)
    for name in dict.fromkeys(node.inputs):
        if name in plan.active:
            part = _input_error(step, plan, node, kept, e, exponent)
            errors.setdefault(name, []).extend([part] * node.inputs.count(name))
    if node.name in plan.trained:
        x = kept[f"value/{node.inputs[0]}"]
        step.update_node(node, *gradients(step.model, node, x, e, step.ops), exponent, rate)


def gradients(model: Model, node: Node, x: Int8, e: Int8, ops: ModuleType) -> tuple[Int32, Int32]:
    """Return the gradients of a node's weights and biases, summed over the batch."""
    zero_point = model.scheme.activations[node.inputs[0]].zero_point
    acc_b = e.reshape(-1, e.shape[-1]).sum(axis=0, dtype=np.int32)
    if node.op == "dense":
        return ops.dense_grad_w(x, e, zero_point), acc_b
    return ops.conv2d_grad_w(x, e, zero_point, node.moving), acc_b


def _input_error(
    step: Step, plan: Plan, node: Node, kept: Kept, e: Int8, exponent: int
) -> tuple[Int8, int]:
    """Return the error of what a node reads."""
    graph = step.model.graph
    shape = (len(e), *graph.shapes[node.inputs[0]])
    if node.op == "add":
        return e, exponent
    if node.op == "flatten":
        return e.reshape(shape), exponent
    row = step.row(node.name, 0)
    if node.op == "global_average_pool":
        share = constants(step.model).errors[node.name]
        fine = e.astype(np.int32) << GUARD_BITS
        e, exponent = step.scale(row, fine, share, exponent - GUARD_BITS)
        return np.broadcast_to(e[:, None, None, :], shape), exponent
    acc, factor = _input_acc(step, plan, node, kept, e, shape)
    return step.scale(row, acc, factor, exponent)


def _input_acc(
    step: Step, plan: Plan, node: Node, kept: Kept, e: Int8, shape: tuple[int, ...]
) -> tuple[Ints, tuple[int, int]]:
    """Return the error of what a node reads as sums, and the factor that makes them real."""
    model, ops = step.model, step.ops
    if node.op == "average_pool":
        return ops.average_pool_grad(e, shape, node.moving), (2**30, -7)  # 1 / 256
    if node.op == "max_pool":
        acc = ops.max_pool_grad(e, kept[f"index/{node.name}"], shape, node.moving)
        return acc << GUARD_BITS, (2**30, 1 - GUARD_BITS)
    if node.op == "activation":
        levels = _levels(model, plan, node, kept, shape)
        return e.astype(np.int32) * levels, SLOPE_FACTOR
    ratio, factor = model.scheme.ratios[node.name][0], constants(model).errors[node.name]
    w = model.params[node.name].w
    if node.op == "dense":
        return ops.dense_grad_x(e, w, ratio), factor
    return ops.conv2d_grad_x(e, w, ratio, shape, node.moving), factor


def opened(model: Model, node: Node, y: Int8 | Int32) -> NDArray[np.bool_]:
    """Say where a node's fused activation lets an error through: everywhere without one."""
    if not node.activation:
        return np.ones(y.shape, np.bool_)
    low, high = model.scheme.output_limits[node.name]
    inside = y > low
    return inside & (y < high) if node.activation == "relu6" else inside


def _mask(
    model: Model, plan: Plan, node: Node, kept: Kept, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    if node.name in plan.values:
        return opened(model, node, kept[f"value/{node.name}"])
    packed = np.unpackbits(kept[f"mask/{node.name}"], count=math.prod(shape))
    return packed.reshape(shape).astype(np.bool_)


@lru_cache(maxsize=64)
def _tables(activation: str, x: Quantization, bits: int) -> tuple[NDArray, NDArray]:
    """Return code of every int8 input, and level of every code in Q6, of a derivative."""
    if bits == ALL_CODES:
        reals = x.scale * (np.arange(-128, 128, dtype=np.float64) - x.zero_point)
        return np.arange(256).astype(np.uint8), to_q6(DERIVATIVES[activation](reals))
    table = derivative_table(activation, bits)
    return codes(table, *x), levels_q6(table)


def slopes_q6(model: Model, node: Node, bits: int) -> Int8:
    """Return an activation's derivative in Q6 for every int8 input: entry ``x + 128`` is that of x.

    Args:
        model: the network.
        node: the activation.
        bits: that are kept of an input, 1 to 4, or 8.

    Returns:
        int8 (256,).
    """
    code, levels = _tables(node.activation, _quantization(model, node), bits)
    return levels[code]


def _quantization(model: Model, node: Node) -> Quantization:
    return model.scheme.activations[node.inputs[0]]


def _code(model: Model, plan: Plan, node: Node, x: Int8) -> NDArray:
    """Keep what tells an activation's derivative later."""
    table, _ = _tables(node.activation, _quantization(model, node), plan.bits)
    code = table[x.astype(np.int16) + 128].ravel()
    return code if plan.bits == ALL_CODES else pack(code, plan.bits)


def _levels(
    model: Model, plan: Plan, node: Node, kept: Kept, shape: tuple[int, ...]
) -> NDArray[np.int32]:
    """Return an activation's derivative in Q6."""
    _, levels = _tables(node.activation, _quantization(model, node), plan.bits)
    code = kept[f"code/{node.name}"]
    if plan.bits != ALL_CODES:
        code = unpack(code, plan.bits, math.prod(shape))
    return levels[code].reshape(shape).astype(np.int32)


def sizes(kept: Mapping[str, NDArray]) -> Mapping[str, int]:
    """Return the bytes of what is kept, by key."""
    return {key: array.nbytes for key, array in kept.items()}
