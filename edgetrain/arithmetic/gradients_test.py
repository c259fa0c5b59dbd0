import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgetrain.arithmetic.gradients import (
    average_pool_grad,
    conv2d_grad_w,
    conv2d_grad_x,
    dense_grad_w,
    dense_grad_x,
    max_pool_grad,
    max_pool_index,
)
from edgetrain.arithmetic.layers import Window, average_pool, conv2d_acc, dense_acc, max_pool

many = settings(max_examples=100, deadline=None, derandomize=True)
POINT = Window((1, 1), (1, 1), (0, 0, 0, 0))


def inner(a, b) -> int:
    return int((a.astype(np.int64) * b.astype(np.int64)).sum())


def int8(rng, *shape, low=-127):
    return rng.integers(low, 128, shape).astype(np.int8)


@st.composite
def convolutions(draw):
    small, extent = st.integers(1, 3), st.integers(1, 3)
    groups, n_in, part = draw(st.sampled_from([1, 2, 3])), draw(small), draw(small)
    kernel, stride = (draw(extent), draw(extent)), (draw(small), draw(small))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
    height = draw(st.integers(max(1, kernel[0] - sum(padding[:2])), 6))
    width = draw(st.integers(max(1, kernel[1] - sum(padding[2:])), 6))
    window = Window(kernel, stride, padding, groups)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = int8(rng, draw(small), height, width, groups * n_in, low=-128)
    w = int8(rng, groups * part, *kernel, n_in)
    e = int8(rng, len(x), *window.output_size(height, width), len(w))
    ratio = rng.integers(0, 129, len(w)).astype(np.int16)
    return x, w, e, ratio, draw(st.integers(-128, 127)), window, rng


@many
@given(case=convolutions())
def test_convolution_gradients_are_exact_adjoints(case):
    """<grad_w, dw> = <e, conv(x, dw)> and <grad_x, dx> = <e * ratio, conv(dx, w)>, in integers."""
    x, w, e, ratio, zero_point, window, rng = case
    no_bias = np.zeros(len(w), np.int32)
    dx, dw = int8(rng, *x.shape), int8(rng, *w.shape)

    grad_w = conv2d_grad_w(x, e, zero_point, window)
    grad_x = conv2d_grad_x(e, w, ratio, x.shape, window)

    assert grad_w.dtype == grad_x.dtype == np.int32
    assert (grad_w.shape, grad_x.shape) == (w.shape, x.shape)
    assert inner(grad_w, dw) == inner(e, conv2d_acc(x, dw, no_bias, zero_point, window))
    scaled = e.astype(np.int64) * ratio
    assert inner(grad_x, dx) == inner(scaled, conv2d_acc(dx, w, no_bias, 0, window))


@many
@given(case=convolutions())
def test_convolution_gradients_are_finite_differences(case):
    """The accumulators are linear: a step of 1 in one place changes <e, acc> by the gradient."""
    x, w, e, ratio, zero_point, window, rng = case
    x, w = np.clip(x, -128, 126), np.clip(w, -127, 126)
    b = rng.integers(-1000, 1000, len(w)).astype(np.int32)
    base = conv2d_acc(x, w, b, zero_point, window).astype(np.int64)
    grad_w = conv2d_grad_w(x, e, zero_point, window)
    grad_x = conv2d_grad_x(e, w, ratio, x.shape, window)

    for _ in range(3):
        x_place, w_place = (tuple(rng.integers(0, a.shape)) for a in (x, w))
        more_x, more_w = x.copy(), w.copy()
        more_x[x_place] += 1
        more_w[w_place] += 1
        x_change = conv2d_acc(more_x, w, b, zero_point, window) - base
        w_change = conv2d_acc(x, more_w, b, zero_point, window) - base
        assert inner(e.astype(np.int64) * ratio, x_change) == grad_x[x_place]
        assert inner(e, w_change) == grad_w[w_place]


@many
@given(
    sizes=st.tuples(st.integers(1, 6), st.integers(1, 40), st.integers(1, 12)),
    zero_point=st.integers(-128, 127),
    seed=st.integers(0, 2**32),
)
def test_dense_gradients_are_exact_adjoints(sizes, zero_point, seed):
    rng = np.random.default_rng(seed)
    batch, n_in, n_out = sizes
    x, w, e = int8(rng, batch, n_in, low=-128), int8(rng, n_out, n_in), int8(rng, batch, n_out)
    ratio, no_bias = rng.integers(0, 129, n_out).astype(np.int16), np.zeros(n_out, np.int32)
    dx, dw = int8(rng, batch, n_in), int8(rng, n_out, n_in)

    grad_w, grad_x = dense_grad_w(x, e, zero_point), dense_grad_x(e, w, ratio)

    assert grad_w.dtype == grad_x.dtype == np.int32
    assert inner(grad_w, dw) == inner(e, dense_acc(x, dw, no_bias, zero_point))
    assert inner(grad_x, dx) == inner(e.astype(np.int64) * ratio, dense_acc(dx, w, no_bias, 0))
    want = (e.astype(np.int64) * ratio) @ w
    np.testing.assert_array_equal(grad_x, want)


