"""The tasks of examples/compare_rules.py: real data, networks, and how they are split.

A task's `prepare(seed, validation)` returns a list of (int8 model, data) pairs; their accuracies
are averaged. With validation=True everything comes out of the training data: learning rates are
chosen there, and the test data are seen once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from pretrain import pretrain

from edgetrain.architectures import ds_cnn, mlp
from edgetrain.data import Data, digits
from edgetrain.files import load, save
from edgetrain.graph import Shape
from edgetrain.kernels import default
from edgetrain.kernels import load as load_backend
from edgetrain.make_heads import make_heads
from edgetrain.model import Float, FloatModel, Model
from edgetrain.outputs import predict
from edgetrain.quantize import quantize
from edgetrain.shift import rotate

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared" / "data"
CACHE = ROOT / "build" / "pretrained"
OPS = load_backend(default())
Cases = list[tuple[Model, Data]]


@dataclass(frozen=True)
class Task:
    """A title for people, and how to make models and data."""

    title: str
    prepare: Callable[[int, bool], Cases]


def arrays(name: str) -> dict[str, np.ndarray]:
    """Load one of the shared data sets."""
    with np.load(SHARED / f"{name}.npz", allow_pickle=False) as found:
        return {key: found[key] for key in found.files}


def cached(name: str, make: Callable[[], FloatModel]) -> FloatModel:
    """Return a pretrained network, from the folder build/ where it was made before."""
    path = CACHE / f"{name}.safetensors"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        save(make(), path)
    return load(path)


def from_scratch(data: Data, hidden: tuple[int, ...], seed: int) -> Cases:
    """Return a new network for flat data, with room for weights and activations to grow."""
    network = mlp(data.input_shape, 10, seed, hidden)
    return [(quantize(network, data.x_train[:512], headroom=2.0), data)]


def flat(x: np.ndarray) -> Float:
    """Return samples as float32 (samples, features)."""
    return x.reshape(len(x), -1).astype(np.float32)


def digits_random(room: int) -> Callable[[int, bool], Cases]:
    """Digits, shuffled: 1,437 to learn, 360 to test; `room` zeros before each for a label."""

    def prepare(seed: int, validation: bool) -> Cases:
        data = digits()
        x = flat(np.concatenate([data.x_train, data.x_test]))
        x = np.pad(x, ((0, 0), (room, 0)))
        y = np.concatenate([data.y_train, data.y_test])
        order = np.random.default_rng(100 + seed).permutation(len(x))
        cut, end = (1150, 1437) if validation else (1437, len(x))
        train, test = order[:cut], order[cut:end]
        return from_scratch(Data(x[train], y[train], x[test], y[test]), (128, 64), seed)

    return prepare


@lru_cache
def fashion() -> dict[str, np.ndarray]:
    """Fashion-MNIST in [0, 1]."""
    found = arrays("fashion_mnist")
    return {k: v.astype(np.int32) if k[0] == "y" else v / np.float32(255)
            for k, v in found.items()}  # fmt: skip


def fashion_scratch(hidden: tuple[int, ...]) -> Callable[[int, bool], Cases]:
    """Fashion-MNIST; the last 5,000 training samples are the validation part."""

    def prepare(seed: int, validation: bool) -> Cases:
        found = fashion()
        x, y = flat(found["x_train"]), found["y_train"]
        if validation:
            return from_scratch(Data(x[:55000], y[:55000], x[55000:], y[55000:]), hidden, seed)
        return from_scratch(Data(x, y, flat(found["x_test"]), found["y_test"]), hidden, seed)

    return prepare


def fashion_rotated(seed: int, validation: bool) -> Cases:
    """784-128-64-10, pretrained; 2,000 labels of pictures turned by 15 degrees."""
    found = fashion()
    network = cached(
        f"fashion-{seed}",
        lambda: pretrain(
            mlp((784,), 10, seed, (128, 64)), flat(found["x_train"]), found["y_train"], 8, 1e-3,
            128, seed,
        ),
    )  # fmt: skip
    order = np.random.default_rng(seed).permutation(60000)[:4000]
    x, y = turned(found["x_train"][order]), found["y_train"][order]
    x_test, y_test = turned(found["x_test"]), found["y_test"]
    if validation:
        x_test, y_test = x[2000:], y[2000:]
    model = quantize(network, flat(found["x_train"][:1000]))
    return [(model, Data(x[:2000], y[:2000], x_test, y_test))]


def turned(x: np.ndarray) -> Float:
    """Turn pictures (samples, 28, 28) by 15 degrees and flatten them."""
    return flat(rotate(x[..., None], 15.0))


@dataclass(frozen=True)
class Groups:
    """Samples of several people or voices: x, y, the group of each, and how to halve them."""

    name: str
    shape: Shape
    classes: int
    epochs: int

    def samples(self, split: str) -> tuple[Float, np.ndarray, np.ndarray]:
        """Return x, y and the group of every sample of a split."""
        found = arrays(self.name)
        scale, zero = found["scale"], found.get("zero_point", 0)
        x = (found[f"x_{split}"].astype(np.float32) - np.float32(zero)) * scale.astype(np.float32)
        group = found.get(f"subject_{split}", found.get(f"voice_{split}"))
        return x.reshape(len(x), *self.shape), found[f"y_{split}"].astype(np.int32), group

    def network(self, x: Float, y: np.ndarray, tag: str, seed: int) -> Model:
        """Pretrain, quantize, and make the heads on the same source data."""
        network = cached(
            f"{self.name}-{tag}-{seed}",
            lambda: pretrain(
                ds_cnn(self.shape, self.classes, seed), x, y, self.epochs, 3e-3, 32, seed
            ),
        )
        source = Data(x, y, x[:1], y[:1])
        return make_heads(quantize(network, x[:512]), source, OPS, epochs=3, seed=seed)


WATCH = Groups("watch_exercise", (1, 128, 6), 7, 12)
KEYWORDS = Groups("tts_keywords_mfcc", (49, 10, 1), 12, 12)
CHUNK = 12


def by_chunks(indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Halve windows in time: chunks in turn, a window dropped at each border (they overlap)."""
    place = np.arange(len(indices))
    inside = place % CHUNK > 0
    return indices[inside & (place // CHUNK % 2 == 0)], indices[inside & (place // CHUNK % 2 == 1)]


def watch(seed: int, validation: bool) -> Cases:
    """Fine-tune on half of one unseen person; people 8 to 10, or 6 and 7 for validation."""
    x, y, person = WATCH.samples("train")
    if validation:
        known = person <= 5
        model = WATCH.network(x[known], y[known], "validation", seed)
    else:
        model = WATCH.network(x, y, "all", seed)
        x, y, person = WATCH.samples("test")
    cases = []
    for one in (6, 7) if validation else (8, 9, 10):
        a, b = by_chunks(np.flatnonzero(person == one))
        cases.append((model, Data(x[a], y[a], x[b], y[b])))
    return cases


HARD = 4


def keywords(seed: int, validation: bool) -> Cases:
    """Fine-tune on half the clips of the four hardest unseen voices together."""
    x, y, voice = KEYWORDS.samples("train")
    if validation:
        held_out = np.isin(voice, np.unique(voice)[::4])
        model = KEYWORDS.network(x[~held_out], y[~held_out], "validation", seed)
        x, y, voice = x[held_out], y[held_out], voice[held_out]
    else:
        model = KEYWORDS.network(x, y, "all", seed)
        x, y, voice = KEYWORDS.samples("test")
    right = predict(model, model.quantize_input(x), OPS).argmax(axis=1) == y
    voices = np.unique(voice)
    hardest = voices[np.argsort([right[voice == v].mean() for v in voices])[:HARD]]
    a, b = halves(y, voice, hardest, seed)
    return [(model, Data(x[a], y[a], x[b], y[b]))]


def halves(
    y: np.ndarray, voice: np.ndarray, voices: Sequence[int], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Put half of every voice's clips of every word on either side."""
    rng = np.random.default_rng(seed)
    sides: tuple[list[int], list[int]] = ([], [])
    for v in voices:
        for word in np.unique(y):
            clips = rng.permutation(np.flatnonzero((voice == v) & (y == word)))
            for side, part in zip(sides, np.array_split(clips, 2), strict=True):
                side.extend(part.tolist())
    return np.array(sides[0]), np.array(sides[1])


TASKS = {
    "digits": Task("digits from scratch, 64-128-64-10", digits_random(0)),
    "digits+label": Task("digits from scratch, 74-128-64-10", digits_random(10)),
    "fashion": Task("Fashion-MNIST from scratch, 784-512-512-10", fashion_scratch((512, 512))),
    "rotated": Task("Fashion-MNIST, 784-128-64-10, turned by 15 degrees", fashion_rotated),
    "watch": Task("watch_exercise, ds_cnn, an unseen person", watch),
    "keywords": Task("tts_keywords, ds_cnn, four hard unseen voices", keywords),
}
