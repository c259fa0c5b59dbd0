"""ONNX models to networks that can be quantized and trained.

Files of either exporter of PyTorch, of tf2onnx and of onnxruntime's quantizer are understood: what
they compute in another order (flattened images, normalization, activations written as several
nodes) is brought into edgetrain's. Anything that cannot be expressed is refused by name.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from edgetrain.description import TASKS, check_sizes
from edgetrain.errors import FileError, ModelError
from edgetrain.exporters.onnx_reading.builder import Builder, Constant
from edgetrain.exporters.onnx_reading.fold import FOLDED, PICK, VIEWS, fold
from edgetrain.exporters.onnx_reading.graph import OnnxGraph, Op, read_graph
from edgetrain.exporters.onnx_reading.input import OtherLayoutError, first_guess
from edgetrain.exporters.onnx_reading.operators import OPERATORS, hint
from edgetrain.exporters.onnx_reading.pending import settle
from edgetrain.exporters.onnx_reading.qdq import int8_model
from edgetrain.exporters.onnx_reading.read import read_model
from edgetrain.exporters.onnx_reading.tensors import array
from edgetrain.exporters.onnx_reading.values import Value
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Model, Weights


def from_onnx(
    source: str | Path | bytes | onnx.ModelProto, task: str | None = None
) -> FloatModel | Model:
    """Import an ONNX model.

    Images become (height, width, channels), signals (1, length, channels); an output that is an
    image, or a flattened one, has its values in that order. A Softmax or LogSoftmax at the end
    becomes `FloatModel.softmax`: probabilities.

    Args:
        source: a path, the contents of a file, or a model in memory.
        task: "classify", "regress" or "reconstruct"; None for what the file says if edgetrain
            wrote it, else "classify" if the model ends with a softmax or has several outputs,
            else "regress".

    Returns:
        A float model; an int8 model with the same integers if the graph has QuantizeLinear and
        DequantizeLinear around its layers.

    Raises:
        FileError: if the file is damaged, foreign, or of an unknown version.
        ModelError: if an operator or attribute is not supported; it names the node.
        ValueError: if there is no such task.

    Example:
        >>> from onnx import helper, numpy_helper
        >>> x = helper.make_tensor_value_info("x", 1, ["n", 4])
        >>> y = helper.make_tensor_value_info("y", 1, ["n", 2])
        >>> w = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
        >>> nodes = [helper.make_node("MatMul", ["x", "w"], ["y"], "logits")]
        >>> from_onnx(helper.make_model(helper.make_graph(nodes, "g", [x], [y], [w]))).graph.nodes
        (Node(name='logits', op='dense', inputs=('input',), n_out=2, window=None, activation=''),)
    """
    if task is not None and task not in TASKS:
        raise ValueError(f"task must be one of {TASKS}, got {task!r}")
    read, folder = read_model(source)
    if read.producer_name == "edgetrain" and any(
        node.op_type == "BitwiseXor" for node in read.graph.node
    ):
        raise ModelError(
            "the file has edgetrain's form exact, which is for running only: import the model's "
            "own file, or one of the form qdq, which has the same integers"
        )
    said = {entry.key: entry.value for entry in read.metadata_props}
    task = task or (said["task"] if said.get("task") in TASKS else None)
    with np.errstate(all="ignore"):  # what is not finite is refused in the end
        build = _read_all(read_graph(read, folder))
        model = _model(build, build.values[build.graph.output], task)
    check_sizes(model.graph)
    if isinstance(model, Model) and said.get("history"):
        return replace(model, history=tuple(said["history"].split("\n")))
    return model


def _read_all(graph: OnnxGraph) -> Builder:
    """Read all nodes, with the input in the layout that the first layer wants."""
    try:
        return _build(graph, first_guess(graph))
    except OtherLayoutError as other:
        return _build(graph, other)


def _build(graph: OnnxGraph, layout: OtherLayoutError) -> Builder:
    """Read all nodes."""
    build = Builder(graph, {INPUT: layout.shape}, layout.dims)
    codes = graph.input_type != "float32"
    build.values[graph.input] = Value(INPUT, layout.dims, codes=codes)
    try:
        for op in graph.ops:
            _read(build, op)
    except OtherLayoutError as other:
        if layout.args != first_guess(graph).args:
            raise ModelError(
                f"input {graph.input!r}: layers read it in different layouts, {layout.shape} and "
                f"{other.shape}"
            ) from other
        raise
    if graph.output not in build.values:
        raise ModelError(f"the output {graph.output!r} does not depend on the input")
    return build


def _read(build: Builder, op: Op) -> None:
    """Read one ONNX node."""
    name = op.outputs[0]
    if op.kind == "Constant":
        build.keep(name, Constant(_constant(op, build.graph)))
        return
    known = [build.known(n) for n in op.inputs if n]
    inputs = [c for c in known if c is not None]
    if op.kind in FOLDED and inputs and len(inputs) == len(known):
        batch = any(c.batch for c in inputs)
        if batch and op.kind not in PICK:
            raise ModelError(f"node {op.name!r}: {op.kind} must not depend on the size of a batch")
        made = fold(op, [c.array for c in inputs], build.graph.opset)
        unit = inputs[0].unit
        if unit is not None and op.kind in VIEWS:
            unit = fold(op, [unit, *(c.array for c in inputs[1:])], build.graph.opset)
        unit = unit if op.kind in VIEWS else None
        build.keep(name, Constant(made, unit, batch and not made.all()))
        return
    if op.kind not in OPERATORS:
        raise ModelError(f"node {op.name!r}: {op.kind} is not supported: {hint(op.kind)}")
    made = OPERATORS[op.kind](build, op)
    if isinstance(made, Constant):
        build.keep(name, made)
    else:
        build.values[name] = _once(build, made, build.graph.readers[name])


def _once(build: Builder, value: Value, readers: int) -> Value:
    """Make nodes of pending arithmetic now if several operations read it, and if there are any."""
    if readers == 1 or value.pending is None:
        return value
    try:
        return settle(build, value)
    except ModelError:
        return value


def _constant(op: Op, graph: OnnxGraph) -> np.ndarray:
    """Return what a Constant node holds."""
    if len(op.attributes) != 1:
        raise FileError(f"node {op.name!r}: a Constant must have one value")
    ((name, value),) = op.attributes.items()
    if name == "value":
        return array(value, graph.folder)
    dtypes = {
        "value_float": np.float32, "value_floats": np.float32,
        "value_int": np.int64, "value_ints": np.int64,
    }  # fmt: skip
    if name not in dtypes:
        raise ModelError(f"node {op.name!r}: a Constant must hold numbers, got {name}")
    return np.asarray(value, dtypes[name])


def _model(build: Builder, value: Value, task: str | None) -> FloatModel | Model:
    """Make the model whose output is a value."""
    softmax = value.softmax
    value = settle(build, value)
    if len(value.dims) == 1 and (value.source == INPUT or value.source in build.nodes):
        value, order = build.flat(value, "output")
        if task in (None, "classify") and len(order) > 1 and "c" in order:
            raise ModelError(
                f"the output {build.graph.output!r} is a flattened image: its classes would get "
                "another order; end with a dense layer or pass task='regress'"
            )
    graph = Graph(build.shapes[INPUT], _needed(build, value.source))
    chosen = task or ("classify" if softmax or graph.output_size > 1 else "regress")
    if build.quantizations:
        return int8_model(build, graph, chosen, softmax)
    params = {}
    for node in graph.trainable:
        layer = build.layers[node.name]
        params[node.name] = Weights(layer.w.astype(np.float32), layer.b.astype(np.float32))
    return FloatModel(graph, params, chosen, softmax)


def _needed(build: Builder, output: str) -> tuple[Node, ...]:
    """Return the nodes that a value depends on, in order."""
    if output == INPUT:
        raise ModelError("the network computes nothing: its output is its input")
    needed = {output}
    for node in reversed(build.nodes.values()):
        if node.name in needed:
            needed.update(node.inputs)
    return tuple(node for node in build.nodes.values() if node.name in needed)
