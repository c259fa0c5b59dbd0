"""An ONNX graph as a list of live operations, after all structural checks."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto

from edgetrain.errors import FileError, ModelError
from edgetrain.exporters.onnx_reading.read import STANDARD, opset
from edgetrain.exporters.onnx_reading.tensors import MAX_ELEMENTS

MAX_NODES = 1 << 14
MAX_RANK = 8
INPUT_TYPES = {TensorProto.FLOAT: "float32", TensorProto.INT8: "int8", TensorProto.UINT8: "uint8"}
_GRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


@dataclass(frozen=True)
class Op:
    """One ONNX node.

    Attributes:
        kind: its operator.
        name: for messages and for names of nodes.
        inputs: names of tensors; "" for an optional one that is left out.
        outputs: names of tensors.
        attributes: by name; text is `str`.
        proto: the node itself.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    proto: NodeProto


@dataclass(frozen=True)
class OnnxGraph:
    """The part of an ONNX graph on which its output depends.

    Attributes:
        ops: in topological order.
        initializers: constants by name.
        readers: how many operations read a tensor; the graph's output counts as one.
        input: name of the input.
        input_type: "float32", "int8" or "uint8".
        input_shape: of one sample, as ONNX has it: (channels, height, width) for an image.
        batch: number of samples; None if any.
        output: name of the output.
        opset: version of the operators.
        folder: where external data lie.
    """

    ops: tuple[Op, ...]
    initializers: Mapping[str, TensorProto]
    readers: Counter[str]
    input: str
    input_type: str
    input_shape: tuple[int, ...]
    batch: int | None
    output: str
    opset: int
    folder: Path | None


def read_graph(model: ModelProto, folder: Path | None) -> OnnxGraph:
    """Check a model's structure and drop what its output does not need.

    Raises:
        FileError: if names repeat, a tensor is read before it is made, or a node has not the
            inputs and attributes of its operator.
        ModelError: if there are several inputs or outputs, control flow, operators of other
            domains, or an input of unknown shape.

    Example:
        >>> from onnx import helper
        >>> x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
        >>> y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
        >>> nodes = [helper.make_node("Relu", ["x"], ["y"])]
        >>> model = helper.make_model(helper.make_graph(nodes, "g", [x], [y]))
        >>> read_graph(model, None).input_shape
        (4,)
    """
    graph = model.graph
    if len(graph.node) > MAX_NODES:
        raise ModelError(f"a graph may have {MAX_NODES} nodes, got {len(graph.node)}")
    if len(graph.sparse_initializer):
        raise ModelError("sparse initializers are not supported: store them as dense tensors")
    _check_text(graph)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    _check_names(graph, initializers)
    live, output = _live(graph), graph.output[0].name
    ops = tuple(_op(node, i, model) for i, node in enumerate(graph.node) if i in live)
    readers = Counter(name for op in ops for name in op.inputs) + Counter([output])
    inputs = [i for i in graph.input if i.name not in initializers and readers[i.name]]
    if len(inputs) != 1:
        names = [i.name for i in inputs]
        raise ModelError(f"a network must have one input that its output depends on, got {names}")
    batch, shape = _input_shape(inputs[0])
    kind = INPUT_TYPES[inputs[0].type.tensor_type.elem_type]
    return OnnxGraph(
        ops, initializers, readers, inputs[0].name, kind, shape, batch, output, opset(model), folder
    )


def _check_text(graph: GraphProto) -> None:
    """Raise FileError unless all names are text; protobuf gives bytes where they are not."""
    names = [i.name for i in (*graph.input, *graph.output, *graph.initializer)]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise FileError(f"names must be UTF-8, got {wrong[0][:40]!r}: the file is damaged")


