"""The backward pass of a block as calls of kernels; `edgetrain.backward` in C."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgetrain.backward import GUARD_BITS, _tables
from edgetrain.blocks import Plan
from edgetrain.exporters.c_writing import forms
from edgetrain.exporters.c_writing.forms import Scratch
from edgetrain.exporters.c_writing.forward import Forward
from edgetrain.exporters.c_writing.kept import open_between
from edgetrain.exporters.c_writing.learner import declare, learning, sending
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.graph import Node
from edgetrain.settings import Settings
from edgetrain.state import constants
from edgetrain.step import MERGE_BITS, ONE

EXPONENT = "const int32_t power"
"""How a line begins that declares the exponent of an error."""


class Error(NamedTuple):
    """An error: its buffer, and the C expression of its exponent."""

    name: str
    exponent: str


class Backward:
    """Appends the backward passes of blocks to a program.

    Args:
        unit: the file.
        program: the function.
        forward: of the same program.
        settings: of the rule.
    """

    def __init__(self, unit: Unit, program: Program, forward: Forward, settings: Settings) -> None:
        self.unit, self.program, self.forward = unit, program, forward
        self.settings = settings
        self.rows = {node.name: i for i, node in enumerate(unit.graph.nodes)}
        self.count = 0

    def row(self, name: str, kind: int) -> int:
        """Row in the table of exponents; see `Step.row`."""
        return kind * len(self.rows) + self.rows[name]

    def scaled(
        self, row: int, factor: tuple[int, int], exponent: str, call: str, target: str, *uses: str
    ) -> Error:
        """Append a kernel that scales its result to int8, and what remembers its peak.

        Args:
            row: of the error in the table of exponents.
            factor: of the kernel's sums.
            exponent: of the sums, an expression.
            call: of the kernel; ``SCALING`` stands for the argument.
            target: the buffer that it writes.
            uses: the buffers that it uses.
        """
        self.count += 1
        name, limit = f"s{self.count}", self.settings.error_limit
        bound = "INT32_MAX" if limit is None else str(limit)
        self.program.line(
            f"const et_scaling {name} = et_choose_scale(&scales[{row}], {factor[0]}, {factor[1]}, "
            f"{exponent}, {bound});"
        )
        text = call.replace("SCALING", f"&{name}")
        self.program.line(
            f"et_watch_peak(&scales[{row}], {name}.exponent, {text}, (uint32_t)step);",
            target, *uses,
        )  # fmt: skip
        return Error(target, f"{name}.exponent")

    def block(self, plan: Plan, error: Error, rate: str) -> None:
        """Append the backward pass of a block whose forward pass stands before.

        Args:
            plan: of the block.
            error: of what it gives.
            rate: the C expression of the rate with which it learns.
        """
        if rate != "rate":
            self.program.line(f"lesson.rate = {rate};")
        errors = {plan.block.output: [error]}
        for node in reversed(plan.block.nodes):
            if node.name in plan.active:
                self._node(plan, node, errors)
        if rate != "rate":
            self.program.line("lesson.rate = rate;")

    def _node(self, plan: Plan, node: Node, errors: dict[str, list[Error]]) -> None:
        error = self._merged(node, errors.pop(node.name))
        if node.activation in ("relu", "relu6"):
            self._close(plan, node, error.name)
        for name in dict.fromkeys(node.inputs):
            if name in plan.active:
                part = self._input_error(plan, node, error)
                errors.setdefault(name, []).extend([part] * node.inputs.count(name))
        if node.name in plan.trained:
            self.learn(node, error)

    def _merged(self, node: Node, parts: list[Error]) -> Error:
        if len(parts) == 1:
            return parts[0]
        self.count += 1
        n, k, size = self.count, len(parts), self.forward.size(node.name)
        target = self.program.buffer(f"{self.unit.names[node.name]}__e", "int8_t", size)
        names = [part.name for part in parts]
        exponents = ", ".join(part.exponent for part in parts)
        self.program.line(f"const int8_t *const parts{n}[{k}] = {{{', '.join(names)}}};", *names)
        self.program.line(f"const int32_t exponents{n}[{k}] = {{{exponents}}};")
        largest = f"exponents{n}[0]"
        for i in range(1, k):
            largest = f"et_max({largest}, exponents{n}[{i}])"
        self.program.line(f"const int32_t base{n} = {largest} - {MERGE_BITS};")
        call = f"et_merge(parts{n}, exponents{n}, {k}, base{n}, SCALING, {target}, {size})"
        row = self.row(node.name, 1)
        return self.scaled(row, ONE, f"base{n}", call, target, *names)

    def _close(self, plan: Plan, node: Node, error: str) -> None:
        low, high = open_between(self.unit, node)
        size, name = self.forward.size(node.name), self.unit.names[node.name]
        if node.name in plan.values:
            y = self.forward.values[node.name]
            self.program.line(f"et_close({error}, {y}, {low}, {high}, {size});", error, y)
        else:
            bits = f"{name}_open"
            self.program.line(f"et_close_by_bits({error}, {bits}, {size});", error, bits)

    def _input_error(self, plan: Plan, node: Node, error: Error) -> Error:
        if node.op == "flatten":
            return error
        target = self.program.buffer(
            f"{self.unit.names.get(node.inputs[0], 'input')}__e", "int8_t",
            self.forward.size(node.inputs[0]),
        )  # fmt: skip
        if node.op == "add":
            size = self.forward.size(node.name)
            self.program.line(
                f"__builtin_memcpy({target}, {error.name}, {size});", target, error.name
            )
            return Error(target, error.exponent)
        return INPUT_ERRORS[node.op](self, plan, node, error, target)

    def sums(self, node: Node) -> str:
        """Ask for a row of sums as long as a node needs in either direction."""
        graph = self.unit.graph
        longest = graph.shapes[node.inputs[0]][-1]
        if node.has_weights:
            longest = max(longest, graph.fan_in(node))
        return self.program.buffer(f"{self.unit.names[node.name]}_sums", "int32_t", longest)

    def learn(self, node: Node, error: Error) -> None:
        """Append one step of a node's weights and biases."""
        unit, x = self.unit, self.forward.values[node.inputs[0]]
        scratch = ""
        if node.op == "conv2d":
            scratch = self.program.scratch(unit.names[node.name], self._learn_scratch(node))
        self.step(unit.kernel(node), self.learner(node), x, error, self.sums(node), scratch)

    def step(
        self, kernel: str, learner: str, x: str, error: Error, sums: str, scratch: str = ""
    ) -> None:
        """Append one step of the weights and biases of a learner."""
        more = f", {scratch}" if scratch else ""
        self.program.line(
            f"saturated += et_{kernel}_step({learner}, &lesson, {x}, {error.name}, "
            f"{error.exponent}, {sums}{more});",
            x, error.name, sums, scratch,
        )  # fmt: skip

    def back(
        self, kernel: str, learner: str, error: Error, sums: str, target: str, scratch: str = ""
    ) -> Error:
        """Append what sends an error back through a learner."""
        self.count += 1
        name, more = f"power{self.count}", f", {scratch}" if scratch else ""
        self.program.line(
            f"{EXPONENT}{self.count} = et_{kernel}_back({learner}, {error.name}, {error.exponent}, "
            f"(uint32_t)step, {sums}, {target}{more});",
            error.name, sums, target, scratch,
        )  # fmt: skip
        return Error(target, name)

    def _learn_scratch(self, node: Node) -> Scratch:
        height, width, channels = self.unit.graph.shapes[node.name]
        if node.moving.groups == 1:
            return forms.conv2d_learn(channels, self.forward.unit.batch * height * width)
        if self.unit.kernel(node) == "depthwise":
            return forms.depthwise_learn(node.moving.kernel, node.moving.stride, height, width)
        return forms.NONE

    def learner(self, node: Node, sends: bool = False) -> str:
        """Declare how a layer learns, and return a pointer to it.

        Args:
            node: the layer.
            sends: whether it sends its error back; what the first call says holds.
        """
        unit, settings, scheme = self.unit, self.settings, self.unit.model.scheme
        name, parts = unit.names[node.name], []
        if node.name in unit.trained:
            limit = scheme.bias_limits[node.name]
            parts.append(learning(unit, settings, f"node/{node.name}", name, limit))
        if sends:
            ratio = unit.constant(f"{name}_ratio", scheme.ratios[node.name][0])
            factor = constants(unit.model).errors[node.name]
            parts.append(sending(settings, ratio, self.row(node.name, 0), factor))
        return declare(unit, name, unit.layer(node), self.forward.unit.batch, *parts)


