"""Every backend against the specification, bit for bit, type and shape included.

Random data alone does not do it: most results of a wrong rounding saturate or are no ties. So
roundings are swept over their ties, and `rounding_test.py` proves that such a sweep finds wrong
ones.
"""

from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetrain import fixed, kernels
from edgetrain.arithmetic.rounding import INT32_MAX, INT32_MIN, Int8, Int16, Int32
from edgetrain.errors import BackendError
from edgetrain.fixed import Key, Window

MULTIPLIERS = [2**30, 2**30 + 1, 1518500250, 2**31 - 1]
SHIFTS = [-31, -12, -7, -3, -2, -1, 0, 3]


def runs(name: str) -> bool:
    """Whether a backend runs here."""
    try:
        kernels.load(name)
    except BackendError:
        return False
    return True


many = settings(
    # Triton interprets kernels, or compiles them
    max_examples=15 if "triton" in kernels.BACKENDS and runs("triton") else 150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def check(backend: ModuleType, op: str, *args: object) -> None:
    """Call op of both with the same arguments; results are equal and arguments untouched."""
    arrays = [a for a in args if isinstance(a, np.ndarray)]
    before = [a.copy() for a in arrays]
    results = [getattr(module, op)(*args) for module in (backend, fixed)]
    got, want = (r if isinstance(r, tuple) else (r,) for r in results)
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert type(g) is type(w)
        np.testing.assert_array_equal(g, w, strict=True, err_msg=op)
    for a, b in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=f"{op} changed an argument")


def int8(rng: np.random.Generator, *shape: int, low: int = -127) -> Int8:
    return rng.integers(low, 128, shape).astype(np.int8)


def int32(rng: np.random.Generator, bound: int, *shape: int) -> Int32:
    return rng.integers(-bound, bound, shape).astype(np.int32)


