"""The same training on several backends, step by step: equal bits, or the first that differs."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.arithmetic.randomness import SHUFFLE, random_below, stream_key
from edgetrain.arithmetic.rounding import Int8, Ints
from edgetrain.model import Model
from edgetrain.rules import Metrics, Rule
from edgetrain.state import State, trace

Taken = tuple[Model, State, Metrics]
Batch = tuple[Int8, Ints]
Stepper = Callable[[Model, State, Int8, Ints], Taken]
"""What takes a step of a rule from a model, a state and a batch."""


class Difference(NamedTuple):
    """The first number that is not what it is on the reference.

    Attributes:
        step: after which it was seen, the first is 1.
        tensor: its name, as ``node/conv1/w`` or ``state/exponents``; or ``loss``, ``saturated``.
        at: index in the tensor.
        wanted: on the reference.
        found: on the other backend.
    """

    step: int
    tensor: str
    at: tuple[int, ...]
    wanted: int
    found: int

    def __str__(self) -> str:
        place = f"{self.tensor}{list(self.at)}" if self.at else self.tensor
        return f"step {self.step}, {place}: {self.found}, not {self.wanted}"


@dataclass
class Row:
    """How a backend did; changes while it runs.

    Attributes:
        backend: its name.
        equal: steps after which everything was equal to the reference.
        difference: None as long as there is none; the backend takes no step behind it.
        seconds: of all steps but the first, in which some backends compile.
    """

    backend: str
    equal: int = 0
    difference: Difference | None = None
    seconds: float = 0.0

    @property
    def steps_a_second(self) -> float | None:
        """Speed, or None where too few steps were taken to tell."""
        taken = self.equal + (self.difference is not None) - 1
        return taken / self.seconds if taken > 0 and self.seconds else None


def compare(
    rule: Rule,
    model: Model,
    batches: Iterable[Batch],
    backends: Mapping[str, ModuleType | Stepper],
    *,
    seed: int = 0,
    on_step: Callable[[int], None] | None = None,
) -> list[Row]:
    """Take the same steps on every backend and compare all parameters, state and metrics.

    Args:
        rule: the rule.
        model: the network; not changed.
        batches: codes and labels or targets, a step each.
        backends: modules, or what takes the steps itself, by name; the first is the reference.
        seed: of the run.
        on_step: called with the number of each step.

    Returns:
        A row a backend, in their order.

    Example:
        >>> from edgetrain import fixed
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> from edgetrain.rules import Backprop
        >>> model = quantize(mlp((4,), 3), np.ones((2, 4), np.float32))
        >>> steps = list(synthetic(model, steps=2, batch=4))
        >>> compare(Backprop(), model, steps, {"numpy": fixed, "again": fixed})[1].equal
        2
    """
    rows = [Row(name) for name in backends]
    takes = {name: _stepper(rule, backend, seed) for name, backend in backends.items()}
    start = model, rule.init(model)
    runs: dict[str, tuple[Model, State]] = dict.fromkeys(backends, start)
    for number, (x, y) in enumerate(batches, 1):
        taken: Taken | None = None
        for row in rows:
            if row.difference:
                continue
            started = time.perf_counter()
            found = takes[row.backend](*runs[row.backend], x, y)
            row.seconds += (time.perf_counter() - started) * (number > 1)
            taken = taken or found
            runs[row.backend] = found[:2]
            row.difference = _difference(number, taken, found)
            row.equal += row.difference is None
        if on_step:
            on_step(number)
    return rows


def _stepper(rule: Rule, backend: ModuleType | Stepper, seed: int) -> Stepper:
    """Return what takes steps on a backend."""
    if callable(backend):
        return backend
    return lambda model, state, x, y: rule.step(model, state, x, y, backend, seed)


def synthetic(model: Model, steps: int, batch: int, seed: int = 0) -> Iterator[Batch]:
    """Draw batches from the counter: every code and every label, alike on every machine.

    Args:
        model: whose input shape and task they fit.
        steps: number of batches.
        batch: samples in each.
        seed: of the drawing.

    Yields:
        int8 codes, and labels or Q10 targets from -1 to 1.
    """
    graph = model.graph
    outputs = graph.output_size
    for step in range(steps):
        x = _drawn(seed, step, 0, (batch, *graph.input_shape), 256) - 128
        if model.task == "classify":
            y = _drawn(seed, step, 1, (batch,), outputs)
        else:
            y = _drawn(seed, step, 1, (batch, outputs), 2 << LOGIT_BITS) - (1 << LOGIT_BITS)
        yield x.astype(np.int8), y.astype(np.int32)


def _drawn(
    seed: int, step: int, tensor: int, shape: tuple[int, ...], bound: int
) -> NDArray[np.int64]:
    count = int(np.prod(shape))
    return random_below(stream_key(seed, step, tensor, SHUFFLE), np.arange(count), bound).reshape(
        shape
    )


def _difference(step: int, wanted: Taken, found: Taken) -> Difference | None:
    """Return the first number in which two steps differ, None if they are equal."""
    if trace(*wanted[:2]) == trace(*found[:2]) and wanted[2] == found[2]:
        return None
    here, there = _tensors(wanted), _tensors(found)
    for name in sorted(here.keys() | there.keys()):
        a, b = here.get(name), there.get(name)
        if a is None or b is None or a.shape != b.shape or a.dtype != b.dtype:
            return Difference(step, f"{name} (missing, or of another shape or type)", (), 0, 0)
        places = np.argwhere(a != b)
        if len(places):
            at = tuple(map(int, places[0]))
            return Difference(step, name, at, int(a[at]), int(b[at]))
    raise AssertionError("traces or metrics differ, and nothing in them")


def _tensors(taken: Taken) -> dict[str, NDArray[Any]]:
    model, state, metrics = taken
    found = {f"state/{name}": tensor for name, tensor in state.tensors.items()}
    for name, weights in model.params.items():
        found |= {f"node/{name}/w": weights.w, f"node/{name}/b": weights.b}
    return found | {name: np.array(value, np.int64) for name, value in metrics.items()}
