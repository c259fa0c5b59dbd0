"""How the integers of a model stand for real numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.activations import activation_table
from edgetrain.arithmetic.gradients import RATIO_BITS
from edgetrain.arithmetic.layers import ACTIVATION_RANGE, ADD_LEFT_SHIFT
from edgetrain.arithmetic.probabilities import softmax_multiplier
from edgetrain.arithmetic.rounding import (
    INT8_MAX,
    INT8_MIN,
    INT32_MAX,
    WEIGHT_MAX,
    Int8,
    Int16,
    Int32,
    quantize_multiplier,
    quantize_multipliers,
)
from edgetrain.errors import ModelError
from edgetrain.graph import Graph, Node


class Quantization(NamedTuple):
    """Real value of an int8 code q: ``scale * (q - zero_point)``."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class Scheme:
    """How the integers of a model stand for real numbers; constant while the model trains.

    Attributes:
        graph: the network's shape.
        activations: quantization of the input and of every node's result, by name.
        weights: float64 (n_out,) weight scales of every node that has weights.
    """

    graph: Graph
    activations: Mapping[str, Quantization]
    weights: Mapping[str, NDArray[np.float64]]

    def checked(self) -> "Scheme":
        """Compute every constant now and return the scheme.

        Raises:
            ModelError: if a scale has no integer form.
        """
        try:
            with np.errstate(all="ignore"):
                _ = self.requantize, self.output_limits, self.ratios, self.tables
                _ = self.adds, self.global_pools
        except (ValueError, OverflowError) as error:
            raise ModelError(f"the scales of the network have no integer form: {error}") from error
        return self

    @cached_property
    def requantize(self) -> Mapping[str, tuple[Int32, Int32]]:
        """Multipliers and shifts from accumulators to each node's int8 result."""
        return {
            node.name: quantize_multipliers(
                self.acc_scale(node) / self.activations[node.name].scale
            )
            for node in self.graph.trainable
        }

    def acc_scale(self, node: Node) -> NDArray[np.float64]:
        """Real value of one unit of a node's accumulators, float64 (n_out,)."""
        return self.activations[node.inputs[0]].scale * self.weights[node.name]

    @cached_property
    def output_limits(self) -> Mapping[str, tuple[int, int]]:
        """Lowest and highest int8 result of each node: its fused activation."""
        limits = {}
        for node in self.graph.nodes:
            scale, zero_point = self.activations[node.name]
            low = zero_point if node.activation in ("relu", "relu6") else INT8_MIN
            six = _code_of_six(scale) + zero_point if node.activation == "relu6" else INT8_MAX
            limits[node.name] = (max(low, INT8_MIN), min(six, INT8_MAX))
        return limits

    @cached_property
    def softmax(self) -> tuple[int, int, int]:
        """Multiplier, shift and lowest difference of a softmax of the network's output."""
        name = self.graph.output.name
        try:
            return softmax_multiplier(self.activations[name].scale)
        except ValueError as error:
            raise ModelError(f"node {name!r}: {error}") from error

    @cached_property
    def ratios(self) -> Mapping[str, tuple[Int16, float]]:
        """Each channel's weight scale over the largest (Q7, int16), and the largest, by node."""
        return {
            name: (
                np.maximum(np.rint(scales / scales.max() * 2**RATIO_BITS), 1).astype(np.int16),
                float(scales.max()),
            )
            for name, scales in self.weights.items()
        }

    @cached_property
    def bias_limits(self) -> Mapping[str, int]:
        """Largest bias with which no accumulator of a node can leave int32."""
        reach = ACTIVATION_RANGE * WEIGHT_MAX
        return {n.name: INT32_MAX - self.graph.fan_in(n) * reach for n in self.graph.trainable}

    @cached_property
    def tables(self) -> Mapping[str, Int8]:
        """The 256 results of every activation node."""
        return {
            node.name: activation_table(
                node.activation,
                *self.activations[node.inputs[0]],
                *self.activations[node.name],
            )
            for node in self.graph.nodes
            if node.op == "activation"
        }

    @cached_property
    def global_pools(self) -> Mapping[str, tuple[int, int]]:
        """Multiplier and shift from what a global pool reads to its result."""
        return {
            node.name: quantize_multiplier(
                self.activations[node.inputs[0]].scale / self.activations[node.name].scale
            )
            for node in self.graph.nodes
            if node.op == "global_average_pool"
        }

    @cached_property
    def by_task(self) -> dict[str, Any]:
        """Constants that depend on the model's task too; see `edgetrain.state.constants`."""
        return {}

    @cached_property
    def programs(self) -> dict[Any, Any]:
        """Programs that were written for the network; see `edgetrain.compiled`."""
        return {}

    @cached_property
    def adds(self) -> Mapping[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]]:
        """Multiplier and shift of both inputs and of the result of every add."""
        found = {}
        for node in self.graph.nodes:
            if node.op == "add":
                a, b = (self.activations[name].scale for name in node.inputs)
                twice = 2 * max(a, b)
                result = twice / (2**ADD_LEFT_SHIFT * self.activations[node.name].scale)
                found[node.name] = (
                    quantize_multiplier(a / twice),
                    quantize_multiplier(b / twice),
                    quantize_multiplier(result),
                )
        return found


def _code_of_six(scale: float) -> int:
    """Return 6 / scale to nearest, ties up, in float32 as TensorFlow Lite computes it."""
    with np.errstate(over="ignore"):
        return int(min(np.floor(np.float64(np.float32(6) / np.float32(scale)) + 0.5), 2.0**31))
