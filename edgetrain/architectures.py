"""Networks as functions; the four of MLPerf Tiny have their published shapes.

Each function takes the shape of a sample and the number of outputs and returns a `FloatModel`
with He-normal weights and zero biases.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from edgetrain.arithmetic.layers import Window
from edgetrain.errors import ModelError
from edgetrain.graph import INPUT, Graph, Node, Shape
from edgetrain.model import FloatModel, Weights

Pair = tuple[int, int]


@dataclass
class Builder:
    """Collects nodes; each method appends one that reads the last and returns its name."""

    input_shape: Shape
    nodes: list[Node] = field(default_factory=list)

    def append(self, node: Node) -> str:
        """Append a node."""
        self.nodes.append(node)
        return node.name

    @property
    def last(self) -> str:
        """Name of the newest value."""
        return self.nodes[-1].name if self.nodes else INPUT

    @property
    def shape(self) -> Shape:
        """Shape of the newest value."""
        return (
            Graph(self.input_shape, tuple(self.nodes)).shapes[self.last]
            if self.nodes
            else (self.input_shape)
        )

    def dense(self, name: str, n_out: int, activation: str = "relu") -> str:
        """Append a fully connected layer, after a flatten where one is needed."""
        if len(self.shape) > 1:
            self.append(Node(f"{name}_flatten", "flatten", (self.last,)))
        return self.append(Node(name, "dense", (self.last,), n_out, activation=activation))

    def conv(
        self, name: str, n_out: int, kernel: Pair, stride: Pair = (1, 1), depthwise: bool = False,
        activation: str = "relu", source: str = "",
    ) -> str:  # fmt: skip
        """Append a convolution with padding "same" as TensorFlow has it."""
        source = source or self.last
        shape = (
            Graph(self.input_shape, tuple(self.nodes)).shapes[source]
            if self.nodes
            else (self.input_shape)
        )
        groups = shape[2] if depthwise else 1
        window = Window(kernel, stride, same_padding(shape, kernel, stride), groups)
        return self.append(Node(name, "conv2d", (source,), n_out, window, activation))

    def separable(self, name: str, n_out: int, kernel: Pair, stride: Pair = (1, 1)) -> str:
        """Append a depthwise and a pointwise convolution."""
        self.conv(f"{name}_depthwise", self.shape[2], kernel, stride, depthwise=True)
        return self.conv(f"{name}_pointwise", n_out, (1, 1))

    def classifier(self, n_out: int) -> None:
        """Append a global average pool and a linear layer."""
        self.append(Node("pool", "global_average_pool", (self.last,)))
        self.dense("classifier", n_out, activation="")

    def model(self, seed: int) -> FloatModel:
        """Draw the parameters."""
        graph = Graph(self.input_shape, tuple(self.nodes))
        rng = np.random.default_rng(seed)
        params = {}
        for node in graph.trainable:
            shape = graph.weight_shape(node)
            w = rng.normal(0, math.sqrt(2 / graph.fan_in(node)), shape)
            params[node.name] = Weights(w.astype(np.float32), np.zeros(node.n_out, np.float32))
        return FloatModel(graph, params)


def same_padding(shape: Shape, kernel: Pair, stride: Pair) -> tuple[int, int, int, int]:
    """Pad so that the result has ``ceil(size / stride)`` pixels; the odd one comes after.

    Example:
        >>> same_padding((49, 10, 1), (10, 4), (2, 2))
        (4, 5, 1, 1)
    """
    total = [
        max((-(-size // s) - 1) * s + k - size, 0)
        for size, k, s in zip(shape, kernel, stride, strict=False)
    ]
    return (total[0] // 2, total[0] - total[0] // 2, total[1] // 2, total[1] - total[1] // 2)


def mlp(
    input_shape: Shape, n_out: int, seed: int = 0, hidden: tuple[int, ...] = (128, 64)
) -> FloatModel:
    """Fully connected layers with ReLU between them.

    Example:
        >>> mlp((784,), 10).graph.parameters
        109386
    """
    builder = Builder(input_shape)
    for i, size in enumerate(hidden):
        builder.dense(f"hidden{i + 1}", size)
    builder.dense("classifier", n_out, activation="")
    return builder.model(seed)


def cnn(
    input_shape: Shape, n_out: int, seed: int = 0, channels: tuple[int, ...] = (16, 32, 32)
) -> FloatModel:
    """3x3 convolutions, each but the last followed by a 2x2 max pool while the image is large.

    Example:
        >>> cnn((8, 8, 1), 10).graph.parameters
        9258
    """
    builder = Builder(_image(input_shape))
    for i, n in enumerate(channels):
        rows, columns = builder.shape[:2]
        builder.conv(f"conv{i + 1}", n, (min(3, rows), min(3, columns)))
        pool = (2 if rows >= 4 else 1, 2 if columns >= 4 else 1)
        if pool != (1, 1) and i < len(channels) - 1:
            window = Window(pool, pool, (0, 0, 0, 0))
            builder.append(Node(f"pool{i + 1}", "max_pool", (builder.last,), window=window))
    builder.classifier(n_out)
    return builder.model(seed)


def ds_cnn(
    input_shape: Shape,
    n_out: int,
    seed: int = 0,
    channels: int = 64,
    blocks: int = 4,
    stem: tuple[Pair, Pair] | None = None,
) -> FloatModel:
    """Depthwise-separable network of MLPerf Tiny's keyword spotting; 1-D for signals.

    A signal (height 1) gets blocks of 5 with stride 2 in every second one, an image 3x3 blocks.

    Args:
        input_shape: (height, width, channels).
        n_out: classes.
        seed: of the weights.
        channels: of every layer.
        blocks: depthwise-separable blocks.
        stem: kernel and stride of the first layer; None for 10x4 with stride 2, or 1x9 with
            stride 2 for a signal.

    References:
        Zhang et al., "Hello Edge: Keyword Spotting on Microcontrollers", 2017.
        Banbury et al., "MLPerf Tiny Benchmark", 2021.

    Example:
        >>> ds_cnn((49, 10, 1), 12).graph.parameters, ds_cnn((49, 10, 1), 12).graph.macs
        (22604, 2656768)
    """
    signal = _image(input_shape)[0] == 1
    kernel, step = stem or (((1, 9), (1, 2)) if signal else ((10, 4), (2, 2)))
    builder = Builder(input_shape)
    builder.conv("stem", channels, kernel, step)
    for i in range(blocks):
        stride = (1, 2) if signal and i % 2 else (1, 1)
        builder.separable(f"block{i + 1}", channels, (1, 5) if signal else (3, 3), stride)
    builder.classifier(n_out)
    return builder.model(seed)


def resnet8(input_shape: Shape, n_out: int, seed: int = 0, channels: int = 16) -> FloatModel:
    """ResNet-8 of MLPerf Tiny's image classification: three residual blocks.

    References:
        He et al., "Deep Residual Learning for Image Recognition", 2016.

    Example:
        >>> resnet8((32, 32, 3), 10).graph.parameters
        77706
    """
    builder = Builder(_image(input_shape))
    builder.conv("stem", channels, (3, 3))
    for i in range(3):
        n, stride = channels * 2**i, (1, 1) if i == 0 else (2, 2)
        start = builder.last
        builder.conv(f"res{i + 1}_a", n, (3, 3), stride)
        main = builder.conv(f"res{i + 1}_b", n, (3, 3), activation="")
        skip = start
        if i:
            skip = builder.conv(f"res{i + 1}_skip", n, (1, 1), stride, False, "", start)
        builder.append(Node(f"res{i + 1}", "add", (main, skip), activation="relu"))
    builder.classifier(n_out)
    return builder.model(seed)


def mobilenet_v1(input_shape: Shape, n_out: int, seed: int = 0, width: float = 0.25) -> FloatModel:
    """MobileNetV1 of MLPerf Tiny's visual wake words: 13 depthwise-separable blocks.

    References:
        Howard et al., "MobileNets", 2017, table 1.

    Example:
        >>> mobilenet_v1((96, 96, 3), 2).graph.parameters
        210850
    """
    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)]
    plan += [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
    builder = Builder(_image(input_shape))
    builder.conv("stem", max(int(32 * width), 1), (3, 3), (2, 2))
    for i, (n, s) in enumerate(plan):
        builder.separable(f"block{i + 1}", max(int(n * width), 1), (3, 3), (s, s))
    builder.classifier(n_out)
    return builder.model(seed)


def autoencoder(
    input_shape: Shape, n_out: int = 0, seed: int = 0, hidden: int = 128, code: int = 8
) -> FloatModel:
    """Dense autoencoder of MLPerf Tiny's anomaly detection: the target is the input.

    Args:
        input_shape: of one sample; flattened.
        n_out: must be 0 or the number of features.
        seed: of the weights.
        hidden: units of the four layers on each side.
        code: units in the middle.

    References:
        Koizumi et al., "Description and Discussion on DCASE2020 Task 2", 2020: the baseline.

    Example:
        >>> autoencoder((640,)).graph.parameters
        265864
    """
    features = math.prod(input_shape)
    if n_out not in (0, features):
        raise ModelError(f"an autoencoder has as many outputs as inputs ({features}), got {n_out}")
    builder = Builder(input_shape)
    for i, size in enumerate([hidden] * 4 + [code] + [hidden] * 4):
        builder.dense(f"hidden{i + 1}", size)
    builder.dense("reconstruction", features, activation="")
    return replace(builder.model(seed), task="reconstruct")


def _image(input_shape: Shape) -> Shape:
    """Return the shape if it is (height, width, channels)."""
    if len(input_shape) != 3:
        raise ModelError(
            f"a convolutional network reads (height, width, channels), got {input_shape}: "
            "say what the samples are, as in --input 28x28x1"
        )
    return input_shape


ARCHITECTURES: dict[str, Callable[..., FloatModel]] = {
    "mlp": mlp,
    "cnn": cnn,
    "ds_cnn": ds_cnn,
    "resnet8": resnet8,
    "mobilenet_v1": mobilenet_v1,
    "autoencoder": autoencoder,
}
"""Name on the command line → function."""
