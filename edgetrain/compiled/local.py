"""Mono-Forward and backpropagation as programs: `edgetrain.backward` and `edgetrain.heads`."""

from collections.abc import Callable

import numpy as np

from edgetrain.arithmetic import rooms
from edgetrain.arithmetic.layers import ACTIVATION_RANGE
from edgetrain.arithmetic.rounding import INT32_MAX, WEIGHT_MAX, Ints
from edgetrain.backward import GUARD_BITS, SLOPE_FACTOR, slopes_q6
from edgetrain.blocks import Plan
from edgetrain.compiled.builder import Buffer
from edgetrain.compiled.forward import (
    Network,
    Packed,
    Parameters,
    Values,
    area,
    average,
    groups_of,
    logits,
    node_result,
    pack,
    take_input,
)
from edgetrain.compiled.learning import EVERYWHERE, Error, Learning
from edgetrain.graph import INPUT, Node
from edgetrain.settings import FULL_RATE
from edgetrain.state import UNIT_RATIO, constants
from edgetrain.step import ONE

Head = Callable[[Learning, str, Buffer], Error]
"""Writes how a head on a value learns, and returns the error of the value."""


def write(learning: Learning, plans: tuple[Plan, ...], warm: frozenset[str], rate: int,
          head: Head) -> None:  # fmt: skip
    """Write a step of blocks that learn by themselves: `edgetrain.rules.mono_forward`.

    Args:
        learning: the step.
        plans: of the blocks.
        warm: the blocks' outputs whose blocks learn; the others warm up.
        rate: factor of the learning rate before the last block, in Q8.
        head: writes what a block before the last learns from: `pooled_head`, or another.
    """
    net = learning.net
    *early, last = plans
    with net.builder.each(net.samples):
        values: Values = {INPUT: take_input(net)}
        weights = {n.name: pack(net, n, net.parameters(n), True) for n in net.graph.trainable}
        indices: dict[str, Buffer] = {}
        for plan in early:
            _forward(net, plan, values, weights, indices)
            name = plan.block.output
            error = head(learning, name, values[name])
            if plan.trained and name in warm:
                _backward(learning, plan, values, indices, error, rate)
        result = _forward(net, last, values, weights, indices)
        error = learning.loss(last.block.output, logits(net, result), counts=True)
        if last.trained:
            _backward(learning, last, values, indices, error, FULL_RATE)
    learns = (p.trained for p in plans if p is last or p.block.output in warm)
    learning.conclude(frozenset().union(*learns))


def _forward(net: Network, plan: Plan, values: Values, weights: dict[str, Packed],
             indices: dict[str, Buffer]) -> Buffer:  # fmt: skip
    """Run a block; values stay where its backward pass reads them."""
    for node in plan.block.nodes:
        y = values[node.name] = node_result(net, node, values, weights)
        if node.name in plan.indices:
            index = indices[node.name] = net.value(node.name)
            net.builder.emit("winners", net.geometry(node), x=values[node.inputs[0]], y=index)
    return y


def _backward(learning: Learning, plan: Plan, values: Values, indices: dict[str, Buffer],
              error: Error, rate: int) -> None:  # fmt: skip
    """Send an error through a block: `edgetrain.backward.backward`."""
    errors = {plan.block.output: [error]}
    for node in reversed(plan.block.nodes):
        if node.name in plan.active:
            _node(learning, plan, node, values, indices, errors, rate)


def _node(learning: Learning, plan: Plan, node: Node, values: Values, indices: dict[str, Buffer],
          errors: dict[str, list[Error]], rate: int) -> None:  # fmt: skip
    """Take a node's error, let it learn, pass the error on to what it reads."""
    net = learning.net
    size = net.size(node.name)
    error = _merge(learning, node.name, errors.pop(node.name))
    if node.activation in ("relu", "relu6"):
        low, high = net.model.scheme.output_limits[node.name]
        masked = net.value(node.name)
        net.builder.emit("mask", e=error.e, x=values[node.name], low=low, size=size, y=masked,
                         high=high if node.activation == "relu6" else EVERYWHERE[1])  # fmt: skip
        error = Error(masked, error.exponent)
    if node.name in plan.trained:
        learning.node(node, values[node.inputs[0]], error, rate)

    for name in dict.fromkeys(node.inputs):
        if name in plan.active:
            part = _input_error(learning, plan, node, values, indices, error)
            errors.setdefault(name, []).extend([part] * node.inputs.count(name))


def _merge(learning: Learning, name: str, parts: list[Error]) -> Error:
    """Add the errors that reach one value on several ways."""
    if len(parts) == 1:
        return parts[0]
    net = learning.net
    size, base = net.size(name), learning.exponent()
    acc = net.builder.array(net.samples * size, np.int32)
    padded = [*parts, *[parts[0]] * (3 - len(parts))]
    given = {f"e{i}": p.e for i, p in enumerate(padded)} | {
        f"exponent{i}": p.exponent for i, p in enumerate(padded)
    }
    net.builder.emit("merge", size=size, count=len(parts), base=base, y=acc, **given)
    return learning.scale(learning.row(name, 1), acc, size, ONE, base)