def _check_names(graph: GraphProto, initializers: Mapping[str, TensorProto]) -> None:
    """Raise FileError unless every tensor is made once and before it is read."""
    if len(initializers) != len(graph.initializer):
        raise FileError("the names of initializers must differ: the file is damaged")
    inputs = [i.name for i in graph.input]
    if len(set(inputs)) != len(inputs):
        raise FileError(f"the names of inputs must differ, got {inputs}")
    known = {"", *inputs, *initializers}
    for i, node in enumerate(graph.node):
        for name in node.input:
            if name not in known:
                raise FileError(
                    f"node {node.name or i!r}: no earlier node makes its input {name!r}; nodes "
                    "must be sorted, without cycles"
                )
        for name in filter(None, node.output):
            if name in known:
                raise FileError(f"node {node.name or i!r}: there are two tensors named {name!r}")
            known.add(name)
    for output in graph.output:
        if output.name not in known - {""}:
            raise FileError(f"no node makes the output {output.name!r}: the file is damaged")


def _live(graph: GraphProto) -> set[int]:
    """Return the indices of the nodes that the output depends on."""
    if len(graph.output) != 1:
        names = [o.name for o in graph.output]
        raise ModelError(f"a network must have one output, got {names}: export it with one")
    needed, live = {graph.output[0].name}, set()
    for i in range(len(graph.node) - 1, -1, -1):
        if needed.intersection(graph.node[i].output):
            live.add(i)
            needed.update(filter(None, graph.node[i].input))
    return live


def _op(node: NodeProto, index: int, model: ModelProto) -> Op:
    """Check one node against its operator's definition."""
    name = node.name or next(filter(None, node.output), f"node {index}")
    if node.domain not in STANDARD or any(f.domain in STANDARD for f in model.functions):
        raise ModelError(
            f"node {name!r}: {node.op_type} of the domain {node.domain!r} is not supported, "
            "only ONNX's own operators are: inline functions, export without fused operators"
        )
    attributes = dict(_attributes(node, name))
    context = onnx.checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {"": opset(model)}
    try:
        onnx.checker.check_node(node, context)
    except (onnx.checker.ValidationError, ValueError) as error:
        first = (str(error).splitlines() or [""])[0]
        raise FileError(f"node {name!r}: not as ONNX defines {node.op_type}: {first}") from error
    return Op(node.op_type, name, tuple(node.input), tuple(node.output), attributes, node)


def _attributes(node: NodeProto, name: str) -> Iterator[tuple[str, Any]]:
    """Decode a node's attributes."""
    for attribute in node.attribute:
        if attribute.type in _GRAPHS or attribute.ref_attr_name:
            raise ModelError(
                f"node {name!r}: {node.op_type} has a graph of its own; control flow and local "
                "functions are not supported: export a network without them"
            )
        try:
            value = onnx.helper.get_attribute_value(attribute)
            yield attribute.name, value.decode() if isinstance(value, bytes) else value
        except ValueError as error:
            raise FileError(f"node {name!r}: attribute {attribute.name!r}: {error}") from error


def _input_shape(info: onnx.ValueInfoProto) -> tuple[int | None, tuple[int, ...]]:
    """Return the number of samples, if it is fixed, and the shape of one."""
    name, tensor = info.name, info.type.tensor_type
    if tensor.elem_type not in INPUT_TYPES:
        raise ModelError(
            f"input {name!r}: elements must be {', '.join(INPUT_TYPES.values())}, "
            f"got type {tensor.elem_type}"
        )
    if not tensor.HasField("shape") or not 2 <= len(tensor.shape.dim) <= 4:
        rank = len(tensor.shape.dim) if tensor.HasField("shape") else "none"
        raise ModelError(
            f"input {name!r}: its shape must be (batch, features), (batch, channels, length) or "
            f"(batch, channels, height, width), got {rank} dimensions"
        )
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    total = 1
    for i, size in enumerate(sizes[1:], start=1):
        if size is None:
            raise ModelError(
                f"input {name!r}: only the batch may vary, dimension {i} has no fixed size: "
                "export with an example of the real size, without dynamic axes"
            )
        total *= max(size, 0)
    if not 0 < total <= MAX_ELEMENTS:
        raise ModelError(f"input {name!r}: a sample has 1 to {MAX_ELEMENTS} values, got {sizes}")
    return sizes[0] or None, tuple(size or 0 for size in sizes[1:])
