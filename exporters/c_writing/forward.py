"""The forward pass of nodes as calls of kernels."""

import math
from collections.abc import Callable

from edgetrain.arithmetic.layers import global_pool_multiplier
from edgetrain.exporters.c_writing import forms
from edgetrain.exporters.c_writing.forms import Scratch
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.graph import Node
from edgetrain.inference import ends_linear


class Forward:
    """Appends nodes to a program.

    Args:
        unit: the file.
        program: the function.
        values: C name of every value that exists so far.
    """

    def __init__(self, unit: Unit, program: Program, values: dict[str, str]) -> None:
        self.unit, self.program, self.values = unit, program, values

    def size(self, name: str) -> int:
        """Numbers of a value, of the whole batch."""
        return self.unit.batch * math.prod(self.unit.graph.shapes[name])

    def zero_point(self, name: str) -> int:
        """Zero point of a value."""
        return self.unit.model.scheme.activations[name].zero_point

    def call(self, text: str, *uses: str) -> None:
        """Append a call."""
        self.program.line(text, *uses)

    def result(self, node: Node, target: str = "") -> str:
        """Ask for the buffer of a node's result, or take a given one."""
        wanted = f"{self.unit.names[node.name]}__y"
        name = target or self.program.buffer(wanted, "int8_t", self.size(node.name))
        self.values[node.name] = name
        return name

    def start(self, node: Node) -> str:
        """Return what a node's accumulators begin with, made anew where its weights learn."""
        unit, name = self.unit, self.unit.names[node.name]
        if node.name not in unit.trained:
            return unit.start(node)
        start = self.start_buffer(node)
        n, zero_point = unit.graph.fan_in(node), self.zero_point(node.inputs[0])
        self.call(f"et_start({name}_w, {name}_b, {zero_point}, {node.n_out}, {n}, {start});", start)
        return start

    def start_buffer(self, node: Node) -> str:
        """Ask for where the accumulators of a layer begin, or return "NULL" if it is frozen."""
        if node.name not in self.unit.trained:
            return "NULL"
        name = f"{self.unit.names[node.name]}_start"
        return self.program.buffer(name, "int32_t", node.n_out)

    def node(self, node: Node, target: str = "") -> None:
        """Append one node."""
        APPEND[node.op](self, node, target)

    def accumulate(self, node: Node, target: str) -> None:
        """Append a linear dense layer that leaves its accumulators in a buffer."""
        x, start = self.values[node.inputs[0]], self.start_buffer(node)
        layer, batch = self.unit.layer(node), self.unit.batch
        self.call(f"et_dense_pass_acc({layer}, {x}, {target}, {batch}, {start});", x, start, target)

    def layer(self, node: Node, x: str, y: str) -> None:
        """Append a layer with weights of its own."""
        unit, start = self.unit, self.start_buffer(node)
        scratch = self.program.scratch(unit.names[node.name], self._scratch(node))
        self.call(
            f"et_{unit.kernel(node)}_pass({unit.layer(node)}, {x}, {y}, {unit.batch}, {start}, "
            f"{scratch});",
            x, y, start, scratch,
        )  # fmt: skip

    def linear(self, node: Node, x: str, w: str, start: str, y: str, batch: int) -> None:
        """Append a layer with given weights, whatever it reads; at the end it gives sums."""
        unit, (n_out, n_in) = self.unit, self.unit.graph.weight_shape(node)[:2]
        sizes = f"{batch}, {n_in}, {n_out}"
        if ends_linear(unit.model, node) and y.startswith("logits"):
            self.call(f"et_dense_acc({x}, {w}, {start}, {y}, {sizes});", x, w, start, y)
            return
        scratch = self.program.scratch(unit.names[node.name], self._scratch(node))
        if node.op == "dense":
            text = f"et_dense({x}, {w}, {start}, {unit.output(node)}, {y}, {sizes}, {scratch});"
        else:
            text = (
                f"et_{unit.kernel(node)}({x}, {w}, {start}, {self.zero_point(node.inputs[0])}, "
                f"{unit.output(node)}, {y}, {batch}, {unit.window(node)}, {scratch});"
            )
        self.call(text, x, w, start, y, scratch)

    def _scratch(self, node: Node) -> Scratch:
        graph = self.unit.graph
        if node.op == "dense":
            return forms.dense(graph.fan_in(node))
        _, width, channels = graph.shapes[node.name]
        moving, n_in = node.moving, graph.shapes[node.inputs[0]][2]
        if moving.groups == 1:
            columns = (width - 1) * moving.stride[1] + moving.kernel[1]
            point = moving.kernel == (1, 1) and not any(moving.padding)
            rows = 0 if point else moving.kernel[0] * n_in * columns
            return forms.conv2d(graph.fan_in(node), channels, rows)
        if self.unit.kernel(node) == "depthwise":
            return forms.depthwise(width, moving.stride[1])
        return forms.NONE


