import math

import numpy as np
import pytest

from edgetrain.arithmetic.activations import FUNCTIONS, activation_table

REAL = {
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "gelu": lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2)),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "hard_swish": lambda x: x * min(max(x + 3, 0), 6) / 6,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("scale", "zero_point"), [(1 / 32, 0), (0.1, -128), (0.003, 127), (2, 5)])
@pytest.mark.parametrize(("y_scale", "y_zero_point"), [(1 / 127, 0), (1 / 256, -128), (0.05, 9)])
def test_a_table_is_the_nearest_code_of_the_function(
    name, scale, zero_point, y_scale, y_zero_point
):
    table = activation_table(name, scale, zero_point, y_scale, y_zero_point)

    assert (table.dtype, table.shape) == (np.int8, (256,))
    reals = [REAL[name](scale * (q - zero_point)) / y_scale for q in range(-128, 128)]
    want = np.clip(np.array(reals) + y_zero_point, -128, 127)
    assert abs(table - want).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_right_far_from_zero_too(name):
    far = np.array([-700.0, -40, -9, -6, -1e-9, 0, 1e-9, 6, 9, 40, 700])
    want = [REAL[name](x) for x in far]

    np.testing.assert_allclose(FUNCTIONS[name](far), want, rtol=1e-12, atol=1e-14)
    assert abs(FUNCTIONS[name](np.array([-1e12]))[0] + (name == "tanh")) < 1e-9


def test_ties_go_to_even():
    table = activation_table("hard_swish", 1.0, 0, 2.0, 0)

    # x >= 3 is x itself: 3, 5, 7 are halves of the result's unit
    assert table[128 + np.array([3, 4, 5, 7, 9])].tolist() == [2, 2, 2, 4, 4]


def test_an_unknown_activation_is_refused_with_the_names_of_the_known():
    with pytest.raises(ValueError, match=r"activation must be one of \['gelu', .*got 'relu7'"):
        activation_table("relu7", 1.0, 0, 1.0, 0)
