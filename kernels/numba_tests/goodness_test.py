"""Instructions of Forward-Forward alone: ties, saturation, and what networks hardly meet."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from edgetrain import kernels
from edgetrain.arithmetic.goodness import (
    NORMAL_CODE,
    ROOT_BITS,
    normalize,
    pair_loss,
    scaled_goodness,
    sum_of_squares,
)
from edgetrain.arithmetic.instructions import INSTRUCTIONS
from edgetrain.arithmetic.losses import scale_error, softmax
from edgetrain.compiled.builder import Buffer, Builder, Place
from edgetrain.compiled.program import NOTHING, Program
from edgetrain.fixed import logits_q10
from edgetrain.kernels import cpu_numba_machine_goodness as machine
from edgetrain.rules.channel_labels import class_channels, class_goodness
from edgetrain.rules.input_labels import wrong_labels

SEED, NUMBER = 11, 3
SCALES = [(2**30, 0), (2**30, -1), (3 * 2**29, -3), (2**31 - 1, 5), (2**30, 12)]
"""Halves and quarters, which have ties; and factors that saturate."""


@pytest.fixture(scope="module")
def ops():
    return kernels.load("numba")


def run(ops, x, size, dtype, *rows, together=5, passes=1, targets=None):
    """Run instructions on samples, so many together; return what the last one leaves of each.

    Rows are (name, operands); an x is the samples and a y the result where none is given.
    """
    builder = Builder()
    given, result = builder.array(together * x[0].nbytes), builder.array(together * size, dtype)
    with builder.each(together, passes):
        builder.emit("input", y=given, size=x[0].nbytes)
        for name, operands in rows:
            missing = set(INSTRUCTIONS[name]) - set(operands)
            builder.emit(name, **{k: {"x": given, "y": result}[k] for k in missing}, **operands)
        has_result = "y" in INSTRUCTIONS[rows[-1][0]]
        last = result if has_result else given
        builder.emit("output", x=last, size=size * np.dtype(dtype).itemsize)
    program = Program(builder, ops)
    program.given[1], program.given[2] = SEED, NUMBER
    out = np.empty((passes * len(x), size), dtype)
    labels = np.zeros(len(x), np.int32) if targets is None else targets.astype(np.int32)
    program.run(NOTHING, NOTHING, np.ascontiguousarray(x).view(np.int8), out, labels)
    return out


def equal(found, wanted):
    np.testing.assert_array_equal(found, np.reshape(wanted, found.shape), strict=True)


def labelled(rng, count, classes):
    """Return Q10 numbers of classes, with ties and ones far below, and labels."""
    x = rng.integers(-3, 4, (count, classes)) * rng.choice([1, 1024, 2**17], (count, 1))
    return x.astype(np.int32), rng.integers(0, classes, count)


def test_reciprocals_divide_exactly():
    """Every quotient that `normalize` can meet."""
    roots = np.arange(1, 2 ** (machine.ROOT_TOP + 1))[:, None]
    dividends = np.arange(256) * (NORMAL_CODE << ROOT_BITS) + roots // 2
    reciprocals = (1 << machine.RECIPROCAL_BITS) // roots + 1
    equal(dividends * reciprocals >> machine.RECIPROCAL_BITS, dividends // roots)


@pytest.mark.parametrize("zero", [-128, -5, 100])
def test_layers_are_normalized_as_specified(ops, zero):
    codes = np.arange(zero, 128)
    x = np.stack(np.meshgrid(codes, codes), axis=-1).reshape(-1, 2).astype(np.int8)
    long = np.random.default_rng(1).integers(zero, 128, (7, 333)).astype(np.int8)
    for layers in (x, long, np.full((2, 3), zero, np.int8)):
        row = "normalize", {"zero": zero, "size": layers.shape[1]}
        equal(run(ops, layers, layers.shape[1], np.int8, row), normalize(layers, zero))


@pytest.mark.parametrize(("multiplier", "shift"), SCALES)
def test_goodness_is_added_up(ops, multiplier, shift):
    x = np.random.default_rng(2).integers(-128, -117, (64, 3)).astype(np.int8)
    x[:3] = [[-128] * 3, [127] * 3, [-127, -128, -128]]
    row = "goodness", {"zero": -128, "size": 3, "multiplier": multiplier, "shift": shift}
    once = scaled_goodness(sum_of_squares(x, -128), multiplier, shift)
    equal(run(ops, x, 1, np.int32, ("clear", {"size": 20}), row, row), 2 * once)


@pytest.mark.parametrize(("multiplier", "shift"), [*SCALES[:3], (2**30, 10)])
def test_channels_are_rectified_outputs(ops, multiplier, shift):
    x = np.concatenate([np.arange(-500, 40000, 7), [2**20, -(2**20), 2**16, -1]]).astype(np.int32)
    row = "class_channels", {"multiplier": multiplier, "shift": shift, "size": 2}
    wanted = class_channels(logits_q10(x[None], multiplier, shift), 1)
    equal(run(ops, x.reshape(-1, 2), 2, np.int8, row), (wanted - 128).astype(np.int8))


@pytest.mark.parametrize("pixels", [1, 7])
def test_goodness_of_classes_is_the_mean_square(ops, pixels):
    x = np.random.default_rng(3).integers(-128, 128, (9, pixels, 3)).astype(np.int8)
    x[:2] = [[[-128]], [[127]]]
    found = run(ops, x, 3, np.int32, ("class_goodness", {"pixels": pixels, "width": 3}))
    equal(found, class_goodness(x.astype(np.int32) + 128))


@pytest.mark.parametrize("classes", [2, 3, 40])
@pytest.mark.parametrize("hard", [True, False])
def test_wrong_labels_are_those_of_the_rule(ops, classes, hard):
    x, y = labelled(np.random.default_rng(4), 300, classes)
    given = {"width": classes} if hard else {"width": classes, "x": -1}
    row = "wrong_labels", given
    right, wrong = run(ops, x, 2, np.int32, row, together=len(x), targets=y).reshape(2, -1)
    weights = softmax(x) if hard else np.ones_like(x)
    equal(right, y.astype(np.int32))
    step = SimpleNamespace(seed=SEED, number=NUMBER)
    equal(wrong, wrong_labels(step, weights, y).astype(np.int32))
    assert (wrong != y).all()
    assert set(wrong) == set(range(classes))


@pytest.mark.parametrize("symmetric", [True, False])
def test_slopes_of_pairs_are_those_of_their_loss(ops, symmetric):
    """Equal goodnesses, ones next to each other, and ones as far apart as can be."""
    one = np.array([0, 1, 1024, 65536, 2**20 - 1, 5000], np.int32)
    x = np.stack([np.repeat(one, len(one)), np.tile(one, len(one))]).reshape(-1, 1)
    row = "pair_slopes", {"symmetric": int(symmetric), "threshold": 4096}
    value = x.reshape(2, -1) - (0 if symmetric else 4096)
    wanted = np.concatenate(pair_loss(value[0], value[1], symmetric)[:2])
    equal(run(ops, x, 1, np.int32, row, together=len(x)), wanted)


@pytest.mark.parametrize("symmetric", [True, False])
def test_slopes_stand_at_the_right_and_the_wrong_class(ops, symmetric):
    classes, threshold = 4, 1024
    x, y = labelled(np.random.default_rng(5), 60, classes)
    labels = Buffer(8 * len(x))
    rows = [
        ("wrong_labels", {"width": classes, "y": labels}),
        ("class_slopes", {"labels": labels, "width": classes, "symmetric": int(symmetric),
                          "threshold": threshold}),
    ]  # fmt: skip
    step, places = SimpleNamespace(seed=SEED, number=NUMBER), np.arange(len(x))
    wrong, taken = wrong_labels(step, softmax(x), y), 0 if symmetric else threshold
    wanted = np.zeros_like(x)
    wanted[places, y], wanted[places, wrong], _ = pair_loss(
        x[places, y] - taken, x[places, wrong] - taken, symmetric
    )
    equal(run(ops, x, classes, np.int32, *rows, targets=y), wanted)


def test_labels_are_tried_one_after_the_other(ops):
    x, classes, low = np.arange(-60, 60).reshape(12, 10).astype(np.int8), 3, -7
    row = "embed", {"labels": -1, "tries": 1, "classes": classes, "low": low, "size": 10}
    wanted = np.tile(x, (classes, 1))
    wanted[:, :classes] = low
    wanted[np.arange(36), np.arange(36) // 12] = 127
    equal(run(ops, x, 10, np.int8, row, passes=classes), wanted)


@pytest.mark.parametrize("right", [0, 1, 6, 31])
@pytest.mark.parametrize(("pixels", "width"), [(1, 1), (2100, 1), (701, 3), (2, 1500)])
def test_errors_are_slopes_times_activity(ops, right, pixels, width):
    """Of samples that have more numbers than are scaled at a time."""
    rng, zero, count = np.random.default_rng(6), -100, 3
    x = rng.integers(-128, 128, (count, pixels, width)).astype(np.int8)
    slopes = rng.integers(-(2**15), 2**15, (count, 1, width)).astype(np.int32)
    acc = slopes * (x.astype(np.int32) - zero)
    builder = Builder()
    given, y = builder.array(x.size), builder.array(x.size)
    watch, noted = builder.state([0, -1]), builder.state([0])
    with builder.each(count):
        builder.emit("input", y=given, size=pixels * width)
        builder.emit(
            "goodness_error", x=given, zero=zero, slopes=builder.constant(slopes, np.int32),
            pixels=pixels, width=width, multiplier=3 * 2**29, shift=0, limit=1 << 40, table=0,
            watch=Place(watch, 0), exponent=builder.constant([0], np.int64), y_exponent=noted, y=y,
        )  # fmt: skip
        builder.emit("output", x=y, size=pixels * width)
    program, out = Program(builder, ops, watch), np.empty_like(x)
    table = np.array([right], np.int32).view(np.uint8)
    program.run(table, table, x, out)
    wanted, peak = scale_error(acc, 3 * 2**29, -right)
    equal(out, wanted)
    assert program.reported.tolist() == [right, peak]
