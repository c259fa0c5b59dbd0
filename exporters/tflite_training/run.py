"""Take the steps of a file that trains itself, in LiteRT on this computer."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.exporters.step_writing.program import taken
from edgetrain.exporters.to_tflite_train import to_tflite_train
from edgetrain.model import Model
from edgetrain.parity import Stepper, Taken
from edgetrain.rules import Rule
from edgetrain.state import State

SIGNATURES = ("train", "infer", "save", "restore")
Runner = Callable[..., Mapping[str, NDArray[Any]]]


def runners(contents: bytes, kernels: str = "BUILTIN") -> dict[str, Runner]:
    """Load a file of `to_tflite_train` in an interpreter with one thread.

    Args:
        contents: of the file.
        kernels: name of an `OpResolverType`.

    Returns:
        What calls each signature, by its name: arrays by name in and out.
    """
    loaded = Interpreter(
        model_content=contents, num_threads=1,
        experimental_op_resolver_type=OpResolverType[kernels],
    )  # fmt: skip
    return {name: loaded.get_signature_runner(name) for name in SIGNATURES}


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
