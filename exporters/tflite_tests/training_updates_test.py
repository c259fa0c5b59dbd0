"""Randomness and updates in training files: equal to the specification, saturation too."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.arithmetic.randomness import PERTURB, ROUND
from edgetrain.arithmetic.updates import MASTER_MAX, MASTER_MIN
from edgetrain.exporters.step_writing.emitter import Rate
from edgetrain.exporters.tflite_tests.training_interpreters import check, numbers
from edgetrain.exporters.tflite_training import randomness, updates
from edgetrain.exporters.tflite_training.operations import concatenate
from edgetrain.state import rate_multiplier

RNG = np.random.default_rng(7)
SEED, STEP, TENSORS = 0xDEADBEEF, 0x12345678, (788110543, 2**32 - 1, 0)
WHEN = np.array([SEED], np.uint32), np.array([STEP], np.uint32)
MULTIPLIERS = np.array([2**31 - 1, 2**20, 0, 77777, 2**27, 3], np.int32)
SHAPE = (6, 5, 3, 2)


def keys(seed, step, purpose=ROUND):
    start = randomness.base(seed, step)
    bases = concatenate([start] * len(TENSORS), 0)
    return randomness.stream_keys(bases, TENSORS, [purpose] * len(TENSORS))


def wanted_keys(purpose=ROUND):
    return [fixed.stream_key(SEED, STEP, tensor, purpose) for tensor in TENSORS]


def octets(key, count):
    return fixed.random_words(key, np.arange(-(-count // 4))).astype("<u4").view(np.uint8)[:count]


def test_keys_are_derived_from_seed_and_step():
    wanted = tuple(np.uint32(half) for k0, k1 in wanted_keys() for half in (k0, k1 ^ k1 >> 16))

    check(lambda *when: tuple(half for key in keys(*when) for half in key), wanted, *WHEN)


def test_octets_of_several_streams():
    counts = (101, 4, 33)
    wanted = tuple(octets(*pair) for pair in zip(wanted_keys(), counts, strict=True))

    check(lambda *when: tuple(randomness.random_octets(keys(*when), counts)), wanted, *WHEN)


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 100])
def test_signs(columns):
    key = wanted_keys(PERTURB)[1]

    check(
        lambda *when: randomness.random_signs(keys(*when, PERTURB)[1], 5, columns),
        fixed.random_signs(key, 5, columns), *WHEN,
    )  # fmt: skip


def test_numbers_below_bounds():
    bounds = numbers([3, 10, 1, 2**31 - 1, 77])
    drawn = fixed.random_words(wanted_keys()[0], np.arange(5)).astype(np.int64) * bounds >> 32

    check(lambda s, t, b: randomness.random_below(keys(s, t)[0], b), drawn, *WHEN, bounds)


@pytest.fixture
def gradient():
    acc = RNG.integers(-(2**24), 2**24, SHAPE).astype(np.int32)
    acc[0], acc[1].flat[:4] = RNG.integers(-300, 300, SHAPE[1:]), [-(2**31), 2**31 - 1, 0, 1]
    return acc


def test_int8_weights(gradient):
    w, key = RNG.integers(-127, 128, SHAPE).astype(np.int8), wanted_keys()[0]
    wanted = fixed.update_int8(w, gradient, MULTIPLIERS, key)
    assert 0 < wanted[1] < gradient.size

    drawn = octets(key, w.size)
    check(updates.update_int8, wanted, w, gradient, MULTIPLIERS, drawn)


def test_int16_masters(gradient):
    w = RNG.integers(MASTER_MIN, MASTER_MAX + 1, SHAPE).astype(np.int16)
    key = wanted_keys()[0]
    wanted = fixed.update_int16(w, gradient, MULTIPLIERS, key)
    assert 0 < wanted[1] < gradient.size

    check(updates.update_int16, wanted, w, gradient, MULTIPLIERS, octets(key, w.size))
    check(updates.visible, fixed.visible(w), w)


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_the_middle_of_every_fraction_counts(kind):
    half = 23 if kind == "int8" else 15
    acc = np.tile(np.arange(512, dtype=np.int32), (3, 1))
    w, rates = np.zeros(acc.shape, kind), np.array([1 << half, 1 << half + 1, 3], np.int32)
    key = wanted_keys()[0]
    wanted = getattr(fixed, f"update_{kind}")(w, acc, rates, key)

    check(getattr(updates, f"update_{kind}"), wanted, w, acc, rates, octets(key, w.size))


def test_biases_of_several_layers():
    olds = [RNG.integers(-(2**30), 2**30, n).astype(np.int32) for n in (6, 2)]
    accs = [RNG.integers(-(2**28), 2**28, n).astype(np.int32) for n in (6, 2)]
    accs[0][:3] = [1, -1, 3]
    rates, limits = [MULTIPLIERS, np.array([2**15, 2**14], np.int32)], [2**30, 2**31 - 9]
    wanted = tuple(map(fixed.update_bias, olds, accs, rates, limits))

    def both(a, b, c, d):
        return tuple(updates.update_biases([a, b], [c, d], rates, limits))

    check(both, wanted, *olds, *accs)


@pytest.mark.parametrize("realign", [-62, -31, -3, -1, 0, 1, 5, 31, 40])
def test_momentum(realign):
    velocity = RNG.integers(-(2**31), 2**31, (5, 9)).astype(np.int32)
    acc = RNG.integers(-(2**31), 2**31, (5, 9)).astype(np.int32)
    velocity[0] = np.arange(-4, 5)
    wanted = fixed.momentum(velocity, acc, 3, realign)

    check(lambda v, a, r: updates.momentum(v, a, 3, r), wanted, velocity, acc, numbers(realign))


@pytest.mark.parametrize("batch", [1, 5, 12, 32])
@pytest.mark.parametrize("exponent", [-64, -40, -20, -7, 0, 3, 30])
def test_rates(exponent, batch):
    rates = np.array([[2**30, 2**31 - 1, 1518500250, 0, 2**30 + 1], [-31, 0, 5, 30, -12]], np.int32)
    pairs = [(32, 256), (16, 77), (32, 1), (32, 0)]
    wanted = tuple(rate_multiplier(rates, exponent, batch, rate, part) for part, rate in pairs)

    def all_of(e, *factors):
        asked = [
            Rate(rates, e, batch, factor, part)
            for factor, (part, _) in zip(factors, pairs, strict=True)
        ]
        return tuple(updates.rate_multipliers(asked))

    check(all_of, wanted, numbers(exponent), *(numbers(rate) for _, rate in pairs))


def test_rates_that_are_known_are_constants():
    rates = np.array([[2**30, 1518500250], [1, -3]], np.int32)
    (found,) = updates.rate_multipliers([Rate(rates, -7, 5, 256, 32)])

    np.testing.assert_array_equal(found, rate_multiplier(rates, -7, 5, 256, 32))
