"""Weights along signs: layers of every size, steps of every kind, and nothing written beside them.

Groups of outputs are drawn and stepped at a time, and vectors of 64 weights end inside rows.
"""

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from edgetrain import fixed
from edgetrain.arithmetic import rooms
from edgetrain.arithmetic.instructions import GIVEN, INSTRUCTIONS
from edgetrain.arithmetic.randomness import PERTURB, ROUND, stream_key
from edgetrain.fixed import Window
from edgetrain.kernels import cpu_numba_machine as machine
from edgetrain.kernels.cpu_numba_single import NO_CODES, NO_TARGETS
from edgetrain.rules.weight_space import BIAS_INPUT, LOGIT_BITS, SIGN_BITS
from edgetrain.state import rate_multiplier

FENCE, MARK, SEED, NUMBER, TENSOR, RATE = 1 << 12, 0x5A, 11, 7, 12345, 200
LIMIT = 50_000
SIZES = [1, 4, 9, 63, 64, 65, 70, 129, 784]
OUTPUTS = [1, 5, 16, 17, 100]
INT32_MAX = 2**31 - 1


class Fenced:
    """An array with marks behind it."""

    def __init__(self, count, dtype=np.int8):
        size = count * np.dtype(dtype).itemsize
        raw = np.full(size + FENCE, MARK, np.uint8)
        self.raw, self.data, self.fence = raw, raw[:size].view(dtype), raw[size:]

    def stands(self):
        return bool((self.fence == MARK).all())


def dense(size, outputs, samples=1):
    return (1, 1, size, 1, 1, outputs, 1, 1, 1, 1, 0, 0, samples)


def execute(name, sizes, old, new, batch=1, **operands):
    """Execute an instruction between two blocks; return how many weights saturated."""
    given = np.zeros(len(GIVEN), np.int64)
    given[:4] = batch, SEED, NUMBER, RATE
    numbers = [
        v.ctypes.data if isinstance(v := operands[key], np.ndarray) else int(v)
        for key in INSTRUCTIONS[name]
    ]
    table = machine.assemble([(name, sizes, numbers)])
    places = np.empty(machine.PLACES, np.int64)
    machine.run(table, old, new, NO_CODES, NO_CODES, NO_TARGETS, given, places)
    return int(given[5])


def parameters(size, outputs):
    """Draw weights and biases, many of them at their limits, in a block of their own."""
    rng = np.random.default_rng(size * 1000 + outputs)
    w = np.clip(rng.normal(0, 90, (outputs, size)).round(), -127, 127).astype(np.int8)
    b = rng.integers(-LIMIT, LIMIT + 1, outputs).astype(np.int32)
    b[::3] = np.sign(b[::3]) * LIMIT
    old = Fenced(place_of_b(size, outputs) + 4 * outputs, np.uint8)
    old.data[: w.size] = w.view(np.uint8).reshape(-1)
    old.data[place_of_b(size, outputs) :] = b.view(np.uint8)
    return w, b, old


def place_of_b(size, outputs):
    return rooms.whole(size * outputs, 64)


def signs(query, queries, outputs, size):
    key = stream_key(SEED, NUMBER * queries + query, TENSOR, PERTURB)
    drawn = fixed.random_signs(key, outputs, size + 1).astype(np.int64)
    return drawn[:, :-1], drawn[:, -1]


