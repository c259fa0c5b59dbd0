"""The kernels of Forward-Forward, and momentum, on every board, against the specification."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain import fixed
from edgetrain.arithmetic.goodness import (
    goodness_codes,
    normalize,
    pair_loss,
    scaled_goodness,
    sum_of_squares,
)
from edgetrain.arithmetic.losses import LOGIT_MAX
from edgetrain.arithmetic.randomness import CONTRAST, stream_key
from edgetrain.arithmetic.rounding import Int8
from edgetrain.device_tests.golden_table import replies, table
from edgetrain.graph import INPUT
from edgetrain.rules.channel_labels import class_channels, class_goodness
from edgetrain.rules.input_labels import embed, wrong_labels

LARGEST = 4096
ZERO_POINTS = (-128, -37, 0)
KERNELS = ("EMBED", "NORMALIZE", "GOODNESS", "PAIR_SLOPES", "CLASS_SLOPES", "WRONG_LABELS",
           "CHANNELS", "CLASS_GOODNESS", "ERROR", "CODES", "MOMENTUM", "TELL")  # fmt: skip


@dataclass
class Case:
    """One call: arrays by name, and the numbers of its struct."""

    kernel: str
    want: NDArray[Any]
    batch: int = 1
    n: int = 1
    classes: int = 1
    numbers: tuple[int, ...] = ()
    x: NDArray[Any] | None = None
    w: NDArray[Any] | None = None
    a: NDArray[Any] | None = None
    b: NDArray[Any] | None = None
    returned: int = 0

    def text(self, i: int) -> tuple[str, str]:
        """Write the arrays, and the entry of the table."""
        arrays, names = [], []
        for name in ("x", "w", "a", "b", "want"):
            array = getattr(self, name)
            names.append("NULL" if array is None else f"{name}{i}")
            if array is not None:
                values = ", ".join(map(str, array.ravel()))
                arrays.append(f"static const {array.dtype}_t {name}{i}[] = {{{values}}};")
        numbers = [*self.numbers, 0, 0, 0, 0][:4]
        entry = (
            f"{{{self.kernel}, {self.batch}, {self.n}, {self.classes}, "
            f"{{{', '.join(map(str, numbers))}}}, {', '.join(names)}, {self.want.nbytes}, "
            f"{self.returned}}}"
        )
        return "\n".join(arrays), entry


def layer(rng: np.random.Generator, zero_point: int, rows: int, n: int) -> Int8:
    """Rectified activity; the first row is silent, one unit of the last is as loud as can be."""
    above = np.maximum(rng.normal(0, 1, (rows, n)) * rng.uniform(1, 90, (rows, 1)), 0)
    x = np.minimum(above.round() + zero_point, 127).astype(np.int8)
    x[0], x[-1] = zero_point, zero_point
    x[-1, n // 2] = 127
    return x


def of_layers(rng: np.random.Generator) -> Iterator[Case]:
    """Goodness of layers, their codes and errors."""
    for zero_point in ZERO_POINTS:
        for rows, n in ((2, 1), (6, 2), (5, 33), (4, 300)):
            x = layer(rng, zero_point, rows, n)
            yield Case("NORMALIZE", normalize(x, zero_point), rows, n, numbers=(zero_point,), x=x)
            for scale in (2**30, -12), (3 * 2**29, -3), (2**31 - 1, 2):
                want = scaled_goodness(sum_of_squares(x, zero_point), *scale)
                yield Case("GOODNESS", want, rows, n, numbers=(zero_point, *scale), x=x)
            slopes = rng.integers(-(2**15), 2**15, rows).astype(np.int32)
            slopes[0], slopes[-1] = -(2**15), 2**15
            for scale in ((2**30, -15), (2**30 + 1, -8)):
                above = x.astype(np.int32) - zero_point
                e, peak = fixed.scale_error(slopes[:, None] * above, *scale)
                yield Case("ERROR", e, rows, n, 1, (zero_point, *scale), x, a=slopes, returned=peak)
    near = np.array([[1, 7], [3, 5], [0, 1], [1, 1]], np.int8)
    yield Case("NORMALIZE", normalize(near, 0), 4, 2, numbers=(0,), x=near)
    quiet = np.eye(1, 300, dtype=np.int8)  # its root is 0
    yield Case("NORMALIZE", normalize(quiet, 0), 1, 300, numbers=(0,), x=quiet)


def of_pairs(rng: np.random.Generator) -> Iterator[Case]:
    """Slopes of right and wrong labels."""
    far = [[-LOGIT_MAX // 2, LOGIT_MAX // 2], [0, 0], [LOGIT_MAX, 0], [0, LOGIT_MAX], [1, 0]]
    right, wrong = np.concatenate([far, rng.integers(0, 9000, (60, 2))]).astype(np.int32).T
    for threshold in (0, 1024, 65536):
        symmetric = threshold == 0
        up, down, _ = pair_loss(right - threshold, wrong - threshold, symmetric)
        goodness = np.stack([right, wrong])
        numbers = (int(symmetric), threshold)
        yield Case("PAIR_SLOPES", np.stack([up, down]), len(right), numbers=numbers, a=goodness)
        classes, rows = 4, np.arange(len(right))
        y = rng.integers(0, classes, len(right)).astype(np.int32)
        other = ((y + rng.integers(1, classes, len(y))) % classes).astype(np.int32)
        all_of, want = rng.integers(0, 9000, (2, len(y), classes)).astype(np.int32)
        want[:] = 0
        all_of[rows, y], all_of[rows, other] = right, wrong
        want[rows, y], want[rows, other] = up, down
        yield Case("CLASS_SLOPES", want, len(y), 1, classes, numbers, a=all_of,
                   b=np.stack([y, other]))  # fmt: skip


def of_labels(rng: np.random.Generator) -> Iterator[Case]:
    """Labels in the input."""
    for zero_point in (-128, 3, 127):
        x = rng.integers(-128, 128, (5, 9)).astype(np.int8)
        y = rng.integers(0, 4, 5).astype(np.int32)
        model: Any = SimpleNamespace(
            scheme=SimpleNamespace(activations={INPUT: SimpleNamespace(zero_point=zero_point)}),
            graph=SimpleNamespace(output_size=4),
        )
        for labels in (y, None):
            want = embed(model, x, labels)
            yield Case("EMBED", want, 5, 9, 4, (zero_point,), x, b=labels)
        w, b = rng.integers(-127, 128, (6, 9)).astype(np.int8), np.arange(6, dtype=np.int32)
        for label in range(4):
            told = fixed.dense_acc(embed(model, x[:1], np.array([label])), w, b, zero_point)
            yield Case("TELL", told, 1, 9, 6, (zero_point, label, 4), x[0], w, b)
    for seed, classes in ((0, 2), (1, 3), (2, 10)):
        key = stream_key(seed, 5, 0, CONTRAST)
        y = rng.integers(0, classes, 200).astype(np.int32)
        logits = rng.normal(0, 2048, (200, classes)).astype(np.int32)
        logits[:20] *= 40
        error, _ = fixed.cross_entropy(logits, y)
        step: Any = SimpleNamespace(seed=seed, number=5)
        for weights in (error, None):
            shares = np.zeros((200, classes), int) if weights is None else fixed.softmax(logits)
            want = wrong_labels(step, shares, y).astype(np.int32)
            words = tuple(int(np.uint32(word).view(np.int32)) for word in key)
            yield Case("WRONG_LABELS", want, 200, 1, classes, words, a=weights, b=y)


def of_channels(rng: np.random.Generator) -> Iterator[Case]:
    """Channels of classes."""
    for zero_point, rows, n, classes in ((-128, 7, 1, 2), (-37, 30, 16, 5), (4, 12, 13, 9)):
        x = rng.integers(-128, 128, (rows, n)).astype(np.int8)
        w = rng.integers(-127, 128, (classes, n)).astype(np.int8)
        b = rng.integers(-3000, 3000, classes).astype(np.int32)
        for scale in (2**30, 0), (1234567890, -4), (2**30 + 7, 3):
            acc = fixed.dense_acc(x, w, b, zero_point)
            channels = class_channels(fixed.logits_q10(acc, *scale), 1)[0]
            yield Case("CHANNELS", (channels - 128).astype(np.int8), rows, n, classes,
                       (zero_point, *scale), x, w, b)  # fmt: skip
    for batch, pixels, classes in ((2, 1, 3), (3, 7, 5), (1, 300, 2)):
        channels = rng.integers(0, 256, (batch, pixels, classes)).astype(np.int32)
        channels[0, :, 0] = 255
        stored, goodness = (channels - 128).astype(np.int8), class_goodness(channels)
        yield Case("CLASS_GOODNESS", goodness, batch, pixels, classes, x=stored)
        slopes = rng.integers(-(2**15), 2**15, (batch, classes)).astype(np.int32)
        e, peak = fixed.scale_error(slopes[:, None] * channels, 2**30, -14)
        yield Case("ERROR", e, batch, pixels, classes, (-128, 2**30, -14), stored, a=slopes,
                   returned=peak)  # fmt: skip
    for spread in (3, 70, 20_000, 2**22):
        total = rng.integers(-spread, spread, 64).astype(np.int32)
        yield Case("CODES", goodness_codes(total[None]), classes=64, a=total)


def of_momentum(rng: np.random.Generator) -> Iterator[Case]:
    """Ties to both sides, both ends of int32, shifts beyond its width."""
    ends = [2**31 - 1, -(2**31), 2**30, -(2**30), 0]
    velocity = np.array([*range(-20, 21), *ends], np.int32)
    for realign in (0, 1, -1, -3, 31, 40, -31, -70):
        for decay in (0, 1, 3, 5, 31):
            grad = rng.integers(-(2**31), 2**31, len(velocity)).astype(np.int32)
            grad[: len(grad) // 2] >>= 27
            want = fixed.momentum(velocity, grad, decay, realign)
            yield Case("MOMENTUM", want, 1, len(want), 1, (decay, realign), a=grad, b=velocity)


@cache
def cases() -> list[Case]:
    """Return calls of every kernel."""
    rng = np.random.default_rng(0)
    makers = (of_layers, of_pairs, of_labels, of_channels, of_momentum)
    return [case for make in makers for case in make(rng)]


@cache
def header() -> bytes:
    """Write the cases as C."""
    return table("goodness_case", cases(), LARGEST)


def check(board: str, folder: Path, timeout_s: float = 60) -> list[str]:
    """Run all cases on a board.

    Args:
        board: its name.
        folder: for the program.
        timeout_s: seconds until it counts as hanging.

    Returns:
        A line a case: its number and kernel, how many bytes and returned numbers are wrong, and
        of how many.
    """
    answers = replies(board, "golden_goodness.c", header(), len(cases()), folder, timeout_s)
    return [
        f"{i} {case.kernel.lower()}: {sum(found)} of {case.want.nbytes + 1} wrong"
        for i, (case, found) in enumerate(zip(cases(), answers, strict=True))
    ]
