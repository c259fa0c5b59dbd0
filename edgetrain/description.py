"""A model as JSON and named tensors: what a file holds, checked value by value.

| tensor | what |
|---|---|
| ``node/NAME/w``, ``node/NAME/b`` | int8 and int32; float32 in a real-valued model |
| ``node/NAME/scale`` | float64 (n_out,), weight scales of an int8 model |
| ``head/NAME/w``, ``head/NAME/b`` | int8 and int32, a local classifier |
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import ACTIVATION_RANGE, Window
from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN, INT32_MAX, WEIGHT_MAX
from edgetrain.errors import FileError
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Model, Weights
from edgetrain.quantize import SHARING
from edgetrain.scheme import Quantization, Scheme

Json = dict[str, Any]
Tensors = Mapping[str, NDArray[Any]]

TASKS = ("classify", "regress", "reconstruct")
LARGEST = 2**24
"""Most that any number in a graph may be."""
LARGEST_VALUE = 2**31
"""Most elements that one sample of any value of the network may have."""


def describe(model: Model | FloatModel) -> tuple[Json, Tensors]:
    """Return what `model_from` needs to make the same model again."""
    is_float = isinstance(model, FloatModel)
    tensors: dict[str, NDArray[Any]] = {}
    for name, weights in model.params.items():
        dtypes = (np.float32, np.float32) if is_float else (np.int8, np.int32)
        tensors |= _pair(f"node/{name}", weights, dtypes)
    found: Json = {
        "kind": "float_model" if is_float else "model",
        "input_shape": list(map(int, model.graph.input_shape)),
        "nodes": [_node_json(node) for node in model.graph.nodes],
        "task": model.task,
        "softmax": model.softmax,
    }
    if isinstance(model, FloatModel):
        return found, tensors
    for name, scales in model.scheme.weights.items():
        tensors[f"node/{name}/scale"] = np.ascontiguousarray(scales, np.float64)
    for name, weights in model.heads.items():
        tensors |= _pair(f"head/{name}", weights, (np.int8, np.int32))
    found |= {
        "activations": {
            name: [float(scale), int(zero_point)]
            for name, (scale, zero_point) in model.scheme.activations.items()
        },
        "heads": {name: float(model.head_scales[name]) for name in model.heads},
        "history": list(model.history),
    }
    return found, tensors


def model_from(found: Json, tensors: Tensors) -> Model | FloatModel:
    """Make a model of its description and its tensors.

    Raises:
        FileError: if a value is missing, of the wrong type or out of its range.
        ModelError: if the values do not fit together.
        ValueError: if the scales have no integer form.
    """
    graph = _graph(found)
    task = found.get("task")
    if task not in TASKS:
        raise FileError(f"task must be one of {TASKS}, got {task!r:.40}")
    softmax = found.get("softmax", False)
    if not isinstance(softmax, bool):
        raise FileError(f"softmax must be true or false, got {softmax!r:.40}")
    if found.get("kind") == "float_model":
        dtypes = (np.dtype(np.float32), np.dtype(np.float32))
        check_names(tensors, _names(graph, ("w", "b")))
        return FloatModel(graph, _params(graph, tensors, *dtypes), task, softmax)
    heads = {
        name: real(scale, f"the scale of head {name!r}")
        for name, scale in mapping(found.get("heads"), "heads").items()
    }
    names = _names(graph, ("w", "b", "scale"))
    check_names(tensors, [*names, *(f"head/{n}/{part}" for n in heads for part in ("w", "b"))])
    params = _params(graph, tensors, np.dtype(np.int8), np.dtype(np.int32))
    return Model(
        _scheme(graph, found, tensors),
        params,
        {name: _head(graph, name, tensors) for name in heads},
        heads,
        task,
        tuple(text(line, "history") for line in items(found.get("history"), "history")),
        softmax,
    )


def check_names(tensors: Tensors, names: Iterable[str]) -> None:
    """Raise FileError unless exactly these tensors are there."""
    odd = sorted(set(tensors) ^ set(names))
    if odd:
        verb = "has an unknown" if odd[0] in tensors else "lacks the"
        raise FileError(f"it {verb} tensor {odd[0]!r:.60}")


def _pair(key: str, weights: Weights, dtypes: tuple[type, type]) -> dict[str, NDArray[Any]]:
    for array, dtype in zip(weights, dtypes, strict=True):
        if array.dtype != dtype:
            raise FileError(f"{key} must be {np.dtype(dtype)}, got {array.dtype}")
    w, b = weights
    return {f"{key}/w": np.ascontiguousarray(w), f"{key}/b": np.ascontiguousarray(b)}


def _names(graph: Graph, parts: tuple[str, ...]) -> list[str]:
    return [f"node/{node.name}/{part}" for node in graph.trainable for part in parts]


def _node_json(node: Node) -> Json:
    found: Json = {"name": node.name, "op": node.op, "inputs": list(node.inputs)}
    if node.n_out:
        found["n_out"] = int(node.n_out)
    if node.window is not None:
        kernel, stride, padding, groups = node.window
        found |= {
            "kernel": list(map(int, kernel)),
            "stride": list(map(int, stride)),
            "padding": list(map(int, padding)),
            "groups": int(groups),
        }
    return found | ({"activation": node.activation} if node.activation else {})


def _graph(found: Json) -> Graph:
    nodes = tuple(_node(mapping(n, "a node")) for n in items(found.get("nodes"), "nodes"))
    graph = Graph(integers(found.get("input_shape"), "input_shape"), nodes)
    check_sizes(graph)
    return graph


def check_sizes(graph: Graph) -> None:
    """Raise FileError if a value of the graph is larger than any device's memory."""
    for name, shape in graph.shapes.items():
        if math.prod(shape) > LARGEST_VALUE:
            raise FileError(f"{name!r} must have at most {LARGEST_VALUE} elements, got {shape}")
    for node in graph.nodes:
        if node.window is not None and math.prod(_padded(graph, node)) > LARGEST_VALUE:
            raise FileError(f"node {node.name!r}: so wide a padding must not be: {node.window}")


