"""What an app does with the graphs, as the guide says it; and what is said when it goes wrong."""

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgetrain import exporters, fixed
from edgetrain.architectures import mlp
from edgetrain.errors import BackendError, ModelError, RuleError
from edgetrain.exporters.onnx_training.run import calling, runner, stepper
from edgetrain.exporters.to_onnx_train import RUNTIME, to_onnx_train
from edgetrain.exporters.training_tests.cases import network
from edgetrain.exporters.training_tests.steps import given
from edgetrain.parity import compare, synthetic
from edgetrain.rules import ForwardGradient, MonoForward
from edgetrain.settings import Settings

GUIDE = Path(__file__).parents[2] / "examples" / "ONNX_TRAINING.md"
RULE = MonoForward(warmup=0, settings=Settings(batch=4))


@pytest.fixture(scope="module")
def files():
    return to_onnx_train(network("mlp"), "net", RULE, 4)


def test_the_code_of_the_guide_trains_and_predicts(files, tmp_path, monkeypatch, capsys):
    code = re.search(r"<!-- app -->\n```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)[1]
    for name, contents in files.items():
        (tmp_path / name).write_bytes(contents)
    monkeypatch.chdir(tmp_path)
    model, batches = network("mlp"), list(synthetic(network("mlp"), 5, 4))
    exec(compile(code, str(GUIDE), "exec"), {"batches": batches})
    told = capsys.readouterr().out.splitlines()
    saved = np.load("learned.npz")

    state = RULE.init(model)
    for x, y in batches:
        model, state, metrics = RULE.step(model, state, x, y, fixed, 7)
    assert int(saved["step"]) == 5
    for name, weights in model.params.items():
        np.testing.assert_array_equal(saved[f"node/{name}/w"], weights.w)
    assert told[4] == f"step 5: loss {metrics['loss'] / 1024 / 4:.3f}"
    assert told[5] == str(RULE.predict(model, state, x, fixed).argmax(axis=1))


def test_the_files_say_what_they_do(files):
    for contents in files.values():
        made = onnx.load_model_from_string(contents)
        told = {prop.key: prop.value for prop in made.metadata_props}

        assert made.producer_name == "edgetrain"
        assert (told["name"], told["learns_by"], told["batch"]) == ("net", "mono_forward", "4")
        assert json.loads(told["settings"])["settings"]["learning_rate"] == 2**-6
        assert told["runtime"] == RUNTIME


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("node/hidden1/w", np.zeros((16, 21), np.int8), "node/hidden1/w"),
     ("node/hidden1/w", np.zeros((16, 20), np.int32), "tensor\\(int8\\)"),
     ("x", np.zeros((5, 20), np.int8), "index: 0 Got: 5 Expected: 4"),
     ("y", np.zeros(3, np.int32), "y"),
     ("state/exponents", np.zeros((9, 3), np.int32), "state/exponents")],
)  # fmt: skip
def test_the_runtime_says_which_input_does_not_fit(files, name, value, said):
    model = network("mlp")
    x, y = next(synthetic(model, 1, 4))
    entered = {**given(model, RULE, RULE.init(model), x, y), name: value}

    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument, match=said):
        runner(files["train.onnx"])(entered)


def test_a_runtime_that_is_too_old_is_told(files):
    """An operator of a later opset stands for one that an old runtime lacks."""
    made = onnx.load_model_from_string(files["train.onnx"])
    made.opset_import[0].version = 1000

    with pytest.raises(BackendError, match=r"ONNX Runtime .* which needs 1\.17 or later"):
        runner(made.SerializeToString())


def test_what_cannot_be_exported_is_refused():
    model = network("mlp")

    with pytest.raises(ModelError, match="needs an int8 model: quantize it first"):
        to_onnx_train(mlp((4,), 2))
    with pytest.raises(ValueError, match="batch must be at least 1, got 0"):
        to_onnx_train(model, batch=0)
    with pytest.raises(RuleError, match="head='exact' needs a dense layer"):
        to_onnx_train(model, rule=ForwardGradient(settings=Settings(train=0)))
    with pytest.raises(RuleError, match="use a batch of at most"):
        to_onnx_train(model, batch=2**20)


def test_parity_takes_the_steps_of_a_graph():
    model = network("mlp")
    take = exporters.stepper("onnx_train", model, RULE, 4, 3)
    batches = list(synthetic(model, 5, 4))
    _, row = compare(RULE, model, batches, {"numpy": fixed, "onnx-train": take}, seed=3)
    assert (row.equal, row.difference) == (5, None)

    x, y = batches[0]
    with pytest.raises(RuleError, match=r"labels must be in \[0, 5\): nothing was learned"):
        take(model, RULE.init(model), x, y + 5)


def test_a_wrong_graph_is_found():
    """Parity sees one node that rounds otherwise."""
    model = network("mlp")
    made = onnx.load_model_from_string(to_onnx_train(model, "net", RULE, 4)["train.onnx"])
    octets = next(node for node in made.graph.node if node.op_type == "Range")
    one = onnx.helper.make_tensor("one", onnx.TensorProto.INT32, (), [1])
    made.graph.initializer.append(one)
    octets.input[0] = "one"
    end = next(c for c in made.graph.initializer if c.name == octets.input[1])
    shifted = onnx.numpy_helper.to_array(end) + np.int32(1)
    made.graph.initializer.append(onnx.numpy_helper.from_array(shifted, "end"))
    octets.input[1] = "end"
    broken = calling(runner(made.SerializeToString()), RULE, 3)
    batches = list(synthetic(model, 5, 4))
    _, row = compare(RULE, model, batches, {"numpy": fixed, "broken": broken}, seed=3)

    assert row.difference is not None
    assert stepper(model, RULE, 4, 3)(model, RULE.init(model), *batches[0])[2]["saturated"] == 0
