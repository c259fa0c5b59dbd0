"""Models are values: a graph and its parameters, real or integer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.probabilities import MAX_CLASSES
from edgetrain.arithmetic.rounding import Int8, Ints, saturate
from edgetrain.errors import ModelError
from edgetrain.graph import INPUT, Graph
from edgetrain.scheme import Scheme

Float = NDArray[np.float32]


class Weights(NamedTuple):
    """Parameters of a node: int8 w (n_out, ...), int32 b (n_out,); float32 in a FloatModel."""

    w: Ints
    b: Ints


@dataclass(frozen=True)
class FloatModel:
    """A real-valued network.

    Attributes:
        graph: its shape.
        params: float32 weights and biases of every node that has them.
        task: "classify", "regress" or "reconstruct" (the target is the input).
        softmax: whether files that leave give probabilities; the graph itself ends with logits.

    Raises:
        ModelError: if parameters are missing, of the wrong shape or not finite.
    """

    graph: Graph
    params: Mapping[str, Weights]
    task: str = "classify"
    softmax: bool = False

    def __post_init__(self) -> None:
        check_params(self.graph, self.params)
        for name, weights in self.params.items():
            if not all(np.isfinite(a).all() for a in weights):
                raise ModelError(f"node {name!r}: weights must be finite, got NaN or infinity")
        if self.softmax:
            check_classes(self.graph)


@dataclass(frozen=True)
class Model:
    """An int8 network; a value, never changed in place.

    Attributes:
        scheme: graph and scales.
        params: int8 weights and int32 biases of every node that has them.
        heads: local classifiers made on the host, by the node whose result they read: int8
            (classes, features) and int32 (classes,), with `head_scales` their weight scales.
        head_scales: real value of one unit of a head's weights.
        task: "classify", "regress" or "reconstruct" (the target is the input).
        history: what happened to the model: rule, steps, trace; text for people and files.
        softmax: whether files that leave give probabilities; the graph itself ends with logits.

    Raises:
        ModelError: if parameters do not fit the graph or an accumulator could overflow.
    """

    scheme: Scheme
    params: Mapping[str, Weights]
    heads: Mapping[str, Weights] = field(default_factory=dict)
    head_scales: Mapping[str, float] = field(default_factory=dict)
    task: str = "classify"
    history: tuple[str, ...] = ()
    softmax: bool = False

    def __post_init__(self) -> None:
        check_params(self.graph, self.params)
        if self.softmax:
            check_classes(self.graph)
            _ = self.scheme.softmax
        for name, limit in self.scheme.bias_limits.items():
            if limit < 0 or int(np.abs(self.params[name].b.astype(np.int64)).max()) > limit:
                raise ModelError(
                    f"node {name!r}: an int32 accumulator could overflow; its fan-in "
                    f"{self.graph.fan_in(self.graph.by_name[name])} and biases must keep "
                    "fan_in * 255 * 127 + |bias| below 2**31: use fewer inputs or a larger scale"
                )

    @property
    def graph(self) -> Graph:
        """The network's shape."""
        return self.scheme.graph

    def replace_params(self, params: Mapping[str, Weights]) -> "Model":
        """Return the model with some nodes' parameters exchanged."""
        return replace(self, params={**self.params, **params})

    def stepped(self, params: Mapping[str, Weights]) -> "Model":
        """Return the model with all parameters exchanged for those of a training step.

        They are not checked: they have the shapes of the old ones, and their biases were kept
        within `Scheme.bias_limits`.
        """
        new = object.__new__(Model)
        values = new.__dict__
        values.update(self.__dict__)
        values["params"] = params
        return new

    def quantize_input(self, x: Float) -> Int8:
        """Turn real samples into the model's int8 input codes.

        Args:
            x: float32 (batch, *input_shape).

        Returns:
            int8, the shape of x.

        Raises:
            ModelError: if the samples have another shape.
        """
        if x.shape[1:] != self.graph.input_shape:
            raise ModelError(
                f"the model reads samples of shape {self.graph.input_shape}, got {x.shape[1:]}"
            )
        scale, zero_point = self.scheme.activations[INPUT]
        return saturate(np.rint(x / np.float32(scale)) + zero_point)


def check_classes(graph: Graph) -> None:
    """Raise ModelError unless a softmax can follow the graph's output."""
    shape = graph.shapes[graph.output.name]
    if len(shape) != 1 or shape[0] > MAX_CLASSES:
        raise ModelError(
            f"node {graph.output.name!r}: a softmax reads at most {MAX_CLASSES} logits a sample, "
            f"got the shape {shape}"
        )


def check_params(graph: Graph, params: Mapping[str, Weights]) -> None:
    """Raise ModelError unless every node with weights has parameters of the right shape."""
    wanted = {node.name for node in graph.trainable}
    if set(params) != wanted:
        raise ModelError(f"parameters must be given for {sorted(wanted)}, got {sorted(params)}")
    for node in graph.trainable:
        shape, given = graph.weight_shape(node), params[node.name]
        if given.w.shape != shape or given.b.shape != (node.n_out,):
            raise ModelError(
                f"node {node.name!r}: weights must be {shape} and biases ({node.n_out},), "
                f"got {given.w.shape} and {given.b.shape}"
            )