def accumulators(multiplier: int, shift: int) -> Int32:
    """Numbers around every tie of both roundings, and the largest that are allowed."""
    limit = INT32_MAX >> max(shift, 0)
    halves = [k << max(-shift - 1, 0) for k in range(-300, 301)]
    near = [(h << 31) // (multiplier << max(shift, 0)) + d for h in halves for d in range(-2, 3)]
    if multiplier % 2:  # the products that end in exactly one half
        half = pow(multiplier, -1, 2**31) << 30
        near += [half % 2**31, half % 2**31 - 2**31]
    every = np.array([*near, *range(-(2**13), 2**13), limit, -limit, -limit - 1], object)
    return every[(every >= -limit - 1) & (every <= limit)].astype(np.int32)


@pytest.mark.parametrize("name", kernels.BACKENDS)
def test_a_backend_offers_every_operation(name):
    try:
        module = kernels.load(name)
    except BackendError as error:
        pytest.skip(str(error))
    assert [op for op in kernels.OPS if not callable(getattr(module, op, None))] == []


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_requantize_and_scale_error_at_every_tie(backend, multiplier, shift):
    acc = accumulators(multiplier, shift)

    for limits in [(0, -128, 127), (-128, -128, 127), (127, 0, 127), (-5, -5, 60)]:
        check(backend, "requantize", acc, multiplier, shift, *limits)
    check(backend, "scale_error", acc, multiplier, shift)
    for value in acc[::97]:  # the peak of one number shows its rounding even where int8 saturates
        check(backend, "scale_error", np.array([value]), multiplier, shift)


def test_requantize_with_a_scale_a_channel(backend):
    pairs = [(m, s) for m in MULTIPLIERS for s in SHIFTS if s <= 0] + [(0, 0)]
    multiplier, shift = (np.array(v, np.int32) for v in zip(*pairs, strict=True))
    acc = np.repeat(accumulators(2**30, -2)[:19000], len(pairs)).reshape(-1, 5, len(pairs))

    check(backend, "requantize", acc, multiplier, shift, 3)
    check(backend, "requantize", acc[:, ::2, ::-1], multiplier[::-1], shift[::-1], 3, 3)
    check(backend, "requantize", acc, 2**30, shift)
    check(backend, "scale_error", acc, multiplier, shift)


@pytest.mark.parametrize(
    "shape", [(0,), (0, 3), (3, 0), (1,), (5,), (1, 1), (2, 3, 1), (2, 3, 5, 7)]
)
def test_elementwise_operations_on_any_shape(backend, shape):
    rng = np.random.default_rng(1)
    acc, x, y = int32(rng, 2**20, *shape), int8(rng, *shape, low=-128), int8(rng, *shape, low=-128)

    check(backend, "requantize", acc, 2**30, -9, 1)
    check(backend, "scale_error", acc, 2**30, -9)
    check(backend, "momentum", acc, acc[::-1], 3, -2)
    check(backend, "add", x, 3, (2**30, 0), y, -4, (1518500250, -2), 5, (1518500250, -18))
    check(backend, "look_up", x, rng.integers(-(2**15), 2**15, 256).astype(np.int16))


class Case(NamedTuple):
    """A convolution and its tensors."""

    x: Int8
    w: Int8
    b: Int32
    e: Int8
    ratio: Int16
    zero_point: int
    window: Window


@st.composite
def convolutions(draw: Callable) -> Case:
    small, extent = st.integers(1, 3), st.integers(1, 4)
    groups, n_in, part = draw(st.sampled_from([1, 2, 4])), draw(small), draw(st.integers(1, 5))
    kernel, stride = (draw(extent), draw(extent)), (draw(small), draw(small))
    padding = tuple(draw(st.integers(0, 3)) for _ in range(4))
    height = draw(st.integers(max(1, kernel[0] - sum(padding[:2])), 8))
    width = draw(st.integers(max(1, kernel[1] - sum(padding[2:])), 8))
    window = Window(kernel, stride, padding, groups)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = int8(rng, draw(small), height, width, groups * n_in, low=-128)
    w, b = int8(rng, groups * part, *kernel, n_in), int32(rng, 2**20, groups * part)
    e = int8(rng, len(x), *window.output_size(height, width), len(w))
    ratio = rng.integers(0, 129, len(w)).astype(np.int16)
    return Case(x, w, b, e, ratio, draw(st.integers(-128, 127)), window)


@many
@given(case=convolutions())
def test_convolutions_of_any_shape(backend, case):
    x, w, b, e, ratio, zero_point, window = case

    check(backend, "conv2d_acc", x, w, b, zero_point, window)
    check(backend, "conv2d_grad_w", x, e, zero_point, window)
    check(backend, "conv2d_grad_x", e, w, ratio, x.shape, window)


@many
@given(
    sizes=st.tuples(st.integers(1, 9), st.integers(1, 70), st.integers(1, 20)),
    zero_point=st.integers(-128, 127),
    seed=st.integers(0, 2**32),
)
def test_dense_layers_of_any_shape(backend, sizes, zero_point, seed):
    rng = np.random.default_rng(seed)
    batch, n_in, n_out = sizes
    x, w, e = int8(rng, batch, n_in, low=-128), int8(rng, n_out, n_in), int8(rng, batch, n_out)

    check(backend, "dense_acc", x, w, int32(rng, 2**24, n_out), zero_point)
    check(backend, "dense_grad_w", x, e, zero_point)
    check(backend, "dense_grad_x", e, w, rng.integers(0, 129, n_out).astype(np.int16))


@pytest.mark.parametrize("sign", [-1, 1])
def test_layers_at_the_largest_accumulators(backend, sign):
    x, w = np.full((1, 66000), -128, np.int8), np.full((1, 66000), sign * 127, np.int8)
    point = Window((1, 1), (1, 1), (0, 0, 0, 0))
    e, ratio = np.full((2, 1000), sign * 127, np.int8), np.full(1000, 128, np.int16)
    filters = np.full((1000, 3), -127, np.int8)

    check(backend, "dense_acc", x, w, np.array([-sign * 1000], np.int32), 127)
    check(backend, "dense_grad_w", x.T, np.repeat(w.T, 2, 1), 127)
    check(backend, "dense_grad_x", e, filters, ratio)
    check(
        backend, "conv2d_grad_x", e[None, None], filters[:, None, None], ratio, (1, 1, 2, 3), point
    )


def test_layers_take_any_layout(backend):
    rng = np.random.default_rng(2)
    window = Window((3, 2), (2, 1), (0, 1, 1, 0), 2)
    x, w = int8(rng, 4, 5, 14, 6)[::-1, :, ::2].transpose(3, 1, 2, 0), int8(rng, 2, 2, 3, 8).T
    e, b = int8(rng, 6, 2, 7, 16)[..., ::2], int32(rng, 99, 16)[::-2]
    x.flags.writeable = w.flags.writeable = False

    check(backend, "conv2d_acc", x, w, b, 3, window)
    check(backend, "conv2d_grad_w", x, e, 3, window)
    check(backend, "conv2d_grad_x", e, w, np.arange(8) * 16, x.shape, window)
    check(backend, "max_pool", x, window)
    check(backend, "average_pool", x, window)


@many
@given(case=convolutions())
def test_pools_of_any_shape(backend, case):
    kernel, padding = case.window.kernel, case.window.padding
    inside = tuple(min(p, kernel[i // 2] - 1) for i, p in enumerate(padding))
    window = case.window._replace(padding=inside, groups=1)
    height, width = (max(case.x.shape[1 + i], kernel[i]) for i in range(2))
    x = np.resize(case.x, (len(case.x), height, width, case.x.shape[3]))
    e = np.resize(case.e, (len(x), *window.output_size(height, width), x.shape[3]))

    check(backend, "average_pool", x, window)
    check(backend, "average_pool_grad", e, x.shape, window)
    check(backend, "max_pool", x, window)
    check(backend, "max_pool_index", x, window)
    check(backend, "max_pool_grad", e, fixed.max_pool_index(x, window), x.shape, window)
    check(backend, "global_average_pool", x, case.zero_point, 1518500250, 1, -3)


def test_average_pool_at_every_tie(backend):
    pairs = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)), axis=-1)
    x = pairs.reshape(1, -1, 2, 1).astype(np.int8)

    check(backend, "average_pool", x, Window((1, 2), (1, 2), (0, 0, 0, 0)))


@pytest.mark.parametrize("b_scale", [(2**30, 0), (1518500250, -1), (2**31 - 1, -7)])
@pytest.mark.parametrize("y_scale", [(2**30, -18), (1518500250, -17), (2**31 - 1, -19)])
def test_add_every_pair_of_codes(backend, b_scale, y_scale):
    a, b = (v.astype(np.int8) for v in np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)))

    check(backend, "add", a, 5, (2**30, 0), b, -128, b_scale, -7, y_scale)
    check(backend, "add", a, 5, b_scale, b.T, -128, (2**30, 0), -7, y_scale, -7, 100)


