"""Golden vectors of rounding, saturation and updates: inputs and what the specification says."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain import fixed
from edgetrain.arithmetic.rounding import Int32
from edgetrain.device_tests.build import build, support
from edgetrain.device_tests.run import run
from edgetrain.fixed import Key
from edgetrain.kernels.host_c_build import sources

INT32_MAX = 2**31 - 1
KEY = Key(12345, 678910)
Ints64 = NDArray[np.int64]
C_TYPES = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "int64": "int64_t"}


def around(values: Iterable[int], reach: int = 1) -> list[int]:
    """Every value, its negative, and their neighbours."""
    return sorted({s * v + d for v in values for s in (1, -1) for d in range(-reach, reach + 1)})


def division_cases() -> tuple[Ints64, Ints64]:
    """Ties of every exponent, and ends of the range."""
    pairs = [(v, e) for e in range(63) for k in (0, 1, 2, 5)
             for v in around([(1 << e) * k + ((1 << e) >> 1)])]  # fmt: skip
    pairs += [(v, e) for e in (0, 1, 31, 62) for v in (2**62, -(2**62), 2**63 - 1, -(2**63))]
    kept = [(v, e) for v, e in pairs if -(2**63) <= v < 2**63]
    value, exponent = (np.array(column, np.int64) for column in zip(*kept, strict=True))
    return value, exponent


def rescale_cases() -> tuple[Ints64, Int32, Int32]:
    """Both roundings at ties, results at the ends of int8 and int32, every shift."""
    rows = [(acc, multiplier, shift) for shift in range(-31, 31)
            for multiplier in (2**30, 2**30 + 1, 3 * 2**29, INT32_MAX, 0)
            for acc in around([0, 1, 2, 3, 6, 1 << max(1, -shift), 3 << max(0, -shift), 127, 255,
                               INT32_MAX - 1])
            if abs(acc) << max(shift, 0) <= INT32_MAX]  # fmt: skip
    columns: list[Ints64] = [np.array(column, np.int64) for column in zip(*rows, strict=True)]
    acc, multiplier, shift = columns
    return acc, multiplier.astype(np.int32), shift.astype(np.int32)


def update_cases(rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Gradients from nothing to the ends of int32; sums that hit 2**32; weights at their ends.

    Of rows of 595 weights each fourth begins a word, as the fast forms ask, and has a tail. In the
    first one steps hardly saturate.
    """
    grad = np.concatenate(
        [rng.integers(-(2**k), 2**k, (16, 85)) for k in (1, 8, 15, 20, 24, 28, 31)], axis=1
    ).astype(np.int32)
    grad[0, :2] = -(2**31), INT32_MAX
    grad[:, 2:6] = 511, 512, -512, -513  # times 2**30: the last step of a master, and beyond
    w = rng.integers(-127, 128, grad.shape).astype(np.int8)
    w[:, ::5], w[:, 2::5] = 127, -127
    multiplier = np.array(
        [400, 0, 1, INT32_MAX, 2**16, 2**23, 2**30, 1,
         2**22, 2**10, 2**16 - 1, 0, 2**23 - 1, 2**23, 2**30, INT32_MAX], np.int32
    )  # fmt: skip
    return w, grad, multiplier


@cache
def header() -> bytes:
    """Write inputs and wanted results as C."""
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {}
    numbers: dict[str, int] = {}
    value, exponent = division_cases()
    arrays["divide_value"], arrays["divide_exponent"] = value, exponent.astype(np.int32)
    arrays["divide_want"] = np.array(
        [fixed.divide_by_power(v, int(e)) for v, e in zip(value, exponent, strict=True)]
    )
    acc, multiplier, shift = rescale_cases()
    inputs: dict[str, NDArray[Any]] = {"acc": acc, "multiplier": multiplier, "shift": shift}
    arrays |= {f"rescale_{name}": column.astype(np.int32) for name, column in inputs.items()}
    arrays["rescale_want"] = fixed.rescale(acc, multiplier, shift).astype(np.int32)
    arrays["requantize_want"] = fixed.requantize(acc, multiplier, shift, -5, -100, 120)
    numbers |= {"DIVIDE": value.size, "RESCALE": acc.size}

    w, grad, rate = update_cases(rng)
    masters = fixed.masters(w)
    b, b_grad = (rng.integers(-(2**31), 2**31, len(w)).astype(np.int32) for _ in range(2))
    b = np.clip(b, -(2**30), 2**30).astype(np.int32)
    new, saturated = fixed.update_int8(w, grad, rate, KEY)
    new_masters, masters_saturated = fixed.update_int16(masters, grad, rate, KEY)
    assert saturated > 0, "no step saturates: the cases are too tame"
    arrays |= {
        "update_w": w, "update_grad": grad, "update_multiplier": rate, "update_w_want": new,
        "update_masters": masters, "update_masters_want": new_masters, "update_b": b,
        "update_b_grad": b_grad, "update_b_want": fixed.update_bias(b, b_grad, rate, 2**30),
    }  # fmt: skip
    numbers |= {
        "UPDATE": w.size, "UPDATE_ROWS": len(w), "UPDATE_KEY0": int(KEY[0]),
        "UPDATE_KEY1": int(KEY[1]), "UPDATE_LIMIT": 2**30, "UPDATE_SATURATED": saturated,
        "UPDATE_MASTERS_SATURATED": masters_saturated,
    }  # fmt: skip

    x = rng.integers(-128, 128, (40, 11)).astype(np.int8)
    x[0], x[1], x[2] = 5, np.where(np.arange(11) == 3, 127, -128), -128
    scales = [fixed.softmax_multiplier(scale) for scale in (0.01, 0.1, 0.37, 1.0)]
    for i, part in enumerate(("multiplier", "shift", "lowest")):
        arrays[f"softmax_{part}"] = np.array([scale[i] for scale in scales], np.int32)
    arrays["softmax_x"] = x
    arrays["softmax_want"] = np.concatenate([fixed.probabilities(x, *s) for s in scales])
    numbers |= {"SOFTMAX": len(x), "SOFTMAX_CLASSES": x.shape[1], "SOFTMAX_SCALES": len(scales)}
    lines = [f"#define {name} {value}" for name, value in numbers.items()]
    return "\n".join([*lines, *(literal(name, array) for name, array in arrays.items())]).encode()


def literal(name: str, array: NDArray[Any]) -> str:
    """Write an array; the smallest int64 has no literal of its own."""
    items = ("(-9223372036854775807 - 1)" if v == -(2**63) else str(v) for v in array.ravel())
    suffix = "ll" if array.dtype == np.int64 else ""
    values = ", ".join(v if v.startswith("(") else v + suffix for v in items)
    return f"static const {C_TYPES[array.dtype.name]} {name}[] = {{{values}}};"


def check(board: str, folder: Path, timeout_s: float = 60) -> list[str]:
    """Run all vectors on a board.

    Args:
        board: its name.
        folder: for the program.
        timeout_s: seconds until it counts as hanging.

    Returns:
        A line an operation: its name, how many results are wrong, and of how many.
    """
    texts = sources() | support("golden.c") | {"golden_values.h": header()}
    (reply,) = run(build(board, texts, folder), [bytes(4)], timeout_s=timeout_s)
    return reply.data.split(b"\0")[0].decode().removesuffix("; ").split("; ")
