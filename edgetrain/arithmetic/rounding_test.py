import math
from fractions import Fraction

import numpy as np
import pytest

from edgetrain.arithmetic.rounding import (
    INT32_MAX,
    divide_by_power,
    quantize_multiplier,
    quantize_multipliers,
    requantize,
    rescale,
    saturate,
)

MULTIPLIERS = [2**30, 2**30 + 1, 1518500250, 2**31 - 1]
SHIFTS = [-31, -12, -7, -3, -2, -1, 0, 3, 30]


def nearest_ties_up(x: Fraction) -> int:
    return math.floor(x + Fraction(1, 2))


def nearest_ties_away(x: Fraction) -> int:
    return nearest_ties_up(x) if x > 0 else -nearest_ties_up(-x)


def exact_rescale(acc: int, multiplier: int, shift: int) -> int:
    """Define `rescale` in rational numbers."""
    product = nearest_ties_up(Fraction(acc * 2 ** max(shift, 0) * multiplier, 2**31))
    return nearest_ties_away(Fraction(product, 2 ** max(-shift, 0)))


def accumulators(multiplier: int, shift: int) -> np.ndarray:
    """Numbers around every tie of both roundings, and the largest that are allowed."""
    limit = INT32_MAX >> max(shift, 0)
    halves = [k << max(-shift - 1, 0) for k in range(-300, 301)]
    near = [(h << 31) // (multiplier << max(shift, 0)) + d for h in halves for d in range(-2, 3)]
    if multiplier % 2:  # the products that end in exactly one half
        half = pow(multiplier, -1, 2**31) << 30
        near += [half % 2**31, half % 2**31 - 2**31]
    every = np.array([*near, *range(-(2**10), 2**10), limit, -limit, -limit - 1], object)
    return every[(every >= -limit - 1) & (every <= limit)].astype(np.int32)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("multiplier", MULTIPLIERS)
def test_rescale_and_requantize_at_every_tie(multiplier, shift):
    acc = accumulators(multiplier, shift)
    want = np.array([exact_rescale(a, multiplier, shift) for a in acc.tolist()])

    np.testing.assert_array_equal(rescale(acc, multiplier, shift), want)
    for zero_point, low, high in [(0, -128, 127), (-128, -128, 127), (9, 9, 60)]:
        got = requantize(acc, multiplier, shift, zero_point, low, high)
        assert got.dtype == np.int8
        np.testing.assert_array_equal(got, np.clip(want + zero_point, low, high))


def product_truncated(acc, multiplier, shift):
    left, right = max(shift, 0), max(-shift, 0)
    return divide_by_power(((acc.astype(np.int64) << left) * multiplier) >> 31, right)


def product_ties_away(acc, multiplier, shift):
    left, right = max(shift, 0), max(-shift, 0)
    return divide_by_power(divide_by_power((acc.astype(np.int64) << left) * multiplier, 31), right)


def shift_ties_up(acc, multiplier, shift):
    left, right = max(shift, 0), max(-shift, 0)
    high = ((acc.astype(np.int64) << left) * multiplier + (1 << 30)) >> 31
    return (high + ((1 << right) >> 1)) >> right


def shift_truncated(acc, multiplier, shift):
    left, right = max(shift, 0), max(-shift, 0)
    return (((acc.astype(np.int64) << left) * multiplier + (1 << 30)) >> 31) >> right


def rounded_once(acc, multiplier, shift):
    left, right = max(shift, 0), max(-shift, 0)
    return divide_by_power((acc.astype(np.int64) << left) * multiplier, 31 + right)


def rounded_once_ties_up(acc, multiplier, shift):
    left, total = max(shift, 0), 31 + max(-shift, 0)
    return ((acc.astype(np.int64) << left) * multiplier + (1 << (total - 1))) >> total


@pytest.mark.parametrize(
    "wrong",
    [
        product_truncated,
        product_ties_away,
        shift_ties_up,
        shift_truncated,
        rounded_once,
        rounded_once_ties_up,
    ],
)
def test_the_sweep_finds_wrong_roundings(wrong):
    found = 0
    for multiplier in MULTIPLIERS:
        for shift in SHIFTS:
            acc = accumulators(multiplier, shift)
            as_int8 = saturate(wrong(acc, multiplier, shift))
            found += not np.array_equal(as_int8, requantize(acc, multiplier, shift))
    assert found >= 4


def test_rescale_takes_a_scale_a_channel():
    acc = np.arange(-30, 30).reshape(5, 4, 3)
    multiplier, shift = np.array([2**30, 2**31 - 1, 0], np.int32), np.array([-1, 2, 0], np.int32)

    together = rescale(acc, multiplier, shift)

    for c in range(3):
        alone = rescale(acc[..., c], int(multiplier[c]), int(shift[c]))
        np.testing.assert_array_equal(together[..., c], alone)
    assert not together[..., 2].any()


@pytest.mark.parametrize("exponent", [0, 1, 2, 7, 31, 62])
def test_divide_by_power_rounds_ties_away_from_zero(exponent):
    half = 1 << max(exponent - 1, 0)
    values = [sign * (k * half + d) for k in range(4) for d in (-1, 0, 1) for sign in (-1, 1)]
    values = [v for v in values if abs(v) < 2**63]

    got = divide_by_power(np.array(values, np.int64), exponent)

    assert got.tolist() == [nearest_ties_away(Fraction(v, 2**exponent)) for v in values]


def test_saturate_at_the_ends_of_int8():
    wide = np.array([-(2**40), -129, -128, 127, 128, 2**40])

    assert saturate(wide).tolist() == [-128, -128, -128, 127, 127, 127]
    assert saturate(wide, -3, 4).tolist() == [-3, -3, -3, 4, 4, 4]
    assert saturate(wide).dtype == np.int8


@pytest.mark.parametrize(
    ("scale", "pair"),
    [
        (0.0, (0, 0)),
        (5e-324, (0, 0)),
        (math.nextafter(2.0**-33, 1), (0, 0)),
        (2.0**-32, (2**30, -31)),
        (0.5, (2**30, 0)),
        (1.0, (2**30, 1)),
        (1 - 2.0**-40, (2**30, 1)),  # rounds up to the next power of two
        (1 - 2.0**-31, (2**31 - 1, 0)),
        (2.0**29, (2**30, 30)),
    ],
)
def test_quantize_multiplier_at_its_edges(scale, pair):
    assert quantize_multiplier(scale) == pair


@pytest.mark.parametrize("scale", [-1.0, -5e-324, 2.0**30, 1e300, math.inf, -math.inf, math.nan])
def test_quantize_multiplier_refuses_what_it_cannot_write(scale):
    with pytest.raises(ValueError, match="scale must be in"):
        quantize_multiplier(scale)


def test_quantize_multiplier_is_the_nearest_of_31_bits():
    rng = np.random.default_rng(0)
    for scale in np.exp(rng.uniform(np.log(2**-31), np.log(2**29), 500)).tolist():
        multiplier, shift = quantize_multiplier(scale)

        assert 2**30 <= multiplier < 2**31
        written = Fraction(multiplier) * Fraction(2) ** (shift - 31)
        assert abs(written - Fraction(scale)) <= Fraction(2) ** (shift - 32)


def test_quantize_multipliers_is_quantize_multiplier_a_channel():
    scales = np.array([0.0, 0.025, 1.0, 3.7])

    multipliers, shifts = quantize_multipliers(scales)

    assert multipliers.dtype == shifts.dtype == np.int32
    assert list(zip(multipliers, shifts, strict=True)) == [quantize_multiplier(s) for s in scales]
    assert quantize_multipliers(np.array([]))[0].shape == (0,)
