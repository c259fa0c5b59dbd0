"""The forward pass as instructions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from edgetrain.arithmetic import rooms
from edgetrain.arithmetic.layers import global_pool_multiplier
from edgetrain.compiled.block import Layout
from edgetrain.compiled.builder import Buffer, Builder, Operand
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.inference import ends_linear
from edgetrain.model import Model
from edgetrain.state import constants

Values = dict[str, Buffer]
FUSED_SHIFT = -1
"""The largest shift that instructions "layer" and "channels" know: scales below 1/2."""


class Parameters(NamedTuple):
    """Where a layer's weights and biases are: in the block, or in buffers."""

    w: Operand
    b: Operand


@dataclass
class Network:
    """A network being written: what the rows of one program share.

    Attributes:
        builder: takes the instructions.
        model: the network; its weights do not matter.
        layout: of the block of parameters.
        samples: seen at a time.
        area: type of activations and errors as the machine's micro-kernel reads them.
    """

    builder: Builder
    model: Model
    layout: Layout
    samples: int
    area: Any
    constants: dict[Any, Buffer] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The network's shape."""
        return self.model.graph

    def size(self, name: str) -> int:
        """Numbers of one sample of a value."""
        return int(np.prod(self.graph.shapes[name]))

    def value(self, name: str) -> Buffer:
        """Return room for a value."""
        return self.builder.array(self.samples * self.size(name) + rooms.SLACK)

    def zero(self, name: str) -> int:
        """Zero point of a value."""
        return self.model.scheme.activations[name].zero_point

    def constant(self, key: Any, values: Any, dtype: Any = np.int32) -> Buffer:
        """Return a constant, the same for the same key."""
        if key not in self.constants:
            self.constants[key] = self.builder.constant(values, dtype)
        return self.constants[key]

    def geometry(self, node: Node, samples: int | None = None) -> tuple[int, ...]:
        """Return the sizes of a node with weights or a window."""
        samples = self.samples if samples is None else samples
        shape = self.graph.shapes[node.inputs[0]]
        if node.op == "dense":
            return (1, 1, shape[0], 1, 1, node.n_out, 1, 1, 1, 1, 0, 0, samples)
        window, out = node.moving, self.graph.shapes[node.name]
        return (*shape, *out, *window.kernel, *window.stride, window.padding[0],
                window.padding[2], samples)  # fmt: skip

    def weight_geometry(self, node: Node) -> tuple[int, ...]:
        """Return the sizes of a node's weights, which read the channels of one group."""
        sizes = self.geometry(node)
        return (*sizes[:2], self.graph.weight_shape(node)[-1], *sizes[3:])

    def place(self, name: str) -> int:
        """Bytes from the start of a block to an array in it."""
        return self.layout.slots[name].start

    def parameters(self, node: Node) -> Parameters:
        """Say where a node's parameters are in the block."""
        key = f"node/{node.name}"
        return Parameters(self.place(f"{key}/w"), self.place(f"{key}/b"))


def groups_of(node: Node) -> int:
    """Groups of channels of a node with weights: 1 where every output reads all of them."""
    return node.moving.groups if node.op == "conv2d" else 1


def is_depthwise(net: Network, node: Node) -> bool:
    """Whether every channel of a convolution has one filter, its own."""
    return rooms.is_depthwise(net.geometry(node), groups_of(node))


def area(net: Network, geometry: tuple[int, ...]) -> Buffer:
    """Return room for what a layer reads, padded."""
    return net.builder.array(rooms.area(geometry), net.area)


def centred_area(net: Network, geometry: tuple[int, ...]) -> Buffer:
    """Return room for what a depthwise gradient reads, padded, its zero point taken off."""
    return net.builder.array(rooms.centred(geometry), np.int16)


class Packed(NamedTuple):
    """A layer's weights as the kernels read them."""

    packed: Buffer
    bias: Buffer


def packed_room(net: Network, node: Node) -> Packed:
    """Return room for a layer's weights as the kernels read them."""
    geometry = net.geometry(node)
    size = (rooms.packed_channels if is_depthwise(net, node) else rooms.packed)(geometry)
    bias = net.builder.array(rooms.whole(node.n_out, rooms.COLUMNS), np.int32)
    return Packed(net.builder.array(size), bias)


def pack(net: Network, node: Node, source: Parameters, is_block: bool) -> Packed:
    """Lay out weights before the loop that uses them."""
    found, geometry = packed_room(net, node), net.geometry(node)
    name = "pack_channels"
    if not is_depthwise(net, node):
        name = "pack"
        source, is_block = widened(net.builder, geometry, groups_of(node), source, is_block)
    net.builder.prepare(name, geometry, is_block=int(is_block), zero=net.zero(node.inputs[0]),
                        **source._asdict(), **found._asdict())  # fmt: skip
    return found


def widened(builder: Builder, geometry: tuple[int, ...], groups: int, source: Parameters,
            is_block: bool) -> tuple[Parameters, bool]:  # fmt: skip
    """Turn a convolution in groups into an ordinary one, and say whether that is in the block."""
    if groups == 1:
        return source, is_block
    _, _, channels, _, _, n_out, height, width, *_ = geometry
    wide = Parameters(builder.array(n_out * height * width * channels),
                      builder.array(n_out, np.int32))  # fmt: skip
    builder.prepare("widen", geometry, is_block=int(is_block), groups=groups, w_out=wide.w,
                    b_out=wide.b, **source._asdict())  # fmt: skip
    return wide, False


