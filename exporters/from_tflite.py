"""TensorFlow Lite files to models: float32, or int8 with the file's own integers and scales."""

import math
from pathlib import Path

import numpy as np

from edgetrain.description import TASKS, check_sizes
from edgetrain.errors import FileError, ModelError
from edgetrain.exporters.tflite_reading.importing import BORDER, Importing, sample_shape
from edgetrain.exporters.tflite_reading.operators import HANDLERS, NEAREST
from edgetrain.exporters.tflite_reading.read import Net, Operator, Tensor, read_tflite
from edgetrain.graph import INPUT, Graph
from edgetrain.model import FloatModel, Model
from edgetrain.quantize import SHARING
from edgetrain.scheme import Quantization, Scheme


def from_tflite(source: str | Path | bytes, task: str | None = None) -> FloatModel | Model:
    """Import a TensorFlow Lite model.

    A float32 file becomes a `FloatModel`, a fully quantized int8 one an int8 `Model` with the same
    integers and scales: its results are those of TensorFlow Lite Micro, byte for byte. A softmax
    at the end becomes `Model.softmax`; float input and output around an int8 network are left out.

    Args:
        source: path or contents of a .tflite file.
        task: "classify", "regress" or "reconstruct"; None for what the file says if edgetrain
            wrote it, else "classify" if there is more than one output, else "regress".

    Returns:
        The model; images are (height, width, channels), a signal is an image of height 1.

    Raises:
        FileError: if the file cannot be read, is truncated or damaged.
        ModelError: if the network has an operator, option or type that is not supported; it names
            the operator and the nearest that is.
    """
    if task is not None and task not in TASKS:
        raise ValueError(f"task must be one of {TASKS}, got {task!r}")
    net = read_tflite(source)
    operators = _needed(net)
    start = net.tensors[net.inputs[0]]
    importing = Importing(net, _is_quantized(net, operators), sample_shape(start))
    importing.values[net.inputs[0]] = INPUT
    if importing.quantized and start.type == "INT8":
        importing.quantize(INPUT, start)
    for operator in operators:
        if operator.op not in HANDLERS:
            nearest = NEAREST.get(operator.op, f"one of {', '.join(HANDLERS)}")
            raise ModelError(
                f"operator {importing.name_of(operator)!r}: {operator.op} is not supported; "
                f"the nearest that is: {nearest}"
            )
        HANDLERS[operator.op](importing, operator)
    return _model(importing, net, task)


def _needed(net: Net) -> list[Operator]:
    """Return the operators that the output depends on, in the order of the file."""
    for what, indices in (("input", net.inputs), ("output", net.outputs)):
        if len(indices) != 1:
            raise ModelError(f"a model must have one {what}, got {len(indices)}")
    wanted, found = {net.outputs[0]}, []
    for operator in reversed(net.operators):
        if wanted & set(operator.outputs):
            found.append(operator)
            wanted |= set(operator.inputs)
    if not found:
        raise FileError("no operator makes the output")
    return found[::-1]


def _is_quantized(net: Net, operators: list[Operator]) -> bool:
    """Whether the network's arithmetic is int8; raise ModelError if it is neither that nor float.

    Constants, and what a QUANTIZE or DEQUANTIZE at the border reads or leaves, may differ.
    """
    kinds: dict[str, Tensor] = {}
    for operator in operators:
        indices = () if operator.op in BORDER else operator.inputs[:1] + operator.outputs
        for i in indices:
            if i >= 0 and net.tensors[i].data is None:
                kinds.setdefault(net.tensors[i].type, net.tensors[i])
    odd = [t for kind, t in kinds.items() if kind not in ("INT8", "FLOAT32")]
    if odd:
        raise ModelError(
            f"tensor {odd[0].name!r:.80} is {odd[0].type}; activations must be INT8 or FLOAT32: "
            "convert with full-integer quantization"
        )
    if len(kinds) > 1:
        raise ModelError(
            f"tensor {kinds['FLOAT32'].name!r:.80} is FLOAT32 in an int8 network: "
            "convert with full-integer quantization"
        )
    return "INT8" in kinds


def _model(importing: Importing, net: Net, task: str | None) -> FloatModel | Model:
    output = importing.values.get(net.outputs[0])
    graph = Graph(importing.input_shape, tuple(importing.nodes))
    if output != graph.output.name:
        raise FileError("the output is not made by the last operator")
    check_sizes(graph)
    said = net.metadata.get("task")
    guess = "classify" if math.prod(graph.shapes[graph.output.name]) > 1 else "regress"
    task = task or (said if said in TASKS else guess)
    if not importing.quantized:
        return FloatModel(graph, importing.params, task, importing.softmax)
    _check_sharing(graph, importing.activations)
    history = net.metadata.get("history", "")
    return Model(
        Scheme(graph, importing.activations, importing.scales).checked(),
        importing.params,
        task=task,
        history=tuple(history.split("\n")) if isinstance(history, str) and history else (),
        softmax=importing.softmax,
    )


def _check_sharing(graph: Graph, activations: dict[str, Quantization]) -> None:
    for node in graph.nodes:
        source = activations[node.inputs[0]]
        if node.op in SHARING and not np.array_equal(source, activations[node.name]):
            raise ModelError(
                f"node {node.name!r}: {node.op} must keep scale and zero point of what it reads, "
                f"got {source} and {activations[node.name]}"
            )
