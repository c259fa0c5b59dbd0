"""What a gradient does: updates, blocks that stay apart, masks, pools."""

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.backward import _input_error, forward, opened
from edgetrain.blocks import plan, select, split
from edgetrain.gradient_tests.replica import (
    BATCH,
    CLASSES,
    EVERY_OPERATION,
    NETWORKS,
    conv,
    pool,
    quantized,
    settle,
    values_of,
    with_heads,
)
from edgetrain.graph import INPUT, Graph, Node
from edgetrain.model import Model, Weights
from edgetrain.rules import Backprop, MonoForward
from edgetrain.rules import mono_forward as mono_forward_module
from edgetrain.settings import Settings
from edgetrain.step import Step


@pytest.mark.parametrize("name", ["mlp", "ds_cnn"])
def test_an_update_is_the_learning_rate_times_the_mean_gradient(name, monkeypatch):
    """In real units, per channel: ``w - rate * gradient / batch``, to half a step of a master."""
    model, x, y = quantized(NETWORKS[name])
    rule = Backprop(settings=Settings(learning_rate=2**-3, weights="w16"))
    state, seen = rule.init(model), {}
    original = Step.update

    def update(step, key, old, acc_w, acc_b, exponent, *rest):
        seen[key] = acc_w * 2.0**exponent / BATCH, acc_b * 2.0**exponent / BATCH
        return original(step, key, old, acc_w, acc_b, exponent, *rest)

    monkeypatch.setattr(Step, "update", update)
    for _ in range(12):
        before, state_before = model, state
        model, state, _ = rule.step(model, state, x, y, fixed)
    for node in model.graph.trainable:
        key, scale = f"node/{node.name}", model.scheme.weights[node.name]
        gradient_w, gradient_b = seen[key]
        masters = (s.tensors[f"master/{key}"].astype(float) / 256 for s in (state_before, state))
        moved = np.subtract(*masters).reshape(node.n_out, -1) * scale[:, None]
        wanted = gradient_w.reshape(node.n_out, -1) * 2**-3
        wanted *= model.scheme.activations[node.inputs[0]].scale
        assert (abs(moved - wanted) <= 1.01 * scale[:, None] / 256 + 1e-3 * abs(wanted)).all()
        assert abs(wanted / scale[:, None]).max() > 4 / 256  # more than rounding
        biases = np.subtract(before.params[node.name].b, model.params[node.name].b)
        unit = model.scheme.acc_scale(node)
        assert (abs(biases * unit - gradient_b * 2**-3) <= unit * 0.51 + 1e-3 * unit).all()


def run(rule, model: Model, x, y, steps: int = 12) -> Model:
    state = rule.init(model)
    for _ in range(steps):
        model, state, _ = rule.step(model, state, x, y, fixed)
    return model


@pytest.mark.parametrize(
    ("name", "choice"), [("mlp", "layer"), ("cnn", 2), ("resnet8", "residual")]
)
def test_no_error_crosses_a_block(name, choice, monkeypatch):
    model, x, y = quantized(NETWORKS[name])
    model = with_heads(model, choice)
    rule = MonoForward(settings=Settings(learning_rate=0.25), blocks=choice, warmup=0)
    *early, last = split(model.graph, choice)
    others = {n.name: Weights(-w[0], w[1]) for n in last.nodes if (w := model.params.get(n.name))}
    plain, changed = run(rule, model, x, y), run(rule, model.replace_params(others), x, y)
    learn = mono_forward_module.learn_last_block
    monkeypatch.setattr(
        mono_forward_module, "learn_last_block",
        lambda step, plan, x, y: learn(step, plan, x, (y + 1) % CLASSES),
    )  # fmt: skip
    relabelled = run(rule, model, x, y)

    for node in model.graph.trainable:
        results = [m.params[node.name] for m in (plain, changed, relabelled)]
        same = [all((a == b).all() for a, b in zip(results[0], r, strict=True)) for r in results]
        is_early = any(node in block.nodes for block in early)
        assert same == [True, is_early, is_early], node.name
        assert (results[0].w != model.params[node.name].w).any(), node.name


def test_a_mask_is_the_same_whether_it_is_free_or_packed():
    model, x, _ = quantized(EVERY_OPERATION)
    (block,) = split(model.graph, "network")
    free = plan(block, select(model.graph, "all"), 3)
    packed = plan(block, frozenset({"first"}), 3)
    assert set(packed.masks) == {"first", "second", "depthwise", "sum"}
    assert set(packed.masks) - set(free.masks) == {"first"}

    _, kept = forward(model, packed, x, fixed)
    np.testing.assert_array_equal(forward(model, free, x, fixed)[1]["value/first"],
                                  values_of(model, x)["first"])  # fmt: skip
    values = values_of(model, x)
    for name in packed.masks:
        shape = values[name].shape
        mask = np.unpackbits(kept[f"mask/{name}"], count=values[name].size).reshape(shape)
        node = model.graph.by_name[name]
        np.testing.assert_array_equal(mask, opened(model, node, values[name]))
        low, high = model.scheme.output_limits[name]
        inside = (values[name] > low) & ((values[name] < high) | (node.activation != "relu6"))
        np.testing.assert_array_equal(mask, inside)
        assert 0 < mask.mean() < 1


@pytest.mark.parametrize("name", ["every operation", "mlp", "resnet8"])
def test_a_layer_learns_the_same_whether_later_ones_learn_or_not(name, gradients):
    """Alone, it finds its masks packed; with the others, in the values that they keep."""
    model, x, y = quantized(NETWORKS[name])
    first = model.graph.trainable[0].name
    settle(Backprop(settings=Settings(train="all")), model, x, y, 20)
    together = gradients[f"node/{first}"]
    gradients.clear()
    settle(Backprop(settings=Settings(train=(first,))), model, x, y, 20)

    assert set(gradients) == {f"node/{first}"}
    for a, b in zip(together, gradients[f"node/{first}"], strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.any()


@pytest.mark.parametrize("op", ["global_average_pool", "max_pool", "average_pool"])
def test_small_errors_pass_a_pool_exactly(op):
    """Rounded up by half a step each time, gradients behind three pools were a fifth too long."""
    end = pool("pool", op, "first") if op != "global_average_pool" else Node("pool", op, ("first",))
    flat = Node("flat", "flatten", ("pool",))
    graph = Graph(
        (4, 4, 2), (conv("first", INPUT, 3), end, flat, Node("last", "dense", ("flat",), 2))
    )
    model, x, _ = quantized(graph)
    (block,) = split(graph, "network")
    current = plan(block, select(graph, "all"), 3)
    _, kept = forward(model, current, x, fixed)
    step = Step(model, Backprop().init(model), Settings(), fixed, 0, x)
    shape = (BATCH, *graph.shapes["pool"])
    e = np.random.default_rng(9).integers(-3, 4, shape).astype(np.int8)
    for _ in range(4):  # the first ones saturate
        error, exponent = _input_error(step, current, end, kept, e, -7)

    spread = e if e.ndim == 4 else e[:, None, None, :]
    found = error.sum(axis=(1, 2)) * 2.0 ** (exponent + 7)
    np.testing.assert_array_equal(found, spread.sum(axis=(1, 2), dtype=float))
    assert set(abs(error).ravel()) - {0}
