import math

import numpy as np
import pytest

from edgetrain.arithmetic.losses import (
    LOGIT_MAX,
    cross_entropy,
    log_q10,
    log_softmax,
    logits_q10,
    scale_error,
    softmax,
    squared_error,
)
from edgetrain.arithmetic.rounding import INT32_MAX, INT32_MIN

NEAR = {1: 0, 2: 2, 3: 2, 10: 4, 100: 8}
"""Units of 2**-15 that a probability may be off, by classes: a row adds up roundings of terms."""


def logits_of(classes: int, spread: float, rows: int = 3000) -> np.ndarray:
    rng = np.random.default_rng(classes)
    return np.rint(rng.normal(0, spread, (rows, classes)) * 1024).astype(np.int32)


def float_softmax(logits: np.ndarray) -> np.ndarray:
    terms = np.exp((logits - logits.max(axis=-1, keepdims=True)) / 1024)
    return terms / terms.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("classes", [1, 2, 3, 10, 100])
@pytest.mark.parametrize("spread", [0.01, 0.3, 1, 4, 30])
def test_softmax_is_that_of_floats(classes, spread):
    logits = logits_of(classes, spread)

    p = softmax(logits)

    assert p.dtype == np.int32
    assert p.min() >= 0
    assert p.max() <= 2**15
    assert abs(p / 2**15 - float_softmax(logits)).max() <= NEAR[classes] / 2**15
    assert abs(p.sum(axis=-1) - 2**15).max() <= classes / 2 + 1


@pytest.mark.parametrize("offset", [0, 500000, -500000])
def test_softmax_looks_at_differences_only(offset):
    logits = logits_of(10, 3)

    np.testing.assert_array_equal(softmax(logits + np.int32(offset)), softmax(logits))


def test_softmax_of_the_largest_logits():
    logits = np.array([[LOGIT_MAX, -LOGIT_MAX], [INT32_MAX, INT32_MIN]], np.int32)

    assert softmax(logits).tolist() == [[2**15, 0], [2**15, 0]]


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
@pytest.mark.parametrize("spread", [0.01, 0.3, 1, 4])
def test_cross_entropy_is_that_of_floats(classes, spread):
    logits = logits_of(classes, spread)
    y = np.arange(len(logits)) % classes
    rows = np.arange(len(y))

    error, loss = cross_entropy(logits, y)

    p = float_softmax(logits)
    assert error.dtype == loss.dtype == np.int32
    assert abs(loss / 1024 + np.log(p[rows, y])).max() <= 3 / 1024
    assert loss.min() >= 0
    p[rows, y] -= 1
    assert abs(error / 2**15 - p).max() <= NEAR[classes] / 2**15


def test_log_softmax_is_that_of_floats():
    logits = logits_of(10, 2)

    log = log_softmax(logits)

    assert log.dtype == np.int32
    assert log.max() <= 0
    assert abs(log / 1024 - np.log(float_softmax(logits))).max() <= 3 / 1024


def test_cross_entropy_of_a_hopeless_sample_is_its_distance():
    logits = np.array([[LOGIT_MAX, -LOGIT_MAX]], np.int32)

    error, loss = cross_entropy(logits, np.array([1]))

    assert error.tolist() == [[2**15, -(2**15)]]
    assert loss.tolist() == [2 * LOGIT_MAX]


def test_cross_entropy_leaves_its_arguments_alone():
    logits, y = logits_of(3, 1, rows=4), np.array([0, 1, 2, 0])
    before = logits.copy()

    cross_entropy(logits, y)

    np.testing.assert_array_equal(logits, before)


def test_log_q10_is_monotone_and_that_of_floats():
    dense = np.arange(2**15, 2**18)
    wide = np.unique(np.geomspace(2**15, 2**31 - 1, 200000).astype(np.int64))
    powers = np.array([2**k + d for k in range(16, 31) for d in (-1, 0, 1)])
    for value in [dense, wide, powers]:
        log = log_q10(value)
        assert (np.diff(log) >= 0).all()
        assert abs(log / 1024 - np.log(value / 2**15)).max() <= 0.55 / 1024
    near_ties = np.array([2**15, 32912, 33041, 33496, 33627])  # 4.490, 8.496, 22.501, 26.498
    assert log_q10(near_ties).tolist() == [0, 5, 9, 23, 27]


@pytest.mark.parametrize("n_out", [1, 2, 3, 10])
def test_squared_error_is_half_the_sum_of_squares(n_out):
    rng = np.random.default_rng(n_out)
    output, target = rng.integers(-9000, 9000, (2, 200, n_out)).astype(np.int32)

    error, loss = squared_error(output, target)

    assert error.dtype == loss.dtype == np.int32
    np.testing.assert_array_equal(error, output - target)
    real = ((output - target) / 1024) ** 2
    assert abs(loss / 1024 - real.sum(axis=1) / 2).max() <= 1 / 1024


def test_squared_error_saturates():
    output, target = np.array([[INT32_MAX]], np.int32), np.array([[INT32_MIN]], np.int32)

    error, loss = squared_error(output, target)

    assert error.tolist() == [[LOGIT_MAX]]
    assert 0 < loss[0] <= INT32_MAX
    assert squared_error(target, output)[0].tolist() == [[-LOGIT_MAX]]


def test_logits_saturate():
    acc = np.array([[INT32_MAX, INT32_MIN, 0, 5]], np.int32)

    assert logits_q10(acc, 2**30, 0).tolist() == [[LOGIT_MAX, -LOGIT_MAX, 0, 3]]
    assert logits_q10(acc, 2**30, 0).dtype == np.int32


def test_scale_error_saturates_and_tells_its_peak():
    acc = np.array([[254, 255, -254, -256], [6, -6, 2, 0]], np.int32)

    e, peak = scale_error(acc, 2**30, 0)
    assert e.tolist() == [[127, 127, -127, -127], [3, -3, 1, 0]]
    assert (e.dtype, peak) == (np.int8, 128)
    assert scale_error(np.array([-600, 5], np.int32), 2**30, -1)[1] == 150
    assert scale_error(np.zeros((0, 3), np.int32), 2**30, 0)[1] == 0
    assert scale_error(np.array([INT32_MIN], np.int32), 2**31 - 1, 0)[1] == 2**31 - 1


def test_scale_error_ties_go_away_from_zero():
    acc = np.arange(-40, 41, dtype=np.int32)

    e, _ = scale_error(acc * 2, 2**30, -2)

    want = [math.copysign(math.floor(abs(a) / 4 + 0.5), a) for a in acc.tolist()]
    assert e.tolist() == want