def layer(net: Network, node: Node, x: Buffer, weights: Packed) -> Buffer:
    """Compute a node with weights; return its int8 result."""
    geometry, scheme = net.geometry(node), net.model.scheme
    multiplier, shift = scheme.requantize[node.name]
    shift = np.where(multiplier, shift, FUSED_SHIFT)  # a dead channel fits in
    if shift.max() > FUSED_SHIFT:
        return requantize(net, node, sums(net, node, x, weights))
    low, high = scheme.output_limits[node.name]
    y = net.value(node.name)
    net.builder.emit(
        "channels" if is_depthwise(net, node) else "layer", geometry,
        x=x, zero=net.zero(node.inputs[0]), packed=weights.packed, bias=weights.bias,
        multiplier=net.constant(("multiplier", node.name), multiplier),
        shift=net.constant(("fused shift", node.name), shift), y_zero=net.zero(node.name),
        low=low, high=high,
        area=area(net, geometry), y=y,
    )  # fmt: skip
    return y


def requantize(net: Network, node: Node, acc: Buffer) -> Buffer:
    """Requantize the sums of a node with weights."""
    scheme, y = net.model.scheme, net.value(node.name)
    multiplier, shift = scheme.requantize[node.name]
    low, high = scheme.output_limits[node.name]
    net.builder.emit(
        "requantize", x=acc, multiplier=net.constant(("multiplier", node.name), multiplier),
        shift=net.constant(("shift", node.name), shift), size=net.size(node.name),
        width=node.n_out, y_zero=net.zero(node.name), low=low, high=high, y=y,
    )  # fmt: skip
    return y


def sums(net: Network, node: Node, x: Buffer, weights: Packed) -> Buffer:
    """Compute a node with weights as int32 sums."""
    geometry = net.geometry(node)
    y = net.builder.array(net.samples * net.size(node.name), np.int32)
    net.builder.emit(
        "channel_sums" if is_depthwise(net, node) else "sums", geometry, x=x,
        zero=net.zero(node.inputs[0]), packed=weights.packed, bias=weights.bias,
        area=area(net, geometry), y=y,
    )  # fmt: skip
    return y


def plain(net: Network, node: Node, values: Values) -> Buffer:
    """Compute a node without weights."""
    scheme, source = net.model.scheme, node.inputs[0]
    x, y = values[source], net.value(node.name)
    if node.op == "flatten":
        return x
    if node.op == "activation":
        table = net.constant(("table", node.name), scheme.tables[node.name], np.int8)
        net.builder.emit("look_up", x=x, table=table, size=net.size(node.name), y=y)
    elif node.op in ("average_pool", "max_pool"):
        name = "average" if node.op == "average_pool" else "maximum"
        net.builder.emit(name, net.geometry(node), x=x, y=y)
    elif node.op == "global_average_pool":
        average(net, source, x, scheme.global_pools[node.name], net.zero(node.name), y)
    else:
        a, b, total = scheme.adds[node.name]
        low, high = scheme.output_limits[node.name]
        other = node.inputs[1]
        net.builder.emit(
            "add", a=x, a_zero=net.zero(source), a_multiplier=a[0], a_shift=a[1],
            b=values[other], b_zero=net.zero(other), b_multiplier=b[0], b_shift=b[1],
            y_zero=net.zero(node.name), y_multiplier=total[0], y_shift=total[1], low=low,
            high=high, size=net.size(node.name), y=y,
        )  # fmt: skip
    return y


def average(
    net: Network, name: str, x: Buffer, scale: tuple[int, int], y_zero: int, y: Buffer
) -> None:
    """Average a value over its image."""
    height, width, channels = net.graph.shapes[name]
    multiplier, shift = global_pool_multiplier(*scale, height * width)
    net.builder.emit("mean", x=x, pixels=height * width, width=channels, zero=net.zero(name),
                     multiplier=multiplier, shift=shift, y_zero=y_zero, y=y)  # fmt: skip


def node_result(net: Network, node: Node, values: Values, weights: Mapping[str, Packed]) -> Buffer:
    """Compute a node: int8, or the int32 sums of the network's linear last layer."""
    if not node.has_weights:
        return plain(net, node, values)
    x, own = values[node.inputs[0]], weights[node.name]
    return sums(net, node, x, own) if ends_linear(net.model, node) else layer(net, node, x, own)


def logits(net: Network, result: Buffer) -> Buffer:
    """Turn what the last node leaves into Q10 outputs: `edgetrain.outputs.outputs_q10`."""
    last, width = net.graph.output, net.graph.output_size
    multiplier, shift = constants(net.model).outputs
    if not ends_linear(net.model, last):
        centred = net.builder.array(net.samples * width, np.int32)
        net.builder.emit("centre", x=result, zero=net.zero(last.name), bits=0, size=width,
                         y=centred)  # fmt: skip
        result = centred
    y = net.builder.array(net.samples * width, np.int32)
    net.builder.emit(
        "logits", x=result, width=width, y=y,
        multiplier=net.constant("outputs/multiplier", np.resize(multiplier, width)),
        shift=net.constant("outputs/shift", np.resize(shift, width)),
    )  # fmt: skip
    return y


def take_input(net: Network) -> Buffer:
    """Copy samples in."""
    x = net.value(INPUT)
    net.builder.emit("input", y=x, size=net.size(INPUT))
    return x


def machine_of(ops: ModuleType) -> Any:
    """Return a backend's machine, or None."""
    return getattr(ops, "machine", None)
