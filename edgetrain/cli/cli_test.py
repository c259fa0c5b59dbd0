"""The command line as a person uses it: whole commands in a folder of their own."""

import json

import numpy as np
import pytest

from edgetrain import __version__
from edgetrain.cli import train
from edgetrain.cli.app import VERBS
from edgetrain.files import load

TRAIN_KEYS = {
    "rule", "backend", "steps", "accuracy_before", "accuracy_after", "trace", "seconds",
}  # fmt: skip
PLAN_KEYS = {"rule", "blocks", "weights_bytes", "state_bytes", "arena_bytes", "macs_per_step"}
NOTHING_RANDOM = {"replay", "delta", "apply"}
"""Verbs whose result is in their files; a journal has its own seed."""


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_json_and_seed(edgetrain, verb):
    code, out, _ = edgetrain(verb, "--help")

    assert code == 0
    assert f"edgetrain {verb}" in out.replace("\n", " ")
    assert "Example" in out
    assert "--json" in out
    assert ("--seed" in out) == (verb not in NOTHING_RANDOM)


def test_the_version_is_printed(edgetrain):
    assert __version__ in edgetrain("--version")[1]


def test_new_reports_parameters_and_macs(report):
    found = report("new", "--arch", "ds-cnn", "--data", "digits.npz", "-o", "ds.st")

    assert found["parameters"] == load("ds.st").graph.parameters
    assert found["macs"] == load("ds.st").graph.macs


def test_train_then_evaluate_a_new_model(report, model):
    found = report("train", model, "--data", "digits.npz", "--epochs", "12", "--batch", "16",
                   "--rule", "mono-forward", "-o", "tuned.st")  # fmt: skip

    assert set(found) >= TRAIN_KEYS
    assert found["rule"] == "mono_forward"
    assert found["steps"] == 12 * (300 // 16)
    assert found["accuracy_after"] > found["accuracy_before"] + 0.3
    measured = report("evaluate", "tuned.st", "--data", "digits.npz")
    assert measured["samples"] == 80
    assert abs(measured["accuracy"] - found["accuracy_after"]) < 0.2
    assert found["trace"] in load("tuned.st").history[0]


@pytest.mark.parametrize(
    "rule", ["mono_forward", "forward-forward", "forward_gradient", "backprop"]
)
def test_every_rule_trains_and_gives_the_same_bits_on_both_backends(report, model, rule):
    pytest.importorskip("numba", reason="the other backend needs numba: pip install numba")
    command = ("train", model, "--data", "digits.npz", "--rule", rule, "--steps", "5")
    found = [report(*command, "--backend", name) for name in ("numpy", "numba")]

    assert found[0]["trace"] == found[1]["trace"]
    assert {f["backend"] for f in found} == {"numpy", "numba"}


def test_options_of_every_kind_are_understood(report, model):
    found = report(
        "train", model, "--data", "digits.npz", "--rule", "forward-gradient", "--space", "weight",
        "--head", "same", "--queries", "2", "--learning-rate", "2^-5", "--weights", "w16",
        "--train", "classifier,hidden2", "--schedule", "steps", "--momentum", "0.5", "--steps", "3",
        "--error-clip", "0.5", "--bits", "2",
    )  # fmt: skip

    assert found["learning_rate"] == 2**-5


def test_analyze_lists_plans_for_every_rule(report, model):
    found = report("analyze", model)
    rules = {plan["rule"].split()[0].rstrip(",") for plan in found["plans"]}

    assert all(set(plan) >= PLAN_KEYS for plan in found["plans"])
    assert {"mono_forward", "forward_forward", "forward_gradient", "backprop"} <= rules


def test_a_float_model_is_quantized_and_trained(report):
    report("new", "--arch", "cnn", "--data", "digits.npz", "--float", "-o", "float.st")
    found = report("quantize", "float.st", "--data", "digits.npz", "--heads", "auto",
                   "--method", "percentile", "-o", "int8.st")  # fmt: skip
    trained = report("train", "float.st", "--data", "digits.npz", "--steps", "2")

    assert found["heads"] == list(load("int8.st").heads) != []
    assert trained["steps"] == 2


def test_ctrl_c_keeps_a_checkpoint_where_the_output_would_be(edgetrain, folder, model, monkeypatch):
    """The model that was asked for stays as it was, even if it is the output too."""
    (folder / "mine.st").write_bytes((folder / model).read_bytes())
    command = ("train", "mine.st", "--data", "digits.npz", "--steps", "8", "-o", "mine.st",
               "--json")  # fmt: skip
    whole = json.loads(edgetrain(*command[:-3], "--json")[1].splitlines()[-1])

    def interrupt(update, *_):
        def count(step, model, state):
            if step == 3:
                raise KeyboardInterrupt

        return count

    with monkeypatch.context() as patch:
        patch.setattr(train, "_progress", interrupt)
        code, out, err = edgetrain(*command)
    stopped = json.loads(out.splitlines()[-1])

    assert (code, stopped["stopped"], stopped["steps"]) == (130, "interrupted", 3)
    assert "--resume mine.st.checkpoint" in err
    assert (folder / "mine.st").read_bytes() == (folder / model).read_bytes()
    code, out, _ = edgetrain(*command, "--resume", stopped["checkpoint"])
    assert (code, json.loads(out.splitlines()[-1])["trace"]) == (0, whole["trace"])


def test_an_autoencoder_has_hidden_layers_of_one_size(report):
    report("new", "--arch", "autoencoder", "--hidden", "16", "--data", "digits.npz", "-o", "a.st")

    assert load("a.st").graph.by_name["hidden1"].n_out == 16


def test_heads_are_made_without_touching_the_weights(report):
    report("new", "--arch", "cnn", "--data", "digits.npz", "-o", "plain.st")
    found = report("heads", "plain.st", "--data", "digits.npz", "--blocks", "2", "-o", "heads.st")
    before, after = load("plain.st"), load("heads.st")

    assert found["heads"] == list(after.heads)
    assert len(found["heads"]) == 1
    for name, weights in before.params.items():
        np.testing.assert_array_equal(weights.w, after.params[name].w)


def test_doctor_says_what_is_here(report):
    found = report("doctor")

    assert found["edgetrain"] == __version__
    assert found["numpy"] == np.__version__
    assert found["cache"]


def test_doctor_says_when_compiled_kernels_cannot_be_kept(report, folder, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder / "digits.npz" / "below"))

    assert "set NUMBA_CACHE_DIR" in report("doctor")["missing"][-1]


def test_tables_are_printed_for_people(edgetrain, model):
    code, out, _ = edgetrain("analyze", model)

    assert code == 0
    assert "mono_forward" in out
    assert "arena" in out


def test_a_regression_reports_squared_errors(report, folder):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    y = (x[:, :1] - 2 * x[:, 1:2]).astype(np.float32)
    np.savez(folder / "line.npz", x_train=x, y_train=y, x_test=x[:50], y_test=y[:50])
    report("new", "--arch", "mlp", "--hidden", "32", "--data", "line.npz", "-o", "line.st")
    found = report("train", "line.st", "--data", "line.npz", "--rule", "backprop", "--epochs", "20")

    assert found["squared_error_after"] < 0.3 * found["squared_error_before"]
