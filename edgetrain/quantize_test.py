"""int8 networks against the real ones that they stand for."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edgetrain import fixed
from edgetrain.architectures import ARCHITECTURES
from edgetrain.data import digits
from edgetrain.errors import DataError, ModelError
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.inference import apply, infer
from edgetrain.model import FloatModel, Weights
from edgetrain.outputs import predict
from edgetrain.quantize import FIXED, affine, fold_batch_norm, observe, quantize, weight_scales
from edgetrain.reals import conv2d, forward
from edgetrain.reals import output as real_output


def error(real: FloatModel, x, **options) -> float:
    """Root mean square difference of int8 and real output, over that of the real output."""
    model = quantize(real, x, **options)
    scale, zero_point = model.scheme.activations[model.graph.output.name]
    codes = infer(model, model.quantize_input(x), fixed).astype(float)
    wanted = real_output(real, x)
    difference = scale * (codes - zero_point) - wanted
    return float(np.sqrt((difference**2).mean() / (wanted**2).mean()))


def balanced(graph: Graph, x, seed: int = 0) -> FloatModel:
    """Draw weights and biases that give every layer results of size one."""
    rng, params = np.random.default_rng(seed), {}
    for node in graph.trainable:
        w = rng.normal(size=graph.weight_shape(node)).astype(np.float32)
        params[node.name] = Weights(w, rng.normal(0, 0.2, node.n_out).astype(np.float32))
    for node in graph.trainable:
        w, b = params[node.name]
        size = max(float(forward(FloatModel(graph, params), x)[node.name].std()), 1e-3)
        params[node.name] = Weights(w / np.float32(size), b)
    return FloatModel(graph, params)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_int8_output_is_that_of_the_real_network(name):
    shape = (24,) if name in ("mlp", "autoencoder") else (16, 16, 3)
    n_out = 24 if name == "autoencoder" else 5
    options = {"channels": 8} if name in ("resnet8", "ds_cnn") else {}
    x = np.random.default_rng(1).normal(size=(16, *shape)).astype(np.float32)
    real = balanced(ARCHITECTURES[name](shape, n_out, **options).graph, x)

    assert error(real, x) < {"mobilenet_v1": 0.25}.get(name, 0.08)
    assert error(real, x, headroom=8.0) > error(real, x)  # coarser steps


def test_int8_digits_are_classified_as_by_the_real_network():
    data = digits()
    x, test = (s.reshape(len(s), -1) for s in (data.x_train, data.x_test))
    target = np.eye(10)[data.y_train] * 8 - 4
    ridge = np.linalg.solve(x.T @ x + np.eye(64), x.T @ target)
    graph = Graph((64,), (Node("classifier", "dense", (INPUT,), 10),))
    real = FloatModel(graph, {"classifier": Weights(ridge.T, np.zeros(10))})
    model = quantize(real, x[:256])

    found = predict(model, model.quantize_input(test), fixed) / 1024
    wanted = real_output(real, test)
    assert abs(found - wanted).max() < 0.1
    assert (found.argmax(1) == wanted.argmax(1)).mean() > 0.98
    assert (found.argmax(1) == data.y_test).mean() > 0.8


def test_percentiles_cut_outliers_off():
    x = np.random.default_rng(2).normal(size=(256, 40)).astype(np.float32)
    x[3, 5] = 1000.0
    graph = Graph((40,), (Node("classifier", "dense", (INPUT,), 5),))
    real = balanced(graph, x[10:])
    scales = {
        method: quantize(real, x, method=method).scheme.activations[INPUT].scale
        for method in ("min_max", "percentile")
    }

    assert scales["min_max"] > 1000 / 255
    assert scales["percentile"] < 20 / 255
    assert observe(real, x)[INPUT][1] == 1000
    clean = x[10:]
    coarse, fine = (quantize(real, x, method=method) for method in scales)
    distance = [
        abs(predict(m, m.quantize_input(clean), fixed) / 1024 - real_output(real, clean)).mean()
        for m in (coarse, fine)
    ]
    assert distance[1] < distance[0] / 10


def test_headroom_leaves_room_for_weights_and_results():
    x = np.random.default_rng(3).normal(size=(64, 12)).astype(np.float32)
    real = balanced(ARCHITECTURES["mlp"]((12,), 3, hidden=(8,)).graph, x)
    tight, roomy = (quantize(real, x, headroom=h) for h in (1.0, 2.0))

    assert set(abs(tight.params["hidden1"].w).max(axis=1)) == {127}
    assert set(abs(roomy.params["hidden1"].w).max(axis=1)) <= {63, 64}
    ratio = [m.scheme.activations["hidden1"].scale for m in (roomy, tight)]
    assert ratio[0] == pytest.approx(2 * ratio[1], rel=1e-6)
    assert roomy.scheme.activations[INPUT] == tight.scheme.activations[INPUT]


def test_batch_normalization_folds_into_the_layer_before_it():
    rng = np.random.default_rng(4)
    x = rng.normal(size=(6, 5, 5, 3)).astype(np.float32)
    w = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    b, gamma, beta, mean = rng.normal(size=(4, 4)).astype(np.float32)
    variance = rng.uniform(0.5, 2, 4).astype(np.float32)
    window = Window((3, 3), (1, 1), (1, 1, 1, 1))
    normal = (conv2d(x, w, window) + b - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    folded = fold_batch_norm(Weights(w, b), gamma, beta, mean, variance, 1e-3)

    np.testing.assert_allclose(conv2d(x, folded.w, window) + folded.b, normal, atol=1e-5)
    assert abs(normal - conv2d(x, w, window) - b).max() > 1
    assert (folded.w.dtype, folded.b.dtype) == (np.float32, np.float32)


def test_a_bias_that_no_accumulator_holds_is_refused():
    graph = Graph((2,), (Node("huge", "dense", (INPUT,), 2),))
    weights = Weights(np.full((2, 2), 1e-6, np.float32), np.array([0, 1e6], np.float32))
    with pytest.raises(ModelError, match=r"node 'huge': a bias is .* does not fit in int32"):
        quantize(FloatModel(graph, {"huge": weights}), np.full((4, 2), 1e-3, np.float32))
    small = weights._replace(b=np.zeros(2, np.float32))
    quantize(FloatModel(graph, {"huge": small}), np.full((4, 2), 1e-3, np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_calibration_data_that_are_not_finite_are_refused(bad):
    x = np.ones((8, 4), np.float32)
    x[5, 2] = bad
    with pytest.raises(DataError, match="must be finite"):
        quantize(ARCHITECTURES["mlp"]((4,), 3), x)


@pytest.mark.parametrize("shape", [(0, 4), (8, 3), (8, 4, 1), (4,)])
def test_calibration_data_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match=r"samples of shape \(4,\), got"):
        quantize(ARCHITECTURES["mlp"]((4,), 3), np.ones(shape, np.float32))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "kl"}, "method must be"), ({"percentile": 50.0}, "percentile must be"),
     ({"percentile": 101.0}, "got 101"), ({"headroom": 0.5}, r"headroom must be in \[1, 8\]"),
     ({"headroom": 9.0}, "got 9"), ({"headroom": float("nan")}, "headroom must be")],
)  # fmt: skip
def test_options_out_of_their_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        quantize(ARCHITECTURES["mlp"]((4,), 3), np.ones((8, 4), np.float32), **options)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_range_holds_zero_and_its_ends(low, high):
    scale, zero_point = affine(min(low, high), max(low, high))
    assert -128 <= zero_point <= 127
    for value in (0.0, low, high):
        code = np.clip(np.rint(value / scale) + zero_point, -128, 127)
        assert abs(scale * (code - zero_point) - value) <= 1.01 * scale


def test_channels_of_zeros_take_the_largest_scale():
    w = np.zeros((3, 2, 2, 1), np.float32)
    w[0, 0, 0] = -2.54
    assert weight_scales(w) == pytest.approx([0.02] * 3)
    assert (weight_scales(np.zeros((2, 3), np.float32)) > 0).all()


def test_a_dead_layer_can_be_quantized():
    real = ARCHITECTURES["mlp"]((4,), 3, hidden=(5,))
    dead = {"hidden1": Weights(real.params["hidden1"].w, np.full(5, -100, np.float32))}
    x = np.random.default_rng(6).normal(size=(8, 4)).astype(np.float32)
    model = quantize(FloatModel(real.graph, {**real.params, **dead}), x)

    assert (predict(model, model.quantize_input(x), fixed) == 0).all()


WINDOWS = st.builds(
    Window,
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(*[st.integers(0, 2)] * 4),
)


@st.composite
def graphs(draw) -> Graph:
    """Draw a short chain of operations that ends with a dense layer."""
    channels = draw(st.sampled_from([1, 2, 4]))
    shape = (draw(st.integers(4, 8)), draw(st.integers(4, 8)), channels)
    nodes: list[Node] = []
    for i in range(draw(st.integers(1, 4))):
        last = nodes[-1].name if nodes else INPUT
        op = draw(st.sampled_from(["conv2d", "conv2d", "max_pool", "average_pool", "add",
                                   "activation"]))  # fmt: skip
        window = draw(WINDOWS) if op in ("conv2d", "max_pool", "average_pool") else None
        n_out, inputs, activation = 0, (last,), draw(st.sampled_from(["", "relu", "relu6"]))
        current = Graph(shape, tuple(nodes)).shapes[last] if nodes else shape
        if op == "conv2d":
            groups = draw(st.sampled_from([g for g in (1, 2, 4) if current[2] % g == 0]))
            n_out = groups * draw(st.integers(1, 3))
            window = window._replace(groups=groups)
        elif op == "add":
            inputs = (last, last)
        elif op == "activation":
            activation = draw(st.sampled_from(["gelu", "silu", "sigmoid", "tanh", "hard_swish"]))
        else:
            activation = ""
        node = Node(f"n{i}", op, inputs, n_out, window, activation)
        try:
            Graph(shape, (*nodes, node))
        except ModelError:  # the window does not fit
            continue
        nodes.append(node)
    last = nodes[-1].name if nodes else INPUT
    end = draw(st.sampled_from(["global_average_pool", "flatten"]))
    nodes += [Node("end", end, (last,)), Node("classifier", "dense", ("end",), 3)]
    return Graph(shape, tuple(nodes))


@settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
@given(graphs(), st.floats(-3, 3), st.integers(0, 99))
def test_every_value_of_a_random_network_is_near_the_real_one(graph, middle, seed):
    """Zero points follow from the middle of the inputs; a value errs by a few of its steps."""
    rng = np.random.default_rng(seed)
    x = (rng.uniform(-1, 1, (6, *graph.input_shape)) + middle).astype(np.float32)
    real = balanced(graph, x, seed)
    wanted = forward(real, x)
    assume(min(float(value.std()) for value in wanted.values()) > 1e-2)  # nothing is dead
    model = quantize(real, x)
    values = {INPUT: model.quantize_input(x)}
    for node in graph.nodes:
        values[node.name] = apply(model, node, values, fixed)
        scale, zero_point = model.scheme.activations[node.name]
        found = scale * (values[node.name].astype(float) - zero_point)
        step = max(scale, np.ptp(wanted[node.name]) / 255)
        rough = np.sqrt(((found - wanted[node.name]) ** 2).mean()) / step
        assert rough < 6, (node, rough)


def test_sigmoid_and_tanh_have_the_scales_of_tensorflow_lite():
    nodes = [Node("dense", "dense", (INPUT,), 4)]
    nodes += [Node(n, "activation", ("dense",), activation=n) for n in ("sigmoid", "tanh")]
    x = np.random.default_rng(5).normal(size=(8, 3)).astype(np.float32)
    model = quantize(balanced(Graph((3,), tuple(nodes)), x), x)

    for name, quantization in FIXED.items():
        assert model.scheme.activations[name] == quantization
