import math

import numpy as np
import pytest

from edgetrain.arithmetic.goodness import (
    NORMAL_CODE,
    goodness_codes,
    integer_root,
    normalize,
    pair_loss,
    scaled_goodness,
    sum_of_squares,
    threshold_q10,
)
from edgetrain.arithmetic.losses import LOGIT_MAX
from edgetrain.arithmetic.rounding import quantize_multiplier

Q10, Q15 = 2**10, 2**15
ZERO_POINTS = [-128, -40, 0]
LOSSES = [True, False]  # symmetric, threshold


def layer(rng, zero_point, shape=(50, 96), rms=(12, 50)):
    """Rectified activity, about half of it zero, of a length that differs from row to row."""
    sizes = rng.uniform(*rms, (shape[0], 1)) * math.sqrt(2)
    above = np.maximum(rng.normal(0, 1, shape) * sizes, 0).round()
    return np.minimum(above + zero_point, 127).astype(np.int8)


def rms(x, zero_point):
    return np.sqrt(((x.astype(float) - zero_point) ** 2).mean(axis=1))


def pairs(seed=0, count=4000):
    rng = np.random.default_rng(seed)
    far = np.array([[-LOGIT_MAX // 2, LOGIT_MAX // 2], [0, 0], [20000, 0], [0, 20000], [1, 0]])
    near = rng.integers(-9 * Q10, 9 * Q10, (count, 2))
    return np.concatenate([far, near]).astype(np.int32).T


def softplus(z):
    return np.logaddexp(0, z)


# --- integer_root ---


def test_root_of_every_small_number():
    values = np.arange(70_000)

    assert integer_root(values).tolist() == [math.isqrt(v) for v in range(70_000)]


def test_root_around_squares_up_to_its_limit():
    rng = np.random.default_rng(0)
    roots = [2**k + d for k in range(1, 30) for d in (-1, 0, 1)]
    roots += rng.integers(1, 2**30, 5000).tolist()
    roots = [r for r in roots if r < 2**30] + [2**30 - 1]
    values = [v for r in roots for v in (r * r - 1, r * r, r * r + 1)] + [2**60 - 1]

    found = integer_root(np.array(values, np.int64))

    assert found.tolist() == [math.isqrt(v) for v in values]
    assert found.dtype == np.int64


def test_root_keeps_the_shape():
    np.testing.assert_array_equal(integer_root(np.array([[0, 3], [4, 8]])), [[0, 1], [2, 2]])


# --- sum_of_squares, scaled_goodness, threshold_q10 ---


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
def test_goodness_is_the_sum_of_squares(zero_point):
    x = layer(np.random.default_rng(1), zero_point)

    want = [sum((int(v) - zero_point) ** 2 for v in row) for row in x]

    assert sum_of_squares(x, zero_point).tolist() == want


def test_goodness_of_a_full_layer_does_not_overflow():
    x = np.full((1, 100_000), 127, np.int8)

    assert sum_of_squares(x, -128).tolist() == [100_000 * 255**2]


@pytest.mark.parametrize("scale", [2.0**-12, 0.37, 1.0, 3.9])
def test_scaled_goodness_is_the_product_to_nearest(scale):
    squares = np.random.default_rng(2).integers(0, 250_000, 1000)

    found = scaled_goodness(squares, *quantize_multiplier(scale))

    assert found.dtype == np.int32
    np.testing.assert_allclose(found, squares * scale, atol=1, rtol=1e-9)


def test_scaled_goodness_saturates_at_both_ends():
    squares = np.array([2**30, -(2**30)])

    assert scaled_goodness(squares, *quantize_multiplier(1.0)).tolist() == [LOGIT_MAX, -LOGIT_MAX]


@pytest.mark.parametrize(("sharpness", "want"), [(0.25, 256), (64.0, 65536), (1.0004, 1024)])
def test_threshold_is_the_sharpness_in_q10(sharpness, want):
    assert threshold_q10(sharpness) == want


# --- normalize ---


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
def test_normalized_layers_have_one_length(zero_point):
    highest = 127 - zero_point
    x = layer(np.random.default_rng(3), zero_point, rms=(12, highest / 5))

    found = normalize(x, zero_point)

    unsaturated = found.max(axis=1) < 127
    assert unsaturated.sum() > 40
    lengths = rms(found[unsaturated], zero_point)
    np.testing.assert_allclose(lengths, NORMAL_CODE, rtol=0.02)


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
def test_normalizing_is_division_by_the_root_mean_square(zero_point):
    x = layer(np.random.default_rng(4), zero_point, rms=(12, 20))

    want = (x.astype(float) - zero_point) / rms(x, zero_point)[:, None] * NORMAL_CODE + zero_point

    np.testing.assert_allclose(normalize(x, zero_point), np.minimum(want, 127), atol=1.5)


def test_normalized_codes_are_rounded_to_nearest():
    x = np.array([[1, 7]], np.int8)  # their root mean square is 5: 6.4 and 44.8

    assert normalize(x, 0).tolist() == [[6, 45]]


def test_the_length_of_the_input_does_not_matter():
    x = layer(np.random.default_rng(5), -128, rms=(12, 24))
    twice = (2 * (x.astype(int) + 128) - 128).astype(np.int8)
    assert twice.max() < 127

    once, doubled = (normalize(a, -128).astype(int) for a in (x, twice))

    assert np.abs(once - doubled).max() <= 2
    assert once.std() > 10


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
def test_a_silent_layer_stays_silent(zero_point):
    x = np.full((3, 17), zero_point, np.int8)

    np.testing.assert_array_equal(normalize(x, zero_point), x)


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
def test_zeros_stay_zero_and_order_is_kept(zero_point):
    x = layer(np.random.default_rng(6), zero_point, rms=(3, 20))

    found = normalize(x, zero_point)

    assert found.dtype == np.int8
    assert found.min() == zero_point
    np.testing.assert_array_equal(found[x == zero_point], zero_point)
    for before, after in zip(x, found, strict=True):
        assert (np.diff(after[np.argsort(before, kind="stable")].astype(int)) >= 0).all()


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
@pytest.mark.parametrize("active", [1, 127])
def test_a_single_loud_unit_saturates(zero_point, active):
    x = np.full((1, 400), zero_point, np.int8)
    x[0, 7] = min(zero_point + active, 127)

    found = normalize(x, zero_point)

    assert found[0, 7] == 127
    assert (np.delete(found, 7) == zero_point).all()


# --- pair_loss ---


@pytest.mark.parametrize("symmetric", LOSSES)
def test_slopes_and_loss_are_those_of_the_formula(symmetric):
    positive, negative = pairs()
    p, n = positive / Q10, negative / Q10
    if symmetric:
        up, down, want = -1 / (1 + np.exp(p - n)), 1 / (1 + np.exp(p - n)), softplus(n - p)
    else:
        up, down = -1 / (1 + np.exp(p)), 1 / (1 + np.exp(-n))
        want = softplus(-p) + softplus(n)

    by_positive, by_negative, loss = pair_loss(positive, negative, symmetric)

    np.testing.assert_allclose(by_positive / Q15, up, atol=2 / Q15)
    np.testing.assert_allclose(by_negative / Q15, down, atol=2 / Q15)
    np.testing.assert_allclose(loss / Q10, want, atol=3 / Q10)
    assert by_positive.dtype == by_negative.dtype == loss.dtype == np.int32


@pytest.mark.parametrize("symmetric", LOSSES)
def test_slopes_are_finite_differences_of_the_loss(symmetric):
    positive, negative = pairs(seed=1)
    reach = 256  # Q10: a quarter; the loss is rounded to 1 / 1024, its third derivative is < 0.13

    def difference(a, b):
        (*_, more), (*_, less) = pair_loss(*a, symmetric), pair_loss(*b, symmetric)
        return (more.astype(float) - less) / (2 * reach)

    by_positive, by_negative, _ = pair_loss(positive, negative, symmetric)

    found = difference((positive + reach, negative), (positive - reach, negative))
    np.testing.assert_allclose(by_positive / Q15, found, atol=0.007)
    found = difference((positive, negative + reach), (positive, negative - reach))
    np.testing.assert_allclose(by_negative / Q15, found, atol=0.007)


@pytest.mark.parametrize("symmetric", LOSSES)
def test_learning_raises_the_positive_and_lowers_the_negative(symmetric):
    by_positive, by_negative, loss = pair_loss(*pairs(seed=2), symmetric)

    assert -Q15 <= by_positive.min() < by_positive.max() <= 0
    assert 0 <= by_negative.min() < by_negative.max() <= Q15
    assert loss.min() >= 0


def test_only_the_symmetric_loss_ignores_what_both_share():
    positive, negative = pairs(seed=3, count=100)
    shifted = positive + 5000, negative + 5000

    for a, b in zip(pair_loss(positive, negative, True), pair_loss(*shifted, True), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (pair_loss(positive, negative, False)[0] != pair_loss(*shifted, False)[0]).any()


def test_goodness_at_its_limits_does_not_overflow():
    ends = np.array([LOGIT_MAX, -LOGIT_MAX], np.int32)

    by_positive, by_negative, loss = pair_loss(ends, ends[::-1], symmetric=True)

    assert by_positive.tolist() == [0, -Q15]
    assert by_negative.tolist() == [0, Q15]
    assert loss.tolist() == [0, 2 * LOGIT_MAX]


# --- goodness_codes ---


@pytest.mark.parametrize("spread", [3, 70, 20_000, 2**22])
def test_the_first_of_the_largest_codes_is_the_first_of_the_best_labels(spread):
    total = np.random.default_rng(7).integers(-spread, spread, (3000, 6)).astype(np.int32)

    codes = goodness_codes(total)

    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes.argmax(axis=1), total.argmax(axis=1))
    best = total.max(axis=1, keepdims=True)
    np.testing.assert_array_equal(codes == 127, total == best)


def test_a_code_counts_the_sixteenths_that_are_begun():
    behind = np.array([0, 1, 64, 65, 128, 254 * 64, 254 * 64 + 1, 255 * 64, 255 * 64 + 1, 2**30])

    codes = goodness_codes(2**20 - behind[None].astype(np.int32))

    assert codes.tolist() == [[127, 126, 126, 125, 125, -127, -128, -128, -128, -128]]
