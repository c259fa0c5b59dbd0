"""Take the steps of a file that trains itself, in LiteRT on this computer."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.errors import BackendError
from edgetrain.exporters.step_writing.program import taken
from edgetrain.exporters.to_tflite_train import to_tflite_train
from edgetrain.model import Model
from edgetrain.parity import Stepper, Taken
from edgetrain.rules import Rule
from edgetrain.state import State

Runner = Callable[..., Mapping[str, NDArray[Any]]]


def runners(
    contents: bytes, kernels: str = "BUILTIN", package: str = "ai_edge_litert"
) -> dict[str, Runner]:
    """Load a file in an interpreter with one thread.

    Args:
        contents: of the file.
        kernels: name of an `OpResolverType`.
        package: of the interpreter: "ai_edge_litert", or "tflite_runtime", the older one.

    Returns:
        What calls each signature, by its name: arrays by name in and out.

    Raises:
        BackendError: if the interpreter lacks an operator; it says which have all.
    """
    lite = import_module(f"{package}.interpreter")
    kind = lite.OpResolverType[kernels]
    try:
        loaded = lite.Interpreter(
            model_content=contents, experimental_op_resolver_type=kind, num_threads=1
        )
        return {name: loaded.get_signature_runner(name) for name in loaded.get_signature_list()}
    except (RuntimeError, ValueError) as error:
        raise BackendError(
            f"this interpreter of {package} cannot run the file, which needs tflite-runtime 2.14 "
            f"or LiteRT: {error}"
        ) from error


def number(value: int) -> NDArray[np.int32]:
    """Write a seed or a step as a signature reads it.

    Example:
        >>> number(2**32 - 1)
        array([-1], dtype=int32)
    """
    return np.array([value & 2**32 - 1], np.uint32).view(np.int32)


def stepper(model: Model, rule: Rule, batch: int, seed: int, kernels: str = "BUILTIN") -> Stepper:
    """Return what takes the steps of a rule in LiteRT; see `edgetrain.parity.compare`.

    The interpreter keeps the parameters from step to step.

    Args:
        model: int8 network to start with.
        rule: that trains it.
        batch: samples of a step.
        seed: of the run.
        kernels: name of an `OpResolverType`.
    """
    (contents,) = to_tflite_train(model, rule=rule, batch=batch).values()
    return calling(runners(contents, kernels), seed)


def calling(calls: Mapping[str, Runner], seed: int) -> Stepper:
    """Return what takes steps by calling signatures.

    Args:
        calls: what calls "train" and "save".
        seed: of the run.

    Raises:
        RuleError: from a step, if a label is out of range.
    """

    def take(model: Model, state: State, x: Int8, y: Ints) -> Taken:
        when = {"seed": number(seed), "step": number(state.step)}
        found = calls["train"](x=x, y=y.astype(np.int32), **when)
        return taken(model, state, found, calls["save"]())

    return take
