"""What is timed: layers, networks and training steps."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgetrain.architectures import (
    Builder,
    autoencoder,
    ds_cnn,
    mlp,
    mobilenet_v1,
    resnet8,
)
from edgetrain.arithmetic.rounding import Int8
from edgetrain.graph import Shape
from edgetrain.model import Float, FloatModel, Model
from edgetrain.quantize import quantize
from edgetrain.rules import ForwardForward, ForwardGradient, MonoForward, Rule
from edgetrain.settings import Settings

CALIBRATION = 32
"""Random samples that a network is quantized with."""


class Subject(NamedTuple):
    """A network with samples: real and as int8."""

    real: FloatModel
    model: Model
    x: Float
    codes: Int8


def subject(real: FloatModel, batch: int, seed: int = 0) -> Subject:
    """Quantize a network with random samples, and keep a batch of them."""
    rng = np.random.default_rng(seed)
    count = max(batch, CALIBRATION)
    x = rng.normal(size=(count, *real.graph.input_shape)).astype(np.float32)
    model = quantize(real, x, headroom=2.0)
    return Subject(real, model, x[:batch], model.quantize_input(x[:batch]))


def _layer(shape: Shape, write: Callable[[Builder], object]) -> FloatModel:
    """Return a network of one layer."""
    builder = Builder(shape)
    write(builder)
    return builder.model(0)


def dense(n_in: int, n_out: int) -> FloatModel:
    """Return one fully connected layer."""
    return _layer((n_in,), lambda b: b.dense("layer", n_out))


def conv(
    shape: Shape, n_out: int, kernel: int, stride: int = 1, depthwise: bool = False
) -> FloatModel:
    """Return one convolution."""
    return _layer(
        shape,
        lambda b: b.conv("layer", n_out, (kernel, kernel), (stride, stride), depthwise),
    )


LAYERS: dict[str, tuple[Callable[[], FloatModel], int]] = {
    "dense 256x256, 1 row": (lambda: dense(256, 256), 1),
    "dense 784x512, 32 rows": (lambda: dense(784, 512), 32),
    "dense 1024x1024, 128 rows": (lambda: dense(1024, 1024), 128),
    "3x3 conv 16 to 16, 32x32": (lambda: conv((32, 32, 16), 16, 3), 1),
    "1x1 conv 64 to 64, 25x5": (lambda: conv((25, 5, 64), 64, 1), 1),
    "3x3/2 conv 3 to 8, 96x96": (lambda: conv((96, 96, 3), 8, 3, 2), 1),
    "3x3 conv 64 to 64, 8x8": (lambda: conv((8, 8, 64), 64, 3), 1),
    "3x3 depthwise 64, 25x5": (lambda: conv((25, 5, 64), 64, 3, 1, True), 1),
}
"""Name of a layer, the layer as a network, and samples."""

NETWORKS: dict[str, Callable[[], FloatModel]] = {
    "ResNet-8, 32x32": lambda: resnet8((32, 32, 3), 10),
    "DS-CNN, 49x10": lambda: ds_cnn((49, 10, 1), 12),
    "MobileNetV1-0.25, 96x96": lambda: mobilenet_v1((96, 96, 3), 2),
    "autoencoder, 640": lambda: autoencoder((640,)),
}
"""The networks of MLPerf Tiny, timed with one sample."""

LEARNERS: dict[str, tuple[Callable[[], FloatModel], tuple[int, ...]]] = {
    "MLP 784-512-512-10": (lambda: mlp((784,), 10, hidden=(512, 512)), (32,)),
    "DS-CNN, 49x10": (lambda: ds_cnn((49, 10, 1), 12), (1, 32)),
    "ResNet-8, 32x32": (lambda: resnet8((32, 32, 3), 10), (32,)),
}
"""The networks whose training steps are timed, and batches."""


def rules(batch: int) -> dict[str, Rule]:
    """Return the rules whose steps are timed, by name.

    With an exact head a step in weight space has a third, clean pass.
    """
    settings = Settings(batch=batch, learning_rate=2**-6)
    return {
        "mono_forward": MonoForward(settings=settings, warmup=0),
        "forward_forward": ForwardForward(settings=settings),
        "forward_gradient weight": ForwardGradient(settings=settings, space="weight"),
        "forward_gradient weight, two passes": ForwardGradient(
            settings=settings, space="weight", head="same"
        ),
        "forward_gradient activity": ForwardGradient(settings=settings),
    }