def _linear_error(b: Backward, plan: Plan, node: Node, error: Error, target: str) -> Error:
    scratch = ""
    if node.op == "conv2d":
        scratch = b.program.scratch(b.unit.names[node.name], _error_scratch(b, node))
    learner = b.learner(node, sends=True)
    return b.back(b.unit.kernel(node), learner, error, b.sums(node), target, scratch)


def _error_scratch(b: Backward, node: Node) -> Scratch:
    (height, width, n_in), (rows, columns) = b.unit.graph.shapes[node.inputs[0]], node.moving.kernel
    if node.moving.groups == 1:
        return forms.conv2d_error(rows * columns * node.n_out, n_in)
    if b.unit.kernel(node) == "depthwise":
        return forms.depthwise_error(node.moving.kernel, height, width)
    return forms.NONE


def _pool_error(b: Backward, plan: Plan, node: Node, error: Error, target: str) -> Error:
    sums, index = b.sums(node), ""
    extra: tuple[str, ...] = ()
    if node.op == "max_pool":
        index = b.forward.values[f"{node.name} index"]
        extra = (index,)
    middle = f"{index}, " if index else ""
    call = (
        f"et_{node.op}_error({error.name}, {middle}SCALING, {sums}, {target}, {b.unit.batch}, "
        f"{b.unit.window(node)})"
    )
    factor = (2**30, 1 - GUARD_BITS)
    return b.scaled(
        b.row(node.name, 0), factor, error.exponent, call, target, error.name, sums, *extra
    )


