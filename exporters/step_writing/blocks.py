"""Mono-Forward and backpropagation: `edgetrain.rules.mono_forward` and `edgetrain.backward`."""

import numpy as np

from edgetrain.arithmetic.layers import ACTIVATION_RANGE
from edgetrain.arithmetic.rounding import INT32_MAX, WEIGHT_MAX
from edgetrain.backward import GUARD_BITS, _tables
from edgetrain.blocks import Plan
from edgetrain.exporters.step_writing import numbers
from edgetrain.exporters.step_writing.emitter import Shape, Tensor
from edgetrain.exporters.step_writing.learning import Learning
from edgetrain.exporters.step_writing.network import Values
from edgetrain.exporters.step_writing.scaling import Error
from edgetrain.graph import Node
from edgetrain.rules.mono_forward import MonoForward
from edgetrain.settings import FULL_RATE
from edgetrain.state import UNIT_RATIO, constants
from edgetrain.step import ONE


def write(learning: Learning, rule: MonoForward, x: Tensor) -> None:
    """Append a step of `edgetrain.rules.mono_forward.MonoForward`."""
    *early, last = rule.plans(learning.net.model)
    rate = int(learning.constant("early_rate")[0])
    for plan in early:
        values = {plan.block.source: x}
        x = learning.net.block(plan.block, values)
        error = head(learning, plan.block.output, x)
        if plan.trained:
            warm = _warm(learning, rule, plan)
            e = error.e if warm is None else learning.emit.choose(warm, error.e, 0)
            Backward(learning, plan, values, rate, warm).run(Error(e, error.exponent))
    last_block(learning, last, x)


def last_block(learning: Learning, plan: Plan, x: Tensor) -> None:
    """Append what the block that ends with the network's output learns."""
    values = {plan.block.source: x}
    outputs = learning.net.outputs_q10(learning.net.block(plan.block, values))
    error, loss = learning.loss(plan.block.output, outputs)
    learning.report(loss, outputs)
    if plan.trained:
        shape = learning.net.graph.shapes[plan.block.output]
        e = learning.emit.reshape(error.e, (learning.batch, *shape))
        Backward(learning, plan, values, FULL_RATE, None).run(Error(e, error.exponent))


def _warm(learning: Learning, rule: MonoForward, plan: Plan) -> Tensor:
    """Return the condition under which a block learns, None for always."""
    steps = rule._warmup(learning.net.model, plan.block)
    return learning.emit.less(steps - 1, learning.number) if steps else None


def features(learning: Learning, name: str, y: Tensor) -> Tensor:
    """Append `edgetrain.heads.features`."""
    if len(learning.net.graph.shapes[name]) == 1:
        return y
    zero = learning.net.zero(name)
    return learning.emit.global_average_pool(y, zero, *ONE, zero)


def logits(learning: Learning, name: str, pooled: Tensor) -> Tensor:
    """Append `edgetrain.heads.logits`."""
    emit, key, tensors = learning.emit, f"head/{name}", learning.tensors
    acc = emit.dense_acc(pooled, tensors[f"{key}/w"], tensors[f"{key}/b"], learning.net.zero(name))
    multiplier, shift = learning.constant(f"{key}/scale")[0]
    return emit.logits_q10(acc, int(multiplier), int(shift))


def head(learning: Learning, name: str, y: Tensor) -> Error:
    """Append what a block's head learns; return the error of the block's result."""
    pooled = features(learning, name, y)
    error, _ = learning.loss(name, logits(learning, name, pooled))
    e, exponent = teach_head(learning, name, pooled, error)
    shape = learning.net.graph.shapes[name]
    if len(shape) == 3:
        e = learning.emit.spread(e, (learning.batch, *shape))
    return Error(e, exponent)


def teach_head(learning: Learning, name: str, pooled: Tensor, error: Error) -> Error:
    """Append `edgetrain.heads.learn`; return the error of what the head reads."""
    emit, key = learning.emit, f"head/{name}"
    outputs = learning.net.graph.output_size
    size = learning.net.graph.shapes[name][-1]
    ratio = np.full(outputs, UNIT_RATIO, np.int16)
    acc = emit.dense_grad_x(error.e, learning.tensors[f"{key}/w"], ratio)
    multiplier, shift = learning.constant(f"{key}/scale")[1]
    back = (int(multiplier), int(shift))
    sent = learning.scale(learning.row(name, 1), acc, back, error.exponent)
    acc_w = emit.dense_grad_w(pooled, error.e, learning.net.zero(name))
    limit = INT32_MAX - size * ACTIVATION_RANGE * WEIGHT_MAX
    learning.update(key, (acc_w, emit.grad_b(error.e)), error.exponent, limit)
    return sent


