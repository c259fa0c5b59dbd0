"""The networks of MLPerf Tiny: parameters and multiplications counted by hand, layer by layer."""

from itertools import pairwise

import numpy as np
import pytest

from edgetrain.architectures import ARCHITECTURES, cnn, ds_cnn, mlp, mobilenet_v1, resnet8
from edgetrain.architectures import autoencoder as dense_autoencoder
from edgetrain.errors import ModelError
from edgetrain.graph import INPUT
from edgetrain.quantize import quantize
from edgetrain.reals import forward


def conv(n_out: int, kernel: tuple[int, int], n_in: int, pixels: int) -> tuple[int, int]:
    """Return parameters and multiplications of a convolution, or of a dense layer (1x1)."""
    weights = n_out * kernel[0] * kernel[1] * n_in
    return weights + n_out, weights * pixels


def total(layers) -> tuple[int, int]:
    parameters, macs = zip(*layers, strict=True)
    return sum(parameters), sum(macs)


def test_ds_cnn_of_keyword_spotting():
    graph = ds_cnn((49, 10, 1), 12).graph
    pixels = 25 * 5
    blocks = [conv(64, (3, 3), 1, pixels), conv(64, (1, 1), 64, pixels)] * 4
    layers = [conv(64, (10, 4), 1, pixels), *blocks, conv(12, (1, 1), 64, 1)]

    assert total(layers) == (graph.parameters, graph.macs) == (22604, 2656768)
    assert {graph.shapes[f"block{i}_pointwise"] for i in (1, 2, 3, 4)} == {(25, 5, 64)}
    assert graph.shapes["stem"] == (25, 5, 64)
    assert graph.by_name["stem"].moving.padding == (4, 5, 1, 1)
    assert graph.shapes["classifier"] == (12,)


def test_resnet8_of_image_classification():
    graph = resnet8((32, 32, 3), 10).graph
    layers = [
        conv(16, (3, 3), 3, 1024), *[conv(16, (3, 3), 16, 1024)] * 2,
        conv(32, (3, 3), 16, 256), conv(32, (3, 3), 32, 256), conv(32, (1, 1), 16, 256),
        conv(64, (3, 3), 32, 64), conv(64, (3, 3), 64, 64), conv(64, (1, 1), 32, 64),
        conv(10, (1, 1), 64, 1),
    ]  # fmt: skip

    assert total(layers) == (graph.parameters, graph.macs) == (77706, 12501632)
    shapes = [graph.shapes[name] for name in ("stem", "res1", "res2", "res3", "pool")]
    assert shapes == [(32, 32, 16), (32, 32, 16), (16, 16, 32), (8, 8, 64), (64,)]
    assert graph.by_name["res1"].inputs == ("res1_b", "stem")
    assert graph.by_name["res3"].inputs == ("res3_b", "res3_skip")
    assert [n.activation for n in graph.nodes if n.name.startswith("res2")] == [
        "relu", "", "", "relu",
    ]  # fmt: skip


def test_mobilenet_v1_of_visual_wake_words():
    graph = mobilenet_v1((96, 96, 3), 2).graph
    plan = [(8, 16, 48), (16, 32, 24), (32, 32, 24), (32, 64, 12), (64, 64, 12), (64, 128, 6)]
    plan += [(128, 128, 6)] * 5 + [(128, 256, 3), (256, 256, 3)]
    layers = [conv(8, (3, 3), 3, 48 * 48), conv(2, (1, 1), 256, 1)]
    for n_in, n_out, side in plan:
        layers += [conv(n_in, (3, 3), 1, side**2), conv(n_out, (1, 1), n_in, side**2)]

    assert total(layers) == (graph.parameters, graph.macs)
    assert graph.parameters == 210850
    for i, (_, n_out, side) in enumerate(plan):
        assert graph.shapes[f"block{i + 1}_pointwise"] == (side, side, n_out)
    assert len(graph.trainable) == 28


def test_autoencoder_of_anomaly_detection():
    graph = dense_autoencoder((640,)).graph
    sizes = [640, *[128] * 4, 8, *[128] * 4, 640]
    layers = [conv(b, (1, 1), a, 1) for a, b in pairwise(sizes)]

    # MLPerf Tiny's has 267928: two numbers more for the normalization of each hidden unit.
    assert graph.parameters == 267928 - 2 * (8 * 128 + 8)
    assert total(layers) == (graph.parameters, graph.macs) == (265864, 264192)
    assert [graph.shapes[n.name] for n in graph.nodes] == [(n,) for n in sizes[1:]]
    assert [n.activation for n in graph.nodes] == ["relu"] * 9 + [""]
    with pytest.raises(ModelError, match=r"as many outputs as inputs \(640\), got 10"):
        dense_autoencoder((640,), 10)


def test_mlp_flattens_images():
    graph = mlp((28, 28, 1), 10, hidden=(16,)).graph
    assert [n.op for n in graph.nodes] == ["flatten", "dense", "dense"]
    assert graph.parameters == 784 * 16 + 16 + 160 + 10
    assert mlp((784,), 10).graph.parameters == 109386


def test_cnn_pools_while_the_image_is_large():
    graph = cnn((8, 8, 1), 10).graph
    assert graph.parameters == 16 * (9 + 1) + 32 * (16 * 9 + 1) + 32 * (32 * 4 + 1) + 10 * 33
    assert graph.shapes["pool2"][:2] == (2, 2)
    assert graph.by_name["conv3"].moving.kernel == (2, 2)  # no larger than its image
    signal = cnn((1, 50, 3), 4).graph
    assert signal.by_name["pool1"].moving.kernel == (1, 2)
    assert signal.by_name["conv1"].moving.kernel == (1, 3)


def test_a_signal_gets_kernels_of_height_one():
    graph = ds_cnn((1, 128, 9), 6).graph
    kernels = [n.moving.kernel for n in graph.nodes if n.op == "conv2d"]
    assert kernels == [(1, 9), *[(1, 5), (1, 1)] * 4]
    widths = [graph.shapes[f"block{i}_pointwise"][1] for i in (1, 2, 3, 4)]
    assert widths == [64, 32, 32, 16]


@pytest.mark.parametrize("name", ["cnn", "ds_cnn", "resnet8", "mobilenet_v1"])
@pytest.mark.parametrize("shape", [(784,), (28, 28)])
def test_convolutions_refuse_what_is_no_image(name, shape):
    with pytest.raises(ModelError, match=r"reads \(height, width, channels\), got"):
        ARCHITECTURES[name](shape, 10)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_seed_fixes_the_weights(name):
    shape = (32,) if name in ("mlp", "autoencoder") else (16, 16, 2)
    n_out = 32 if name == "autoencoder" else 3
    one, same, other = (ARCHITECTURES[name](shape, n_out, seed) for seed in (1, 1, 2))

    assert one.graph == same.graph == other.graph
    for key, (w, b) in one.params.items():
        np.testing.assert_array_equal(w, same.params[key].w)
        assert (w != other.params[key].w).all()
        assert (w.dtype, b.any()) == (np.float32, False)
        expected = (2 / one.graph.fan_in(one.graph.by_name[key])) ** 0.5
        assert w.std() == pytest.approx(expected, rel=4 / np.sqrt(2 * w.size))
    assert {INPUT, *(n.name for n in one.graph.nodes)} == set(
        forward(one, np.zeros((1, *shape), np.float32))
    )


def test_the_task_follows_the_network():
    x = np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)
    assert quantize(dense_autoencoder((12,), hidden=4), x).task == "reconstruct"
    assert quantize(mlp((12,), 3), x).task == "classify"
