"""Import, export, and verbs that read another format at once."""

import json

import numpy as np
import pytest

from edgetrain import exporters, fixed
from edgetrain.architectures import mlp
from edgetrain.data import digits
from edgetrain.files import load, save
from edgetrain.inference import output

FORMATS = {"tflite": "ai_edge_litert", "onnx": "onnx"}


@pytest.fixture(params=FORMATS)
def format_(request):
    pytest.importorskip(FORMATS[request.param])
    return request.param


@pytest.fixture
def foreign(folder, format_):
    """An untrained float network in another format; softmax at its end."""
    path = folder / f"net.{format_}"
    if not path.exists():
        network = mlp((8, 8, 1), 10)
        path.write_bytes(exporters.write(network, format_, "net")[path.name])
    return path.name


def test_import_train_export_evaluate(report, folder, foreign, format_):
    imported = report("import", foreign, "-o", "net.st")
    assert (imported["kind"], imported["input"], imported["outputs"]) == ("float", "8x8x1", 10)

    trained = report("train", foreign, "--data", "digits.npz", "--epochs", "6", "-o", "tuned.st")
    assert trained["accuracy_of_model"] > trained["accuracy_before"] + 0.2

    exported = report("export", "tuned.st", "--to", format_, "-o", "out")
    assert exported["files"] == [f"out/tuned.{format_}"]
    if format_ == "tflite":
        again = report("evaluate", f"out/tuned.{format_}", "--data", "digits.npz")
        assert again["accuracy"] == trained["accuracy_of_model"]
        found, tuned = exporters.read(folder / "out" / "tuned.tflite"), load(folder / "tuned.st")
        x = tuned.quantize_input(digits().x_test[:20])
        np.testing.assert_array_equal(output(found, x, fixed), output(tuned, x, fixed))
        assert found.history == tuned.history


def test_a_name_of_ones_own(report, folder, foreign, format_):
    found = report("export", foreign, "--to", format_, "-o", "deep/er", "--name", "mine")
    assert found["files"] == [f"deep/er/mine.{format_}"]
    assert (folder / "deep" / "er" / f"mine.{format_}").stat().st_size == found["bytes"]


@pytest.mark.parametrize("trains", exporters.STEPPERS)
def test_files_that_learn(report, edgetrain, folder, model, trains):
    pytest.importorskip(FORMATS[trains.removesuffix("_train")])
    name = trains.replace("_", "-")
    found = report("export", model, "--to", name, "-o", trains, "--name", "net", "--rule",
                   "forward-gradient", "--space", "weight", "--batch", "4")  # fmt: skip
    assert found["bytes"] == sum(p.stat().st_size for p in (folder / trains).iterdir())
    options = ("--rule", "forward-gradient", "--space", "weight", "--steps", "3")
    rows = report("parity", model, *options, "--backends", f"numpy,{name}")["backends"]
    assert [row["steps_equal"] for row in rows] == [3, 3]

    for wrong, words in (
        (("--package", "cmake"), f"package is no option of the format {trains}"),
        (("--schedule", "linear"), "needs --steps"),
        (("--rule", "magic"), "--rule must be one of"),
    ):
        code, _, err = edgetrain("export", model, "--to", name, "-o", "no", *wrong)
        assert code == 1
        assert words in err
    assert not (folder / "no").exists()


def test_c_that_learns(report, folder, model):
    found = report("export", model, "--to", "c", "-o", "firmware", "--name", "net", "--rule",
                   "backprop", "--batch", "4", "--train", "2")  # fmt: skip
    written = {"CMakeLists.txt", "example/main.c", "src/net.c", "src/net.h", "src/et_layers.c"}
    assert {f"firmware/{path}" for path in written} <= set(found["files"])
    assert "NET_BATCH = 4" in (folder / "firmware" / "src" / "net.h").read_text()


def test_nothing_is_written_where_one_file_cannot_be(edgetrain, folder, model):
    (folder / "half").mkdir()
    (folder / "half" / "src").write_text("a file")
    code, _, err = edgetrain("export", model, "--to", "c", "-o", "half")
    assert (code, "half/src cannot be a folder" in err) == (1, True)
    assert [path.name for path in (folder / "half").rglob("*")] == ["src"]


