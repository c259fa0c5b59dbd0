from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetrain.arithmetic.layers import (
    ADD_LEFT_SHIFT,
    Window,
    add,
    average_pool,
    conv2d,
    conv2d_acc,
    dense,
    dense_acc,
    global_average_pool,
    global_pool_multiplier,
    look_up,
    max_pool,
)
from edgetrain.arithmetic.matmul import exact_matmul
from edgetrain.arithmetic.rounding import quantize_multiplier, requantize

many = settings(max_examples=100, deadline=None, derandomize=True)


def slow_conv2d(x, w, b, zero_point, window):
    """Define `conv2d_acc` pixel by pixel, in int64, from its formula."""
    (kh, kw), (sh, sw), (top, bottom, left, right), groups = window
    batch, height, width, channels = x.shape
    n_out, n_in = len(w), channels // groups
    wide = np.zeros((batch, top + height + bottom, left + width + right, channels), np.int64)
    wide[:, top : top + height, left : left + width] = x.astype(np.int64) - zero_point
    out = np.zeros((batch, *window.output_size(height, width), n_out), np.int64)
    for n, i, j, o in np.ndindex(out.shape):
        first = o // (n_out // groups) * n_in
        seen = wide[n, i * sh : i * sh + kh, j * sw : j * sw + kw, first : first + n_in]
        out[n, i, j, o] = (seen * w[o].astype(np.int64)).sum() + b[o]
    return out


