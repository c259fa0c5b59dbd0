import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgetrain.fewbit import (
    DERIVATIVES,
    EVEN,
    DerivativeTable,
    codes,
    derivative_table,
    levels_q6,
    pack,
    unpack,
)

BITS = (1, 2, 3, 4)

# Squared errors for 1 to 4 bits. The row of hard_swish is exact: its derivative is a straight line
# between two jumps, so 3 bits leave 6 pieces of width 1 and slope 1/3, 6 * (1/3)**2 / 12 = 1/18.
# (.5008 .2528 .0563 .0110 circulate: a trapezoid rule across the jumps adds 0.00078 to each.)
ERRORS = {
    "gelu": (0.1410, 0.0406, 0.0119, 0.0031),
    "silu": (0.2150, 0.0479, 0.0170, 0.0045),
    "softplus": (0.2902, 0.0541, 0.0121, 0.0029),
    "hard_swish": (0.5000, 0.2520, 0.0556, 0.0102),
    "tanh": (0.1584, 0.0319, 0.0073, 0.0017),
    "sigmoid": (0.0181, 0.0038, 0.0009, 0.0002),
}


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("activation", DERIVATIVES)
def test_the_error_is_the_published_one(activation, bits):
    assert round(derivative_table(activation, bits).error, 4) == ERRORS[activation][bits - 1]


@pytest.mark.parametrize("activation", DERIVATIVES)
def test_the_error_is_what_integration_of_the_table_gives(activation):
    table = derivative_table(activation, 3)
    step = 1e-4
    x = np.arange(-10 + step / 2, 10, step)
    index = np.searchsorted(table.borders, np.abs(x) if table.symmetric else x, side="right")

    squares = (DERIVATIVES[activation](x) - np.array(table.levels)[index]) ** 2

    assert squares.sum() * step == pytest.approx(table.error, abs=2e-6)


@pytest.mark.parametrize("activation", DERIVATIVES)
def test_the_derivative_is_the_slope_of_the_activation(activation):
    erf = np.vectorize(math.erf)
    functions = {
        "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
        "silu": lambda x: x / (1 + np.exp(-x)),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
        "softplus": lambda x: np.logaddexp(0, x),
    }
    x, step, f = np.linspace(-9.99, 9.99, 1000), 1e-5, functions[activation]

    slope = (f(x + step) - f(x - step)) / (2 * step)

    np.testing.assert_allclose(DERIVATIVES[activation](x), slope, atol=1e-8)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_borders_mirror_each_other(activation, bits):
    borders = np.array(derivative_table(activation, bits).borders)

    np.testing.assert_allclose(borders, -borders[::-1], atol=1e-9)


def test_two_bit_gelu_is_the_published_table():
    table = derivative_table("gelu", 2)

    np.testing.assert_allclose(table.borders, [-0.467, 0, 0.467], atol=5e-4)
    np.testing.assert_allclose(table.levels, [-0.016, 0.320, 0.680, 1.016], atol=5e-4)


def test_no_other_borders_on_a_small_grid_are_better():
    grid = np.linspace(-10, 10, 21)
    x = np.linspace(-10, 10, 20 * 200, endpoint=False) + 0.0025
    y = DERIVATIVES["silu"](x)

    def error(border):
        sides = y[x < border], y[x > border]
        return sum(((side - side.mean()) ** 2).sum() for side in sides) * 0.005

    best = min(error(border) for border in grid[1:-1])

    assert derivative_table("silu", 1, cells=20).error == pytest.approx(best, rel=1e-3)


def test_the_same_table_is_computed_once():
    assert derivative_table("gelu", 2) is derivative_table("gelu", 2)


@pytest.mark.parametrize("activation", DERIVATIVES)
def test_codes_find_the_interval_of_every_int8_value(activation):
    table = derivative_table(activation, 4)

    result = codes(table, scale=0.07, zero_point=-11)

    assert result.shape == (256,)
    assert result.dtype == np.uint8
    for q in range(-128, 128):
        x = 0.07 * (q + 11)
        x = abs(x) if activation in EVEN else x
        assert result[q + 128] == sum(border <= x for border in table.borders)


def test_codes_of_an_even_derivative_are_even():
    result = codes(derivative_table("tanh", 3), scale=0.05, zero_point=0)

    np.testing.assert_array_equal(result[1:128], result[:128:-1])


@pytest.mark.parametrize("activation", DERIVATIVES)
def test_q6_levels_are_within_half_a_unit(activation):
    table = derivative_table(activation, 4)

    q = levels_q6(table)

    assert q.dtype == np.int8
    np.testing.assert_allclose(q / 64, table.levels, atol=1 / 128)


def test_q6_levels_saturate():
    table = DerivativeTable("steep", 1, (0.0,), (-3.0, 3.0), symmetric=False, error=0.0)

    assert levels_q6(table).tolist() == [-128, 127]


@given(st.data(), st.sampled_from(BITS))
def test_unpack_undoes_pack(data, bits):
    values = data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=50))
    indices = np.array(values, np.uint8)

    packed = pack(indices, bits)

    assert packed.size == -(-len(values) * bits // 8)
    np.testing.assert_array_equal(unpack(packed, bits, len(values)), indices)


def test_the_first_index_is_in_the_lowest_bits():
    assert pack(np.array([5, 6, 7], np.uint8), 3).tolist() == [0b11110101, 0b1]


def test_pack_reads_any_shape_in_c_order():
    indices = np.arange(8, dtype=np.uint8).reshape(2, 4)

    np.testing.assert_array_equal(pack(indices.T, 3), pack(indices.T.ravel(), 3))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: derivative_table("relu6", 2), "activation must be one of .*'relu6'"),
        (lambda: derivative_table("gelu", 5), "bits must be 1, 2, 3 or 4, got 5"),
        (lambda: derivative_table("gelu", 0), "bits must be 1, 2, 3 or 4, got 0"),
        (lambda: derivative_table("gelu", 4, 15), r"cells must be in \[16, 4096\], got 15"),
        (lambda: derivative_table("gelu", 4, 5000), r"cells must be in \[16, 4096\], got 5000"),
        (lambda: codes(derivative_table("gelu", 1), 0.0, 0), "scale must be finite and > 0"),
        (lambda: codes(derivative_table("gelu", 1), float("nan"), 0), "scale must be finite"),
        (lambda: codes(derivative_table("gelu", 1), 1.0, 128), "zero_point must be in"),
        (lambda: pack(np.array([4], np.uint8), 2), "indices must be below 4 for 2 bits, got 4"),
        (lambda: pack(np.array([1]), 2), "indices must be uint8, got int64"),
        (lambda: pack(np.array([1], np.uint8), 8), "bits must be 1, 2, 3 or 4, got 8"),
        (lambda: unpack(np.zeros(2, np.uint8), 3, 9), r"must come as uint8 \(4,\)"),
        (lambda: unpack(np.zeros(0, np.uint8), 3, -1), "count must be >= 0, got -1"),
        (lambda: DerivativeTable("f", 1, (), (1.0, 2.0), False, 0.0), "must have 2 levels"),
        (lambda: DerivativeTable("f", 2, (1.0, 0.0, 2.0), (0.0,) * 4, False, 0.0), "must rise"),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