class Backward:
    """The backward pass of one block: `edgetrain.backward.backward`.

    Args:
        learning: the step.
        plan: of the block.
        values: of its forward pass, by node.
        rate: factor of the learning rate in Q8.
        counts: the condition under which the block learns; None for always.
    """

    def __init__(
        self, learning: Learning, plan: Plan, values: Values, rate: int, counts: Tensor
    ) -> None:
        self.learning, self.plan, self.values = learning, plan, values
        self.rate, self.counts = rate, counts
        self.net, self.emit = learning.net, learning.emit

    def run(self, error: Error) -> None:
        """Append all, from the error of what leaves the block."""
        errors = {self.plan.block.output: [error]}
        for node in reversed(self.plan.block.nodes):
            if node.name in self.plan.active:
                self._node(node, errors)

    def _node(self, node: Node, errors: dict[str, list[Error]]) -> None:
        e, exponent = self.learning.merge(node.name, errors.pop(node.name), self.counts)
        if node.activation in ("relu", "relu6"):
            low, high = self.net.scheme.output_limits[node.name]
            top = high if node.activation == "relu6" else None
            e = self.emit.times(e, self.emit.opened(self.values[node.name], low, top))
        for name in dict.fromkeys(node.inputs):
            if name in self.plan.active:
                part = self._input_error(node, Error(e, exponent))
                errors.setdefault(name, []).extend([part] * node.inputs.count(name))
        if node.name in self.plan.trained:
            acc = self.learning.gradients(node, self.values[node.inputs[0]], e)
            self.learning.update_node(node, acc, exponent, self.rate, counts=self.counts)

    def _input_error(self, node: Node, error: Error) -> Error:
        """Append the error of what a node reads."""
        learning, emit = self.learning, self.emit
        e, exponent = error
        shape = (learning.batch, *self.net.graph.shapes[node.inputs[0]])
        if node.op == "add":
            return error
        if node.op == "flatten":
            return Error(emit.reshape(e, shape), exponent)
        row = learning.row(node.name, 0)
        if node.op == "global_average_pool":
            share = constants(self.net.model).errors[node.name]
            fine = emit.times(e, 1 << GUARD_BITS)
            base = numbers.minus(emit, exponent, GUARD_BITS)
            small = learning.scale(row, fine, share, base, self.counts)
            return Error(emit.spread(small.e, shape), small.exponent)
        acc, factor = self._input_acc(node, e, shape)
        return learning.scale(row, acc, factor, exponent, self.counts)

    def _input_acc(self, node: Node, e: Tensor, shape: Shape) -> tuple[Tensor, tuple[int, int]]:
        """Append the error of what a node reads as sums; return the factor that makes it real."""
        net, emit, x = self.net, self.emit, self.values[node.inputs[0]]
        if node.op == "average_pool":
            return emit.average_pool_grad(e, shape, node.moving), (2**30, -7)  # 1 / 256
        if node.op == "max_pool":
            index = emit.max_pool_index(x, node.moving)
            acc = emit.max_pool_grad(e, index, shape, node.moving)
            return emit.times(acc, 1 << GUARD_BITS), (2**30, 1 - GUARD_BITS)
        if node.op == "activation":
            return emit.times(e, emit.look_up(x, self._slopes(node))), (2**30, -5)  # 1 / 64
        ratio, factor = net.scheme.ratios[node.name][0], constants(net.model).errors[node.name]
        w = net.params[node.name].w
        if node.op == "dense":
            return emit.dense_grad_x(e, w, ratio), factor
        return emit.conv2d_grad_x(e, w, ratio, shape, node.moving), factor

    def _slopes(self, node: Node) -> np.ndarray:
        """Return an activation's derivative for every code, Q6."""
        quantization = self.net.scheme.activations[node.inputs[0]]
        codes, levels = _tables(node.activation, quantization, self.plan.bits)
        return levels[codes].astype(np.int32)
