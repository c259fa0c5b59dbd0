"""Options that several verbs share, and what they mean."""

from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from edgetrain import exporters, kernels
from edgetrain.blocks import Choice
from edgetrain.cli.console import note
from edgetrain.data import Data, load, parse_shape
from edgetrain.exporters.c_writing.targets import target_named
from edgetrain.files import load as load_file
from edgetrain.graph import Shape
from edgetrain.model import FloatModel, Model
from edgetrain.quantize import quantize

ModelPath = Annotated[
    Path,
    typer.Argument(help="A model file, from `new`, `quantize`, `train`; or an .onnx or .tflite."),
]
DataPath = Annotated[
    Path,
    typer.Option(
        "--data",
        help="An .npz with x_train, y_train, x_test, y_test, or a folder of MNIST-style IDX files.",
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The model file to write.")]
Input = Annotated[
    str | None,
    typer.Option(
        "--input", help="Shape of a sample: 28x28x1 (image), 1x128x6 (signal of 128 steps), 640."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON object on the last line of the output.")
]
SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20}
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Of all randomness.")]
Backend = Annotated[
    str | None,
    typer.Option("--backend", help="numpy, numba, c or triton; numba by default where it can run."),
]
Blocks = Annotated[
    str,
    typer.Option(
        "--blocks",
        help="How to cut the network: auto, layer, residual, network, a number, or names of "
        "nodes after which to cut, with commas.",
    ),
]


def backend(name: str | None) -> tuple[str, ModuleType]:
    """Load a backend by name, or the best that is here; say why it is not Numba."""
    if name is None:
        name = kernels.default()
        reason = kernels.why_not_numba()
        if reason:
            note(f"{reason}; using NumPy: the same bits, usually slower")
    return name, kernels.load(name)


def shape(text: str | None) -> Shape | None:
    """Read a shape such as 28x28x1."""
    return None if text is None else parse_shape(text)


def load_model(path: Path) -> Model | FloatModel:
    """Load a model of ours, or import one of another format by the suffix of its file."""
    if path.suffix.lower() in exporters.IMPORTERS:
        return exporters.read(path)
    return load_file(path)


def int8_model(path: Path) -> Model:
    """Load an int8 model.

    Raises:
        ValueError: if the model is a float one.
    """
    model = load_model(path)
    if isinstance(model, Model):
        return model
    raise ValueError(
        f"{path} is a float model: quantize it first, with `edgetrain quantize {path} "
        "--data DATA -o OUT`"
    )


def model_and_data(path: Path, data: Path, shape_text: str | None) -> tuple[Model, Data]:
    """Load a model and data that fit it; a float model is quantized with the training data."""
    model = load_model(path)
    found = data_for(data, shape_text, model)
    if isinstance(model, Model):
        return model, found
    note(f"{path} is a float model: quantizing it with the training data")
    return quantize(model, found.x_train, task=task_of(model, found)), found


def data_for(path: Path, text: str | None, model: Model | FloatModel) -> Data:
    """Load data whose samples have the model's shape."""
    return load(path, shape(text), for_model=model.graph.input_shape)


def task_of(model: FloatModel, data: Data) -> str:
    """Say what a float model is for: what it says itself, or numbers where data have them."""
    return "regress" if model.task == "classify" and data.is_regression else model.task


def choice(text: str) -> Choice:
    """Read a way to cut a network."""
    if text in ("auto", "layer", "residual", "network"):
        return text
    return int(text) if text.isdigit() else tuple(text.split(","))


def selection(text: str) -> str | int | tuple[str, ...]:
    """Read which layers learn: all, a number of last ones, or names."""
    if text == "all":
        return text
    return int(text) if text.isdigit() else tuple(text.split(","))


def number(text: str) -> float:
    """Read a number, or a power as 2^-6.

    Example:
        >>> number("2^-6")
        0.015625
    """
    base, power, exponent = text.partition("^")
    try:
        return float(base) ** int(exponent) if power else float(text)
    except (ValueError, OverflowError, ZeroDivisionError):
        raise ValueError(f"expected a number such as 0.01 or 2^-6, got {text!r}") from None


def canonical(name: str, table: Any, what: str) -> str:
    """Return the key of a table for a name with hyphens or underscores."""
    key = name.replace("-", "_").lower()
    if key not in table:
        raise ValueError(f"{what} must be one of {', '.join(table)}, got {name!r}")
    return key


def target(name: str) -> str:
    """Return the key of a target of the C exporter; underscores do for hyphens."""
    key = name.replace("_", "-").lower()
    target_named(key)
    return key


def size(text: str, what: str) -> int:
    """Read a number of bytes, or of KiB or MiB as 128K and 1M.

    Example:
        >>> size("128K", "--ram")
        131072
    """
    digits, unit = (text[:-1], text[-1].upper()) if text[-1:].isalpha() else (text, "")
    if not (digits.isascii() and digits.isdigit() and unit in SIZES and int(digits)):
        raise ValueError(f"{what} must be a size such as 131072, 128K or 1M, got {text!r}")
    return int(digits) * SIZES[unit]
