"""Instructions of single kernels on boards, counted over whole calls whose results are right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgetrain import fixed
from edgetrain.arithmetic.layers import Window, global_pool_multiplier
from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.device_tests.build import SUPPORT, build
from edgetrain.device_tests.program import BoardError
from edgetrain.device_tests.run import run
from edgetrain.kernels.host_c_build import sources

OPERATIONS = (
    "start", "dense", "conv", "depthwise", "average_pool", "max_pool", "global_pool", "add",
    "requantize", "update", "load",
)  # fmt: skip
"""In the order of `support/count_kernels.c`, as the sizes below are."""
CHANNELS, BYTES = 1024, 98304
X_ZERO_POINT, ZERO_POINT = -7, 3
KEY = fixed.Key(12345, 678910)


_POINT = Window((1, 1), (1, 1), (0, 0, 0, 0))
_THREE = Window((3, 3), (1, 1), (1, 1, 1, 1))
_Terms = tuple[tuple[int, int, int], ...]
_NO_TERMS: _Terms = ((0, 0, 0),) * 3


@dataclass(frozen=True)
class Call:
    """One call of a kernel, for one sample.

    Attributes:
        operation: one of `OPERATIONS`.
        image: height, width and channels of what is read.
        n_out: channels of what is written; of pools those of the image.
        window: how a kernel moves over the image.
        scratch: whether the kernel gets its scratch memory.
        starts: whether sums of weights are counted too, as after each change of the weights.
    """

    operation: str
    image: tuple[int, int, int]
    n_out: int
    window: Window = _POINT
    scratch: bool = True
    starts: bool = False

    @property
    def work(self) -> int:
        """Multiply-accumulates, padding among them; values read where a kernel has none."""
        pixels = int(np.prod(self.window.output_size(*self.image[:2])))
        if self.operation in ("dense", "conv", "depthwise", "average_pool", "max_pool"):
            taps = int(np.prod(self.window.kernel)) * self.image[2] // self.window.groups
            return pixels * taps * self.n_out
        return int(np.prod(self.image))


BARS = {
    "dense 256→64": (Call("dense", (1, 1, 256), 64), 1.40, 0.21),
    "dense 256→64, weight sums recomputed": (
        Call("dense", (1, 1, 256), 64, starts=True), None, 0.38
    ),
    "conv 3x3 16x16x8→16": (Call("conv", (16, 16, 8), 16, _THREE), 1.05, 0.27),
    "conv 1x1 16x16x16→32": (Call("conv", (16, 16, 16), 32), 1.50, 0.38),
    "depthwise 3x3 16x16x16": (
        Call("depthwise", (16, 16, 16), 16, _THREE._replace(groups=16)), 2.40, 1.10
    ),
    "stochastic-rounding update, a weight": (Call("update", (64, 1, 256), 64), 10.5, 5.0),
}  # fmt: skip
"""Calls by name, and how many instructions a unit of work they may take on Cortex-M4 and M55."""


@dataclass(frozen=True)
class _Question:
    """Frames for a program, and what the last of them must give."""

    frames: tuple[bytes, ...]
    want: Int8


def count(
    board: str, calls: Sequence[Call], folder: Path, flags: Sequence[str] = ("-O2",)
) -> list[float]:
    """Count each call.

    Args:
        board: name of a board that counts.
        calls: what to count.
        folder: where programs are built.
        flags: optimization.

    Returns:
        Instructions of each whole call, divided by its `work`.

    Raises:
        BoardError: if a result differs from the specification; no count is given then.
    """
    texts = sources()
    texts["count_kernels.c"] = (SUPPORT / "count_kernels.c").read_bytes()
    program = build(board, texts, folder, flags=flags)
    questions = [_question(call) for call in calls]
    replies = run(program, [f for q in questions for f in q.frames], count=True, timeout_s=300)
    found = []
    for call, question in zip(calls, questions, strict=True):
        mine, replies = replies[: len(question.frames)], replies[len(question.frames) :]
        got = np.frombuffer(mine[-1].data, np.int8, question.want.size, offset=4)
        if not np.array_equal(got, question.want.ravel()):
            raise BoardError(f"{board}: {call} differs from the specification")
        counted = mine if call.starts else mine[-1:]
        found.append(sum(reply.instructions or 0 for reply in counted) / call.work)
    return found


def _question(call: Call) -> _Question:
    rng = np.random.default_rng(0)
    weighted = {"dense": _weighted, "conv": _weighted, "depthwise": _weighted}
    return (weighted | {"update": _update}).get(call.operation, _unweighted)(call, rng)


def _codes(rng: np.random.Generator, *shape: int) -> Int8:
    return rng.integers(-128, 128, shape).astype(np.int8)


def _weighted(call: Call, rng: np.random.Generator) -> _Question:
    x = _codes(rng, 1, *call.image)
    w = rng.integers(
        -127, 128, (call.n_out, *call.window.kernel, call.image[2] // call.window.groups)
    ).astype(np.int8)
    b = rng.integers(-3000, 3000, call.n_out).astype(np.int32)
    m, s = fixed.quantize_multipliers(
        2.0 ** rng.uniform(-1, 1, call.n_out) / (60 * np.sqrt(w[0].size))
    )
    y = fixed.conv2d(x, w, b, X_ZERO_POINT, call.window, m, s, ZERO_POINT)
    arrays: dict[str, Ints] = {"x": x, "w": w, "bias": b, "multiplier": m, "shift": s}
    start = _frame(call, "start", w[0].size, arrays)
    return _Question((start, _frame(call, call.operation, 0, arrays)), y)


def _update(call: Call, rng: np.random.Generator) -> _Question:
    w = rng.integers(-127, 128, (call.n_out, call.work // call.n_out)).astype(np.int8)
    grad = rng.integers(-(2**20), 2**20, w.shape).astype(np.int32)
    m = rng.integers(2**12, 2**14, call.n_out).astype(np.int32)
    want, _ = fixed.update_int8(w, grad, m, KEY)
    frames = (
        _frame(call, "load", 0, {"x": w}),
        _frame(call, "update", w.shape[1], {"w": grad, "multiplier": m}),
    )
    return _Question(frames, want)


def _unweighted(call: Call, rng: np.random.Generator) -> _Question:
    x, b = _codes(rng, 1, *call.image), _codes(rng, 1, *call.image)
    terms = ((X_ZERO_POINT, 2**30, 0), (11, 1712345678, -2), (ZERO_POINT, 1412345678, -18))
    if call.operation == "add":
        y = fixed.add(x, X_ZERO_POINT, terms[0][1:], b, 11, terms[1][1:], ZERO_POINT, terms[2][1:])
        return _Question((_frame(call, "add", x.size, {"x": x, "w": b}, terms),), y)
    if call.operation == "requantize":
        acc = rng.integers(-(2**16), 2**16, x.shape).astype(np.int32)
        m, s = fixed.quantize_multipliers(2.0 ** rng.uniform(-10, -8, call.n_out))
        y = fixed.requantize(acc, m, s, ZERO_POINT)
        arrays = {"w": acc, "multiplier": m, "shift": s}
        return _Question((_frame(call, "requantize", acc.size // call.n_out, arrays),), y)
    if call.operation == "global_pool":
        scale = global_pool_multiplier(3 * 2**29, 1, call.image[0] * call.image[1])
        y = fixed.global_average_pool(x, X_ZERO_POINT, 3 * 2**29, 1, ZERO_POINT)
        terms = ((ZERO_POINT, *scale), *terms[1:])
        return _Question((_frame(call, "global_pool", 0, {"x": x}, terms),), y)
    pool = {"average_pool": fixed.average_pool, "max_pool": fixed.max_pool}[call.operation]
    return _Question((_frame(call, call.operation, 0, {"x": x}),), pool(x, call.window))


def _frame(
    call: Call, operation: str, size: int, arrays: Mapping[str, Ints], terms: _Terms = _NO_TERMS
) -> bytes:
    """Write the struct `request` of `support/count_kernels.c`."""
    top, _, left, _ = call.window.padding
    out = call.window.output_size(*call.image[:2])
    numbers = [
        OPERATIONS.index(operation), call.scratch, X_ZERO_POINT, size, ZERO_POINT, -128, 127, *KEY,
        *call.image, *out, call.n_out, *call.window.kernel, *call.window.stride, top, left,
        call.window.groups, *(number for term in terms for number in term),
    ]  # fmt: skip
    frame = np.array(numbers, np.int64).astype("<u4").tobytes()
    sizes = {"bias": 4 * CHANNELS, "multiplier": 4 * CHANNELS, "shift": CHANNELS, "x": BYTES,
             "w": BYTES}  # fmt: skip
    for name, room in sizes.items():
        array = arrays.get(name, np.zeros(0, np.int8))
        data = array.astype(np.int8 if name == "shift" else array.dtype).tobytes()
        frame += data + bytes(room - len(data))
    return frame
