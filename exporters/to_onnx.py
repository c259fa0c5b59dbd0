"""Models to ONNX files."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from edgetrain.arithmetic.probabilities import PROBABILITY_SCALE, PROBABILITY_ZERO_POINT
from edgetrain.exporters.metadata import metadata
from edgetrain.exporters.names import check_file_name
from edgetrain.exporters.onnx_writing.form_exact import exact
from edgetrain.exporters.onnx_writing.form_float import real
from edgetrain.exporters.onnx_writing.form_qdq import qdq
from edgetrain.exporters.onnx_writing.write import Writer
from edgetrain.graph import INPUT
from edgetrain.model import FloatModel, Model


class Form(NamedTuple):
    """How a file expresses a model.

    Attributes:
        reads: the kind of model.
        append: writes its nodes and returns the name of the result.
        dtype: of input and output.
    """

    reads: type
    append: Callable[[Writer, Any], str]
    dtype: type


FORMS: Mapping[str, Form] = {
    "exact": Form(Model, exact, np.int8),
    "qdq": Form(Model, qdq, np.float32),
    "float": Form(FloatModel, real, np.float32),
}
"""Name of a form → what it is; the first that reads a model is the one it gets by default."""


def to_onnx(
    model: FloatModel | Model, name: str = "model", form: str | None = None
) -> dict[str, bytes]:
    """Write a model as an ONNX file.

    The graph reads "input" and gives "output", both with a batch of any size. Images are
    channels first, (batch, channels, height, width), as every ONNX file has them, where
    edgetrain has them last. The metadata are those of `edgetrain.exporters.metadata`, and of an
    int8 model "input_scale", "input_zero_point", "output_scale" and "output_zero_point": a real
    number is ``scale * (code - zero_point)`` of an int8 code.

    Args:
        model: to export.
        name: of the model; letters, digits, "_", "-" and ".".
        form: None for the first that fits:

            * "exact": int8 codes in and out, equal to `edgetrain.inference.output` in every
              byte, on every runtime: integer operators only.
            * "qdq": float32 in and out, uint8 between QuantizeLinear and DequantizeLinear. The
              fastest where a runtime fuses them; every layer may differ by 1 code from ours.
            * "float": float32; the only form of a `FloatModel`, and for that alone.

    Returns:
        The file's contents by its name, ``{name}.onnx``.

    Raises:
        ValueError: if the name is no file's name, or the model does not have the form.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> list(to_onnx(mlp((4,), 2), "tiny"))
        ['tiny.onnx']
    """
    check_file_name(name)
    fitting = [key for key, entry in FORMS.items() if isinstance(model, entry.reads)]
    if form is not None and form not in fitting:
        kind = "an int8 model" if isinstance(model, Model) else "a float model"
        raise ValueError(f"the form of {kind} must be one of {', '.join(fitting)}, got {form!r}")
    _, append, dtype = FORMS[form or fitting[0]]
    write = Writer()
    result = append(write, model)
    properties = metadata(model, name) | _quantization(model)
    return {f"{name}.onnx": write.file(result, model.graph, dtype, properties)}


def _quantization(model: FloatModel | Model) -> dict[str, str]:
    """Return scales and zero points of input and output."""
    if not isinstance(model, Model):
        return {}
    ends = {"input": model.scheme.activations[INPUT]}
    ends["output"] = model.scheme.activations[model.graph.output.name]
    found: dict[str, str] = {}
    for end, (scale, zero_point) in ends.items():
        if end == "output" and model.softmax:
            scale, zero_point = PROBABILITY_SCALE, PROBABILITY_ZERO_POINT
        found |= {f"{end}_scale": repr(float(scale)), f"{end}_zero_point": str(zero_point)}
    return found
