"""The emitter of ONNX graphs: what enters and leaves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.exporters.onnx_training.graph import Shape, Value
from edgetrain.exporters.onnx_training.integers import INT32, INT64, UINT8
from edgetrain.exporters.onnx_training.pools import Pools

WIDE = ("loss", "next/step")
"""Outputs that are int64; all other metrics are int32."""


class OnnxEmitter(Pools):
    """Writes what `edgetrain.exporters.step_writing.emitter.Emitter` asks for as ONNX nodes.

    Args:
        batch: samples, or `graph.FREE`.
    """

    def samples(self, shape: Shape) -> Value:
        """Declare ``x``."""
        codes = self.enter("x", np.int8, (self.batch, *shape))
        return self.channels_first(self.unsigned(codes))

    def labels(self) -> Value:
        """Declare ``y``."""
        return self.enter("y", INT32, (self.batch,))

    def targets(self, outputs: int) -> Value:
        """Declare ``y`` of a regression."""
        return self.enter("y", INT32, (self.batch, outputs))

    def step_number(self) -> Value:
        """Declare ``seed`` and ``step``."""
        self.seed = self.enter("seed", INT64, ())
        return self.enter("step", INT64, ())

    def parameter(self, name: str, value: NDArray[Any]) -> Value:
        """Declare what a step changes; filters are held channels first."""
        return self.channels_first(self.enter(name, value.dtype, value.shape))

    def known(self, name: str, value: NDArray[Any]) -> None:
        """Let an array leave as it is."""
        self.leave(name, self.op("Identity", value, dtype=value.dtype, shape=value.shape))

    def output(self, name: str, value: Any) -> None:
        """Let a value leave, in the type and order in which it entered."""
        entered: Mapping[str, Value] = {f"next/{end.name}": end.value for end in self.inputs}
        dtype = INT64 if name in WIDE else INT32
        if name in entered:
            dtype = entered[name].dtype
        if not isinstance(value, Value):
            constant = np.asarray(value, dtype)
            value = self.op("Identity", constant, dtype=dtype, shape=constant.shape)
        if value.dtype == UINT8 and dtype == np.int8:
            value = self.codes(value)
        self.leave(name, self.cast(self.channels_last(value), dtype))
