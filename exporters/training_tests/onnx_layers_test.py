"""Layers, pools, losses and their errors as ONNX nodes: equal to the specification."""

import numpy as np
import pytest

from edgetrain.arithmetic.rounding import INT32_MAX
from edgetrain.exporters.training_tests.cases import GROUPS, POOLS, WINDOWS
from edgetrain.exporters.training_tests.onnx_operations import check

RNG = np.random.default_rng(5)


def int8(*shape, low=-128):
    return RNG.integers(low, 128, shape).astype(np.int8)


def errors(*shape):
    return int8(*shape, low=-127)


def int32(*shape, most=2**20):
    return RNG.integers(-most, most, shape).astype(np.int32)


@pytest.mark.parametrize("zero", [-128, 0, 5])
def test_dense(zero):
    x, w = int8(5, 13), errors(7, 13)
    x[0], w[0] = -128, 127

    check(lambda m, x, w, b, step: m.dense_acc(x, w, b, zero), x=x, w=w, b=int32(7))
    check(lambda m, x, e, step: m.dense_grad_w(x, e, zero), x=x, e=errors(5, 7))


@pytest.mark.parametrize("least", [1, 77, 128])
def test_errors_of_a_dense_layer(least):
    e, w = errors(5, 7), errors(7, 13)
    e[0], e[1] = 127, -127
    ratio = np.array([128, least, least, 128, 96, least, 128], np.int16)
    ratio = ratio if least < 128 else np.full(7, 128, np.int16)

    check(lambda m, e, w, step: m.dense_grad_x(e, w, ratio), e=e, w=w)


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("window", WINDOWS)
def test_convolution(window, groups):
    channels, count, n_out = groups
    window = window._replace(groups=count)
    x, w = int8(3, 7, 6, channels), errors(n_out, *window.kernel, channels // count)
    e = errors(3, *window.output_size(7, 6), n_out)
    ratio = RNG.integers(1, 129, n_out).astype(np.int16)

    check(lambda m, x, w, b, step: m.conv2d_acc(x, w, b, 5, window), x=x, w=w, b=int32(n_out))
    check(lambda m, x, e, step: m.conv2d_grad_w(x, e, 5, window), x=x, e=e)
    check(lambda m, e, w, step: m.conv2d_grad_x(e, w, ratio, x.shape, window), e=e, w=w)
    check(lambda m, e, step: m.grad_b(e), e=e)


@pytest.mark.parametrize("window", POOLS)
def test_pools(window):
    x = int8(2, 7, 6, 3, low=-3) // 2  # with many equals
    e, shape = errors(2, *window.output_size(7, 6), 3), x.shape

    check(lambda m, x, step: m.average_pool(x, window), x=x)
    check(lambda m, x, step: m.max_pool(x, window), x=x)
    check(lambda m, e, step: m.average_pool_grad(e, shape, window), e=e)
    check(
        lambda m, x, e, step: m.max_pool_grad(e, m.max_pool_index(x, window), shape, window),
        x=x, e=e,
    )  # fmt: skip
    check(lambda m, x, step: m.global_average_pool(x, -3, 1518500250, 1, 7), x=x)


def test_sums_of_two_scales():
    scales = (1518500250, -1), (2**30, 0), (1718987421, -19)

    check(
        lambda m, a, b, step: m.add(a, -5, scales[0], b, 9, scales[1], 3, scales[2], -100, 90),
        a=int8(2, 5, 4, 3), b=int8(2, 5, 4, 3),
    )  # fmt: skip


TIES = np.array([[0, 1, 2, 3, 5, 6, -1, -2, -3, -5, -6, -7], [2**20 - 1, -(2**20), 64, -64, 96,
                 -96, 127, 129, -127, -129, 10**6, -(10**6)]], np.int32)  # fmt: skip


@pytest.mark.parametrize("shift", [-31, -12, -7, -2, -1, 0, 3])
@pytest.mark.parametrize("multiplier", [2**30, 2**31 - 1, 1518500250])
def test_rounding_of_ties(multiplier, shift):
    check(lambda m, a, step: m.requantize(a, multiplier, shift, 3, -100, 120), a=TIES)
    check(lambda m, a, step: m.logits_q10(a, multiplier, shift), a=TIES)
    if shift <= 0:
        check(lambda m, a, step: m.scale_error(a, multiplier, shift), a=TIES)
        moving = np.array(shift, np.int32)
        check(
            lambda m, a, s, step: m.scale_error(a, multiplier, m.item(m.stack([s]), 0)),
            a=TIES, s=moving,
        )  # fmt: skip


def test_every_channel_has_its_own_rounding():
    shifts = np.array([0, -1, -2, 3] * 3, np.int32)
    multipliers = np.array([2**30, 2**31 - 1, 1518500250] * 4, np.int32)

    check(lambda m, a, step: m.requantize(a, multipliers, shifts, 3, -100, 120), a=TIES)


def test_losses():
    logits = int32(9, 5, most=2**13)
    logits[0], logits[1], logits[2] = 2**20 - 1, [2**20 - 1] + [1 - 2**20] * 4, [0, 0, 1, -1, 0]
    y = np.array([0, 1, 2, 3, 4, 0, 1, 2, 3], np.int32)
    numbers = {"output": logits, "target": int32(9, 5, most=2**13)}
    numbers["target"][0] = [-INT32_MAX - 1, INT32_MAX, 0, 1, -1]

    check(lambda m, logits, y, step: m.cross_entropy(logits, y), logits=logits, y=y)
    check(lambda m, logits, step: (m.softmax(logits), m.log_softmax(logits)), logits=logits)
    check(lambda m, output, target, step: m.squared_error(output, target), **numbers)


@pytest.mark.parametrize("limits", [(-128, None), (-3, None), (-128, 60), (0, 100)])
def test_where_an_activation_is_open(limits):
    check(lambda m, x, step: m.opened(x, *limits), x=int8(40, 20))
