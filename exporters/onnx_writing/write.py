"""Build ONNX graphs: nodes named after ours, every constant once, files that old runtimes read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgetrain import __version__
from edgetrain.graph import INPUT, Graph, Shape

OPSET, IR_VERSION = 18, 8
"""Read by ONNX Runtime 1.17 and everything after it."""
OUTPUT = "output"

Operand = str | NDArray[Any] | np.generic


class Step(NamedTuple):
    """One node of ONNX."""

    op: str
    name: str
    inputs: tuple[str, ...]
    results: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Writer:
    """Collects the nodes and constants of a graph.

    Attributes:
        scope: first part of the names of what is written: the name of one of our nodes.
        steps: the nodes, in order.
        constants: name and value of every constant, by type, shape and bytes.
        taken: names of values that are in use.
    """

    scope: str = ""
    steps: list[Step] = field(default_factory=list)
    constants: dict[tuple[str, Shape, bytes], tuple[str, NDArray[Any]]] = field(
        default_factory=dict
    )
    taken: set[str] = field(default_factory=lambda: {INPUT, OUTPUT})

    def at(self, scope: str) -> "Writer":
        """Return a writer to the same graph with another scope."""
        return replace(self, scope=scope)

    def op(self, op: str, *inputs: Operand, main: bool = False, **attributes: Any) -> str:
        """Append a node.

        Args:
            op: operator of ONNX.
            inputs: names of values, or constants.
            main: whether the node is called like ours, without the operator's name.
            attributes: of the node.

        Returns:
            The name of its result.

        Example:
            >>> write = Writer("sum")
            >>> write.op("Add", "input", np.int32(3))
            'sum/Add'
            >>> write.steps[0].inputs
            ('input', 'sum/int32')
        """
        wanted = self.scope if main else f"{self.scope}/{op}"
        result = self._unique(wanted)
        names = tuple(x if isinstance(x, str) else self.constant(np.asarray(x)) for x in inputs)
        self.steps.append(Step(op, wanted if main else result, names, (result,), attributes))
        return result

    def several(
        self, op: str, inputs: Sequence[str], count: int, attributes: Mapping[str, Any]
    ) -> tuple[str, ...]:
        """Append a node with a number of results; return their names."""
        results = tuple(self._unique(f"{self.scope}/{op}") for _ in range(count))
        self.steps.append(Step(op, results[0], tuple(inputs), results, attributes))
        return results

    def cast(self, value: Operand, dtype: Any) -> str:
        """Append a Cast to a type of NumPy."""
        return self.op("Cast", value, to=onnx_type(dtype))

    def file(self, result: str, graph: Graph, dtype: Any, properties: Mapping[str, str]) -> bytes:
        """Return the contents of the file.

        Args:
            result: the value that becomes the graph's output.
            graph: ours, for the shapes of input and output.
            dtype: of input and output.
            properties: metadata of the file; "name" names the graph too.
        """
        if result == INPUT:
            result = self.op("Identity", INPUT)
        final = {result: OUTPUT}
        nodes = [
            helper.make_node(
                step.op,
                [final.get(name, name) for name in step.inputs],
                [final.get(name, name) for name in step.results],
                name=step.name,
                **step.attributes,
            )
            for step in self.steps
        ]
        ends = ((INPUT, graph.input_shape), (OUTPUT, graph.shapes[graph.output.name]))
        infos = [
            helper.make_tensor_value_info(name, onnx_type(dtype), ["batch", *nchw(shape)])
            for name, shape in ends
        ]
        constants = [
            numpy_helper.from_array(value, name) for name, value in self.constants.values()
        ]
        made = helper.make_model(
            helper.make_graph(nodes, properties["name"], infos[:1], infos[1:], constants),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="edgetrain",
            producer_version=__version__,
        )
        helper.set_model_props(made, dict(properties))
        contents: bytes = made.SerializeToString(deterministic=True)
        return contents

    def constant(self, value: NDArray[Any]) -> str:
        """Return the name of a constant."""
        key = (value.dtype.name, value.shape, value.tobytes())
        if key not in self.constants:
            self.constants[key] = (self._unique(f"{self.scope}/{value.dtype.name}"), value)
        return self.constants[key][0]

    def _unique(self, wanted: str) -> str:
        name, number = wanted, 1
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name


def nchw(shape: Shape) -> Shape:
    """Return the shape of a sample in ONNX: channels first.

    Example:
        >>> nchw((8, 6, 3)), nchw((5,))
        ((3, 8, 6), (5,))
    """
    return (shape[2], *shape[:2]) if len(shape) == 3 else shape


def onnx_type(dtype: Any) -> int:
    """Return the number of a type of NumPy in ONNX."""
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
