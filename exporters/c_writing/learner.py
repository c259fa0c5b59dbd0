"""How layers and heads learn, as constants in flash: et_learner of `kernels/c/et_steps.h`."""

import numpy as np

from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.settings import Settings
from edgetrain.step import tensor_number

BYTES = 80
"""Of an et_learner, where a pointer has 4 bytes."""

Fields = dict[str, object]
"""Fields of an et_learner: C expressions by name; those that are left out are 0."""


def declare(unit: Unit, name: str, layer: str, rows: int, *parts: Fields) -> str:
    """Declare an et_learner, once, and return a pointer to it.

    Args:
        unit: the file.
        name: of the layer in C.
        layer: a pointer to it.
        rows: samples of a batch that it sees.
        parts: what `learning` and `sending` return, if it does that.
    """
    fields: Fields = {"layer": layer, "rows": rows}
    for part in parts:
        fields |= part
    written = [f".{field} = {value}" for field, value in fields.items()]
    return unit.struct("et_learner", f"{name}_learner", BYTES, written)


def learning(unit: Unit, settings: Settings, key: str, name: str, limit: int) -> Fields:
    """Return the fields of what learns.

    Args:
        unit: the file.
        settings: of the rule.
        key: of its weights in the state.
        name: in C.
        limit: of its biases.
    """
    fields: Fields = {
        "update": f"et_update_{'momentum' if settings.momentum_bits else settings.weights}",
        "w": f"{name}_w", "b": f"{name}_b",
        "bias_limit": limit, "tensor": f"{tensor_number(key)}u",
    }  # fmt: skip
    for part in ("w", "b"):
        multiplier, shift = unit.state.tensors[f"rate/{key}/{part}"]
        rate, shifts = f"{name}_{part}_rate", shift.astype(np.int8)
        fields[f"{part}_rate"] = unit.constant(rate, multiplier)
        fields[f"{part}_shift"] = unit.constant(f"{rate}_shift", shifts)
    if settings.weights == "w16":
        fields["master"] = f"{name}_master"
    if settings.momentum_bits:
        fields |= {"velocity": f"{name}_velocity", "velocity_unit": f"{name}_velocity_unit",
                   "decay": settings.momentum_bits}  # fmt: skip
    return fields


def sending(settings: Settings, ratio: str, row: int, factor: tuple[int, int]) -> Fields:
    """Return the fields of what sends its error back.

    Args:
        settings: of the rule.
        ratio: C name of the ratios of its channels.
        row: of the error in the table of exponents.
        factor: of the sums of errors: multiplier and shift.
    """
    limit = "INT32_MAX" if settings.error_limit is None else settings.error_limit
    return {
        "ratio": ratio, "scale": f"(et_scale *)(void *)&exponents[{2 * row}]",
        "multiplier": factor[0], "shift": factor[1], "limit": limit,
    }  # fmt: skip
