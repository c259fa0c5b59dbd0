"""PyTorch modules to networks that can be quantized and trained."""

import inspect
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from edgetrain.errors import ModelError
from edgetrain.exporters.from_onnx import from_onnx
from edgetrain.model import FloatModel, Model

OPSET = 18


def from_torch(
    module: torch.nn.Module, example: torch.Tensor, task: str | None = None
) -> FloatModel | Model:
    """Import a PyTorch module as it is in evaluation mode.

    The module goes through PyTorch's older ONNX exporter, which traces it and needs no package
    but torch and onnx; what `from_onnx` understands is understood here. The module is left as it
    was, each of its parts in its own mode.

    Args:
        module: of float32, on any device; control flow is traced with the example.
        example: (batch, channels, height, width), (batch, channels, length) or (batch, features),
            on the device of the module.
        task: see `from_onnx`.

    Returns:
        A float model; its samples are (height, width, channels), (1, length, channels) or
        (features,).

    Raises:
        ModelError: if the module cannot be traced, or has an operator that is not supported.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
        >>> [node.op for node in from_torch(net, torch.zeros(1, 4)).graph.nodes]
        ['dense', 'dense']
    """
    if not isinstance(module, torch.nn.Module) or not isinstance(example, torch.Tensor):
        raise ModelError(
            "from_torch needs a torch.nn.Module and a torch.Tensor, "
            f"got {type(module).__name__} and {type(example).__name__}"
        )
    return from_onnx(_exported(module, example), task)


def _exported(module: torch.nn.Module, example: torch.Tensor) -> bytes:
    """Return the module as an ONNX file."""
    file = io.BytesIO()
    older = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with _evaluating(module), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the older exporter says that there is a newer one
        try:
            torch.onnx.export(module, (example,), file, opset_version=OPSET, **older)
        except Exception as error:  # whatever a module raises when it runs
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"torch.onnx cannot export {type(module).__name__} with an example of shape "
                f"{tuple(example.shape)}: {first}"
            ) from error
    return file.getvalue()


@contextmanager
def _evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Put a module into evaluation mode for a while."""
    modes = {part: part.training for part in module.modules()}
    try:
        module.eval()
        yield
    finally:
        for part, training in modes.items():
            part.training = training
