"""Forward gradients are right on average: over many signs they become the true gradient.

Weights are frozen, so that every step estimates the same gradient with other signs. With n signs
a draw and m draws, an unbiased estimate has the cosine sqrt(m / (m + n)) with the truth; a wrong
factor shows in its length along the truth.
"""

import numpy as np
import pytest

from edgetrain import backward, fixed
from edgetrain.fixed import Window
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import FloatModel, Model, Weights
from edgetrain.outputs import targets_q10
from edgetrain.quantize import quantize
from edgetrain.reals import output
from edgetrain.rules import Backprop, ForwardGradient, activity_space, weight_space
from edgetrain.settings import Settings
from edgetrain.state import output_span
from edgetrain.step import Step

BATCH, DISTANCE = 12, 1e-2
NEAR = Window((3, 3), (1, 1), (1, 1, 1, 1))


def dense_graph(n_out: int) -> Graph:
    return Graph((4,), (
        Node("hidden", "dense", (INPUT,), 6, activation="relu"),
        Node("classifier", "dense", ("hidden",), n_out),
    ))  # fmt: skip


CONV = Graph((5, 5, 2), (
    Node("first", "conv2d", (INPUT,), 4, NEAR, "relu"),
    Node("second", "conv2d", ("first",), 6, NEAR, "relu"),
    Node("pool", "global_average_pool", ("second",)),
    Node("classifier", "dense", ("pool",), 3),
))  # fmt: skip


def quantized(graph: Graph, task: str = "classify"):
    rng = np.random.default_rng(3)
    x = rng.uniform(-1, 1, (BATCH, *graph.input_shape)).astype(np.float32)
    params = {}
    for n in graph.trainable:
        w = rng.normal(0, 1.5 * graph.fan_in(n) ** -0.5, graph.weight_shape(n))
        params[n.name] = Weights(w.astype(np.float32), np.full(n.n_out, 0.1, np.float32))
    model = quantize(FloatModel(graph, params), x, headroom=2.0, task=task)
    return model, model.quantize_input(x), np.zeros(BATCH, np.int64)


def real_params(model: Model) -> dict[str, Weights]:
    found = {}
    for node in model.graph.trainable:
        w, b = model.params[node.name]
        scale = model.scheme.weights[node.name].reshape(-1, *[1] * (w.ndim - 1))
        found[node.name] = Weights(w * scale, b * model.scheme.acc_scale(node))
    return found


def finite_differences(model: Model, x, loss) -> dict[str, np.ndarray]:
    """Return the derivatives of a loss by all weights."""
    params, found = real_params(model), {}
    scale, zero_point = model.scheme.activations[INPUT]
    real = (scale * (x.astype(float) - zero_point)).astype(np.float32)
    for name, (w, _) in params.items():
        slopes = np.zeros(w.size)
        for i in range(w.size):
            old = w.flat[i]
            for sign in (1, -1):
                w.flat[i] = old + sign * DISTANCE
                outputs = output(FloatModel(model.graph, params), real).astype(float)
                slopes[i] += sign * loss(outputs) / (2 * DISTANCE)
            w.flat[i] = old
        found[name] = slopes.reshape(w.shape)
    return found


def cross_entropy(outputs) -> float:
    return float((np.log(np.exp(outputs).sum(axis=1)) - outputs[:, 0]).sum())


@pytest.fixture
def sums(monkeypatch):
    """Freeze the weights and add up the gradients of every step, in units of the sums."""
    found: dict[str, np.ndarray] = {}

    def update_node(step, node, acc_w, acc_b, exponent, rate=256, batch=0):
        found[node.name] = found.get(node.name, 0) + acc_w * 2.0**exponent

    monkeypatch.setattr(Step, "update_node", update_node)
    return found


def settle(rule, model: Model, x, y, steps: int, seed: int = 0) -> None:
    state = rule.init(model)
    for _ in range(steps):
        model, state, _ = rule.step(model, state, x, y, fixed, seed)


def agreement(found, wanted) -> tuple[float, float]:
    """Return the cosine, and the length of found along wanted over that of wanted."""
    found, wanted = np.ravel(found), np.ravel(wanted)
    inner = found @ wanted
    return inner / np.linalg.norm(found) / np.linalg.norm(wanted), inner / (wanted @ wanted)


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_perturbed_weights_find_the_gradient(loss, sums):
    regression = loss == "squared_error"
    model, x, y = quantized(dense_graph(2 if regression else 3), "regress" if regression else
                            "classify")  # fmt: skip
    target = np.full((BATCH, 2), 2.0)
    if regression:
        y = targets_q10(model, target)
    span = output_span(model, model.graph.output)
    queries, steps = 50, 30
    rule = ForwardGradient(
        settings=Settings(loss=loss), space="weight", head="same", estimate="value",
        queries=queries, perturbation=0.05,
    )  # fmt: skip
    settle(rule, model, x, y, steps)

    wanted = finite_differences(
        model, x, lambda out: float((((out - target) / span) ** 2).sum() / 2) if regression else
        cross_entropy(out),
    )  # fmt: skip
    tensors = rule.init(model).tensors
    found = {
        name: sums[name] / (2 * tensors[f"perturb/{name}"] * model.scheme.weights[name])[:, None]
        for name in wanted
    }
    together = [np.concatenate([g[n].ravel() for n in wanted]) for g in (found, wanted)]
    cosine, length = agreement(together[0] / (steps * queries), together[1])
    assert cosine > 0.95
    assert abs(length - 1) < 0.1
    for name in wanted:
        assert agreement(found[name], wanted[name])[0] > 0.9, name


