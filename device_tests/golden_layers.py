"""Golden vectors of the layers, for plain and fast forms: what the specification says."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from edgetrain import fixed
from edgetrain.arithmetic.layers import Window, global_pool_multiplier
from edgetrain.arithmetic.rounding import Int8, Int32
from edgetrain.device_tests.golden_table import replies, table
from edgetrain.device_tests.program import BoardError

LARGEST = 8192
ZERO_POINT, Y_ZERO_POINT = -7, 3
RANGES = ((-128, 127), (Y_ZERO_POINT, 127), (-20, 90))
KERNELS = {"dense": "DENSE", "conv": "CONV", "depthwise": "DEPTHWISE",
           "average_pool": "AVERAGE_POOL", "max_pool": "MAX_POOL", "global_pool": "GLOBAL_POOL",
           "add": "ADD", "requantize": "REQUANTIZE"}  # fmt: skip
# (n_in, n_out): lengths around the widths of the fast forms
DENSE = ((1, 1), (3, 2), (4, 4), (7, 3), (8, 16), (16, 12), (33, 5), (64, 10), (130, 9), (96, 7))
# height, width, n_in, n_out, kernel, stride, padding, groups
CONV = (
    (1, 1, 3, 5, (1, 1), (1, 1), (0, 0, 0, 0), 1),
    (5, 5, 8, 16, (3, 3), (1, 1), (1, 1, 1, 1), 1),
    (6, 7, 3, 6, (3, 3), (2, 2), (0, 1, 1, 1), 1),
    (4, 4, 16, 20, (1, 1), (1, 1), (0, 0, 0, 0), 1),
    (7, 5, 5, 7, (1, 1), (2, 2), (0, 0, 0, 0), 1),
    (9, 6, 1, 8, (5, 4), (2, 2), (2, 2, 1, 2), 1),
    (1, 20, 4, 9, (1, 5), (1, 2), (0, 0, 2, 2), 1),
    (5, 6, 8, 8, (3, 3), (1, 1), (1, 1, 1, 1), 8),
    (7, 9, 12, 12, (3, 3), (2, 2), (1, 1, 1, 1), 12),
    (5, 4, 3, 3, (3, 3), (1, 1), (1, 1, 1, 1), 3),
    (1, 17, 16, 16, (1, 5), (1, 1), (0, 0, 2, 2), 16),
    (4, 5, 4, 8, (3, 3), (1, 1), (1, 1, 1, 1), 4),
    (4, 5, 6, 4, (3, 2), (1, 1), (1, 1, 0, 1), 2),
    # kernels larger than the image, and fewer than four pixels
    (2, 2, 8, 6, (3, 3), (1, 1), (1, 1, 1, 1), 1),
    (2, 3, 4, 4, (3, 3), (2, 2), (1, 1, 1, 1), 1),
    (2, 2, 8, 8, (3, 3), (1, 1), (1, 1, 1, 1), 8),
    (5, 1, 8, 8, (3, 3), (1, 1), (1, 1, 1, 1), 8),
    (1, 3, 8, 6, (1, 1), (1, 1), (0, 0, 0, 0), 1),
    # pixels that see nothing but padding
    (2, 2, 4, 4, (1, 1), (1, 1), (2, 2, 2, 2), 1),
    (3, 3, 8, 8, (3, 3), (1, 1), (4, 4, 4, 4), 1),
    (3, 2, 3, 4, (3, 3), (1, 1), (4, 4, 5, 4), 1),
    (3, 3, 8, 8, (3, 3), (1, 1), (4, 3, 4, 3), 8),
    (3, 3, 8, 8, (2, 3), (2, 1), (4, 3, 4, 3), 8),
    # lengths of a pixel's view around the forms: 9, 16, 20, 27, 36, 72, 80, 88, 128, 135, 144
    (5, 6, 1, 7, (3, 3), (1, 1), (1, 1, 1, 1), 1),
    (4, 5, 4, 5, (2, 2), (1, 1), (0, 1, 0, 1), 1),
    (4, 5, 20, 8, (1, 1), (1, 1), (0, 0, 0, 0), 1),
    (7, 6, 3, 8, (3, 3), (2, 2), (0, 1, 0, 1), 1),
    (5, 4, 4, 8, (3, 3), (1, 1), (1, 1, 1, 1), 1),
    (5, 7, 8, 33, (3, 3), (1, 1), (1, 1, 1, 1), 1),
    (3, 4, 16, 8, (5, 1), (1, 1), (2, 2, 0, 0), 1),
    (3, 3, 22, 4, (2, 2), (1, 1), (0, 0, 0, 0), 1),
    (3, 3, 128, 5, (1, 1), (1, 1), (0, 0, 0, 0), 1),
    (6, 5, 16, 34, (3, 3), (1, 1), (1, 1, 1, 1), 1),
    (6, 6, 16, 4, (3, 3), (2, 2), (0, 1, 0, 1), 1),
    (4, 4, 15, 6, (3, 3), (1, 1), (1, 1, 1, 1), 1),
    (5, 7, 16, 9, (1, 1), (2, 2), (0, 0, 0, 0), 1),
    (10, 4, 1, 8, (10, 4), (2, 2), (4, 5, 1, 2), 1),
    # depthwise: strides, odd sizes, channels between the blocks of the forms
    (6, 6, 8, 8, (3, 3), (2, 2), (0, 1, 0, 1), 8),
    (7, 5, 10, 10, (3, 3), (2, 2), (1, 1, 1, 1), 10),
    (7, 9, 13, 13, (3, 3), (1, 1), (1, 1, 1, 1), 13),
    (8, 3, 16, 16, (3, 3), (1, 1), (1, 1, 1, 1), 16),
    (4, 18, 8, 8, (3, 3), (1, 1), (0, 0, 0, 0), 8),
    (5, 6, 8, 8, (3, 3), (1, 2), (1, 1, 1, 1), 8),
    (6, 6, 8, 8, (5, 3), (1, 1), (2, 2, 1, 1), 8),
)
POOLS = (((6, 6, 5), Window((2, 2), (2, 2), (0, 0, 0, 0))),
         ((7, 5, 4), Window((3, 3), (2, 2), (1, 1, 1, 1))),
         ((5, 6, 35), Window((2, 3), (1, 2), (1, 0, 1, 1))),
         ((18, 17, 6), Window((17, 16), (1, 1), (0, 0, 0, 0))))  # fmt: skip
# kernel, stride, padding, groups, n_in: one for each form; 64 channels of ties
TIED = (
    ((1, 1), (1, 1), (0, 0, 0, 0), 1, 16),
    ((3, 3), (1, 1), (1, 1, 1, 1), 1, 8),
    ((3, 3), (1, 1), (1, 1, 1, 1), 1, 24),
    ((3, 3), (1, 1), (1, 1, 1, 1), 64, 64),
    ((3, 3), (2, 2), (1, 1, 1, 1), 64, 64),
    ((1, 5), (1, 1), (0, 0, 2, 2), 64, 64),
)


@dataclass
class Case:
    """One call: arrays as C literals by name, and the numbers of its struct."""

    kernel: str
    want: Int8
    x: Int8
    w: Int8 | None = None
    b: Int32 | None = None
    multiplier: Int32 | None = None
    shift: Int8 | None = None
    low: int = -128
    high: int = 127
    x_zero_point: int = ZERO_POINT
    window: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1)
    terms: tuple[tuple[int, int, int], ...] = field(default=((0, 0, 0),))

    def text(self, i: int) -> tuple[str, str]:
        """Write the arrays, and the entry of the table."""
        arrays, names = [], {}
        for name in ("x", "w", "b", "multiplier", "shift", "want"):
            array = getattr(self, name)
            names[name] = "0" if array is None else f"{name}{i}"
            if array is not None:
                values = ", ".join(map(str, array.ravel()))
                arrays.append(f"static const {array.dtype}_t {name}{i}[] = {{{values}}};")
        terms = ", ".join(f"{{{z}, {m}, {s}}}" for z, m, s in self.terms)
        entry = (
            f"{{{KERNELS[self.kernel]}, {len(self.x)}, {self.x_zero_point}, {names['x']}, "
            f"{names['w']}, {names['b']}, {{{names['multiplier']}, {names['shift']}, "
            f"{Y_ZERO_POINT}, {self.low}, {self.high}}}, {{{', '.join(map(str, self.window))}}}, "
            f"{{{terms}}}, {names['want']}, {self.want.size}}}"
        )
        return "\n".join(arrays), entry


def window_numbers(x: Int8, y: Int8, window: Window) -> tuple[int, ...]:
    """Order the numbers as et_window has them."""
    (height, width, n_in), (out_height, out_width, n_out) = x.shape[1:], y.shape[1:]
    top, _, left, _ = window.padding
    return (height, width, n_in, out_height, out_width, n_out, *window.kernel, *window.stride,
            top, left, window.groups)  # fmt: skip


def weighted(rng: np.random.Generator, n_out: int, *rest: int) -> tuple[Int8, Int32, Int32, Int32]:
    """Weights, biases and scales that leave int8 now and then; shifts to both sides of DSP's."""
    w = rng.integers(-127, 128, (n_out, *rest)).astype(np.int8)
    b = rng.integers(-3000, 3000, n_out).astype(np.int32)
    scales = 2.0 ** rng.uniform(-1, 1, n_out) / (60 * np.sqrt(w[0].size))
    multiplier, shift = fixed.quantize_multipliers(scales)
    return w, b, multiplier, shift


