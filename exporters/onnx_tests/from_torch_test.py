"""PyTorch networks, through both of PyTorch's exporters, give what PyTorch gives."""

import io
import warnings
from itertools import pairwise

import numpy as np
import pytest

from edgetrain import reals
from edgetrain.errors import ModelError

torch = pytest.importorskip("torch", reason="the PyTorch importer needs torch")
pytest.importorskip("onnx", reason="the PyTorch importer needs onnx")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402, N812

from edgetrain.exporters import from_torch as crossing  # noqa: E402
from edgetrain.exporters.from_onnx import from_onnx  # noqa: E402
from edgetrain.exporters.from_torch import from_torch  # noqa: E402

TOLERANCE = 1e-5


def conv(n_in, n_out, kernel, stride=1, groups=1):
    padding = kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel)
    return [
        nn.Conv2d(n_in, n_out, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(n_out),
    ]


class Residual(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.main = nn.Sequential(*conv(n_in, n_out, 3, stride), nn.ReLU(), *conv(n_out, n_out, 3))
        self.skip = nn.Sequential(*conv(n_in, n_out, 1, stride)) if stride > 1 else nn.Identity()

    def forward(self, x):
        return F.relu(self.main(x) + self.skip(x))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def resnet8():
    blocks = [Residual(16, 16, 1), Residual(16, 32, 2), Residual(32, 64, 2)]
    stem = [*conv(3, 16, 3), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1)]
    return nn.Sequential(*stem, *blocks, *head), (3, 32, 24)


def separable(n_in, n_out, stride=1):
    depthwise = conv(n_in, n_in, 3, stride, groups=n_in)
    return [*depthwise, nn.ReLU(), *conv(n_in, n_out, 1), nn.ReLU()]


def ds_cnn():
    stem = [nn.ZeroPad2d((1, 1, 4, 5)), nn.Conv2d(1, 64, (10, 4), 2), nn.BatchNorm2d(64), nn.ReLU()]
    blocks = [layer for _ in range(4) for layer in separable(64, 64)]
    head = [nn.Dropout(0.4), nn.AvgPool2d((25, 5)), nn.Flatten(), nn.Linear(64, 12)]
    return nn.Sequential(*stem, *blocks, *head), (1, 49, 10)


def mobilenet_v1():
    plan = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2)]
    layers, n = [*conv(3, 8, 3, 2), nn.ReLU6()], 8
    for n_out, stride in [*plan, (256, 1)]:
        layers += separable(n, n_out, stride)
        n = n_out
    return nn.Sequential(*layers, Mean(), nn.Linear(n, 2)), (3, 64, 96)


def autoencoder():
    sizes, layers = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128], []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 640)), (640,)


class InvertedResidual(nn.Module):
    def __init__(self, n, act):
        super().__init__()
        wide = 3 * n
        self.layers = nn.Sequential(
            *conv(n, wide, 1), act(), *conv(wide, wide, 5, groups=wide), act(), *conv(wide, n, 1)
        )

    def forward(self, x):
        return x + self.layers(x)


def inverted_residuals():
    layers = [*conv(3, 8, 3, 2), nn.Hardswish(), InvertedResidual(8, nn.ReLU6)]
    layers += [InvertedResidual(8, nn.Hardswish), InvertedResidual(8, nn.SiLU), nn.GELU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 5, 1), nn.Flatten()), (
        3, 20, 12,
    )  # fmt: skip


class PreActivation(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.a, self.b = nn.BatchNorm2d(n), nn.BatchNorm2d(n)
        self.one, self.two = (nn.Conv2d(n, n, 3, padding=1) for _ in range(2))

    def forward(self, x):
        return x + self.two(F.relu(self.b(self.one(F.relu(self.a(x))))))


def pre_activation():
    layers = [nn.Conv2d(3, 6, 3), PreActivation(6), PreActivation(6), nn.AvgPool2d(3, 2), nn.ReLU()]
    return nn.Sequential(*layers, Mean(), nn.BatchNorm1d(6), nn.Linear(6, 4)), (3, 14, 9)


def signal():
    layers = [nn.BatchNorm1d(3), nn.Conv1d(3, 8, 9, 2, padding=4), nn.BatchNorm1d(8), nn.ReLU()]
    layers += [nn.MaxPool1d(2), nn.Conv1d(8, 12, 5, dilation=2, groups=4), nn.BatchNorm1d(12)]
    layers += [nn.Tanh(), nn.AvgPool1d(3), nn.Flatten(), nn.Linear(12 * 5, 6)]
    return nn.Sequential(*layers), (3, 96)


class Mnist(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 10, 5), nn.Conv2d(10, 20, (3, 5), groups=2)
        self.dropout, self.fc1 = nn.Dropout2d(), nn.Linear(20 * 5 * 3, 50)
        self.fc2 = nn.Linear(50, 10)

    def forward(self, x):
        x = (x - 0.1307) / 0.3081
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.dropout(self.conv2(x)), 2))
        x = x.view(x.size(0), -1)
        return self.fc2(F.sigmoid(self.fc1(x)))


