"""Randomness, updates and integers as ONNX nodes: equal to the specification, at every limit."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.arithmetic.randomness import PERTURB, ROUND
from edgetrain.arithmetic.updates import MASTER_MAX, MASTER_MIN
from edgetrain.exporters.onnx_training import updates
from edgetrain.exporters.step_writing.emitter import Rate, Stream
from edgetrain.exporters.training_tests.onnx_operations import SEED, STEP, check

RNG = np.random.default_rng(7)
TENSORS = (788110543, 2**32 - 1, 0)
MULTIPLIERS = np.array([2**31 - 1, 2**20, 0, 77777, 2**27, 3], np.int32)


def octets(count):
    return RNG.integers(0, 256, count).astype(np.uint8)


@pytest.mark.parametrize("counts", [(101, 4, 33), (7,)])
def test_octets_of_several_streams(counts):
    def draw(emit, step):
        streams = [Stream(step, tensor, ROUND) for tensor in TENSORS]
        return emit.random_octets(list(zip(streams, counts, strict=False)))

    drawn = check(draw)
    words = fixed.random_words(fixed.stream_key(SEED, STEP, TENSORS[0], ROUND), np.arange(2))
    assert drawn[0][:7].tolist() == list(words.astype("<u4").tobytes()[:7])


@pytest.mark.parametrize("columns", [1, 31, 32, 33, 100])
def test_signs_and_numbers_below_bounds(columns):
    bounds = np.array([3, 10, 1, 2**31 - 1, 77], np.int32)

    check(lambda m, step: m.random_signs(Stream(step, TENSORS[1], PERTURB), 5, columns))
    check(lambda m, bounds, step: m.random_below(Stream(step, 5, ROUND), bounds), bounds=bounds)


def update(emit, kind, reach, w, acc, o):
    if hasattr(emit, "reaches"):
        emit.reaches[acc.name] = reach
    new, cut = getattr(emit, f"update_{kind}")([w], [acc], [MULTIPLIERS], [o])
    return new[0], cut


@pytest.mark.parametrize("low_bits", range(8, 14))
def test_int8_weights_at_every_number_of_low_bits(low_bits):
    """Below LEAST_LOW_BITS in int64, else in int32; with sums as large as they can be."""
    assert updates.LEAST_LOW_BITS == 9
    reach = ((1 << 31) - (1 << 23)) >> low_bits
    acc = RNG.integers(-reach, reach + 1, (6, 40)).astype(np.int32)
    acc[:, :4] = [reach, -reach, 0, 1]
    acc[:, 10:30] = RNG.integers(-300, 300, (6, 20))
    arrays = {"w": RNG.integers(-127, 128, acc.shape).astype(np.int8), "acc": acc}

    _, cut = check(
        lambda m, step, **given: update(m, "int8", reach, **given), **arrays, o=octets(acc.size)
    )
    assert 0 < cut < acc.size


@pytest.mark.parametrize("kind", ["int8", "int16"])
def test_filters_of_any_size_of_sums(kind):
    acc = RNG.integers(-(2**31), 2**31, (6, 3, 2, 5)).astype(np.int32)
    acc[0] = RNG.integers(-300, 300, (3, 2, 5))
    acc[1].flat[:4] = [-(2**31), 2**31 - 1, 0, 1]
    low, high = (-127, 127) if kind == "int8" else (MASTER_MIN, MASTER_MAX)
    w = RNG.integers(low, high + 1, acc.shape).astype(kind)

    check(
        lambda m, step, **given: update(m, kind, 2**31 - 1, **given), w=w, acc=acc,
        o=octets(acc.size),
    )  # fmt: skip


def test_the_middle_of_every_fraction_counts():
    """A step of k / 512 is rounded up by so many of the 256 octets as the specification says."""
    multiplier = np.array([1 << 23, 1 << 24, 3, 5, 7, 9], np.int32)
    acc = np.tile(np.arange(-128, 128, dtype=np.int32), (6, 2))
    w = np.zeros(acc.shape, np.int8)
    drawn = np.tile(np.arange(256), 12).astype(np.uint8)

    def both(emit, w, acc, o, step):
        if hasattr(emit, "reaches"):
            emit.reaches[acc.name] = 2**20
        new, cut = emit.update_int8([w], [acc], [multiplier], [o])
        return new[0], cut

    new, _ = check(both, w=w, acc=acc, o=drawn)
    assert set(np.unique(new)) == {-1, 0, 1}


def test_biases_of_several_layers():
    olds = [RNG.integers(-(2**30), 2**30, n).astype(np.int32) for n in (6, 2)]
    accs = [RNG.integers(-(2**28), 2**28, n).astype(np.int32) for n in (6, 2)]
    accs[0][:3] = [1, -1, 3]
    rates, limits = [MULTIPLIERS, np.array([2**15, 2**14], np.int32)], [2**30, 2**31 - 9]

    check(
        lambda m, a, b, c, d, step: m.update_biases([a, b], [c, d], rates, limits),
        a=olds[0], b=olds[1], c=accs[0], d=accs[1],
    )  # fmt: skip


@pytest.mark.parametrize("realign", [-62, -31, -3, -1, 0, 1, 5, 31, 40])
def test_momentum(realign):
    velocity = RNG.integers(-(2**31), 2**31, (5, 9)).astype(np.int32)
    acc = RNG.integers(-(2**31), 2**31, (5, 9)).astype(np.int32)
    velocity[0] = np.arange(-4, 5)

    check(
        lambda m, v, acc, r, step: m.momentum(v, acc, 3, m.item(r, 0)), v=velocity, acc=acc,
        r=np.array([realign], np.int32),
    )  # fmt: skip


@pytest.mark.parametrize("batch", [1, 5, 32])
@pytest.mark.parametrize("exponent", [-64, -40, -20, -7, 0, 3, 30])
def test_rates(exponent, batch):
    rates = np.array([[2**30, 2**31 - 1, 1518500250, 0, 2**30 + 1], [-31, 0, 5, 30, -12]], np.int32)
    kinds = [(32, 256), (16, 77), (32, 1), (32, 0)]

    def all_of(emit, e, r, step):
        asked = [Rate(rates, emit.item(e, 0), batch, emit.item(r, i), part)
                 for i, (part, _) in enumerate(kinds)]  # fmt: skip
        known = [Rate(rates, emit.item(e, 0), batch, rate, part) for part, rate in kinds]
        return emit.rate_multipliers(asked) + emit.rate_multipliers(known)

    check(all_of, e=np.array([exponent], np.int32), r=np.array([r for _, r in kinds], np.int32))


NUMBERS = np.array([0, 1, 2, 3, 31, 32, 63, 64, 65, 2**30 - 1], np.int32)


@pytest.mark.parametrize("bits", [0, 1, 5, 31])
def test_integers(bits):
    signed = np.concatenate([NUMBERS, -NUMBERS])

    check(lambda m, a, s, step: m.shift_right(a, m.item(s, 0)), a=signed,
          s=np.array([bits], np.int32))  # fmt: skip
    check(lambda m, a, step: m.shift_right(a, bits), a=signed)
    check(lambda m, a, step: m.floor_divide(a, 7), a=signed)
    check(lambda m, a, step: (m.bit_length(a), m.divide(a, 32), m.sign(a)), a=NUMBERS)


def test_places_in_rows():
    index = np.array([0, 2, -1, 3, 2**31 - 1], np.int32)
    x = RNG.integers(-9, 9, (5, 3)).astype(np.int32)
    x[1] = 4

    check(lambda m, x, index, step: m.pick(x, index), x=x, index=index)
    check(lambda m, v, index, step: m.place(v, index, 3), v=index, index=index)
    check(lambda m, x, step: (m.best(x), m.running_total(x), m.total(x, 1)), x=x)
    check(
        lambda m, x, index, step: m.with_rows(
            x, [1, 4], [m.cut(index, 0, 2, 0), m.column(x, [0, 2], 2), m.column(x, [3, 3], 0)]
        ),
        x=x, index=index,
    )  # fmt: skip
