import numpy as np
import pytest

import edgetrain
from edgetrain import exporters
from edgetrain.architectures import mlp
from edgetrain.errors import BackendError, FileError, ModelError
from edgetrain.exporters.metadata import metadata
from edgetrain.exporters.names import LONGEST, unique_name
from edgetrain.history import Training, last_training
from edgetrain.model import Model
from edgetrain.quantize import quantize


def test_c_needs_the_int8_model():
    with pytest.raises(ModelError, match="quantize"):
        exporters.write(mlp((4,), 2), "c")


def test_the_tables_name_the_same_crossings():
    assert {*exporters.IMPORTERS.values(), *exporters.EXPORTERS.values()} <= set(exporters.EXTRAS)


def test_what_takes_steps_is_also_exported():
    assert set(exporters.STEPPERS) <= set(exporters.EXPORTERS)
    with pytest.raises(ValueError, match="format must be one of onnx_train, tflite_train"):
        exporters.stepper("onnx", None, None, 1)


@pytest.mark.parametrize("name", exporters.EXTRAS)
def test_the_front_door_offers_every_crossing(name):
    try:
        crossing = getattr(edgetrain, name)
    except BackendError as error:
        pytest.skip(str(error))
    assert crossing.__name__ == name
    assert crossing.__doc__


def test_what_is_no_crossing_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'from_caffe'"):
        _ = edgetrain.from_caffe
    with pytest.raises(ValueError, match="crossing must be one of"):
        exporters.load("from_caffe")


def test_a_missing_tool_is_named_with_its_cure(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(f"no {name}", name="onnx")

    monkeypatch.setattr(exporters, "import_module", missing)
    with pytest.raises(BackendError, match=r"to_onnx needs onnx: pip install 'edgetrain\[onnx\]'"):
        exporters.load("to_onnx")


def test_a_suffix_without_importer_is_refused():
    with pytest.raises(FileError, match=r"must end in one of \.onnx, \.tflite, got '\.pt'"):
        exporters.read("net.pt")


def test_formats_and_forms_are_checked():
    with pytest.raises(
        ValueError, match="format must be one of onnx, tflite, onnx_train, tflite_train, c"
    ):
        exporters.write(mlp((4,), 2), "coreml")
    with pytest.raises(ValueError, match="form is no option of the format c"):
        exporters.write(mlp((4,), 2), "c", form="qdq")


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("/features/0/Conv", "features_0_conv"),
        ("StatefulPartitionedCall:0", "statefulpartitionedcall_0"),
        ("123", "node_123"),
        ("", "node"),
        ("\x00é///", "node"),
        ("a" * 99, "a" * LONGEST),
    ],
)
def test_names_are_identifiers(wanted, name):
    assert unique_name(wanted, set()) == name
    assert unique_name(name, set()) == name
    assert name.isidentifier()
    assert unique_name(wanted, {name, f"{name}_2"}) == f"{name}_3"


def test_metadata_tell_of_the_last_training():
    first, last = Training("backprop", 10, "00000001"), Training("mono_forward", 200, "1a2b3c4d")
    int8 = quantize(mlp((4,), 2), np.ones((2, 4), np.float32))
    assert "rule" not in metadata(int8, "net")
    model = Model(int8.scheme, int8.params, history=(str(first), str(last), "imported"))
    found = metadata(model, "net")
    assert (found["rule"], found["steps"], found["trace"]) == ("mono_forward", "200", "1a2b3c4d")
    assert found["history"].split("\n")[0] == str(first)
    assert last_training(("nothing", "of, the, kind")) is None