class Unsqueezed(nn.Module):
    """Spectrograms (batch, time, bands) that become images inside."""

    def __init__(self):
        super().__init__()
        self.conv, self.out = nn.Conv2d(1, 4, (5, 3)), nn.Linear(4 * 9 * 5, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv(x.unsqueeze(1))), 2, ceil_mode=True)
        return self.out(x.reshape(-1, 4 * 9 * 5))


NETS = {
    "resnet8": resnet8, "ds_cnn": ds_cnn, "mobilenet_v1": mobilenet_v1, "autoencoder": autoencoder,
    "inverted_residuals": inverted_residuals, "pre_activation": pre_activation, "signal": signal,
    "mnist": lambda: (Mnist(), (2, 28, 24)), "unsqueezed": lambda: (Unsqueezed(), (21, 12)),
}  # fmt: skip


def make(name):
    """Return a network with random weights and statistics, in evaluation mode, and inputs."""
    torch.manual_seed(len(name))
    module, shape = NETS[name]()
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)
    return module.eval(), torch.randn(2, *shape)


def exported(module, x, dynamo):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            return torch.onnx.export(module, (x,), dynamo=True, verbose=False).model_proto
        file = io.BytesIO()
        torch.onnx.export(module, (x,), file, dynamo=False)
        return file.getvalue()


def nhwc(x):
    """Return a batch as edgetrain has it."""
    x = x.numpy()
    if x.ndim == 4:
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    return x.transpose(0, 2, 1)[:, None].copy() if x.ndim == 3 else x


def error(model, module, x):
    """Return the largest error over the largest output."""
    with torch.no_grad():
        wanted = module(x).numpy()
    samples = nhwc(x)
    if samples.shape[1:] != model.graph.input_shape:  # it is an image inside, of one channel
        samples = x.numpy().reshape(-1, *model.graph.input_shape)
    return np.abs(reals.output(model, samples) - wanted).max() / np.abs(wanted).max()


@pytest.mark.parametrize(
    "dynamo", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["older", "newer"]
)
@pytest.mark.parametrize("name", NETS)
def test_networks_compute_the_same(name, dynamo):
    if dynamo:
        pytest.importorskip("onnxscript", reason="the newer exporter needs onnxscript")
    module, x = make(name)

    assert error(from_onnx(exported(module, x, dynamo)), module, x) < TOLERANCE


@pytest.mark.parametrize("name", ["mnist", "autoencoder"])
def test_a_module_in_training_mode_is_imported_as_it_evaluates_and_stays_as_it_is(name):
    module, x = make(name)
    module.train()
    frozen = next(part for part in module.modules() if not list(part.children()))
    frozen.eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}

    model = from_torch(module, x)

    assert module.training
    assert not frozen.training
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())
    assert error(model, module.eval(), x) < TOLERANCE


def test_task_and_softmax():
    module, x = make("resnet8")
    assert (from_torch(module, x).task, from_torch(module, x).softmax) == ("classify", True)
    assert from_torch(nn.Linear(3, 1), torch.zeros(1, 3)).task == "regress"
    module, x = make("autoencoder")
    assert from_torch(module, x, task="reconstruct").task == "reconstruct"
    with pytest.raises(ValueError, match="task must be one of"):
        from_torch(module, x, task="detect")


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.LSTM(4, 3, batch_first=True), (1, 5, 4), "one output"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.LeakyReLU()), (1, 1, 8, 8), "LeakyRelu"),
        (nn.MaxPool2d(2, dilation=2), (1, 1, 8, 8), "dilations"),
        (nn.Conv3d(1, 2, 3), (1, 1, 8, 8, 8), "its shape must be"),
        (nn.Linear(4, 3), (1, 5), r"cannot export Linear.*\(1, 5\)"),
        (nn.Sequential(nn.ConvTranspose2d(1, 2, 3)), (1, 1, 8, 8), "ConvTranspose is not supp"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.GELU("tanh")), (1, 1, 8, 8), "not supported"),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.PixelShuffle(2)), (1, 1, 8, 8), "DepthToSpace"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)  # fmt: skip
def test_what_is_not_supported_is_named(module, shape, message):
    with pytest.raises(ModelError, match=message):
        from_torch(module, torch.zeros(shape))


def test_something_else_is_refused():
    with pytest.raises(ModelError, match=r"got int and Tensor"):
        crossing.from_torch(3, torch.zeros(1))
