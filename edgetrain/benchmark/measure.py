"""The measurements of `edgetrain bench`, as records."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from edgetrain.benchmark import rivals
from edgetrain.benchmark.cases import LAYERS, LEARNERS, NETWORKS, Subject, rules, subject
from edgetrain.benchmark.timing import Call, Timing, compare
from edgetrain.compiled import training
from edgetrain.compiled.inference import infer, program
from edgetrain.rules import Rule

OURS = "edgetrain int8"
Record = dict[str, Any]


class How(NamedTuple):
    """How to measure.

    Attributes:
        ops: the backend.
        rounds: bursts a candidate.
        threads: of what edgetrain is compared with.
        seed: of the samples and of training.
    """

    ops: ModuleType
    rounds: int = 30
    threads: int = 1
    seed: int = 0


def _record(group: str, case: str, found: dict[str, Timing]) -> Record:
    times = {name: {"seconds": t.seconds, "ratio": t.ratio} for name, t in found.items()}
    return {"group": group, "case": case, "times": times}


def _inference(group: str, case: str, given: Subject, how: How) -> Record:
    here = rivals.installed()
    calls: dict[str, Call] = {OURS: _ours(given, how.ops)}
    for name, (package, make) in rivals.INFERENCE.items():
        if package in here:
            calls[name] = make(given, how.threads)
    return _record(group, case, compare(calls, how.rounds))


def _ours(given: Subject, ops: ModuleType) -> Call:
    compiled = program(given.model, len(given.codes), ops)
    if compiled is None:
        return lambda: infer(given.model, given.codes, ops)
    return compiled.bound(given.model, given.codes)[0]


def kernels(how: How) -> Iterator[Record]:
    """Time single layers."""
    for case, (make, batch) in LAYERS.items():
        yield _inference("kernels", case, subject(make(), batch, how.seed), how)


def inference(how: How) -> Iterator[Record]:
    """Time whole networks with one sample."""
    for case, make in NETWORKS.items():
        yield _inference("inference", case, subject(make(), 1, how.seed), how)


def _twice(call: Call) -> Call:
    """Return a call of two calls."""

    def run() -> None:
        call()
        call()

    return run


def _labels(given: Subject) -> np.ndarray:
    return np.arange(len(given.codes)) % given.model.graph.output_size


def stepping(rule: Rule, given: Subject, how: How) -> Call:
    """Return a call that takes the next step of a run."""
    run = [(given.model, rule.init(given.model))]
    labels = _labels(given)

    def step() -> None:
        model, state = run.pop()
        model, state, _ = rule.step(model, state, given.codes, labels, how.ops, how.seed)
        run.append((model, state))

    return step


def steps(how: How) -> Iterator[Record]:
    """Time training steps, and two inferences of the same batch."""
    for name, (make, batches) in LEARNERS.items():
        for batch in batches:
            given = subject(make(), batch, how.seed)
            once = _ours(given, how.ops)
            calls: dict[str, Call] = {
                name: stepping(rule, given, how) for name, rule in rules(batch).items()
            }
            calls["two inferences"] = _twice(once)
            if "torch" in rivals.installed():
                from edgetrain.benchmark.torch_nets import FORMATS, backprop

                for layout in FORMATS if given.codes.ndim == 4 else FORMATS[:1]:
                    kind = f"torch backprop float32 {str(layout).removeprefix('torch.')}"
                    calls[kind] = backprop(given.real, given.x, how.threads, layout)
            yield _record("steps", f"{name}, batch {batch}", compare(calls, how.rounds))


def memory(how: How) -> Iterator[Record]:
    """Count the bytes that training keeps, and the most that torch's allocator holds in a step."""
    for name, (make, batches) in LEARNERS.items():
        for batch in batches:
            given = subject(make(), batch, how.seed)
            sizes = {kind: kept(rule, given, how) for kind, rule in rules(batch).items()}
            if "torch" in rivals.installed():
                from edgetrain.benchmark.torch_nets import FORMATS, peak_bytes

                sizes["torch backprop float32"] = min(
                    peak_bytes(given.real, given.x, how.threads, layout) for layout in FORMATS
                )
            yield {"group": "memory", "case": f"{name}, batch {batch}", "bytes": sizes}


def kept(rule: Rule, given: Subject, how: How) -> int:
    """Return what a run keeps between and during its steps."""
    model, state = given.model, rule.init(given.model)
    for _ in range(2):
        model, state, _ = rule.step(model, state, given.codes, _labels(given), how.ops, how.seed)
    return training.kept_bytes(model, state)


GROUPS: dict[str, Callable[[How], Iterator[Record]]] = {
    "kernels": kernels,
    "inference": inference,
    "steps": steps,
    "memory": memory,
}
"""What `edgetrain bench` measures, in this order."""
