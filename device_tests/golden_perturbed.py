"""Golden vectors of perturbations, of what is learned from them, and of losses."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgetrain import fixed
from edgetrain.arithmetic.randomness import PERTURB
from edgetrain.arithmetic.rounding import Int8, Int32
from edgetrain.device_tests.golden_cases import (
    KEY,
    LIMIT,
    SCALINGS,
    ZERO_POINT,
    Case,
    rates,
    scaled,
)
from edgetrain.device_tests.golden_layers import int8
from edgetrain.state import rate_multiplier

QUERY = 2**16 * 3 + 5
"""Of the streams: a device reaches numbers of more than 16 bits."""


def perturbed(rng: np.random.Generator) -> Iterator[Case]:
    """Perturbations, and what is learned from them."""
    for n_out, n, size in ((1, 1, 3), (5, 9, 200), (8, 64, 14), (3, 32, -60), (4, 39, 127)):
        signs = fixed.random_signs(fixed.stream_key(7, QUERY, 99, PERTURB), n_out, n + 1)
        w = np.maximum(int8(rng, n_out, n), -127)
        b = rng.integers(-LIMIT, LIMIT, n_out).astype(np.int32)
        moved = np.clip(w + size * signs[:, :-1].astype(np.int32), -127, 127).astype(np.int8)
        start = np.clip(b + 64 * size * signs[:, -1].astype(np.int64), -LIMIT, LIMIT)
        start = (start - ZERO_POINT * moved.sum(1, dtype=np.int64)).astype("<i4")
        want = np.frombuffer(start.tobytes() + moved.tobytes(), np.int8)
        numbers: dict[str, Any] = {"window": (1, 1, n, 1, 1, n_out, 1, 1, 1, 1, 0, 0, 1)}
        yield Case("SHAKE_WEIGHTS", want, (w, b), (0, QUERY, size, LIMIT, ZERO_POINT), **numbers)
        yield from along_signs(rng, w, b, **numbers)
        sizes = rng.integers(1, 900, n).astype(np.int32)
        base = rng.integers(-LIMIT, LIMIT, n).astype(np.int32)
        row = fixed.random_signs(fixed.stream_key(7, QUERY, 99, PERTURB), 3, n)[2]
        for direction in (1, -1):
            yield Case("SHAKE_START", base + direction * row * sizes, (base, sizes),
                       (n, QUERY, 2, direction))  # fmt: skip
        yield from estimated(rng, n_out)


def along_signs(rng: np.random.Generator, w: Int8, b: Int32, **more: Any) -> Iterator[Case]:
    """A step along the signs of one and of three queries; biases stand behind the weights."""
    for queries in (1, 3):
        slopes = rng.choice([-(2**10), 2**10], queries).astype(np.int32)
        keys = [fixed.stream_key(7, QUERY + q, 99, PERTURB) for q in range(queries)]
        signs = [fixed.random_signs(k, len(w), w.shape[1] + 1).astype(np.int32) for k in keys]
        grad = sum(s * u for s, u in zip(slopes.tolist(), signs, strict=True)).astype(np.int32)
        numbers, data = rates(rng, len(w), 2**10)
        multiplier = rate_multiplier(numbers, 3, 1, 200, 32)
        of_bias = rate_multiplier(numbers, 3, 1, 200, 16)
        new_b = fixed.update_bias(b, grad[:, -1], of_bias, LIMIT)
        kinds: tuple[tuple[Any, Any], ...] = (
            (w, fixed.update_int8), (fixed.masters(w), fixed.update_int16)
        )  # fmt: skip
        for old, update in kinds:
            new, saturated = update(old, np.ascontiguousarray(grad[:, :-1]), multiplier, KEY)
            gap = bytes([77]) * (-old.nbytes % 4)
            want = np.frombuffer(new.tobytes() + gap + new_b.tobytes(), np.int8)
            yield Case("SIGNS_LEARN", want, (slopes, old.tobytes() + gap + b.tobytes(), data, data),
                       (1, QUERY, 3, 200, *KEY, queries, LIMIT), saturated,
                       masters=old.dtype == np.int16, **more)  # fmt: skip


def estimated(rng: np.random.Generator, n_out: int) -> Iterator[Case]:
    """Estimated errors of a dense layer, and of one with pixels that are open or closed."""
    batch, pixels = 2, 11
    differences = rng.integers(-5000, 5000, (3, batch)).astype(np.int32)
    acc = np.zeros((batch, n_out), np.int64)
    for q, difference in enumerate(differences):
        signs = fixed.random_signs(fixed.stream_key(7, QUERY + q, 99, PERTURB), batch, n_out)
        acc += difference[:, None] * signs.astype(np.int64)
    acc <<= 6
    y = int8(rng, batch, pixels, n_out)
    y[0, :, 0], y[1, :, 0] = -128, 127
    for low, high in ((-60, 70), (-129, 127), (-128, 128)):
        inside = (y > low) & (y < high)
        e, peak = fixed.scale_error(acc // np.maximum(inside.sum(1), 1), *SCALINGS[3])
        numbers = (batch, QUERY, 3, low, high, pixels, n_out)
        yield Case("ESTIMATE", e[:, None] * inside.astype(np.int8), (differences, y), numbers,
                   peak, scaling=SCALINGS[3])  # fmt: skip
    yield scaled("ESTIMATE", acc, SCALINGS[3], differences, None,
                 number=(batch, QUERY, 3, -129, 128, 1, n_out))  # fmt: skip


def losses(rng: np.random.Generator) -> Iterator[Case]:
    """Both losses."""
    for batch, classes in ((1, 2), (3, 11)):
        logits = rng.integers(-20000, 20000, (batch, classes)).astype(np.int32)
        logits[0] = 5
        y = rng.integers(0, classes, batch).astype(np.int32)
        target = rng.integers(-(2**21), 2**21, (batch, classes)).astype(np.int32)
        for kernel, loss, given in (("CROSS_ENTROPY", fixed.cross_entropy, y),
                                    ("SQUARED_ERROR", fixed.squared_error, target)):  # fmt: skip
            want = np.concatenate([part.ravel() for part in loss(logits, given)])
            yield Case(kernel, want, (logits, given), (batch, classes))
