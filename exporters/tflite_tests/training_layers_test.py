"""Layers and their gradients in training files: equal to the specification in odd shapes."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.arithmetic.layers import Window
from edgetrain.exporters.tflite_tests.training_interpreters import check
from edgetrain.exporters.tflite_training import gradients, layers
from edgetrain.exporters.training_tests.cases import GROUPS, POOLS, WINDOWS

RNG = np.random.default_rng(5)


def int8(*shape, low=-128):
    return RNG.integers(low, 128, shape).astype(np.int8)


def errors(*shape):
    return int8(*shape, low=-127)


def biases(n):
    return RNG.integers(-(2**20), 2**20, n).astype(np.int32)


@pytest.mark.parametrize("zero_point", [-128, 0, 5])
def test_dense(zero_point):
    x, w, b, e = int8(5, 13), errors(7, 13), biases(7), errors(5, 7)
    x[0], w[0] = -128, 127

    check(
        lambda *a: layers.dense_acc(*a, zero_point), fixed.dense_acc(x, w, b, zero_point), x, w, b
    )
    check(
        lambda *a: gradients.dense_grad_w(*a, zero_point),
        fixed.dense_grad_w(x, e, zero_point),
        x,
        e,
    )


@pytest.mark.parametrize("least", [1, 128])
def test_errors_of_a_dense_layer(least):
    e, w = errors(5, 7), errors(7, 13)
    e[0], e[1] = 127, -127
    ratio = np.array([128, least, least, 128, max(least, 77), least, 128], np.int16)

    check(lambda *a: gradients.dense_grad_x(*a, ratio), fixed.dense_grad_x(e, w, ratio), e, w)


@pytest.mark.parametrize("sizes", GROUPS)
@pytest.mark.parametrize("window", WINDOWS)
def test_convolutions(window, sizes):
    channels, groups, n_out = sizes
    window = window._replace(groups=groups)
    x, w, b = (
        int8(2, 8, 7, channels),
        errors(n_out, *window.kernel, channels // groups),
        biases(n_out),
    )
    e = errors(2, *window.output_size(8, 7), n_out)
    ratio = RNG.integers(1, 129, n_out).astype(np.int16)

    check(
        lambda *a: layers.conv2d_acc(*a, -77, window),
        fixed.conv2d_acc(x, w, b, -77, window),
        x,
        w,
        b,
    )
    check(
        lambda *a: gradients.conv2d_grad_w(*a, -77, window),
        fixed.conv2d_grad_w(x, e, -77, window), x, e,
    )  # fmt: skip
    check(
        lambda *a: gradients.conv2d_grad_x(*a, ratio, x.shape, window),
        fixed.conv2d_grad_x(e, w, ratio, x.shape, window), e, w,
    )  # fmt: skip


@pytest.mark.parametrize("window", POOLS)
def test_pools(window):
    x = int8(2, 7, 6, 5)
    x[0, :3], x[1, :3] = -128, 7
    e = errors(2, *window.output_size(7, 6), 5)
    index = fixed.max_pool_index(x, window)

    check(lambda t: layers.average_pool(t, window), fixed.average_pool(x, window), x)
    check(lambda t: layers.max_pool(t, window), fixed.max_pool(x, window), x)
    check(lambda t: gradients.max_pool_index(t, window), index, x)
    check(
        lambda t: gradients.average_pool_grad(t, x.shape, window),
        fixed.average_pool_grad(e, x.shape, window), e,
    )  # fmt: skip
    check(
        lambda *a: gradients.max_pool_grad(*a, x.shape, window),
        fixed.max_pool_grad(e, index, x.shape, window), e, index.astype(np.int32),
    )  # fmt: skip


def test_averages_at_every_tie():
    x = np.arange(-128, 128, dtype=np.int16).astype(np.int8)
    pairs = np.stack([x, np.roll(x, 1)], 1).reshape(1, 1, 512, 1)
    window = Window((1, 2), (1, 2), (0, 0, 0, 0))

    check(lambda t: layers.average_pool(t, window), fixed.average_pool(pairs, window), pairs)


def test_global_average():
    x = int8(2, 7, 6, 5)

    check(
        lambda t: layers.global_average_pool(t, -5, 1518500250, 1, 9),
        fixed.global_average_pool(x, -5, 1518500250, 1, 9), x,
    )  # fmt: skip


def test_add():
    a, b = np.meshgrid(np.arange(-128, 128, 3), np.arange(-128, 128, 5))
    a, b = a.astype(np.int8), b.astype(np.int8)
    a_scale, b_scale, y_scale = (1518500250, -1), (2**30, 0), (1717986918, -17)
    ends = (5, y_scale, -120, 100)

    check(
        lambda s, t: layers.add(s, 3, a_scale, t, -7, b_scale, *ends),
        fixed.add(a, 3, a_scale, b, -7, b_scale, *ends), a, b,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [np.int8, np.int32])
def test_tables(dtype):
    x, table = int8(3, 50), RNG.integers(-128, 128, 256).astype(dtype)

    check(lambda t: layers.look_up(t, table), fixed.look_up(x, table), x)
