"""The tests of the C kernels find wrong roundings."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.arithmetic.rounding import Int8
from edgetrain.errors import BackendError
from edgetrain.fixed import Key, Window
from edgetrain.kernels import host_c_build

try:
    from edgetrain.kernels import host_c, host_c_calls
except BackendError as error:
    pytest.skip(str(error), allow_module_level=True)

SOURCES = host_c_build.sources()
MUTANTS = [
    ("et_fixed.h", "+ (high < 0))", ")", "requantize"),  # ties up instead of away from zero
    ("et_fixed.h", "multiplier + (1 << 30)) >> 31", "multiplier) >> 31", "requantize"),
    ("et_fixed.h", "(mask >> 1) + (value < 0))", "(mask >> 1))", "momentum"),
    ("et_fixed.h", "x ^= x >> 15", "x ^= x >> 14", "random_signs"),
    ("et_updates.c", "+ (1u << 23)", "", "update_int8"),
    ("et_updates.c", "f->index / 4", "f->index", "update_int8"),
    ("et_updates.c", "et_max(et_clip_int8(w[i] - clipped), -WEIGHT_MAX)",
     "et_clip_int8(w[i] - clipped)", "update_int8"),
    ("et_updates.h", "(product >> 63)", "0", "update_bias"),
    ("et_pools.c", "(half - sum)", "(half - sum - 1)", "average_pool"),
    ("et_pools.c", "here > best", "here >= best", "max_pool_index"),
    ("et_losses.c", "+ total / 2)", ")", "cross_entropy"),
    ("et_gradients.c", "+ count / 2, count", ", count", "average_pool_grad"),
    ("et_layers.c", ": x_zero_point * total", ": 0 * total", "conv2d_acc"),
]  # fmt: skip


def int8(rng: np.random.Generator, *shape: int) -> Int8:
    return rng.integers(-127, 128, shape).astype(np.int8)


def operations() -> dict[str, tuple]:
    """Arguments for every operation that a mutant breaks; ties are among them."""
    rng = np.random.default_rng(2)
    window = Window((2, 2), (2, 2), (0,) * 4)
    near = window._replace(padding=(1,) * 4)
    nine = Window((3, 3), (2, 2), (1, 0, 1, 0))
    acc, w = np.arange(-4096, 4096, dtype=np.int32), np.repeat(np.arange(-127, 128), 64)
    w = w.astype(np.int8).reshape(255, 64)
    gradient = rng.integers(-(2**20), 2**20, w.shape).astype(np.int32)
    small = (int8(rng, 1, 8, 8, 4) % 7 - 3).astype(np.int8)
    return {
        "requantize": (acc, 2**30, -5),
        "momentum": (acc, acc[::-1], 3, -2),
        "random_signs": (Key(1, 2), 4, 40),
        "update_int8": (w, gradient, np.full(255, 2**13, np.int32), Key(3, 4)),
        "update_bias": (acc, acc, np.full(acc.size, 2**12, np.int32), 5000),
        "average_pool": (small, window),
        "max_pool_index": (small, window),
        "cross_entropy": (acc.reshape(-1, 8), np.zeros(1024, int)),
        "average_pool_grad": (int8(rng, 1, 4, 4, 4), (1, 8, 8, 4), nine),
        "conv2d_acc": (small, int8(rng, 4, 2, 2, 4), acc[:4], 5, near),
    }


def agrees(name: str, arguments: tuple) -> bool:
    got, want = (getattr(module, name)(*arguments) for module in (host_c, fixed))
    pairs = zip(got, want, strict=True) if isinstance(want, tuple) else [(got, want)]
    return all(np.array_equal(g, w) for g, w in pairs)


def test_unbroken_kernels_agree_where_mutants_will_not():
    assert {
        name for name, arguments in operations().items() if not agrees(name, arguments)
    } == set()


@pytest.mark.parametrize(("file", "old", "new", "name"), MUTANTS)
def test_compiled_with_one_wrong_rounding_it_disagrees(tmp_path, monkeypatch, file, old, new, name):
    text = SOURCES[file].decode()
    assert text.count(old) >= 1
    for name_of_file, contents in (SOURCES | {file: text.replace(old, new).encode()}).items():
        (tmp_path / name_of_file).write_bytes(contents)
    library = tmp_path / "kernels.so"
    host_c_build.build(tmp_path, library, host_c_build.compiler(), (*host_c_build.FLAGS, "-O1"))
    monkeypatch.setattr(host_c_calls, "LIBRARY", host_c_calls.ctypes.CDLL(str(library)))

    assert not agrees(name, operations()[name])