def _linear(f: Forward, node: Node, target: str) -> None:
    x = f.values[node.inputs[0]]
    y = f.result(node, target)
    f.layer(node, x, y)


def _average_pool(f: Forward, node: Node, target: str) -> None:
    x, y = f.values[node.inputs[0]], f.result(node, target)
    f.call(f"et_average_pool({x}, {y}, {f.unit.batch}, {f.unit.window(node)});", x, y)


def _max_pool(f: Forward, node: Node, target: str) -> None:
    x, y = f.values[node.inputs[0]], f.result(node, target)
    f.call(f"et_max_pool({x}, {y}, NULL, {f.unit.batch}, {f.unit.window(node)});", x, y)


def _global_pool(f: Forward, node: Node, target: str) -> None:
    scale = f.unit.model.scheme.global_pools[node.name]
    average(f, node.inputs[0], f.result(node, target), scale, f.zero_point(node.name))


def average(f: Forward, source: str, y: str, scale: tuple[int, int], zero_point: int) -> None:
    """Append the average of a value over its image."""
    height, width, channels = f.unit.graph.shapes[source]
    x, pixels = f.values[source], height * width
    multiplier, shift = global_pool_multiplier(*scale, pixels)
    f.call(
        f"et_global_average_pool({x}, {f.zero_point(source)}, {multiplier}, {shift}, "
        f"{zero_point}, {y}, {f.unit.batch}, {pixels}, {channels});",
        x, y,
    )  # fmt: skip


def _add(f: Forward, node: Node, target: str) -> None:
    a, b = (f.values[name] for name in node.inputs)
    y = f.result(node, target)
    names = (*node.inputs, node.name)
    terms = [
        f"(et_term){{{f.zero_point(name)}, {multiplier}, {shift}}}"
        for name, (multiplier, shift) in zip(
            names, f.unit.model.scheme.adds[node.name], strict=True
        )
    ]
    low, high = f.unit.model.scheme.output_limits[node.name]
    f.call(
        f"et_add({a}, {terms[0]}, {b}, {terms[1]}, {y}, {terms[2]}, {low}, {high}, "
        f"{f.size(node.name)});",
        a, b, y,
    )  # fmt: skip


def _flatten(f: Forward, node: Node, target: str) -> None:
    x = f.values[node.inputs[0]]
    f.values[node.name] = target or x
    if target:
        f.call(f"__builtin_memcpy({target}, {x}, {f.size(node.name)});", x, target)


def _activation(f: Forward, node: Node, target: str) -> None:
    x, y = f.values[node.inputs[0]], f.result(node, target)
    table = f.unit.constant(
        f"{f.unit.names[node.name]}_table", f.unit.model.scheme.tables[node.name]
    )
    f.call(f"et_look_up({x}, {table}, {y}, {f.size(node.name)});", x, y)


APPEND: dict[str, Callable[[Forward, Node, str], None]] = {
    "dense": _linear,
    "conv2d": _linear,
    "average_pool": _average_pool,
    "max_pool": _max_pool,
    "global_average_pool": _global_pool,
    "add": _add,
    "flatten": _flatten,
    "activation": _activation,
}
