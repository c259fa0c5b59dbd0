"""Take the steps of graphs that train, in ONNX Runtime on this computer."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.errors import BackendError
from edgetrain.exporters.step_writing.program import chosen, parameters, taken
from edgetrain.exporters.to_onnx_train import RUNTIME, to_onnx_train
from edgetrain.model import Model
from edgetrain.parity import Stepper, Taken
from edgetrain.rules import Rule, configured
from edgetrain.state import State

Arrays = Mapping[str, NDArray[Any]]
Runner = Callable[[Arrays], dict[str, NDArray[Any]]]


def runner(contents: bytes, threads: int = 1) -> Runner:
    """Load a graph in ONNX Runtime.

    Args:
        contents: of a file of `to_onnx_train`.
        threads: that a step may use.

    Returns:
        What takes arrays by name and gives them back by name. Arrays that the graph does not
        read are left out.

    Raises:
        BackendError: if the runtime lacks an operator; it says which runtime has all.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        loaded = onnxruntime.InferenceSession(contents, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has no common class of its errors
        raise BackendError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run the graph, which needs {RUNTIME} "
            f"or later: {error}"
        ) from error
    wanted = [end.name for end in loaded.get_inputs()]
    names = [end.name for end in loaded.get_outputs()]

    def run(given: Arrays) -> dict[str, NDArray[Any]]:
        return dict(zip(names, loaded.run(names, {n: given[n] for n in wanted}), strict=True))

    return run


def stepper(model: Model, rule: Rule, batch: int, seed: int) -> Stepper:
    """Return what takes the steps of a rule in ONNX Runtime; see `edgetrain.parity.compare`.

    Args:
        model: int8 network to start with.
        rule: that trains it.
        batch: samples of a step.
        seed: of the run.
    """
    contents = to_onnx_train(model, rule=rule, batch=batch)["train.onnx"]
    return calling(runner(contents), configured(rule, batch=batch), seed)


def calling(train: Runner, rule: Rule, seed: int) -> Stepper:
    """Return what takes steps by running a graph.

    Args:
        train: the loaded graph.
        rule: that it was exported with.
        seed: of the run.

    Raises:
        RuleError: from a step, if a label is out of range.
    """
    written = chosen(rule)

    def take(model: Model, state: State, x: Int8, y: Ints) -> Taken:
        scalars = {"seed": np.array(seed, np.int64), "step": np.array(state.step, np.int64)}
        given = {"x": x, "y": y.astype(np.int32), **parameters(model, written, state), **scalars}
        found = train(given)
        new = {name.removeprefix("next/"): value for name, value in found.items()}
        return taken(model, state, found, new)

    return take
