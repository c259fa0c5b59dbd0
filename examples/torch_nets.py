"""Seven networks as people write them in PyTorch, for examples/torch_to_int8.py.

The first four have the layers of MLPerf Tiny's reference models; the others have blocks of newer
networks. Samples are (channels, height, width), (channels, length) or (features,).
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

MOBILENET = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2))
INVERTED = ((16, 2, 3), (16, 1, 3), (24, 2, 3), (24, 1, 3), (24, 1, 3))
BOTTLENECK = (128, 128, 128, 128, 8, 128, 128, 128, 128)


def conv(n_in: int, n_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Return a convolution that keeps the size (divided by the stride), normalized."""
    layer = nn.Conv2d(n_in, n_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(n_out)]


def separable(n_in: int, n_out: int, stride: int = 1) -> list[nn.Module]:
    """Return a depthwise and a pointwise convolution."""
    depthwise = conv(n_in, n_in, 3, stride, groups=n_in)
    return [*depthwise, nn.ReLU(), *conv(n_in, n_out, 1), nn.ReLU()]


class Residual(nn.Module):
    """ResNet's block: two convolutions beside a skip, which is a convolution if sizes change."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(*conv(n_in, n_out, 3, stride), nn.ReLU(), *conv(n_out, n_out, 3))
        self.skip = nn.Sequential(*conv(n_in, n_out, 1, stride)) if stride > 1 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the block finds to its input."""
        return F.relu(self.main(x) + self.skip(x))


def resnet8() -> nn.Module:
    """ResNet-8, MLPerf Tiny's for CIFAR-10."""
    blocks = [Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    return nn.Sequential(*conv(3, 16, 3), nn.ReLU(), *blocks, *head)


def ds_cnn() -> nn.Module:
    """DS-CNN, MLPerf Tiny's for keywords; the padding of its first layer is TensorFlow's."""
    first = [nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, 64, (10, 4), 2, bias=False)]
    blocks = [layer for _ in range(4) for layer in separable(64, 64)]
    head = [nn.Dropout(0.4), nn.AvgPool2d((25, 5)), nn.Flatten(), nn.Linear(64, 12)]
    return nn.Sequential(*first, nn.BatchNorm2d(64), nn.ReLU(), *blocks, *head)


class Mean(nn.Module):
    """The mean over an image."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (batch, channels)."""
        return x.mean((2, 3))


def mobilenet_v1() -> nn.Module:
    """MobileNetV1-0.25, MLPerf Tiny's for visual wake words, here with ten outputs."""
    layers, n = [*conv(3, 8, 3, 2), nn.ReLU()], 8
    for n_out, stride in (*MOBILENET, (256, 1)):
        layers += separable(n, n_out, stride)
        n = n_out
    return nn.Sequential(*layers, Mean(), nn.Linear(n, 10))


def autoencoder(size: int = 784) -> nn.Module:
    """Return MLPerf Tiny's autoencoder for anomalies: fully connected, eight numbers inside."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise((size, *BOTTLENECK)):
        layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(BOTTLENECK[-1], size))


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, depthwise, narrow; a skip where the sizes allow one."""

    def __init__(self, n_in: int, n_out: int, stride: int, widen: int) -> None:
        super().__init__()
        wide = widen * n_in
        self.skips = stride == 1 and n_in == n_out
        self.layers = nn.Sequential(
            *conv(n_in, wide, 1), nn.ReLU6(), *conv(wide, wide, 3, stride, groups=wide), nn.ReLU6(),
            *conv(wide, n_out, 1),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the block finds to its input, or replace it."""
        return x + self.layers(x) if self.skips else self.layers(x)


def mobilenet_v2() -> nn.Module:
    """Inverted residuals with ReLU6."""
    layers, n = [*conv(1, 16, 3), nn.ReLU6()], 16
    for n_out, stride, widen in INVERTED:
        layers.append(InvertedResidual(n, n_out, stride, widen))
        n = n_out
    head = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(64, 10, 1), nn.Flatten()]
    return nn.Sequential(*layers, *conv(n, 64, 1), nn.ReLU6(), *head)


class PreActivation(nn.Module):
    """ResNetV2's block: normalization and ReLU before each convolution."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.a, self.b = nn.BatchNorm2d(n), nn.BatchNorm2d(n)
        self.one, self.two = (nn.Conv2d(n, n, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the block finds to its input."""
        return x + self.two(F.relu(self.b(self.one(F.relu(self.a(x))))))


def pre_activation() -> nn.Module:
    """ResNet with pre-activation: its normalizations follow additions and cannot all be folded."""
    layers = [nn.Conv2d(1, 16, 3, 2, 1), PreActivation(16), PreActivation(16), nn.AvgPool2d(2)]
    head = [nn.BatchNorm2d(16), nn.ReLU(), PreActivation(16), Mean(), nn.Linear(16, 10)]
    return nn.Sequential(*layers, *head)


class Separable1d(nn.Module):
    """A depthwise and a pointwise convolution over time, beside a skip."""

    def __init__(self, n: int, kernel: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(n, n, kernel, padding=kernel // 2, groups=n), nn.BatchNorm1d(n), nn.ReLU(),
            nn.Conv1d(n, n, 1), nn.BatchNorm1d(n),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add what the block finds to its input."""
        return F.relu(x + self.layers(x))


def signal() -> nn.Module:
    """A network of one dimension for six sensors, which it normalizes itself."""
    layers = [nn.BatchNorm1d(6), nn.Conv1d(6, 32, 9, 2, 4), nn.BatchNorm1d(32), nn.ReLU()]
    layers += [Separable1d(32, 9), nn.MaxPool1d(2), Separable1d(32, 9), nn.MaxPool1d(2)]
    head = [nn.Dropout(0.3), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 7)]
    return nn.Sequential(*layers, Separable1d(32, 9), *head)