def _input_error(learning: Learning, plan: Plan, node: Node, values: Values,
                 indices: dict[str, Buffer], error: Error) -> Error:  # fmt: skip
    """Return the error of what a node reads."""
    net, name = learning.net, node.inputs[0]
    size, row = net.size(name), learning.row(node.name, 0)
    if node.op in ("add", "flatten"):
        return error
    if node.op == "global_average_pool":
        return _spread(learning, node, error)
    if node.has_weights:
        scheme = net.model.scheme
        ratio = net.constant(("ratio", node.name), scheme.ratios[node.name][0], np.int16)
        return learning.send_back(net.geometry(node), groups_of(node), net.parameters(node), ratio,
                                  error, row, constants(net.model).errors[node.name])  # fmt: skip
    acc = net.builder.array(net.samples * size, np.int32)
    if node.op == "average_pool":
        net.builder.emit("average_grad", net.geometry(node), e=error.e, y=acc)
        return learning.scale(row, acc, size, (2**30, -7), error.exponent)
    if node.op == "activation":
        slopes = net.constant(("slopes", node.name), slopes_q6(net.model, node, plan.bits), np.int8)
        net.builder.emit("derive", e=error.e, x=values[name], table=slopes, size=size, y=acc)
        return learning.scale(row, acc, size, SLOPE_FACTOR, error.exponent)
    net.builder.emit("maximum_grad", net.geometry(node), e=error.e, index=indices[node.name],
                     bits=GUARD_BITS, y=acc)  # fmt: skip
    return learning.scale(row, acc, size, (2**30, 1 - GUARD_BITS), error.exponent)


def _spread(learning: Learning, node: Node, error: Error) -> Error:
    """Send the error of a mean to its pixels."""
    net = learning.net
    width = net.size(node.name)
    fine, lower = net.builder.array(net.samples * width, np.int32), learning.exponent()
    net.builder.emit("centre", x=error.e, zero=0, bits=GUARD_BITS, size=width, y=fine)
    net.builder.emit("lower", exponent=error.exponent, bits=GUARD_BITS, y_exponent=lower)
    share = constants(net.model).errors[node.name]
    small = learning.scale(learning.row(node.name, 0), fine, width, share, lower)
    return _to_pixels(net, node.inputs[0], small)


def _to_pixels(net: Network, name: str, error: Error) -> Error:
    shape, y = net.graph.shapes[name], net.value(name)
    net.builder.emit("spread", x=error.e, pixels=shape[0] * shape[1], width=shape[2], y=y)
    return Error(y, error.exponent)


def pooled_head(learning: Learning, name: str, y: Buffer) -> Error:
    """Let a block's head learn; return the error of the value it reads: `edgetrain.heads.learn`."""
    net = learning.net
    pooled, outputs = pooled_logits(net, name, y, learning.state[f"head/{name}/scale"][0])
    error = learning.loss(name, outputs, counts=False)
    found = learn_head(learning, name, head_geometry(net, name, ()), pooled, error)
    return found if pooled is y else _to_pixels(net, name, found)


def pooled_logits(net: Network, name: str, y: Buffer, forth: Ints) -> tuple[Buffer, Buffer]:
    """Run a head on a block's result: `edgetrain.heads.features` and `logits`.

    Args:
        net: the network.
        name: of the value that the head reads.
        y: that value.
        forth: multiplier and shift to Q10 outputs.

    Returns:
        What the head reads, y itself where it is no image; and its outputs, int32, Q10.
    """
    geometry, width = head_geometry(net, name, ()), net.graph.output_size
    pooled, key = y, f"head/{name}"
    if len(net.graph.shapes[name]) == 3:
        pooled = net.builder.array(net.samples * geometry[2])
        average(net, name, y, ONE, net.zero(name), pooled)
    outputs = net.builder.array(net.samples * width, np.int32)
    net.builder.emit(
        "logits", x=head_sums(net, name, geometry, pooled), width=width, y=outputs,
        multiplier=net.constant((key, "multiplier"), [forth[0]] * width),
        shift=net.constant((key, "shift"), [forth[1]] * width),
    )  # fmt: skip
    return pooled, outputs


def head_geometry(net: Network, name: str, image: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sizes of a head on every pixel of an image, () for one on its average."""
    image = image or (1, 1)
    features = net.graph.shapes[name][-1]
    return (*image, features, *image, net.graph.output_size, 1, 1, 1, 1, 0, 0, net.samples)


def _head_source(net: Network, name: str) -> Parameters:
    return Parameters(net.place(f"head/{name}/w"), net.place(f"head/{name}/b"))


def head_sums(net: Network, name: str, geometry: tuple[int, ...], x: Buffer) -> Buffer:
    """Compute the int32 sums of a head."""
    builder, zero, width = net.builder, net.zero(name), geometry[5]
    packed = builder.array(rooms.packed(geometry))
    bias = builder.array(rooms.whole(width, rooms.COLUMNS), np.int32)
    builder.prepare("pack", geometry, is_block=1, zero=zero, packed=packed, bias=bias,
                    **_head_source(net, name)._asdict())  # fmt: skip
    acc = builder.array(net.samples * geometry[0] * geometry[1] * width, np.int32)
    builder.emit("sums", geometry, x=x, zero=zero, packed=packed, bias=bias,
                 area=area(net, geometry), y=acc)  # fmt: skip
    return acc


def learn_head(learning: Learning, name: str, geometry: tuple[int, ...], x: Buffer,
               error: Error) -> Error:  # fmt: skip
    """Let a head learn from an error of its outputs; return that of what it reads."""
    net, key, (features, width) = learning.net, f"head/{name}", geometry[2:6:3]
    back = learning.state[f"{key}/scale"][1]
    ratio = net.constant(("unit", width), [UNIT_RATIO] * width, np.int16)
    found = learning.send_back(geometry, 1, _head_source(net, name), ratio, error,
                               learning.row(name, 1), back)  # fmt: skip
    limit = INT32_MAX - features * ACTIVATION_RANGE * WEIGHT_MAX
    learning.gradients(key, geometry, 1, net.zero(name), x, error, limit)
    return found
