"""Scaling, softmax and losses of training files: equal to the specification at every tie."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.arithmetic.losses import LOGIT_MAX
from edgetrain.exporters.tflite_tests.training_interpreters import check, numbers
from edgetrain.exporters.tflite_training import losses, words

RNG = np.random.default_rng(3)
MULTIPLIERS = np.array([2**30, 2**30 + 1, 1518500250, 2**31 - 1, 2**30, 1073741999, 0], np.int32)
TIES = np.arange(-(2**9), 2**9, dtype=np.int32)
ENDS = np.array([-(2**31), -(2**31) + 1, -(2**30), -1, 0, 1, 2**30, 2**31 - 1], np.int32)


def columns(values):
    return np.repeat(values[:, None], len(MULTIPLIERS), axis=1)


@pytest.mark.parametrize("shift", [-31, -12, -7, -3, -2, -1, 0, 3])
def test_rescale_at_every_tie(shift):
    acc = columns(TIES)

    check(
        lambda x: words.rescale(x, MULTIPLIERS, shift), fixed.rescale(acc, MULTIPLIERS, shift), acc
    )


def test_rescale_of_the_largest_numbers_and_a_shift_a_channel():
    shifts = np.array([0, -1, -2, -15, -30, -31, -5], np.int32)
    acc = columns(ENDS)

    check(
        lambda x: words.rescale(x, MULTIPLIERS, shifts),
        fixed.rescale(acc, MULTIPLIERS, shifts),
        acc,
    )


def test_requantize_saturates_at_the_fused_activation():
    acc, shifts = columns(TIES * 999), np.array([-9, -5, -1, 2, -12, 0, 1], np.int32)
    wanted = fixed.requantize(acc, MULTIPLIERS, shifts, -3, -3, 100)

    check(lambda x: words.requantize(x, MULTIPLIERS, shifts, -3, -3, 100), wanted, acc)


def test_logits_saturate_where_the_product_would_not_fit():
    acc = ENDS[:, None].copy()
    wanted = np.clip(acc.astype(np.float64) * 2**9, -LOGIT_MAX, LOGIT_MAX).astype(np.int32)

    check(lambda x: losses.logits_q10(x, 2**30, 10), wanted, acc)


@pytest.mark.parametrize("shift", [0, -1, -2, -13, -30, -31])
def test_errors_with_a_shift_of_the_step(shift):
    acc = np.concatenate([TIES, ENDS[1:]])
    wanted = fixed.scale_error(acc, 2**30 + 12345, shift)

    check(lambda x, s: losses.scale_error(x, 2**30 + 12345, s), wanted, acc, numbers(shift))


@pytest.mark.parametrize("bits", [0, 1, 2, 16, 31, 32, 33, 62])
def test_wide_divisions(bits):
    wide = np.concatenate([TIES.astype(np.int64), RNG.integers(-(2**61), 2**61, 50)])
    wide = np.concatenate([wide, TIES.astype(np.int64) << max(bits - 2, 0) >> 10])

    check(words.divide_by_power, fixed.divide_by_power(wide, bits), wide, numbers(bits))
    check(lambda x: words.divide_by_power(x, bits), fixed.divide_by_power(wide, bits), wide)
    check(words.shift_right, wide >> bits, wide, numbers(bits))


@pytest.mark.parametrize("divisor", [1, 3, 8, 12, 1000003])
def test_wide_quotients_of_whole_numbers(divisor):
    wide = np.concatenate([TIES.astype(np.int64), RNG.integers(-(2**62), 2**62, 50)])

    check(lambda x: words.divide(x, divisor), wide // divisor, wide)


@pytest.fixture
def logits():
    found = RNG.integers(-(2**13), 2**13, (40, 10)).astype(np.int32)
    found[0], found[1], found[2] = 0, LOGIT_MAX, -LOGIT_MAX
    found[3, :2] = LOGIT_MAX, -LOGIT_MAX
    found[4] = np.arange(10) * 1638
    return found


def test_softmax_and_its_logarithm(logits):
    check(losses.softmax, fixed.softmax(logits), logits)
    check(losses.log_softmax, fixed.log_softmax(logits), logits)


def test_cross_entropy(logits):
    y = numbers(np.arange(40) % 10)

    check(losses.cross_entropy, fixed.cross_entropy(logits, y), logits, y)


def test_squared_error_saturates():
    output = RNG.integers(-LOGIT_MAX, LOGIT_MAX, (20, 6)).astype(np.int32)
    target = RNG.integers(-LOGIT_MAX, LOGIT_MAX, (20, 6)).astype(np.int32)
    target[0] = output[0] + np.arange(-3, 3)

    check(losses.squared_error, fixed.squared_error(output, target), output, target)


def test_bit_lengths_around_every_power():
    values = numbers([0, *(2 ** np.arange(31)), *(2 ** np.arange(31) - 1)])

    check(losses.bit_length, [int(v).bit_length() for v in values], values)