@pytest.mark.slow
@pytest.mark.parametrize("estimate", ["value", "sign"])
@pytest.mark.parametrize("graph", [dense_graph(3), CONV], ids=["dense", "conv"])
def test_perturbed_activities_find_the_error_of_backpropagation(graph, estimate, sums, monkeypatch):
    """A convolution's estimate is right for the sum of a channel's pixels, which share it."""
    model, x, y = quantized(graph)
    exact = exact_errors(model, x, y, monkeypatch)
    estimates: dict[str, list[np.ndarray]] = {}
    original = activity_space.estimate

    def watched(step, node, *rest):
        e, exponent = original(step, node, *rest)
        estimates.setdefault(node.name, []).append(e * 2.0**exponent)
        return e, exponent

    monkeypatch.setattr(activity_space, "estimate", watched)
    rule = ForwardGradient(
        settings=Settings(error_clip=2.0**10), estimate=estimate, queries=8, perturbation=3.0
    )
    settle(rule, model, x, y, 150)

    assert set(estimates) == set(exact) - {"classifier"}
    for name, drawn in estimates.items():
        found, wanted = np.mean(drawn[20:], axis=0), exact[name]
        if name == "second":  # right before the global pool every pixel's error is the same
            assert agreement(found, wanted)[0] > 0.8
        pixels = tuple(range(1, found.ndim - 1))
        found, wanted = found.sum(axis=pixels), wanted.sum(axis=pixels)
        if estimate == "value":
            cosine, length = agreement(found, wanted)
            assert cosine > 0.9, (name, cosine)
            assert abs(length - 1) < 0.15, (name, length)
        else:  # a sample's sign forgets its length
            alive = [(f, w) for f, w in zip(found, wanted, strict=True) if w.any()]
            assert np.mean([agreement(f, w)[0] for f, w in alive]) > 0.8, name


def exact_errors(model: Model, x, y, monkeypatch) -> dict[str, np.ndarray]:
    """Return the errors of all layers' accumulators by backpropagation, in real units."""
    found: dict[str, np.ndarray] = {}
    original_gradients, original_update = backward.gradients, Step.update_node

    def gradients(model, node, source, e, ops):
        found[node.name] = e.astype(float)
        return original_gradients(model, node, source, e, ops)

    def update_node(step, node, acc_w, acc_b, exponent, *rest):
        found[node.name] *= 2.0**exponent

    with monkeypatch.context() as patch:
        patch.setattr(backward, "gradients", gradients)
        patch.setattr(Step, "update_node", update_node)
        settle(Backprop(), model, x, y, 12)
    assert Step.update_node is original_update
    return found


def test_signs_of_weights_point_along_the_gradient(sums):
    model, x, y = quantized(dense_graph(3))
    rule = ForwardGradient(space="weight", head="same", estimate="sign", queries=32)
    settle(rule, model, x, y, 20)

    wanted = finite_differences(model, x, cross_entropy)
    # The sign forgets how steep the loss is but not where to; all layers share one length.
    found = np.concatenate([sums[n].ravel() * model.scheme.weights[n].mean() for n in wanted])
    truth = np.concatenate(
        [(wanted[n] * model.scheme.weights[n][:, None] ** 2).ravel() for n in wanted]
    )
    assert agreement(found, truth)[0] > 0.8


def test_a_draw_estimates_nothing_where_the_loss_does_not_change(sums, monkeypatch):
    """With equal losses on both sides an estimate is 0, whatever the signs."""
    model, x, y = quantized(dense_graph(3))
    for space in (activity_space, weight_space):
        monkeypatch.setattr(space, "outputs", lambda *args: np.zeros((BATCH, 3), np.int32))
    for space in ("activity", "weight"):
        for estimate in ("value", "sign"):
            sums.clear()
            rule = ForwardGradient(space=space, estimate=estimate, queries=3)
            settle(rule, model, x, y, 3)
            assert not sums["hidden"].any()
            assert sums["classifier"].any()  # the exact head still learns