def _global_error(b: Backward, plan: Plan, node: Node, error: Error, target: str) -> Error:
    height, width, channels = b.unit.graph.shapes[node.inputs[0]]
    narrow = b.program.buffer(f"{target}_mean", "int8_t", b.unit.batch * channels)
    call = f"et_widened({error.name}, SCALING, {narrow}, {b.unit.batch * channels})"
    factor = constants(b.unit.model).errors[node.name]
    exponent = f"{error.exponent} - {GUARD_BITS}"
    found = b.scaled(b.row(node.name, 0), factor, exponent, call, narrow, error.name)
    return spread(b, found, target, height * width, channels)


def spread(b: Backward, error: Error, target: str, pixels: int, channels: int) -> Error:
    """Append what gives every pixel the error of its channel."""
    b.program.line(
        f"et_spread({error.name}, {target}, {b.unit.batch}, {pixels}, {channels});",
        error.name, target,
    )  # fmt: skip
    return Error(target, error.exponent)


def _activation_error(b: Backward, plan: Plan, node: Node, error: Error, target: str) -> Error:
    quantization = b.unit.model.scheme.activations[node.inputs[0]]
    codes, levels = _tables(node.activation, quantization, plan.bits)
    slopes = b.unit.constant(f"{b.unit.names[node.name]}_slopes", levels[codes].astype(np.int8))
    x, size = b.forward.values[f"{node.name} input"], b.forward.size(node.name)
    call = f"et_slope_error({error.name}, {x}, {slopes}, SCALING, {target}, {size})"
    return b.scaled(b.row(node.name, 0), (2**30, -5), error.exponent, call, target, error.name, x)


INPUT_ERRORS: dict[str, Callable[[Backward, Plan, Node, Error, str], Error]] = {
    "dense": _linear_error,
    "conv2d": _linear_error,
    "average_pool": _pool_error,
    "max_pool": _pool_error,
    "global_average_pool": _global_error,
    "activation": _activation_error,
}
