"""Variables: what an interpreter keeps from one call to the next."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant, tensor
from edgetrain.exporters.tflite_writing.file import File, Subgraph


def _handle(graph: Subgraph, name: str) -> int:
    """Return the tensor that stands for a variable."""
    key = ("variable", name)
    if key not in graph.known:
        handle = graph.tensor(f"handle/{name}", None, ())
        options = {"container": "", "sharedName": name}
        graph.operator("VAR_HANDLE", 1, [], [handle], "VarHandleOptions", **options)
        graph.known[key] = handle
    found: int = graph.known[key]
    return found


def read(graph: Subgraph, name: str, like: NDArray[Any]) -> Tensor:
    """Read a variable that has the type and shape of an array."""
    found = tensor(graph, name, like.dtype, like.shape)
    handle = _handle(graph, name)
    graph.operator("READ_VARIABLE", 1, [handle], [found.index], "ReadVariableOptions")
    return found


def assign(graph: Subgraph, name: str, value: Operand, dtype: Any = np.int32) -> None:
    """Give a variable a value."""
    new = constant(graph, value, dtype)
    inputs = [_handle(graph, name), new.index]
    graph.operator("ASSIGN_VARIABLE", 1, inputs, [], "AssignVariableOptions")


def initial(file: File, values: Mapping[str, NDArray[Any]]) -> int:
    """Add the subgraph that gives variables their first values; return its index."""
    graph = Subgraph(file, "initialize")
    for name, value in values.items():
        assign(graph, name, value, value.dtype)
    return graph.index


def once(graph: Subgraph, subgraph: int) -> None:
    """Run another subgraph before anything else of this one, the first time in an interpreter."""
    options = {"initSubgraphIndex": subgraph}
    graph.operator("CALL_ONCE", 1, [], [], "CallOnceOptions", **options)