@st.composite
def convolutions(draw):
    small, extent = st.integers(1, 3), st.integers(1, 3)
    groups, n_in, part = draw(st.sampled_from([1, 2, 3])), draw(small), draw(small)
    kernel, stride = (draw(extent), draw(extent)), (draw(small), draw(small))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
    height = draw(st.integers(max(1, kernel[0] - sum(padding[:2])), 5))
    width = draw(st.integers(max(1, kernel[1] - sum(padding[2:])), 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = rng.integers(-128, 128, (draw(small), height, width, groups * n_in)).astype(np.int8)
    w = rng.integers(-127, 128, (groups * part, *kernel, n_in)).astype(np.int8)
    b = rng.integers(-(2**20), 2**20, groups * part).astype(np.int32)
    return x, w, b, draw(st.integers(-128, 127)), Window(kernel, stride, padding, groups)


@many
@given(case=convolutions())
def test_conv2d_is_its_formula(case):
    w = case[1]
    multiplier = np.full(len(w), 1518500250, np.int32)
    shift = np.arange(len(w), dtype=np.int32) - 9

    acc = conv2d_acc(*case)

    assert acc.dtype == np.int32
    np.testing.assert_array_equal(acc, slow_conv2d(*case))
    np.testing.assert_array_equal(
        conv2d(*case, multiplier, shift, 3, 3, 90), requantize(acc, multiplier, shift, 3, 3, 90)
    )


@many
@given(
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(1, 7)),
    zero_point=st.integers(-128, 127),
    seed=st.integers(0, 2**32),
)
def test_dense_is_its_formula(sizes, zero_point, seed):
    rng = np.random.default_rng(seed)
    batch, n_in, n_out = sizes
    x = rng.integers(-128, 128, (batch, n_in)).astype(np.int8)
    w = rng.integers(-127, 128, (n_out, n_in)).astype(np.int8)
    b = rng.integers(-(2**24), 2**24, n_out).astype(np.int32)
    want = (x.astype(np.int64) - zero_point) @ w.T.astype(np.int64) + b

    acc = dense_acc(x, w, b, zero_point)

    assert acc.dtype == np.int32
    np.testing.assert_array_equal(acc, want)
    multiplier, shift = np.full(n_out, 2**30, np.int32), np.full(n_out, -9, np.int32)
    got = dense(x, w, b, zero_point, multiplier, shift, -4)
    np.testing.assert_array_equal(got, requantize(want, multiplier, shift, -4))


@pytest.mark.parametrize("n_in", [1, 8, 9, 517, 518, 519, 20000, 66000])
@pytest.mark.parametrize("sign", [-1, 1])
def test_dense_is_exact_at_its_largest_sums(n_in, sign):
    """Float32 holds the sum up to 518 products, float64 beyond."""
    x, w = np.full((1, n_in), -128, np.int8), np.full((2, n_in), sign * 127, np.int8)
    x[0, -1] = 126  # an odd sum is the first that a short mantissa loses

    acc = dense_acc(x, w, np.array([0, sign], np.int32), 127)

    want = -sign * 127 * (255 * (n_in - 1) + 1)
    assert acc.tolist() == [[want, want + sign]]


def test_exact_matmul_changes_to_doubles_in_time():
    for inner in [512, 513, 515]:
        a, b = np.full((1, inner), 255), np.full((inner, 1), 128)
        a[0, 0], b[0, 0] = 1, 1
        assert exact_matmul(a, b, 255 * 128)[0, 0] == (inner - 1) * 255 * 128 + 1


def test_padding_is_real_zero():
    x = np.full((1, 2, 2, 1), 9, np.int8)
    w = np.ones((1, 3, 3, 1), np.int8)

    acc = conv2d_acc(x, w, np.zeros(1, np.int32), 9, Window((3, 3), (1, 1), (1, 1, 1, 1)))

    assert not acc.any()


def nearest_away(x: Fraction) -> int:
    return int(x + Fraction(1, 2)) if x > 0 else -int(-x + Fraction(1, 2))


def slow_pool(x, window, reduce):
    (kh, kw), (sh, sw), (top, _, left, _), _ = window
    out = np.zeros((len(x), *window.output_size(*x.shape[1:3]), x.shape[3]), np.int64)
    for n, i, j, c in np.ndindex(out.shape):
        rows = slice(max(i * sh - top, 0), i * sh - top + kh)
        columns = slice(max(j * sw - left, 0), j * sw - left + kw)
        out[n, i, j, c] = reduce([int(v) for v in x[n, rows, columns, c].ravel()])
    return out


@many
@given(case=convolutions())
def test_pools_see_the_inside_of_the_image_only(case):
    x, _, _, _, window = case
    inside = tuple(min(p, window.kernel[i // 2] - 1) for i, p in enumerate(window.padding))
    window = window._replace(padding=inside, groups=1)
    x = np.resize(x, (len(x), max(x.shape[1], 3), max(x.shape[2], 3), x.shape[3]))

    averages, largest = average_pool(x, window), max_pool(x, window)

    assert averages.dtype == largest.dtype == np.int8
    want = slow_pool(x, window, lambda seen: nearest_away(Fraction(sum(seen), len(seen))))
    np.testing.assert_array_equal(averages, want)
    np.testing.assert_array_equal(largest, slow_pool(x, window, max))


def test_average_pool_rounds_ties_away_from_zero():
    x = np.array([1, 2, -1, -2, 127, 126, -128, -127, 1, -2], np.int8).reshape(1, 5, 2, 1)

    got = average_pool(x, Window((1, 2), (1, 2), (0, 0, 0, 0)))

    assert got.ravel().tolist() == [2, -2, 127, -128, -1]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 7), (7, 7), (25, 5), (64, 64)])
def test_global_average_pool_is_the_mean(height, width):
    rng = np.random.default_rng(height)
    x = rng.integers(-128, 128, (6, height, width, 5)).astype(np.int8)
    for scale in [1.0, 0.37, 1.9]:
        multiplier, shift = quantize_multiplier(scale)
        got = global_average_pool(x, -7, multiplier, shift, 11)

        real = (x.mean(axis=(1, 2)) + 7) * scale + 11
        assert got.dtype == np.int8
        right = -global_pool_multiplier(multiplier, shift, height * width)[1]
        first = 0.5 ** (1 + right) if right > 0 else 0  # of the two roundings
        assert abs(got - np.clip(real, -128, 127)).max() <= 0.5 + first + 1e-6


def test_global_pool_multiplier_keeps_its_bits():
    assert global_pool_multiplier(2**30, 1, 49) == (701219150, -4)
    for count in [1, 2, 3, 49, 125, 4096]:
        multiplier, shift = global_pool_multiplier(1518500250, -2, count)
        assert 2**29 <= multiplier < 2**31
        exact = Fraction(1518500250, 2**33) / count
        assert 0 <= exact - Fraction(multiplier, 2 ** (31 - shift)) < Fraction(1, 2 ** (31 - shift))


CODES = np.meshgrid(np.arange(-128, 128).astype(np.int8), np.arange(-128, 128).astype(np.int8))


def add_in_floats(a_scale, a_zero, b_scale, b_zero, y_scale, y_zero):
    """Add every pair of codes: the integer result and the real one, in units of the result."""
    twice = 2 * max(a_scale, b_scale)
    got = add(
        CODES[0],
        a_zero,
        quantize_multiplier(a_scale / twice),
        CODES[1],
        b_zero,
        quantize_multiplier(b_scale / twice),
        y_zero,
        quantize_multiplier(twice / (2**ADD_LEFT_SHIFT * y_scale)),
    )
    a, b = (v.astype(np.float64) for v in CODES)
    return got, (a_scale * (a - a_zero) + b_scale * (b - b_zero)) / y_scale + y_zero


@pytest.mark.parametrize("scales", [(0.1, 0.1, 0.2), (0.5, 0.003, 0.4), (0.01, 0.7, 0.9)])
@pytest.mark.parametrize("zeros", [(0, 0, 0), (-128, 127, 5), (3, -90, -128)])
def test_add_is_nearest_but_for_ties(scales, zeros):
    got, real = add_in_floats(scales[0], zeros[0], scales[1], zeros[1], scales[2], zeros[2])

    assert got.dtype == np.int8
    assert abs(got - np.clip(real, -128, 127)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("zeros", [(0, 0, 0), (-128, 127, 5), (3, -90, -128)])
def test_add_is_exact_on_equal_scales(zeros):
    got, real = add_in_floats(0.05, zeros[0], 0.05, zeros[1], 0.05, zeros[2])

    np.testing.assert_array_equal(got, np.clip(np.rint(real), -128, 127))


def test_add_has_the_bits_of_the_reference():
    assert ADD_LEFT_SHIFT == 20  # kLeftShift in add.cc of TensorFlow Lite Micro


def test_add_clips_to_the_fused_activation():
    a = np.array([-100, 0, 100], np.int8)

    got = add(a, 0, (2**30, 0), a, 0, (2**30, 0), 0, (2**30, -18), low=0, high=60)

    assert got.tolist() == [0, 0, 60]


def test_look_up_reads_the_entry_of_a_code():
    codes = np.arange(-128, 128).astype(np.int8).reshape(16, 16)
    table = (np.arange(256) * 100 - 9000).astype(np.int16)

    np.testing.assert_array_equal(look_up(codes, table).ravel(), table)
    assert look_up(codes, table).dtype == np.int16


@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 2, 3)])
def test_output_size_counts_the_places_of_the_window(padding):
    window = Window((3, 2), (2, 3), padding)
    rows = len(range(0, 9 + padding[0] + padding[1] - 3 + 1, 2))
    columns = len(range(0, 7 + padding[2] + padding[3] - 2 + 1, 3))

    assert window.output_size(9, 7) == (rows, columns)
