"""What exported C takes on a target, without writing it."""

from edgetrain.exporters.c_writing.memory import Memory, memory
from edgetrain.exporters.c_writing.targets import Target
from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.exporters.to_c import inference, programs
from edgetrain.model import Model
from edgetrain.rules import Rule
from edgetrain.state import State


def size(model: Model, target: Target, rule: Rule | None = None, batch: int = 1) -> Memory:
    """Forecast what the C of `to_c` takes on a target; arguments and errors as there.

    Example:
        >>> import numpy as np
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.exporters.c_writing.targets import TARGETS
        >>> from edgetrain.quantize import quantize
        >>> model = quantize(mlp((4,), 3), np.ones((2, 4), np.float32))
        >>> size(model, TARGETS["cortex-m4"]).weights_ram  # as many weights, and biases of int32
        9676
    """
    _, unit, infer, learn = programs(model, rule, batch)
    return memory(unit, target, infer, learn)


def inference_size(model: Model, target: Target) -> Memory:
    """Forecast what inference alone takes on a target."""
    unit = Unit(model, State(0, {}), frozenset(), 1)
    for node in model.graph.trainable:
        unit.constant(f"{unit.names[node.name]}_w", model.params[node.name].w)
    return memory(unit, target, inference(unit))
