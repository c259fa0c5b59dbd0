"""A TensorFlow Lite file with one subgraph, for inference."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.exporters.tflite_writing.file import File, Subgraph

VERSIONS = {
    "ADD": (1, 2), "AVERAGE_POOL_2D": (1, 2), "CONV_2D": (1, 3), "DEPTHWISE_CONV_2D": (1, 3),
    "FULLY_CONNECTED": (1, 4), "GELU": (1, 2), "HARD_SWISH": (1, 1), "LOGISTIC": (1, 2),
    "MAX_POOL_2D": (1, 2), "MEAN": (1, 2), "PAD": (1, 2), "PADV2": (1, 2), "RESHAPE": (1, 1),
    "SOFTMAX": (1, 2), "TANH": (1, 2),
}  # fmt: skip
"""Version of each operator for float32 and for int8, the lowest that there is."""


class Writer:
    """Collects the tensors and operators of a network.

    Args:
        int8: whether the network's arithmetic is int8; decides the versions of operators.
    """

    def __init__(self, int8: bool) -> None:
        self.int8 = int8
        self._file = File()
        self._graph = Subgraph(self._file, "main")

    def tensor(
        self, name: str, shape: Sequence[int], data: NDArray[Any] | None = None,
        scales: Sequence[float] = (), zero_point: int = 0, axis: int = 0,
    ) -> int:  # fmt: skip
        """Add a tensor and return its index.

        Args:
            name: of the tensor.
            shape: with the batch, 1, first if it is not constant.
            data: of a constant; None for what operators make.
            scales: one, or one a channel; none for floats.
            zero_point: of all channels.
            axis: of the channels.
        """
        kind = np.int8 if self.int8 else np.float32
        return self._graph.tensor(
            name, kind if data is None else data.dtype, shape, data, open_batch=data is None,
            scales=scales, zero_point=zero_point, axis=axis,
        )  # fmt: skip

    def operator(
        self, op: str, inputs: Sequence[int], output: int, options: str = "", **values: Any
    ) -> None:
        """Add an operator.

        Args:
            op: a key of VERSIONS.
            inputs: indices of tensors.
            output: index of the tensor that it makes.
            options: name of its table of options, if it has one.
            values: the options, by the names of the table.
        """
        version = VERSIONS[op][self.int8]
        self._graph.operator(op, version, inputs, [output], options, **values)

    def finish(self, start: int, end: int, metadata: Mapping[str, str]) -> bytes:
        """Return the file.

        Args:
            start: index of the input tensor.
            end: index of the output tensor.
            metadata: of `edgetrain.exporters.metadata`.
        """
        self._graph.ends([start], [end])
        self._file.signature(
            "serving_default", self._graph.index, {"input": start}, {"output": end}
        )
        return self._file.finish(metadata)
