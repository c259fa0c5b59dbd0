"""One operation in ONNX Runtime, beside the emitter that computes it."""

import numpy as np

from edgetrain.exporters.onnx_training.emitter import OnnxEmitter
from edgetrain.exporters.onnx_training.graph import OFFSET
from edgetrain.exporters.onnx_training.run import runner
from edgetrain.exporters.training_tests.eager import Eager

SEED, STEP = 0xDEADBEEF, 2**32 + 0x12345678


def _entered(emit, name, array):
    """Declare an array as an emitter holds it: errors by names that start with e."""
    value = emit.parameter(name, array)
    if array.dtype != np.int8:
        return value
    return emit.cast(value, np.int32) if name.startswith("e") else emit.unsigned(value)


def _several(found):
    return list(found) if type(found) in (tuple, list) else [found]


def check(operation, **arrays):
    """Assert that an operation on arrays gives the same in both; return what it gives.

    Args:
        operation: takes an emitter, then values by name.
        arrays: int8 codes or weights, int8 errors by names that start with e, integers.
    """
    scalars = {"seed": np.array(SEED, np.int64), "step": np.array(STEP, np.int64)}
    eager = Eager({**scalars, **arrays})
    wanted = _several(operation(eager, **{**arrays, "step": int(STEP)}))
    emit = OnnxEmitter(1)
    step = emit.step_number()
    values = {name: _entered(emit, name, array) for name, array in arrays.items()}
    found = _several(operation(emit, **{**values, "step": step}))
    assert len(found) == len(wanted)
    for i, value in enumerate(found):
        is_code = getattr(value, "dtype", None) == np.uint8 and wanted[i].dtype == np.int8
        emit.output(f"{i}", emit.codes(value) if is_code else value)
    assert OFFSET == 128
    left = runner(emit.file({"name": "operation"}))({**scalars, **arrays})
    for i, must in enumerate(wanted):
        np.testing.assert_array_equal(left[f"{i}"], must)
    return wanted
