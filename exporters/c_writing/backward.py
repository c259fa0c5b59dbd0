"""The backward pass of a block as calls of kernels; `edgetrain.backward` in C."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgetrain.arithmetic.randomness import ROUND
from edgetrain.backward import GUARD_BITS, _tables
from edgetrain.blocks import Plan
from edgetrain.exporters.c_writing import forms
from edgetrain.exporters.c_writing.forms import Scratch
from edgetrain.exporters.c_writing.forward import Forward
from edgetrain.exporters.c_writing.kept import open_between
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.graph import Node
from edgetrain.settings import Settings
from edgetrain.state import constants
from edgetrain.step import MERGE_BITS, ONE, tensor_number


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
        """Append the backward pass of a block whose forward pass stands before."""
        errors = {plan.block.output: [error]}
        for node in reversed(plan.block.nodes):
            if node.name in plan.active:
                self._node(plan, node, errors, rate)

    def _node(self, plan: Plan, node: Node, errors: dict[str, list[Error]], rate: str) -> None:
        error = self._merged(node, errors.pop(node.name))
        if node.activation in ("relu", "relu6"):
            self._close(plan, node, error.name)
        for name in dict.fromkeys(node.inputs):
            if name in plan.active:
                part = self._input_error(plan, node, error)
                errors.setdefault(name, []).extend([part] * node.inputs.count(name))
        if node.name in plan.trained:
            self.learn(node, error, rate)

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

    def learn(self, node: Node, error: Error, rate: str) -> None:
        """Append one step of a node's weights and biases."""
        unit, name, x = self.unit, self.unit.names[node.name], self.forward.values[node.inputs[0]]
        zero_point = self.forward.zero_point(node.inputs[0])
        shape, batch = unit.graph.weight_shape(node), self.forward.unit.batch
        sizes, scratch = f"{batch}, {shape[1]}, {shape[0]}", ""
        if node.op == "conv2d":
            scratch = self.program.scratch(name, self._learn_scratch(node))
            sizes = f"{batch}, {unit.window(node)}, {scratch}"
        limit = unit.model.scheme.bias_limits[node.name]
        rows = self.forward.size(node.name) // node.n_out
        self.step(
            f"node/{node.name}", name, node.op, x, error, zero_point, sizes, self.sums(node),
            (limit, rows, node.n_out), rate, scratch,
        )  # fmt: skip

    def _learn_scratch(self, node: Node) -> Scratch:
        height, width, channels = self.unit.graph.shapes[node.name]
        if node.moving.groups == 1:
            return forms.conv2d_learn(channels, self.forward.unit.batch * height * width)
        if node.moving.groups == channels == self.unit.graph.shapes[node.inputs[0]][2]:
            return forms.depthwise_learn(node.moving.kernel[0], height, width)
        return forms.NONE

    def rates(
        self, key: str, name: str, exponent: str, rate: str, batch: int
    ) -> tuple[str, str]:  # fmt: skip
        """Return C pointers to the rates of weights and biases."""
        found = []
        for part in ("w", "b"):
            multiplier, shift = self.unit.state.tensors[f"rate/{key}/{part}"]
            m = self.unit.constant(f"{name}_{part}_rate", multiplier)
            s = self.unit.constant(f"{name}_{part}_rate_shift", shift.astype(np.int8))
            found.append(f"&(et_rates){{{m}, {s}, {exponent}, {rate}, {batch}}}")
        return found[0], found[1]

    def weights(self, key: str, name: str, exponent: str) -> str:
        """Return a C pointer to weights that learn from an error with an exponent."""
        master = f"{name}_master" if self.settings.weights == "w16" else "NULL"
        stream = f"et_stream_key(seed, (uint32_t)step, {tensor_number(key)}u, {ROUND})"
        velocity = "NULL, 0, 0"
        if decay := self.settings.momentum_bits:
            realign = f"et_realign({name}_velocity_unit, {exponent})"
            velocity = f"{name}_velocity, {decay}, {realign}"
        return f"&(et_weights){{{name}_w, {master}, {stream}, {velocity}}}"

    def step(
        self, key: str, name: str, op: str, x: str, error: Error, zero_point: int, sizes: str,
        sums: str, bias: tuple[int, int, int], rate: str, scratch: str = "",
    ) -> None:  # fmt: skip
        """Append one step of weights and biases that are called name in C and key in the state."""
        rates = self.rates(key, name, error.exponent, rate, self.unit.batch)
        self.program.line(
            f"saturated += et_{op}_learn({x}, {error.name}, {zero_point}, "
            f"{self.weights(key, name, error.exponent)}, {rates[0]}, "
            f"{sums}, {sizes});",
            x, error.name, sums, scratch,
        )  # fmt: skip
        limit, rows, n_out = bias
        self.program.line(
            f"et_bias_learn({error.name}, {name}_b, {rates[1]}, {limit}, {rows}, {n_out});",
            error.name,
        )


def _linear_error(b: Backward, plan: Plan, node: Node, error: Error, target: str) -> Error:
    unit, name = b.unit, b.unit.names[node.name]
    scheme = unit.model.scheme
    ratio = unit.constant(f"{name}_ratio", scheme.ratios[node.name][0])
    sums, shape = b.sums(node), unit.graph.weight_shape(node)
    sizes, scratch = f"{unit.batch}, {shape[1]}, {shape[0]}", ""
    if node.op == "conv2d":
        scratch = b.program.scratch(name, _error_scratch(b, node))
        sizes = f"{unit.batch}, {unit.window(node)}, {scratch}"
    call = (
        f"et_{node.op}_error({error.name}, {name}_w, {ratio}, SCALING, {sums}, {target}, {sizes})"
    )
    factor = constants(unit.model).errors[node.name]
    uses = (target, error.name, sums, scratch)
    return b.scaled(b.row(node.name, 0), factor, error.exponent, call, *uses)


def _error_scratch(b: Backward, node: Node) -> Scratch:
    (height, width, n_in), (rows, columns) = b.unit.graph.shapes[node.inputs[0]], node.moving.kernel
    if node.moving.groups == 1:
        return forms.conv2d_error(rows * columns * node.n_out, n_in)
    if node.moving.groups == node.n_out == n_in:
        return forms.depthwise_error(rows, height, width)
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