def moved(w, b, eps):
    u_w, u_b = signs(1, 3, *w.shape)
    new_w = np.clip(w + eps * u_w, -127, 127).astype(np.int8)
    return new_w, np.clip(b + eps * BIAS_INPUT * u_b, -LIMIT, LIMIT).astype(np.int32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("eps", [1, -7, 127, -128, 254, 300])
def test_perturbed_weights_are_clipped_and_stay_in_their_rooms(size, eps):
    for outputs in OUTPUTS:
        sizes = dense(size, outputs)
        w, b, old = parameters(size, outputs)
        room, new_w = Fenced(rooms.signs(sizes)), Fenced(w.size + rooms.SLACK)
        new_b = Fenced(outputs, np.int32)

        execute("perturb", sizes, old.raw, old.raw, w=0, b=place_of_b(size, outputs), size=abs(eps),
                sign=np.sign(eps), query=1, queries=3, limit=LIMIT, tensor=TENSOR, room=room.data,
                w_out=new_w.data, b_out=new_b.data)  # fmt: skip

        wanted_w, wanted_b = moved(w, b, eps)
        np.testing.assert_array_equal(new_w.data[: w.size].reshape(w.shape), wanted_w)
        np.testing.assert_array_equal(new_b.data, wanted_b)
        assert all(place.stands() for place in (room, new_w, new_b, old))


@pytest.mark.parametrize("shape", [*((1, 1, n) for n in SIZES), (3, 3, 3), (3, 3, 4), (1, 2, 1)])
@pytest.mark.parametrize("eps", [1, -7, 127, -128, 300])
def test_weights_packed_while_they_move_give_the_sums_of_moved_ones(shape, eps):
    kh, kw, channels = shape
    rng, window, zero, side = (
        np.random.default_rng(8),
        Window((kh, kw), (1, 1), (0,) * 4),
        -5,
        max(kh, kw),
    )
    for outputs in OUTPUTS:
        size = kh * kw * channels
        sizes = (side, side, channels, side - kh + 1, side - kw + 1, outputs, kh, kw, 1, 1, 0, 0, 3)
        w, b, old = parameters(size, outputs)
        room, packed = Fenced(rooms.perturbed(sizes)), Fenced(rooms.packed(sizes))
        bias = Fenced(rooms.whole(outputs, rooms.COLUMNS), np.int32)

        execute("pack_perturbed", sizes, old.raw, old.raw, w=0, b=place_of_b(size, outputs),
                zero=zero, size=abs(eps), sign=np.sign(eps), query=1, queries=3, limit=LIMIT,
                tensor=TENSOR, room=room.data, packed=packed.data, bias=bias.data)  # fmt: skip

        assert all(place.stands() for place in (room, packed, bias, old))
        new_w, new_b = moved(w, b, eps)
        x = rng.integers(-128, 128, (3, side, side, channels)).astype(np.int8)
        wanted = fixed.conv2d_acc(x, new_w.reshape(outputs, *shape), new_b, zero, window)
        area = np.zeros(rooms.area(sizes) + rooms.SLACK, np.int16)
        y = np.zeros(wanted.size + rooms.SLACK, np.int32)
        execute("sums", sizes, old.raw, old.raw, batch=3, x=np.resize(x, x.size + rooms.SLACK),
                zero=zero, packed=packed.raw, bias=bias.raw, area=area, y=y)  # fmt: skip
        np.testing.assert_array_equal(y[: wanted.size].reshape(wanted.shape), wanted)


def rates(outputs, kind):
    """Rates of outputs: the same for all, runs of the same, or all different; some are 0."""
    rng = np.random.default_rng(outputs)
    base = rng.integers(2**30, INT32_MAX, outputs)
    if kind != "different":
        base = base[np.arange(outputs) // (outputs if kind == "same" else 7)]
    shift = np.full(outputs, -4) if kind == "same" else rng.integers(-9, 3, outputs)
    base[5::11] *= kind == "same"
    return np.stack([base, shift]).astype(np.int32)


def wanted_step(w, b, slopes, uses_sign, rates_w, rates_b, batch):
    """Step as `edgetrain.rules.weight_space.descend` does."""
    exponent, count = (-SIGN_BITS, 1) if uses_sign else (-LOGIT_BITS, batch)
    acc_w, acc_b = np.zeros(w.shape, np.int64), np.zeros(len(b), np.int64)
    for query, slope in enumerate(slopes):
        u_w, u_b = signs(query, len(slopes), *w.shape)
        factor = int(np.sign(slope)) << SIGN_BITS if uses_sign else slope
        acc_w, acc_b = acc_w + factor * u_w, acc_b + factor * u_b
    step_w = rate_multiplier(rates_w, exponent, count, RATE, 32)
    step_b = rate_multiplier(rates_b, exponent, count, RATE, 16)
    key = stream_key(SEED, NUMBER, TENSOR, ROUND)
    new_w, saturated = fixed.update_int8(w, acc_w.astype(np.int32), step_w, key)
    return new_w, fixed.update_bias(b, acc_b.astype(np.int32), step_b, LIMIT), saturated


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("slopes", [(3,), (-(2**23),), (0,), (5, -9, 2**20), (1, -1) * 32])
def test_steps_along_signs_equal_the_specification_and_stay_in_their_rooms(size, slopes):
    batch, found = 2, 0
    differences = np.array([[slope // 2, slope - slope // 2] for slope in slopes], np.int64)
    for outputs in OUTPUTS:
        sizes, (w, b, old) = dense(size, outputs), parameters(size, outputs)
        for kind in ("same", "runs", "different"):
            for uses_sign in (True, False):
                rates_w, rates_b = rates(outputs, kind), rates(outputs, kind)
                new, room = Fenced(len(old.data), np.uint8), Fenced(rooms.learning_signs(sizes))

                saturated = execute(
                    "learn_signs", sizes, old.raw, new.raw, batch=batch, difference=differences,
                    queries=len(slopes), capacity=batch, uses_sign=uses_sign, w=0,
                    b=place_of_b(size, outputs), master=-1, rate_w=rates_w, rate_b=rates_b,
                    limit=LIMIT, tensor=TENSOR, room=room.data, velocity=-1, unit=-1, decay=0,
                )  # fmt: skip

                new_w, new_b, wanted = wanted_step(w, b, slopes, uses_sign, rates_w, rates_b, batch)
                weights, between, biases = np.split(new.data, [w.size, place_of_b(size, outputs)])
                np.testing.assert_array_equal(weights.view(np.int8).reshape(w.shape), new_w)
                np.testing.assert_array_equal(biases.view(np.int32), new_b)
                assert saturated == wanted
                assert new.stands()
                assert room.stands()
                assert (between == MARK).all()
                found += saturated
    assert found or abs(slopes[0]) < 2**20
