"""Golden vectors of one call each, of which `golden_training` makes tables."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain import fixed
from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.fixed import Key
from edgetrain.state import rate_multiplier

Array = NDArray[Any] | bytes | None
KEY = Key(0x12345678, 0x7654321)
ZERO_POINT, LIMIT = -7, 2**20
SCALINGS = ((2**30, 0), (3 * 2**29, -1), (2**30 + 12345, -6), (2**31 - 1, -14), (2**30, -18))


@dataclass
class Case:
    """One call: arrays in the order of the kernel's arguments, numbers as its driver reads them."""

    kernel: str
    want: NDArray[Any]
    arrays: tuple[Array, ...]
    number: tuple[int, ...] = (0,)
    returned: int = 0
    window: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1)
    scaling: tuple[int, int] = (2**30, 0)
    masters: bool = False

    def text(self, i: int) -> tuple[str, str]:
        """Write the arrays, and the entry of the table; an array is its bytes, aligned."""
        texts, names = [], []
        for k, array in enumerate((*self.arrays, self.want)):
            data = b"" if array is None else bytes(array)
            names.append(f"a{i}_{k}" if data else "0")
            if data:
                words = np.frombuffer(data + bytes(-len(data) % 4), "<u4")
                values = ", ".join(f"{w}u" for w in words)
                texts.append(f"static const uint32_t a{i}_{k}[] = {{{values}}};")
        *given, want = names
        joined = [", ".join(map(str, values)) for values in
                  (given, self.window, (*self.scaling, 0), self.number)]  # fmt: skip
        entry = (
            f"{{{self.kernel}, {{{joined[0]}}}, {int(self.masters)}, {{{joined[1]}}}, "
            f"{{{joined[2]}}}, {{{joined[3]}}}, {want}, {self.want.nbytes}, {self.returned}}}"
        )
        return "\n".join(texts), entry


def errors(rng: np.random.Generator, *shape: int) -> Int8:
    """Errors as they are behind a ReLU: many zeros."""
    e = np.where(rng.random(shape) < 0.4, 0, rng.integers(-127, 128, shape)).astype(np.int8)
    e.flat[0], e.flat[-1] = 127, -127
    return e


def scaled(kernel: str, acc: Ints, scaling: tuple[int, int], *arrays: Array, **more: Any) -> Case:
    """A case whose result is a scaled error, and which returns its peak."""
    e, peak = fixed.scale_error(acc, *scaling)
    return Case(kernel, e, arrays, returned=peak, scaling=scaling, **more)


def rates(rng: np.random.Generator, n_out: int, size: float) -> tuple[Int32, bytes]:
    """Rates with which steps of sums of some size are a few, and now and then saturate."""
    real = 2.0 ** rng.uniform(-3, 8, n_out) / size
    real[0] = 0
    m, s = fixed.quantize_multipliers(real)
    return np.stack((m, s)), m.astype("<i4").tobytes() + s.astype(np.int8).tobytes()


def learned(
    rng: np.random.Generator, kernel: str, grad: Int32, w: Int8, x: Int8, e: Int8, **more: Any
) -> Iterator[Case]:
    """A step of int8 weights, and one of masters."""
    numbers, data = rates(rng, len(w), np.abs(grad).mean() + 1)
    batch, rate, exponent = len(x), 200, 3
    multiplier = rate_multiplier(numbers, exponent, batch, rate, 32)
    kinds: tuple[tuple[str, Any, Any], ...] = (
        ("w8", w, fixed.update_int8), ("w16", fixed.masters(w), fixed.update_int16)
    )  # fmt: skip
    for name, old, update in kinds:
        new, saturated = update(old, grad, multiplier, KEY)
        yield Case(kernel, new, (x, e, old, data), (batch, ZERO_POINT, exponent, rate, *KEY),
                   saturated, masters=name == "w16", **more)  # fmt: skip
