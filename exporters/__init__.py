"""Every crossing of a format, both ways; each module needs one optional tool.

An importer is a function from a file or its bytes to a `FloatModel` or an int8 `Model`; an
exporter is a pure function from a model to ``{file name: contents}``. Both are named like their
module, and `edgetrain` offers them: ``edgetrain.from_onnx("net.onnx")``.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from edgetrain.errors import BackendError, FileError
from edgetrain.model import FloatModel, Model

IMPORTERS = {".onnx": "from_onnx", ".tflite": "from_tflite"}
"""Suffix of a file and the importer that reads it."""
EXPORTERS = {"onnx": "to_onnx", "tflite": "to_tflite"}
"""Name of a format and the exporter that writes it."""
EXTRAS = {
    "from_onnx": "onnx",
    "from_tflite": "tflite",
    "from_torch": "torch",
    "to_onnx": "onnx",
    "to_tflite": "tflite",
}
"""Name of a crossing and the extra that installs its tool."""


def load(name: str) -> Callable[..., Any]:
    """Return an importer or exporter.

    Args:
        name: one of EXTRAS.

    Raises:
        ValueError: if there is no such crossing.
        BackendError: if its tool is not installed; the message says how to install it.
    """
    if name not in EXTRAS:
        raise ValueError(f"a crossing must be one of {sorted(EXTRAS)}, got {name!r}")
    try:
        module = import_module(f"edgetrain.exporters.{name}")
    except ModuleNotFoundError as error:
        raise BackendError(
            f"{name} needs {error.name}: pip install 'edgetrain[{EXTRAS[name]}]'"
        ) from error
    crossing: Callable[..., Any] = getattr(module, name)
    return crossing


def read(path: str | Path, task: str | None = None) -> FloatModel | Model:
    """Import a model from a file, by its suffix.

    Args:
        path: ends in a suffix of IMPORTERS.
        task: what it is for; None to guess, see the importers.

    Raises:
        FileError: if the suffix is unknown or the file is damaged.
        ModelError: if the model has an operator or attribute that is not supported.
        BackendError: if the tool that reads it is not installed.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in IMPORTERS:
        raise FileError(f"{path} must end in one of {', '.join(IMPORTERS)}, got {suffix!r}")
    model: FloatModel | Model = load(IMPORTERS[suffix])(path, task=task)
    return model


def write(
    model: FloatModel | Model, format_: str, name: str = "model", form: str | None = None
) -> Mapping[str, bytes]:
    """Export a model.

    Args:
        model: to export.
        format_: one of EXPORTERS.
        name: of the model; the first part of the file's name.
        form: of an ONNX file, see `to_onnx`.

    Returns:
        Contents by file name.

    Raises:
        ValueError: if there is no such format or form.
        ModelError: if the format cannot express the model.
        BackendError: if the tool that writes it is not installed.
    """
    if format_ not in EXPORTERS:
        raise ValueError(f"the format must be one of {', '.join(EXPORTERS)}, got {format_!r}")
    if form is not None and format_ != "onnx":
        raise ValueError(f"only ONNX files have forms, got the form {form!r} for {format_}")
    options = {} if form is None else {"form": form}
    files: Mapping[str, bytes] = load(EXPORTERS[format_])(model, name, **options)
    return files