def test_a_dense_layer_is_a_convolution_of_one_pixel():
    rng = np.random.default_rng(0)
    x, w, e = int8(rng, 5, 20, low=-128), int8(rng, 7, 20), int8(rng, 5, 7)
    ratio = rng.integers(0, 129, 7).astype(np.int16)
    image, filters, error = x[:, None, None], w[:, None, None], e[:, None, None]

    from_conv = conv2d_grad_w(image, error, 3, POINT)[:, 0, 0]
    np.testing.assert_array_equal(dense_grad_w(x, e, 3), from_conv)
    from_conv = conv2d_grad_x(error, filters, ratio, image.shape, POINT)[:, 0, 0]
    np.testing.assert_array_equal(dense_grad_x(e, w, ratio), from_conv)


@pytest.mark.parametrize("sign", [-1, 1])
def test_gradients_are_exact_at_their_largest_sums(sign):
    e, w = np.full((1, 1040), sign * 127, np.int8), np.full((1040, 2), 127, np.int8)
    ratio = np.full(1040, 128, np.int16)
    x, errors = np.full((2**16, 1), -128, np.int8), np.full((2**16, 1), sign * 127, np.int8)

    assert dense_grad_x(e, w, ratio).tolist() == [[sign * 1040 * 127 * 128 * 127] * 2]
    assert dense_grad_w(x, errors, 127).tolist() == [[-(2**16) * 255 * 127 * sign]]
    image = conv2d_grad_x(e[None, None], w[:, None, None], ratio, (1, 1, 1, 2), POINT)
    assert image.ravel().tolist() == [sign * 1040 * 127 * 128 * 127] * 2


@st.composite
def pools(draw):
    x, _, _, _, _, window, rng = draw(convolutions())
    inside = tuple(min(p, window.kernel[i // 2] - 1) for i, p in enumerate(window.padding))
    window = window._replace(padding=inside, groups=1)
    few = rng.integers(-3, 3, (len(x), max(x.shape[1], 3), max(x.shape[2], 3), x.shape[3]))
    x = few.astype(np.int8)  # few values, so that many windows have equals
    e = int8(rng, len(x), *window.output_size(*x.shape[1:3]), x.shape[3])
    return x, e, window


@many
@given(case=pools())
def test_max_pool_grad_goes_to_the_first_winner(case):
    x, e, window = case
    (kh, kw), (sh, sw), (top, _, left, _), _ = window
    want = np.zeros(x.shape, np.int64)
    for n, i, j, c in np.ndindex(e.shape):
        seen = [
            (p, q)
            for p in range(i * sh - top, i * sh - top + kh)
            for q in range(j * sw - left, j * sw - left + kw)
            if 0 <= p < x.shape[1] and 0 <= q < x.shape[2]
        ]
        p, q = max(seen, key=lambda place: x[n, place[0], place[1], c])  # max keeps the first
        want[n, p, q, c] += e[n, i, j, c]
        assert x[n, p, q, c] == max_pool(x, window)[n, i, j, c]

    index = max_pool_index(x, window)
    grad = max_pool_grad(e, index, x.shape, window)

    assert index.dtype == np.uint8
    assert index.shape == e.shape
    assert grad.dtype == np.int32
    np.testing.assert_array_equal(grad, want)


@many
@given(case=pools())
def test_average_pool_grad_hands_out_equal_shares(case):
    x, e, window = case
    (kh, kw), (sh, sw), (top, _, left, _), _ = window
    want = np.zeros(x.shape)
    windows = np.zeros(x.shape[1:3])
    for i, j in np.ndindex(e.shape[1:3]):
        rows = slice(max(i * sh - top, 0), i * sh - top + kh)
        columns = slice(max(j * sw - left, 0), j * sw - left + kw)
        count = windows[rows, columns].size
        want[:, rows, columns] += 256.0 * e[:, i, j][:, None, None] / count
        windows[rows, columns] += 1

    grad = average_pool_grad(e, x.shape, window)

    assert grad.dtype == np.int32
    assert (abs(grad - want) <= 0.5 * windows[None, :, :, None] + 1e-9).all()


def test_average_pool_grad_of_a_power_of_two_is_the_exact_adjoint():
    rng = np.random.default_rng(1)
    window = Window((2, 4), (2, 4), (0, 0, 0, 0))
    e, dx = int8(rng, 2, 3, 2, 5), (int8(rng, 2, 6, 8, 5) // 8 * 8).astype(np.int8)
    dx[:] = dx[:, ::2, ::4].repeat(2, axis=1).repeat(4, axis=2)  # averages are exact

    grad = average_pool_grad(e, dx.shape, window)

    assert inner(grad, dx) == 256 * inner(e, average_pool(dx, window))
