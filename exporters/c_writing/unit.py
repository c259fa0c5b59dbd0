"""One C file while it is made: constants, variables, and what our names are called in C."""

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import Window
from edgetrain.exporters.names import unique_name
from edgetrain.graph import Graph, Node
from edgetrain.model import Model
from edgetrain.state import State

CTYPES = {
    np.dtype(np.int8): "int8_t", np.dtype(np.uint8): "uint8_t", np.dtype(np.int16): "int16_t",
    np.dtype(np.int32): "int32_t",
}  # fmt: skip
COLUMNS = 24
WINDOW_BYTES, OUTPUT_BYTES, LAYER_BYTES = 52, 20, 20
"""Of an et_window, an et_output and an et_layer, where a pointer has 4 bytes."""


@dataclass
class Unit:
    """Collects the file-scope declarations of one model and one rule.

    Attributes:
        model: the network.
        state: of the rule, before the first step.
        trained: names of the nodes that learn.
        batch: samples of a step.
        declarations: lines of C, in order.
        first: C names of the first values of all that is traced; NULL for zeros.
        cleared: lines that put other variables into their first state.
        traced: what the trace reads: its name in Python, and the C expressions of its bytes.
        names: C name of every node; what is named after it gets a suffix, values and errors
            one with two underscores, which no node's name has, as the names of heads have: so
            nothing is ever named twice.
        declared: bytes of every constant by name, where a pointer has 4 bytes.
        untraced: bytes of variables that the trace does not read.
    """

    model: Model
    state: State
    trained: frozenset[str]
    batch: int
    declarations: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    cleared: list[str] = field(default_factory=list)
    traced: dict[str, tuple[str, int]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    declared: dict[str, int] = field(default_factory=dict)
    untraced: int = 0

    def __post_init__(self) -> None:
        for node in self.graph.nodes:
            self.names[node.name] = unique_name(node.name, self.names.values())

    @property
    def graph(self) -> Graph:
        """The network's shape."""
        return self.model.graph

    def of_batch(self, batch: int) -> "Unit":
        """Return this file as a pass over another number of samples sees it."""
        other = copy(self)
        other.batch = batch
        return other

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Declare an array in flash, once."""
        if name not in self.declared:
            self.declared[name] = values.nbytes
            ctype = CTYPES[values.dtype]
            self.declarations.append(f"static const {ctype} {name}[{values.size}] = {{")
            self.declarations += _rows(values)
            self.declarations.append("};")
        return name

    def variable(self, name: str, values: NDArray[Any], key: str) -> str:
        """Declare an array in memory that begins with given values; the trace knows it by key."""
        ctype, size = CTYPES[values.dtype], values.size * values.itemsize
        self.declarations.append(f"static {ctype} {name}[{values.size}];")
        self.traced[key] = (name, size)
        stored = self.constant(f"{name}_first", values.ravel()) if values.any() else "NULL"
        self.first.append(stored)
        return name

    def struct(self, kind: str, name: str, size: int, fields: Iterable[object]) -> str:
        """Declare a structure in flash, once, and return a pointer to it."""
        if name not in self.declared:
            self.declared[name] = size
            self.declarations.append(f"static const {kind} {name} = {{{_list(fields)}}};")
        return f"&{name}"

    def window(self, node: Node) -> str:
        """Declare how a node's kernel moves, and return a pointer to it."""
        if node.op == "dense":
            n_out, n_in = self.graph.weight_shape(node)
            return self.dense_window(self.names[node.name], n_in, n_out)
        source, result = self.graph.shapes[node.inputs[0]], self.graph.shapes[node.name]
        numbers = (*source, *result, *_moving(node.moving))
        return self.struct("et_window", f"{self.names[node.name]}_window", WINDOW_BYTES, numbers)

    def dense_window(self, name: str, n_in: int, n_out: int) -> str:
        """Declare the sizes of a dense layer, and return a pointer to them."""
        numbers = (1, 1, n_in, 1, 1, n_out, *_moving(Window((1, 1), (1, 1), (0, 0, 0, 0))))
        return self.struct("et_window", f"{name}_window", WINDOW_BYTES, numbers)

    def kernel(self, node: Node) -> str:
        """Return what the kernels call a layer with weights."""
        if node.op == "dense":
            return "dense"
        groups, n_in = node.moving.groups, self.graph.shapes[node.inputs[0]][-1]
        return "depthwise" if 1 < groups == n_in == node.n_out else "conv2d"

    def start(self, node: Node) -> str:
        """Declare what the accumulators of a frozen layer begin with."""
        w, b = self.model.params[node.name]
        sums = w.reshape(len(w), -1).sum(axis=1, dtype=np.int64)
        start = (b - self._zero_point(node) * sums).astype(np.int32)
        return self.constant(f"{self.names[node.name]}_start", start)

    def _zero_point(self, node: Node) -> int:
        return self.model.scheme.activations[node.inputs[0]].zero_point

    def layer(self, node: Node) -> str:
        """Declare a layer with weights, and return a pointer to it."""
        name, zero_point = self.names[node.name], self._zero_point(node)
        bias = f"{name}_b" if node.name in self.trained else self.start(node)
        fields = (f"{name}_w", bias, self.output(node), self.window(node), zero_point)
        return self.struct("et_layer", f"{name}_layer", LAYER_BYTES, fields)

    def output(self, node: Node) -> str:
        """Declare how a node's accumulators become int8, and return a pointer to it."""
        name = f"{self.names[node.name]}_output"
        multiplier, shift = self.model.scheme.requantize[node.name]
        zero_point = self.model.scheme.activations[node.name].zero_point
        limits = self.model.scheme.output_limits[node.name]
        m = self.constant(f"{name}_multiplier", multiplier)
        s = self.constant(f"{name}_shift", shift.astype(np.int8))
        return self.struct("et_output", name, OUTPUT_BYTES, (m, s, zero_point, *limits))


def head_name(number: int) -> str:
    """Return what a head is called in C."""
    return f"head__{number}"


def _moving(window: Window) -> tuple[int, ...]:
    top, _, left, _ = window.padding
    return (*window.kernel, *window.stride, top, left, window.groups)


def _list(fields: Iterable[object]) -> str:
    return ", ".join(map(str, fields))


def _rows(values: NDArray[Any]) -> list[str]:
    flat = [number(int(v)) for v in values.ravel()]
    return [f"    {', '.join(flat[i : i + COLUMNS])}," for i in range(0, len(flat), COLUMNS)]


def number(value: int) -> str:
    """Write an int32; the smallest has no literal of its own.

    Example:
        >>> number(-5), number(-(2**31))
        ('-5', 'INT32_MIN')
    """
    return "INT32_MIN" if value == -(2**31) else str(value)