def tied(
    rng: np.random.Generator, n_out: int, part: tuple[int, ...]
) -> tuple[Int8, Int32, Int32, Int32]:
    """Biases half-way between two results, and their neighbours; all shifts to the right; ends."""
    right = np.where(np.arange(n_out) % 8 == 7, 31, 1 + np.arange(n_out) % 20)
    whole = 2 * rng.integers(-130, 130, n_out) + 1
    b = np.clip(whole << np.minimum(right, 23), -(2**30), 2**30) + rng.integers(-1, 2, n_out)
    b[:4] = 2**30, -(2**30), 2**31 - 2**20, -(2**31) + 2**20
    m = np.array([2**30, 2**30 + 1, 3 * 2**29, 2**31 - 1])[rng.integers(0, 4, n_out)]
    m[::2] = 2**30
    w = rng.integers(-1, 2, (n_out, *part)).astype(np.int8)
    return w, b.astype(np.int32), m.astype(np.int32), (-right).astype(np.int32)


def int8(rng: np.random.Generator, *shape: int) -> Int8:
    """Draw values that have both ends of the range."""
    x = rng.integers(-128, 128, shape).astype(np.int8)
    x.flat[0], x.flat[-1] = 127, -128
    return x


def convolution(groups: int, n_in: int, n_out: int) -> str:
    """Return which kernel a convolution is."""
    return "depthwise" if groups == n_in == n_out and groups > 1 else "conv"


