"""Every crossing of a format, both ways; each module needs one optional tool.

An importer is a function from a file or its bytes to a `FloatModel` or an int8 `Model`; an
exporter is a pure function from a model to ``{file name: contents}``. Both are named like their
module, and `edgetrain` offers them: ``edgetrain.from_onnx("net.onnx")``.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgetrain.errors import BackendError, FileError
from edgetrain.model import FloatModel, Model

if TYPE_CHECKING:
    from edgetrain.parity import Stepper
    from edgetrain.rules import Rule

IMPORTERS = {".onnx": "from_onnx", ".tflite": "from_tflite"}
"""Suffix of a file and the importer that reads it."""
EXPORTERS = {
    "onnx": "to_onnx",
    "tflite": "to_tflite",
    "onnx_train": "to_onnx_train",
    "tflite_train": "to_tflite_train",
    "c": "to_c",
}
"""Name of a format and the exporter that writes it."""
STEPPERS = {"onnx_train": "onnx_training.run", "tflite_train": "tflite_training.run"}
"""Name of a format that trains itself, and the module that takes its steps here."""
EXTRAS = {
    "from_onnx": "onnx",
    "from_tflite": "tflite",
    "from_torch": "torch",
    "to_c": "",
    "to_onnx": "onnx",
    "to_onnx_train": "onnx",
    "to_tflite": "tflite",
    "to_tflite_train": "tflite",
}
"""Name of a crossing and the extra that installs its tool, "" where it needs none."""


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
    crossing: Callable[..., Any] = getattr(_module(name, name), name)
    return crossing


def _module(path: str, name: str) -> ModuleType:
    """Import a module of a crossing."""
    try:
        return import_module(f"edgetrain.exporters.{path}")
    except ModuleNotFoundError as error:
        raise BackendError(
            f"{name} needs {error.name}: pip install 'edgetrain[{EXTRAS[name]}]'"
        ) from error


def stepper(format_: str, model: Model, rule: "Rule", batch: int, seed: int = 0) -> "Stepper":
    """Return what takes the steps of a rule in an exported file, in a stock runtime.

    Args:
        format_: one of STEPPERS.
        model: int8 network to start with.
        rule: that trains it.
        batch: samples of a step.
        seed: of the run.

    Raises:
        ValueError: if there is no such format.
        ModelError: if the format cannot express the model or the rule.
        BackendError: if the runtime is not installed.
    """
    if format_ not in STEPPERS:
        raise ValueError(f"the format must be one of {', '.join(STEPPERS)}, got {format_!r}")
    module = _module(STEPPERS[format_], EXPORTERS[format_])
    found: Stepper = module.stepper(model, rule, batch, seed)
    return found


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
    model: FloatModel | Model, format_: str, name: str = "model", **options: Any
) -> Mapping[str, bytes]:
    """Export a model.

    Args:
        model: to export.
        format_: one of EXPORTERS.
        name: of the model; the first part of the file's name.
        options: of the exporter: form of `to_onnx`; rule and batch of those that train; seed,
            package, ceilings and journal of `to_c`. Those that are None are not given.

    Returns:
        Contents by file name.

    Raises:
        ValueError: if there is no such format, or it has no such option.
        ModelError: if the format cannot express the model.
        BackendError: if the tool that writes it is not installed.
    """
    if format_ not in EXPORTERS:
        raise ValueError(f"the format must be one of {', '.join(EXPORTERS)}, got {format_!r}")
    exporter = load(EXPORTERS[format_])
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in signature(exporter).parameters:
            raise ValueError(f"{key} is no option of the format {format_}")
    files: Mapping[str, bytes] = exporter(model, name, **given)
    return files
