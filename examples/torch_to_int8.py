"""Train networks in PyTorch, import them, quantize them, and see what each step costs.

    python examples/torch_to_int8.py [--write]     # about ten minutes; needs torch and onnx

The modules are in torch_nets.py; they learn for up to a minute each, on real data. An imported
network is compared with its module, with random and with trained weights: the largest difference
over the largest output. Calibration sees training data only.
"""

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch_nets
from tables import RESULTS, put
from tasks import OPS, SHARED
from torch import nn

import edgetrain
from edgetrain import reals
from edgetrain.data import Data, load
from edgetrain.evaluate import evaluate
from edgetrain.graph import Shape
from edgetrain.model import Float, FloatModel, Model
from edgetrain.quantize import Method, quantize

SEEDS = (0, 1)
BATCH, SHIFT = 32, 3
COMPARED = 256
"""On how many test samples module and import are compared."""
FOOTNOTE = (
    "Test accuracy in %; ᵉ squared error of the reconstruction in % of the data's variance, lower "
    "is better."
)


class Choice(NamedTuple):
    """A way to choose scales: a title for people, the method, and how many samples it sees."""

    title: str
    method: Method
    samples: int


CHOICES = (
    Choice("int8", "min_max", 512),
    Choice("2,048 samples", "min_max", 2048),
    Choice("percentile 99.9", "percentile", 512),
)


@dataclass(frozen=True)
class Experiment:
    """A network, its data, and how long it learns.

    Attributes:
        title: network and data, for people.
        make: the module.
        data: name of the shared data set.
        shape: of a sample as edgetrain has it.
        epochs: how often it sees the training part.
        samples: of the training part, at most.
        learning_rate: the largest of the schedule.
        scale: what samples are multiplied by.
        enlarge: how often every pixel is repeated, across and down.
        flips: whether pictures are flipped and shifted while it learns.
        reconstructs: whether it learns to give its input back.
    """

    title: str
    make: Callable[[], nn.Module]
    data: str
    shape: Shape
    epochs: int
    samples: int = 10000
    learning_rate: float = 5e-3
    scale: float = 1 / 255
    enlarge: int = 1
    flips: bool = False
    reconstructs: bool = False


EXPERIMENTS = {
    "resnet8": Experiment(
        "ResNet-8, CIFAR-10", torch_nets.resnet8, "cifar10_subset", (32, 32, 3), 6, flips=True
    ),
    "ds_cnn": Experiment(
        "DS-CNN, synthetic keywords", torch_nets.ds_cnn, "tts_keywords_mfcc", (49, 10, 1), 8,
        scale=1,
    ),
    "mobilenet_v1": Experiment(
        "MobileNetV1-0.25, CIFAR-10 enlarged to 64×64", torch_nets.mobilenet_v1, "cifar10_subset",
        (32, 32, 3), 8, enlarge=2, flips=True,
    ),
    "autoencoder": Experiment(
        "autoencoder, Fashion-MNIST", torch_nets.autoencoder, "fashion_mnist", (784,), 20,
        reconstructs=True,
    ),
    "mobilenet_v2": Experiment(
        "inverted residuals, Fashion-MNIST", torch_nets.mobilenet_v2, "fashion_mnist", (28, 28, 1),
        4,
    ),
    "pre_activation": Experiment(
        "pre-activation ResNet, Fashion-MNIST", torch_nets.pre_activation, "fashion_mnist",
        (28, 28, 1), 4,
    ),
    "signal": Experiment(
        "1-D convolutions, watch", torch_nets.signal, "watch_exercise", (1, 128, 6), 12, scale=1
    ),
}  # fmt: skip


@lru_cache(maxsize=1)
def samples(experiment: Experiment) -> Data:
    """Load real data, the training samples in random order."""
    data = load(SHARED / f"{experiment.data}.npz", experiment.shape)
    order = np.random.default_rng(0).permutation(len(data.x_train))[: experiment.samples]
    x_train, x_test = (scaled(x, experiment) for x in (data.x_train[order], data.x_test))
    return Data(x_train, data.y_train[order], x_test, data.y_test)


def scaled(x: Float, experiment: Experiment) -> Float:
    """Return samples of the size that the network is to see."""
    times = experiment.enlarge
    x = x.repeat(times, axis=1).repeat(times, axis=2) if times > 1 else x
    return x * np.float32(experiment.scale)


def channels_first(x: Float) -> torch.Tensor:
    """Return samples as PyTorch has them: images, signals of one dimension, or features."""
    if x.ndim == 4:
        x = x.transpose(0, 3, 1, 2)
        x = x[:, :, 0] if x.shape[2] == 1 else x
    return torch.from_numpy(np.ascontiguousarray(x))