@cache
def layer_cases() -> list[Case]:
    """Return a call of every kernel in many shapes."""
    rng, found = np.random.default_rng(0), []
    for i, (n_in, n_out) in enumerate(DENSE):
        low, high = RANGES[i % 3]
        x, (w, b, m, s) = int8(rng, 2, n_in), weighted(rng, n_out, n_in)
        y = fixed.dense(x, w, b, ZERO_POINT, m, s, Y_ZERO_POINT, low, high)
        numbers: tuple[int, ...] = (1, 1, n_in, 1, 1, n_out, 1, 1, 1, 1, 0, 0, 1)
        found.append(Case("dense", y, x, w, b, m, s.astype(np.int8), low, high, window=numbers))
    for i, (height, width, n_in, n_out, kernel, stride, padding, groups) in enumerate(CONV):
        low, high = RANGES[i % 3]
        x, window = int8(rng, 2, height, width, n_in), Window(kernel, stride, padding, groups)
        w, b, m, s = weighted(rng, n_out, *kernel, n_in // groups)
        y = fixed.conv2d(x, w, b, ZERO_POINT, window, m, s, Y_ZERO_POINT, low, high)
        numbers = window_numbers(x, y, window)
        kind = convolution(groups, n_in, n_out)
        found.append(Case(kind, y, x, w, b, m, s.astype(np.int8), low, high, window=numbers))
    for shape, window in POOLS:
        x = int8(rng, 2, *shape)
        x[..., 0], x[..., 1] = -128, 127
        for name, pool in (("average_pool", fixed.average_pool), ("max_pool", fixed.max_pool)):
            y = pool(x, window)
            found.append(Case(name, y, x, window=window_numbers(x, y, window)))
    return [*found, *rounded(rng), *others(rng)]


def rounded(rng: np.random.Generator) -> Iterator[Case]:
    """Ties of both roundings in every form, and shifts that only the plain loops take."""
    for i, (kernel, stride, padding, groups, n_in) in enumerate(TIED):
        low, high = RANGES[i % 2]
        x, window = (
            np.full((1, 4, 5, n_in), ZERO_POINT, np.int8),
            Window(kernel, stride, padding, groups),
        )
        w, b, m, s = tied(rng, 64, (*kernel, n_in // groups))
        y = fixed.conv2d(x, w, b, ZERO_POINT, window, m, s, Y_ZERO_POINT, low, high)
        numbers = window_numbers(x, y, window)
        kind = convolution(groups, n_in, 64)
        yield Case(kind, y, x, w, b, m, s.astype(np.int8), low, high, window=numbers)
    for i in range(4):
        low, high = RANGES[i % 2]
        numbers = (1, 1, 16, 1, 1, 63 + i % 2, 1, 1, 1, 1, 0, 0, 1)
        x = np.full((1, 16), ZERO_POINT, np.int8)
        w, b, m, s = tied(rng, numbers[5], (16,))
        if i > 1:  # one channel is multiplied, and one comes to nothing
            s[-1], m[-2], s[-2] = 2, 0, 0
            b[-1] = 17
        y = fixed.dense(x, w, b, ZERO_POINT, m, s, Y_ZERO_POINT, low, high)
        yield Case("dense", y, x, w, b, m, s.astype(np.int8), low, high, window=numbers)
        acc = np.stack([b, -b, b // 2])
        y = fixed.requantize(acc, m, s, Y_ZERO_POINT, low, high)
        nothing = np.zeros((1, 1), np.int8)
        yield Case("requantize", y, nothing, None, acc, m, s.astype(np.int8), low, high,
                   window=numbers)  # fmt: skip


def others(rng: np.random.Generator) -> Iterator[Case]:
    """Pools over the whole image, and sums."""
    for shape in ((7, 5, 6), (1, 1, 3), (20, 17, 9)):
        x = int8(rng, 2, *shape)
        x[..., 0], x[..., 1] = -128, 127
        y = fixed.global_average_pool(x, ZERO_POINT, 3 * 2**29, 1, Y_ZERO_POINT)
        numbers = (*shape, 1, 1, shape[2], 1, 1, 1, 1, 0, 0, 1)
        scale = global_pool_multiplier(3 * 2**29, 1, shape[0] * shape[1])
        terms: tuple[tuple[int, int, int], ...] = ((Y_ZERO_POINT, *scale),)
        yield Case("global_pool", y, x, window=numbers, terms=terms)
    pairs = np.stack(np.meshgrid(*[np.arange(-128, 128, 3)] * 2), -1).reshape(-1, 2)
    every, other = np.ascontiguousarray(pairs.T[:, None].astype(np.int8))
    scales = (
        ((2**30, 0), (1712345678, -2), (1412345678, -18)),
        ((1512345678, -4), (2**30, 0), (2**30, -19)),
        ((2**30, -1), (2**30, -20), (2**30, -20)),
        ((2**30, -25), (2**31 - 1, 0), (2**30 + 1, -17)),
        ((2**30, -20), (2**30, -21), (2**30, -1)),  # the terms are ties
        ((2**30, 1), (2**30, 0), (2**30, -20)),  # only for the plain loop
    )
    for i, (first, second, total) in enumerate(scales):
        low, high = RANGES[i % 3]
        a, b = every[:, : 7000 + i], other[:, : 7000 + i]
        y = fixed.add(a, ZERO_POINT, first, b, 11, second, Y_ZERO_POINT, total, low, high)
        terms = ((ZERO_POINT, *first), (11, *second), (Y_ZERO_POINT, *total))
        yield Case("add", y, a, b, low=low, high=high, terms=terms)


@cache
def header() -> bytes:
    """Write the cases as C."""
    return table("layer_case", layer_cases(), LARGEST)


def check(board: str, folder: Path, timeout_s: float = 60) -> list[str]:
    """Run all cases on a board, without and with scratch memory.

    Args:
        board: its name.
        folder: for the program.
        timeout_s: seconds until it counts as hanging.

    Returns:
        A line a case: its number and kernel, how many results are wrong, and of how many.
    """
    cases, lines = layer_cases(), []
    answers = replies(board, "golden_layers.c", header(), len(cases), folder, timeout_s)
    for i, (case, (size, plain, fast)) in enumerate(zip(cases, answers, strict=True)):
        if size != case.want.size:
            raise BoardError(f"{board} runs another case {i}: {size} results, not {case.want.size}")
        lines.append(f"{i} {case.kernel}: {plain + fast} of {2 * size} wrong")
    return lines