def _padded(graph: Graph, node: Node) -> tuple[int, ...]:
    height, width, channels = graph.shapes[node.inputs[0]]
    top, bottom, left, right = node.moving.padding
    return height + top + bottom, width + left + right, channels


def _node(found: Json) -> Node:
    window = None
    if "kernel" in found:
        kernel, stride = (integers(found.get(k), k, 2, 1) for k in ("kernel", "stride"))
        padding = integers(found.get("padding"), "padding", 4)
        groups = integer(found.get("groups"), "groups", 1)
        window = Window((kernel[0], kernel[1]), (stride[0], stride[1]),
                        (padding[0], padding[1], padding[2], padding[3]), groups)  # fmt: skip
    return Node(
        text(found.get("name"), "the name of a node"),
        text(found.get("op"), "op"),
        tuple(text(name, "inputs") for name in items(found.get("inputs"), "inputs")),
        integer(found.get("n_out", 0), "n_out"),
        window,
        text(found.get("activation", ""), "activation"),
    )


def _scheme(graph: Graph, found: Json, tensors: Tensors) -> Scheme:
    """Read the scales and compute everything that is derived from them."""
    stored = mapping(found.get("activations"), "activations")
    if set(stored) != set(graph.shapes):
        raise FileError(f"activations must be given for {sorted(graph.shapes)}")
    activations = {}
    for name, pair in stored.items():
        scale, zero_point = items(pair, f"the quantization of {name!r}", 2)
        activations[name] = Quantization(
            real(scale, f"the scale of {name!r}"),
            integer(zero_point, f"the zero point of {name!r}", INT8_MIN, INT8_MAX),
        )
    for node in graph.nodes:
        if node.op in SHARING and activations[node.name] != activations[node.inputs[0]]:
            raise FileError(f"node {node.name!r}: {node.op} must keep the scale of what it reads")
    weights = {}
    for node in graph.trainable:
        scales = typed(tensors, f"node/{node.name}/scale", np.dtype(np.float64), (node.n_out,))
        if not (np.isfinite(scales) & (scales > 0)).all():
            raise FileError(f"node {node.name!r}: weight scales must be finite and > 0")
        weights[node.name] = scales
    return Scheme(graph, activations, weights).checked()