def augmented(x: torch.Tensor) -> torch.Tensor:
    """Flip half of the pictures, and shift all by a few pixels."""
    flip = torch.rand(len(x), 1, 1, 1) < 0.5
    down, right = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
    padded = nn.functional.pad(torch.where(flip, x.flip(3), x), [SHIFT] * 4)
    return padded[:, :, down : down + x.shape[2], right : right + x.shape[3]]


def train(module: nn.Module, experiment: Experiment, data: Data) -> None:
    """Train a module with Adam and one cycle of the learning rate."""
    x, y = channels_first(data.x_train), torch.from_numpy(data.y_train.astype(np.int64))
    loss = nn.MSELoss() if experiment.reconstructs else nn.CrossEntropyLoss()
    rate, steps = experiment.learning_rate, experiment.epochs * (len(x) // BATCH)
    optimizer = torch.optim.Adam(module.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps + 1)
    module.train()
    for _ in range(experiment.epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            chosen = order[start : start + BATCH]
            given = augmented(x[chosen]) if experiment.flips else x[chosen]
            optimizer.zero_grad()
            loss(module(given), given if experiment.reconstructs else y[chosen]).backward()
            optimizer.step()
            schedule.step()
    module.eval()


@torch.no_grad()
def outputs(module: nn.Module, x: Float) -> Float:
    """Return what a module gives."""
    return np.concatenate([module(part).numpy() for part in channels_first(x).split(256)])


def randomize(module: nn.Module) -> None:
    """Give every normalization statistics of its own, as training would."""
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.2)


def imported(module: nn.Module, experiment: Experiment, data: Data) -> tuple[FloatModel, float]:
    """Return the imported network and its largest difference over the largest output."""
    task = "reconstruct" if experiment.reconstructs else None
    model = edgetrain.from_torch(module.eval(), channels_first(data.x_train[:1]), task)
    x = data.x_test[:COMPARED]
    wanted = outputs(module, x)
    return model, float(np.abs(reals.output(model, x) - wanted).max() / np.abs(wanted).max())


def float_score(module: nn.Module, experiment: Experiment, data: Data) -> float:
    """Return accuracy, or the squared error of a reconstruction over the variance, in %."""
    y = outputs(module, data.x_test)
    if experiment.reconstructs:
        return 100 * float(((y - data.x_test) ** 2).mean() / data.x_test.var())
    return 100 * float((y.argmax(axis=1) == data.y_test).mean())


def int8_score(model: Model, experiment: Experiment, data: Data) -> float:
    """Return the same of the integers that a device computes."""
    y = np.zeros(len(data.x_test), np.int32) if experiment.reconstructs else data.y_test
    found = evaluate(None, model, None, data.x_test, y, ops=OPS)
    if experiment.reconstructs:
        return 100 * found["squared_error"] / float(data.x_test.var())
    return 100 * found["accuracy"]


def run(experiment: Experiment, seed: int) -> list[float]:
    """Return one seed's numbers: two differences, the float score, and int8's by choice."""
    data = samples(experiment)
    torch.manual_seed(seed)
    module = experiment.make()
    untrained = copy.deepcopy(module)
    randomize(untrained)
    _, before = imported(untrained, experiment, data)
    train(module, experiment, data)
    model, after = imported(module, experiment, data)
    found = [before, after, float_score(module, experiment, data)]
    for choice in CHOICES:
        made = quantize(model, data.x_train[: choice.samples], choice.method)
        found.append(int8_score(made, experiment, data))
    print(experiment.title, seed, *(f"{number:.3g}" for number in found), flush=True)
    return found


def row(experiment: Experiment, found: np.ndarray) -> str:
    """Return a network's line of the table: the worst difference, and means over the seeds."""
    before, after = found[:, :2].max(axis=0)
    wanted, *scores = found[:, 2:].mean(axis=0)
    unit = " ᵉ" if experiment.reconstructs else ""
    parts = [experiment.title, f"{before:.1e}", f"{after:.1e}", f"{wanted:.2f}{unit}"]
    parts += [f"{score:.2f} ({score - wanted:+.2f})" for score in scores]
    return f"| {' | '.join(parts)} |"


def main() -> None:
    torch.set_num_threads(1)
    head = ["network, data", "untrained", "trained", "float32", *(c.title for c in CHOICES)]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for experiment in EXPERIMENTS.values():
        lines.append(row(experiment, np.array([run(experiment, seed) for seed in SEEDS])))
    table = "\n".join([*lines, "", FOOTNOTE])
    print(table)
    if "--write" in sys.argv[1:]:
        put(RESULTS, "torch", table)


if __name__ == "__main__":
    main()
