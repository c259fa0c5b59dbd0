"""Kernels of training on every board, plain and fast forms, against the specification."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edgetrain import fixed
from edgetrain.arithmetic.rounding import Int8, Int16
from edgetrain.device_tests.golden_cases import (
    LIMIT,
    SCALINGS,
    ZERO_POINT,
    Case,
    errors,
    learned,
    rates,
    scaled,
)
from edgetrain.device_tests.golden_layers import int8, window_numbers
from edgetrain.device_tests.golden_perturbed import losses, perturbed
from edgetrain.device_tests.golden_table import replies, table
from edgetrain.device_tests.program import BoardError
from edgetrain.fixed import Window
from edgetrain.state import rate_multiplier

LARGEST = 32768
ALL, NEAR, NONE = (0, 0, 0, 0), (1, 1, 1, 1), (1, 1)
DENSE = ((1, 1), (4, 4), (7, 3), (16, 12), (33, 5), (130, 9))
# batch, height, width, n_in, n_out, kernel, stride, padding, groups: sizes around those of the
# fast forms, which take 16 numbers, 32 weights and 128 pixels at a time
CONV = (
    (1, 5, 5, 8, 16, (3, 3), NONE, NEAR, 1),
    (2, 6, 7, 3, 8, (3, 3), (2, 2), (0, 1, 1, 1), 1),
    (1, 9, 15, 36, 12, (1, 1), NONE, ALL, 1),
    (2, 5, 5, 4, 4, (1, 1), NONE, ALL, 1),
    (1, 7, 5, 5, 7, (1, 1), (2, 2), ALL, 1),
    (1, 9, 6, 1, 8, (5, 4), (2, 2), (2, 2, 1, 2), 1),
    (3, 1, 20, 4, 8, (1, 5), (1, 2), (0, 0, 2, 2), 1),
    (1, 2, 3, 8, 64, (3, 3), NONE, NEAR, 1),
    (1, 4, 5, 6, 4, (3, 2), NONE, (1, 1, 0, 1), 2),
    (2, 5, 6, 8, 8, (3, 3), NONE, NEAR, 8),
    (1, 30, 18, 8, 8, (3, 3), NONE, NEAR, 8),
    (1, 7, 9, 12, 12, (3, 3), (2, 2), NEAR, 12),
    (1, 5, 4, 3, 3, (3, 3), NONE, NEAR, 3),
    (1, 6, 8, 4, 4, (5, 3), NONE, (2, 2, 0, 2), 4),
    (1, 1, 9, 8, 8, (1, 3), NONE, (0, 0, 2, 0), 8),
    (1, 6, 7, 4, 8, (3, 3), (2, 2), (1, 0, 1, 1), 1),
    (1, 4, 5, 4, 4, (2, 3), NONE, (2, 2, 3, 3), 1),  # windows that lie wholly outside
    (1, 4, 5, 8, 8, (3, 3), NONE, (3, 3, 2, 4), 8),
    (1, 8, 7, 8, 8, (3, 3), (2, 1), (0, 1, 1, 1), 8),
    (1, 8, 8, 9, 9, (3, 3), (2, 2), ALL, 9),
    (1, 6, 6, 9, 9, (5, 5), NONE, (2, 2, 2, 2), 9),
    (1, 1, 300, 4, 4, (1, 3), NONE, (0, 0, 1, 1), 4),
)
POOLS = (((6, 6, 5), Window((2, 2), (2, 2), ALL)), ((7, 5, 4), Window((3, 3), (2, 2), NEAR)))


def layers(rng: np.random.Generator) -> Iterator[Case]:
    """Errors of inputs and steps of dense layers, convolutions and pools."""
    for i, (n_in, n_out) in enumerate(DENSE):
        x, e, w = (
            int8(rng, 3, n_in),
            errors(rng, 3, n_out),
            np.maximum(int8(rng, n_out, n_in), -127),
        )
        ratio = rng.integers(0, 129, n_out).astype(np.int16)
        numbers: dict[str, Any] = {"window": (1, 1, n_in, 1, 1, n_out, 1, 1, 1, 1, 0, 0, 1)}
        acc = fixed.dense_grad_x(e, w, ratio)
        yield scaled("DENSE_ERROR", acc, SCALINGS[i % 5], e, w, ratio, number=(3,), **numbers)
        yield from learned(rng, "DENSE_LEARN", fixed.dense_grad_w(x, e, ZERO_POINT), w, x, e,
                           **numbers)  # fmt: skip
    for i, (batch, height, width, n_in, n_out, kernel, stride, padding, groups) in enumerate(CONV):
        window = Window(kernel, stride, padding, groups)
        x = int8(rng, batch, height, width, n_in)
        w = np.maximum(int8(rng, n_out, *kernel, n_in // groups), -127)
        y = fixed.conv2d_acc(x, w, np.zeros(n_out, np.int32), 0, window)
        e, ratio = errors(rng, *y.shape), rng.integers(0, 129, n_out).astype(np.int16)
        numbers = {"window": window_numbers(x, y, window)}
        kind = "DEPTHWISE" if groups == n_in == n_out else "CONV"
        grad = fixed.conv2d_grad_w(x, e, ZERO_POINT, window)
        large = [np.full_like(a, n) for a, n in ((e, 127), (w, 127), (ratio, 128))]
        wanted: tuple[tuple[Any, ...], ...] = (
            (SCALINGS[i % 5], e, w, ratio),
            (SCALINGS[3], e, w, ratio),
            ((3 * 2**29 + 1, -1), e // 40, w // 40, ratio // 40),  # both roundings show
            ((3 * 2**29 + 1, 0), e // 40, w // 40, ratio // 40),  # or one
            ((2**30, -12), *one_more(e, w, ratio)),
            ((2**30 + 5, -23), *large),
        )
        for scaling, *given in wanted:
            acc = fixed.conv2d_grad_x(given[0], given[1], given[2], x.shape, window)
            yield scaled(f"{kind}_ERROR", acc, scaling, *given, number=(batch,), **numbers)
        yield from learned(rng, f"{kind}_LEARN", grad, w, x, e, **numbers)


def one_more(e: Int8, w: Int8, ratio: Int16) -> tuple[Int8, Int8, Int16]:
    """Errors that come back as they are, the negative one larger by one."""
    e, w = np.zeros_like(e), np.zeros_like(w)
    e.flat[0], e.flat[-1], w[:, w.shape[1] // 2, w.shape[2] // 2] = 100, -101, 64
    return e, w, np.full_like(ratio, 128)


def around_errors(rng: np.random.Generator) -> Iterator[Case]:
    """What changes errors without weights; lengths that leave a rest."""
    for i, (shape, window) in enumerate(POOLS):
        x = int8(rng, 2, *shape)
        y, index = fixed.average_pool(x, window), fixed.max_pool_index(x, window)
        e, numbers = errors(rng, *y.shape), {"window": window_numbers(x, y, window), "number": (2,)}
        acc = fixed.average_pool_grad(e, x.shape, window)
        yield scaled("AVERAGE_POOL_ERROR", acc, SCALINGS[2 + i], e, **numbers)
        acc = fixed.max_pool_grad(e, index, x.shape, window) << 8
        yield scaled("MAX_POOL_ERROR", acc, SCALINGS[2 + i], e, index, **numbers)
    for i, n in enumerate((1, 7, 8, 61)):
        e, y, slopes = errors(rng, n), int8(rng, n), rng.integers(-40, 90, 256).astype(np.int8)
        e[1:6], y[1:6] = 9, (-127, -4, 89, 127, -128)[: n - 1]
        parts = [e, errors(rng, n), errors(rng, n)]
        yield scaled("WIDENED", e.astype(np.int32) << 8, SCALINGS[i], e, number=(n,))
        steep = e.astype(np.int32) * slopes[y.astype(np.int32) + 128]
        yield scaled("SLOPE", steep, SCALINGS[i], e, y, slopes, number=(n,))
        exponents = np.array([-20, -24, -60], np.int32)
        acc = sum((p.astype(np.int32) << 15) >> min(15 - 35 - k, 31)
                  for p, k in zip(parts, exponents.tolist(), strict=True))  # fmt: skip
        yield scaled("MERGE", acc, SCALINGS[i], *parts, exponents, number=(n, 3, -35))
        acc = np.concatenate([rng.integers(-(2**k), 2**k, n) for k in (6, 9, 20, 30)])
        yield scaled("SCALE", acc.astype(np.int32), SCALINGS[i], acc.astype(np.int32),
                     number=(4 * n,))  # fmt: skip
        acc = rng.integers(-9, 10, n).astype(np.int32)
        yield scaled("SCALE", acc, (2**30 + 12345, 4 - i), acc, number=(n,))
        for low, high in ((-128, 128), (-5, 90), (-129, -128), (127, 128), (3, 4)):
            is_open = (y > low) & (y < high)
            bits = np.packbits(is_open, bitorder="little")
            kept = np.where(is_open, e, 0).astype(np.int8)
            yield Case("CLOSE", kept, (e, y), (n, low, high))
            yield Case("KEEP_OPEN", bits, (y,), (n, low, high))
            yield Case("CLOSE_BY_BITS", kept, (e, bits), (n,))
    e = errors(rng, 2, 5)
    yield Case("SPREAD", np.repeat(e, 6, 0), (e,), (2, 6, 5))
    for rows, n_out in ((1, 3), (700, 20), (9, 8)):
        e = errors(rng, rows, n_out)
        e[:, 1] = -127
        given, data = rates(rng, n_out, 20)
        b = rng.integers(-(2**12), 2**12, n_out).astype(np.int32)
        b[-1] = LIMIT
        new = fixed.update_bias(b, e.sum(0, dtype=np.int32),
                                rate_multiplier(given, 3, 2, 200, 16), LIMIT)  # fmt: skip
        yield Case("BIAS_LEARN", new, (e, b, data), (2, 0, 3, 200, LIMIT, rows, n_out))


@cache
def training_cases() -> list[Case]:
    """Return a call of every kernel of training in many shapes."""
    rng = np.random.default_rng(0)
    return [*layers(rng), *around_errors(rng), *perturbed(rng), *losses(rng)]


@cache
def header() -> bytes:
    """Write the cases as C."""
    return table("training_case", training_cases(), LARGEST)


def check(board: str, folder: Path, timeout_s: float = 60) -> list[str]:
    """Run all cases on a board, without and with scratch memory.

    Args:
        board: its name.
        folder: for the program.
        timeout_s: seconds until it counts as hanging.

    Returns:
        A line a case: its number and kernel, how many bytes and returned numbers are wrong, and
        of how many.
    """
    cases, lines = training_cases(), []
    answers = replies(board, "golden_training.c", header(), len(cases), folder, timeout_s)
    for i, (case, answer) in enumerate(zip(cases, answers, strict=True)):
        size, plain, returned, fast, returned_fast = answer
        if size != case.want.nbytes:
            raise BoardError(f"{board} runs another case {i}: {size} bytes, not {case.want.nbytes}")
        wrong = plain + fast + sum(r != case.returned for r in (returned, returned_fast))
        lines.append(f"{i} {case.kernel.lower()}: {wrong} of {2 * size + 2} wrong")
    return lines
