"""Whole steps of ONNX graphs: equal to the rule in ONNX Runtime, with all its options."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from edgetrain import fixed
from edgetrain.exporters.onnx_training.run import runner
from edgetrain.exporters.step_writing.program import chosen, parameters
from edgetrain.exporters.to_onnx_train import to_onnx_train
from edgetrain.exporters.training_tests.cases import NETWORKS, OPTIONS, RULES, SEED, network
from edgetrain.exporters.training_tests.steps import differences, given, wanted
from edgetrain.parity import synthetic
from edgetrain.rules import ForwardGradient, MonoForward, configured

OLDEST = "EDGETRAIN_OLDEST_ONNXRUNTIME"
"""Names the Python that has the oldest ONNX Runtime; it needs nothing else but NumPy."""
INTEGERS = {
    TensorProto.INT8, TensorProto.UINT8, TensorProto.INT16, TensorProto.INT32,
    TensorProto.UINT32, TensorProto.INT64, TensorProto.UINT64, TensorProto.BOOL,
}  # fmt: skip


def agrees(model, rule, steps=4, batch=3):
    """Assert that all steps, and the predictions behind them, are those of the rule."""
    rule = configured(rule, batch=batch)
    graphs = {name: runner(file) for name, file in to_onnx_train(model, "net", rule, batch).items()}
    state = rule.init(model)
    start = {"step": np.zeros((), np.int64), **parameters(model, chosen(rule), state)}
    found = graphs["start.onnx"]({})
    assert [(k, v.dtype) for k, v in found.items()] == [(k, v.dtype) for k, v in start.items()]
    assert differences(found, start) == []
    for x, y in synthetic(model, steps, batch):
        entered = given(model, rule, state, x, y, SEED)
        found = graphs["train.onnx"](entered)
        must, model, state = wanted(model, rule, state, x, y, SEED)
        assert differences(found, must) == []
        for name, value in start.items():
            left = found[f"next/{name}"]
            assert (left.dtype, left.shape) == (value.dtype, value.shape)
    entered = given(model, rule, state, x, y)
    for count in (1, batch):
        answer = graphs["infer.onnx"]({**entered, "x": x[:count]})["output"]
        np.testing.assert_array_equal(answer, rule.predict(model, state, x[:count], fixed))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", NETWORKS)
def test_rules_on_networks(name, rule):
    agrees(network(name), RULES[rule])


@pytest.mark.parametrize("options", OPTIONS)
def test_options(options):
    agrees(network("mlp"), OPTIONS[options], steps=6, batch=4)


@pytest.mark.parametrize("options", ["w16", "momentum", "both", "saturates"])
def test_options_of_filters(options):
    agrees(network("mixed"), OPTIONS[options], steps=3)


@pytest.mark.parametrize("rule", [MonoForward(warmup=1), ForwardGradient()])
def test_numbers_instead_of_classes(rule):
    agrees(network("mlp", "regress"), configured(rule, loss="squared_error"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rule"),
    [("mlp", "mono_forward"), ("mlp", "activity"), ("mlp", "weight, two passes"),
     ("mlp", "forward_forward"), ("ds_cnn", "mono_forward"), ("mixed", "backprop")],
)  # fmt: skip
def test_two_hundred_steps(name, rule):
    agrees(network(name), RULES[rule], steps=200)


@pytest.mark.parametrize("label", [-1, 5, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("rule", RULES)
def test_with_a_label_out_of_range_nothing_changes(rule, label):
    model, rule = network("mlp"), configured(RULES[rule], batch=3, momentum=0.5)
    train, state = runner(to_onnx_train(model, "net", rule, 3)["train.onnx"]), rule.init(model)
    for x, y in synthetic(model, 3, 3):
        _, model, state = wanted(model, rule, state, x, y)
    y[1] = label
    entered = given(model, rule, state, x, y)
    left = train(entered)

    assert (left["status"], left["loss"], left["saturated"]) == (1, 0, 0)
    kept = {f"next/{name}": value for name, value in entered.items() if f"next/{name}" in left}
    assert len(kept) == len(entered) - 3  # x, y and seed do not come back
    assert differences(left, kept) == []


@pytest.mark.parametrize("rule", RULES)
def test_every_number_of_a_graph_is_an_integer(rule):
    for contents in to_onnx_train(network("mixed"), "net", RULES[rule], 2).values():
        made = onnx.load_model_from_string(contents)
        onnx.checker.check_model(made, full_check=True)
        shaped = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True).graph
        infos = [*shaped.input, *shaped.output, *shaped.value_info]
        results = {name for node in shaped.node for name in node.output}

        assert {info.name for info in infos} >= results
        assert {info.type.tensor_type.elem_type for info in infos} <= INTEGERS
        assert {constant.data_type for constant in shaped.initializer} <= INTEGERS
        assert made.ir_version <= 10
        assert [opset.version for opset in made.opset_import] == [18]


def recorded(folder, name, rule, steps, batch):
    """Save a graph, what enters its first step, and the batches and results of all steps."""
    model, rule = network(name), configured((RULES | OPTIONS)[rule], batch=batch)
    contents = to_onnx_train(model, "net", rule, batch)["train.onnx"]
    state, arrays = rule.init(model), {}
    for number, (x, y) in enumerate(synthetic(model, steps, batch)):
        entered = given(model, rule, state, x, y, SEED)
        kept = entered if number == 0 else {"x": x, "y": y}
        arrays |= {f"{number}/in/{key}": value for key, value in kept.items()}
        must, model, state = wanted(model, rule, state, x, y, SEED)
        arrays |= {f"{number}/out/{key}": value for key, value in must.items()}
    folder.mkdir()
    (folder / "train.onnx").write_bytes(contents)
    np.savez(folder / "steps.npz", **arrays)


@pytest.mark.parametrize("steps", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_another_runtime(steps, tmp_path):
    """Replay recorded steps in another Python: by default in this one."""
    for name, rule in (
        ("mlp", "mono_forward"), ("mlp", "activity"), ("mlp", "weight, two passes"),
        ("mlp", "forward_forward"), ("ds_cnn", "mono_forward"), ("mixed", "backprop"),
        ("mixed", "both"), ("mlp", "linear"),
    ):  # fmt: skip
        recorded(tmp_path / f"{name}-{rule}", name, rule, steps, 3)
    script = Path(__file__).with_name("replay_steps.py")
    python = os.environ.get(OLDEST, sys.executable)
    done = subprocess.run(
        [python, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert sorted(told["equal"].values()) == [steps] * 8
    if OLDEST in os.environ:
        assert told["onnxruntime"].startswith("1.17.")