EXTREMES = [INT32_MIN, INT32_MIN + 1, -(2**24), -257, -1, 0, 1, 255, 2**23, INT32_MAX]


@pytest.mark.parametrize("shape", [(1, 1), (7,), (3, 5), (10, 13), (2, 3, 3, 1), (4, 0)])
@pytest.mark.parametrize("multiplier", [0, 1, 255, 2**24, 2**31 - 1, None])
def test_updates_of_any_size(backend, shape, multiplier):
    rng = np.random.default_rng(3)
    w, masters = int8(rng, *shape), rng.integers(-32512, 32768, shape).astype(np.int16)
    scales = rng.integers(0, 2**31, shape[0]) if multiplier is None else [multiplier] * shape[0]
    multipliers = np.array(scales, np.int32)

    for key in [Key(0, 0), Key(2**32 - 1, 2**32 - 1), fixed.stream_key(1, 2, 3, 1)]:
        for acc in [rng.choice(EXTREMES, shape).astype(np.int32), int32(rng, 2**20, *shape)]:
            check(backend, "update_int8", w, acc, multipliers, key)
            check(backend, "update_int16", masters, acc, multipliers, key)
    acc, b = rng.choice(EXTREMES, shape[0]).astype(np.int32), int32(rng, 2**20, shape[0])
    check(backend, "update_bias", b, acc, multipliers, 2**20)


def test_updates_at_every_saturation(backend):
    w = np.repeat(np.arange(-127, 128, dtype=np.int8)[:, None], 515, axis=1)
    acc = np.tile(np.arange(-257, 258, dtype=np.int32) << 20, (255, 1))
    multiplier = np.full(255, 2**12, np.int32)

    check(backend, "update_int8", w, acc, multiplier, Key(4, 5))
    check(backend, "update_int16", fixed.masters(w), acc, multiplier, Key(4, 5))


@pytest.mark.parametrize("realign", [-99, -62, -32, -3, -1, 0, 1, 5, 31, 40])
@pytest.mark.parametrize("decay", [0, 1, 3, 8])
def test_momentum_at_ties_and_extremes(backend, realign, decay):
    velocity = np.array([*EXTREMES, *range(-300, 300)], np.int32)

    for acc in [velocity, velocity[::-1], np.zeros_like(velocity)]:
        check(backend, "momentum", velocity, acc, decay, realign)


@pytest.mark.parametrize("classes", [1, 2, 7, 33])
def test_losses_and_signs(backend, classes):
    rng = np.random.default_rng(classes)
    logits, y = int32(rng, 2**20, 50, classes), rng.integers(0, classes, 50)
    multiplier = rng.integers(2**30, 2**31, classes).astype(np.int32)

    check(backend, "logits_q10", logits, multiplier, np.arange(classes, dtype=np.int32) % 9 - 8)
    check(backend, "cross_entropy", logits, y)
    check(backend, "cross_entropy", logits >> 8, y)
    check(backend, "squared_error", logits, logits[::-1])
    check(backend, "random_signs", Key(6, classes), 5, classes)
