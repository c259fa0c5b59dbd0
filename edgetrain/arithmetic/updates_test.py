from fractions import Fraction

import numpy as np
import pytest

from edgetrain.arithmetic import updates
from edgetrain.arithmetic.randomness import ROUND, Key, random_words, stream_key
from edgetrain.arithmetic.rounding import INT32_MAX, INT32_MIN
from edgetrain.arithmetic.updates import (
    masters,
    momentum,
    random_fractions,
    stochastic_steps,
    update_bias,
    update_int8,
    update_int16,
    visible,
)

KEY = Key(1, 2)


def test_a_fraction_is_an_octet_of_its_word_and_a_half():
    words = random_words(KEY, np.arange(3)).tolist()
    want = [((words[i // 4] >> 8 * (i % 4) & 255) * 2 + 1) << 23 for i in range(11)]

    assert random_fractions(KEY, 11).tolist() == want
    assert random_fractions(KEY, 0).size == 0


@pytest.fixture
def all_octets(monkeypatch):
    """Let 256 steps draw each octet once, so that a mean over them is an expectation."""
    fractions = (np.arange(256, dtype=np.int64) << 24) + (1 << 23)
    monkeypatch.setattr(updates, "random_fractions", lambda key, count: fractions[:count])


@pytest.mark.parametrize("shift", [32, 24])
@pytest.mark.parametrize("d", [0, 1, 3, 128, 255, 256, 257, 700, 25600])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.usefixtures("all_octets")
def test_steps_are_right_on_average(shift, d, sign):
    acc, multiplier = np.full((1, 256), sign * d), np.array([2 ** (shift - 8)])

    steps = stochastic_steps(acc, multiplier, KEY, shift)

    assert int(steps.sum()) == sign * d  # 256 times the mean, which is d / 256
    assert set(steps.ravel().tolist()) <= {sign * d // 256, -(-sign * d // 256)}


@pytest.mark.usefixtures("all_octets")
def test_steps_between_the_octets_are_right_to_half_an_octet():
    for multiplier in [1, 12345, 2**24 + 1, 987654321]:
        for acc in [-1000, -7, 1, 29, 4000]:
            steps = stochastic_steps(np.full((1, 256), acc), np.array([multiplier]), KEY, 32)

            error = Fraction(int(steps.sum()), 256) - Fraction(acc * multiplier, 2**32)
            assert abs(error) <= Fraction(1, 512)


def mean_is_right(round_steps, d: float, multiplier: int, acc: int) -> bool:
    keys = [stream_key(3, step, 0, ROUND) for step in range(64)]
    accs, multipliers = np.full((1, 1024), acc), np.array([multiplier])
    drawn = np.concatenate([round_steps(accs, multipliers, key, 32).ravel() for key in keys])
    sigma = np.sqrt((d % 1) * (1 - d % 1) / drawn.size)
    return abs(drawn.mean() - d) <= 4 * sigma


@pytest.mark.parametrize("eighths", [1, 5, 32, 100, 255, 256, 3000])
@pytest.mark.parametrize("sign", [-1, 1])
def test_steps_are_unbiased_over_many_keys(eighths, sign):
    assert mean_is_right(stochastic_steps, sign * eighths / 256, 2**24, sign * eighths)


def truncated(acc, multiplier, key, shift):
    return (acc * multiplier) >> shift


def to_nearest(acc, multiplier, key, shift):
    return (acc * multiplier + (1 << (shift - 1))) >> shift


def uncentred(acc, multiplier, key, shift):
    return (acc * multiplier + random_fractions(key, acc.size) - (1 << 23) - (1 << 22)) >> shift


def towards_zero(acc, multiplier, key, shift):
    return np.sign(acc) * (
        (abs(acc) * multiplier + (random_fractions(key, acc.size) >> 1)) >> shift
    )


@pytest.mark.parametrize("wrong", [truncated, to_nearest, uncentred, towards_zero])
def test_the_means_find_wrong_roundings(wrong):
    cases = [sign * eighths for eighths in [1, 5, 32, 100, 255] for sign in (-1, 1)]
    assert not all(mean_is_right(wrong, acc / 256, 2**24, acc) for acc in cases)


def test_no_gradient_is_no_step():
    w = np.arange(-127, 128, dtype=np.int8).reshape(5, 51)
    zero, multiplier = np.zeros(w.shape, np.int32), np.full(5, 2**31 - 1, np.int32)

    for key in [KEY, Key(2**32 - 1, 0), stream_key(1, 1, 1, 1)]:
        np.testing.assert_array_equal(update_int8(w, zero, multiplier, key)[0], w)
        new, saturated = update_int16(masters(w), zero, multiplier, key)
        np.testing.assert_array_equal(new, masters(w))
        assert saturated == 0


def test_steps_at_the_ends_of_int32_are_exact():
    acc = np.array([[INT32_MIN, INT32_MAX, INT32_MIN + 1, -1, 1]])
    fractions = random_fractions(KEY, 5).tolist()

    steps = stochastic_steps(acc, np.array([2**31 - 1]), KEY, 32)

    exact = zip(acc[0].tolist(), fractions, strict=True)
    assert steps[0].tolist() == [(a * (2**31 - 1) + f) >> 32 for a, f in exact]


def test_a_channel_has_its_own_multiplier():
    acc = np.full((3, 2, 2), 4)

    steps = stochastic_steps(acc, np.array([0, 2**30, 2**31 - 1]), KEY, 24)

    assert steps[0].tolist() == [[0, 0], [0, 0]]
    assert steps[1].tolist() == [[256, 256], [256, 256]]
    assert abs(steps[2] - 512).max() <= 1


@pytest.mark.usefixtures("all_octets")
def test_update_int8_saturates_and_counts():
    w = np.array([[0, 0, 0, 0, 127, -127, 100, -100]], np.int8)
    acc = np.array([[127, 128, -128, -129, -5, 5, 127, -128]], np.int32)

    new, saturated = update_int8(w, acc * 4, np.array([2**30], np.int32), KEY)

    assert new.tolist() == [[-127, -127, 127, 127, 127, -127, -27, 28]]
    assert new.dtype == np.int8
    assert saturated == 2  # 128 and -129; -128 is a step that int8 holds


@pytest.mark.usefixtures("all_octets")
def test_update_int16_saturates_and_counts():
    w = np.array([[0, 0, 0, 0, 32767, -32512, 20000]], np.int16)
    acc = np.array([[32767, 32768, -32768, -32769, -5, 5, 32767]], np.int32)

    new, saturated = update_int16(w, acc, np.array([2**24], np.int32), KEY)

    assert new.tolist() == [[-32512, -32512, 32767, 32767, 32767, -32512, -12767]]
    assert new.dtype == np.int16
    assert saturated == 2


def test_updates_leave_their_arguments_alone():
    w, acc = np.ones((2, 3), np.int8), np.full((2, 3), 2**20, np.int32)
    wide = masters(w)
    multiplier = np.full(2, 2**20, np.int32)

    update_int8(w, acc, multiplier, KEY)
    update_int16(wide, acc, multiplier, KEY)

    assert (w == 1).all()
    assert (wide == 384).all()
    assert (acc == 2**20).all()


def test_masters_stand_for_every_weight():
    w = np.arange(-127, 128, dtype=np.int8)
    wide = masters(w)

    assert wide.dtype == np.int16
    assert visible(wide).dtype == np.int8
    np.testing.assert_array_equal(visible(wide), w)
    np.testing.assert_array_equal(visible(wide - 128), w)  # the whole interval is seen as w
    np.testing.assert_array_equal(visible(wide + 127), w)
    assert visible(np.array([updates.MASTER_MIN, updates.MASTER_MAX], np.int16)).tolist() == [
        -127,
        127,
    ]


def test_masters_move_as_their_weights_do():
    rng = np.random.default_rng(0)
    w = rng.integers(-100, 101, (1, 4000)).astype(np.int8)
    acc = np.full((1, 4000), 1, np.int32)
    for multiplier in [2**30, 3 * 2**28]:
        m = np.array([multiplier], np.int32)
        step8 = (w.astype(int) - update_int8(w, acc, m, KEY)[0]).mean()
        step16 = (masters(w).astype(int) - update_int16(masters(w), acc, m, KEY)[0]).mean() / 256
        assert step16 == pytest.approx(multiplier / 2**32)
        assert step8 == pytest.approx(step16, abs=4 * 0.5 / np.sqrt(4000))


def test_update_bias_rounds_ties_away_and_keeps_the_limit():
    b, acc = np.zeros(6, np.int32), np.array([1, -1, 3, -3, 2**30, -(2**30)], np.int32)

    new = update_bias(b, acc, np.full(6, 2**15, np.int32), 2**20)

    assert new.tolist() == [-1, 1, -2, 2, -(2**20), 2**20]
    assert new.dtype == np.int32
    far = update_bias(b, acc, np.full(6, 2**31 - 1, np.int32), INT32_MAX)
    assert far[4:].tolist() == [-INT32_MAX, INT32_MAX]


def test_momentum_decays_towards_zero_and_saturates():
    v = np.array([100, -100, 4, -4, 3, -3, INT32_MAX, INT32_MIN], np.int32)
    still, push = np.zeros(8, np.int32), np.array([0] * 6 + [INT32_MAX, INT32_MIN], np.int32)

    # v / 8 goes to nearest, ties away: 12.5 to 13, 0.5 to 1, 0.375 to 0
    assert momentum(v, still, 3, 0)[:6].tolist() == [87, -87, 3, -3, 3, -3]
    assert momentum(v, push, 3, 0)[6:].tolist() == [INT32_MAX, INT32_MIN]
    assert momentum(v, push, 3, 0).dtype == np.int32


@pytest.mark.parametrize(
    ("realign", "want"),
    [(1, [200, -14]), (-1, [50, -4]), (-3, [13, -1]), (-99, [0, 0]), (0, [100, -7])],
)
def test_momentum_follows_the_unit_of_the_error(realign, want):
    v = np.array([100, -7], np.int32)
    quiet = np.zeros(2, np.int32)

    moved = momentum(v, quiet, 31, realign)

    assert moved.tolist() == want
    assert momentum(v, quiet, 31, 99).tolist() == [INT32_MAX, INT32_MIN]