def test_an_unknown_package_is_refused_with_those_that_are_known(edgetrain, model):
    code, _, err = edgetrain("export", model, "--to", "c", "--package", "mbed", "-o", "never")
    assert code == 1
    assert "package must be one of cmake, arduino, zephyr, platformio, esp-idf, got 'mbed'" in err


def test_c_of_every_rule_with_its_options(report, folder, model):
    expected = {
        "mono-forward --momentum 0.875 --warmup 3 --schedule linear --steps 50": "velocity",
        "forward-forward --goodness-loss threshold --negatives random": "et_pair_slopes",
        "forward-forward --labels channel --weights w16 --blocks layer": "et_class_slopes",
        "forward-gradient --space weight --estimate value --queries 2": "et_signs_step",
        "backprop --momentum 0.5 --error-clip 0.25 --train 1": "velocity",
    }
    for i, (options, found) in enumerate(expected.items()):
        report("export", model, "--to", "c", "-o", f"c{i}", "--rule", *options.split())
        code = (folder / f"c{i}" / "src" / "mlp.c").read_text()
        assert found in code, options
        assert ("50 - step" in code) == ("linear" in options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "c", "--rule", "backprop", "--labels", "input"), "--labels is no option of"),
        (("--to", "c", "--momentum", "0.3"), "momentum must be one of"),
        (("--to", "c", "--schedule", "linear"), "--schedule linear needs --steps"),
        (("--to", "onnx", "--goodness-loss", "symmetric"), "--goodness-loss is no option of"),
        (("--to", "onnx", "--learning-rate", "0.1"), "--learning-rate is no option of"),
        (("--to", "tflite", "--schedule", "linear"), "--schedule is no option of"),
        (("--to", "onnx", "--steps", "9"), "--steps is no option of the format onnx, which does"),
        (("--to", "tflite", "--seed", "1"), "--seed is no option of"),
        (("--to", "onnx", "--rule", "backprop"), "--rule is no option of"),
        (("--to", "onnx-train", "--seed", "1"), "--seed is no option of the format onnx_train: it"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(edgetrain, folder, model, arguments, message):
    code, out, err = edgetrain("export", model, "-o", "none", *arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert not (folder / "none").exists()


def test_import_says_what_to_do_with_a_float_model(edgetrain, foreign):
    code, out, err = edgetrain("import", foreign, "-o", "hint.st", "--json")
    assert (code, json.loads(out)["kind"]) == (0, "float")
    assert "edgetrain quantize hint.st" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("import", "none.tflite", "-o", "x.st"), "none.tflite cannot be read"),
        (("import", "digits.npz", "-o", "x.st"), "must end in one of .onnx, .tflite"),
        (
            ("export", "float.st", "--to", "coreml", "-o", "x"),
            "--to must be one of",
        ),
        (("export", "float.st", "--to", "onnx", "--form", "fast", "-o", "x"), "form"),
        (("export", "float.st", "--to", "c", "-o", "x"), "quantize it first"),
        (("export", "float.st", "--to", "tflite", "--rule", "backprop", "-o", "x"), "no option"),
        (("export", "float.st", "--to", "tflite", "--name", "a/b", "-o", "x"), "name"),
        (("export", "float.st", "--to", "tflite", "-o", "digits.npz"), "cannot be a folder"),
        (("evaluate", "none.onnx", "--data", "digits.npz"), "none.onnx"),
    ],
)
def test_bad_input_is_one_sentence(edgetrain, folder, arguments, message):
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("onnx")
    save(mlp((8, 8, 1), 10), folder / "float.st")
    before = sorted(p.name for p in folder.iterdir())
    code, out, err = edgetrain(*arguments)
    assert (code, out) == (1, "")
    assert message in err
    assert err.count("edgetrain: error: ") == 1
    assert sorted(p.name for p in folder.iterdir()) == before