def _params(
    graph: Graph, tensors: Tensors, w_dtype: np.dtype[Any], b_dtype: np.dtype[Any]
) -> dict[str, Weights]:
    return {
        node.name: _weights(
            f"node/{node.name}", graph.weight_shape(node), tensors, w_dtype, b_dtype
        )
        for node in graph.trainable
    }


def _head(graph: Graph, name: str, tensors: Tensors) -> Weights:
    if name not in graph.shapes or name == INPUT:
        raise FileError(f"a head reads {name!r:.60}, which is no node")
    shape = (graph.output_size, graph.shapes[name][-1])
    weights = _weights(f"head/{name}", shape, tensors, np.dtype(np.int8), np.dtype(np.int32))
    limit = INT32_MAX - shape[1] * ACTIVATION_RANGE * WEIGHT_MAX
    if int(np.abs(weights.b.astype(np.int64)).max()) > limit:
        raise FileError(f"head {name!r}: an int32 accumulator could overflow")
    return weights


def _weights(
    key: str,
    shape: tuple[int, ...],
    tensors: Tensors,
    w_dtype: np.dtype[Any],
    b_dtype: np.dtype[Any],
) -> Weights:
    w = typed(tensors, f"{key}/w", w_dtype, shape)
    if w_dtype == np.int8 and w.min(initial=0) < -WEIGHT_MAX:
        raise FileError(f"{key}/w must be in [-{WEIGHT_MAX}, {WEIGHT_MAX}], got {w.min()}")
    return Weights(w, typed(tensors, f"{key}/b", b_dtype, shape[:1]))


def typed(
    tensors: Tensors, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Return a tensor, or raise FileError if it has another dtype or shape."""
    array = tensors[name]
    if array.dtype != dtype or array.shape != shape:
        raise FileError(f"{name} must be {dtype} {shape}, got {array.dtype} {array.shape}")
    return array


def integer(value: object, what: str, low: int = 0, high: int = LARGEST) -> int:
    """Return an integer in [low, high], or raise FileError."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise FileError(f"{what} must be an integer in [{low}, {high}], got {value!r:.40}")
    return value


def integers(value: object, what: str, length: int | None = None, low: int = 0) -> tuple[int, ...]:
    """Return integers of a list, none below low, or raise FileError."""
    return tuple(integer(n, what, low) for n in items(value, what, length))


def real(value: object, what: str) -> float:
    """Return a finite number > 0 that float32 can hold, or raise FileError."""
    if not isinstance(value, float) or not 2.0**-126 <= value < 2.0**128:
        raise FileError(f"{what} must be a finite number > 0, got {value!r:.40}")
    return value


def text(value: object, what: str) -> str:
    """Return a string, or raise FileError."""
    if not isinstance(value, str):
        raise FileError(f"{what} must be text, got {value!r:.40}")
    return value


def items(value: object, what: str, length: int | None = None) -> list[Any]:
    """Return a list of so many items, or raise FileError."""
    if not isinstance(value, list) or length not in (None, len(value)):
        wanted = "a list" if length is None else f"a list of {length}"
        raise FileError(f"{what} must be {wanted}, got {value!r:.40}")
    return value


def mapping(value: object, what: str) -> Json:
    """Return an object of JSON, or raise FileError."""
    if not isinstance(value, dict):
        raise FileError(f"{what} must be an object, got {value!r:.40}")
    return value
