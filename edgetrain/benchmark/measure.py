"""The measurements of `edgetrain bench`, as records."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from edgetrain.benchmark import rivals
from edgetrain.benchmark.cases import LAYERS, LEARNERS, NETWORKS, Subject, rules, subject
from edgetrain.benchmark.timing import Call, Timing, compare
from edgetrain.compiled import training
from edgetrain.compiled.inference import infer, program
from edgetrain.rules import Rule

OURS = "edgetrain int8"
Record = dict[str, Any]


def _record(group: str, case: str, found: dict[str, Timing]) -> Record:
    times = {name: {"seconds": t.seconds, "ratio": t.ratio} for name, t in found.items()}
    return {"group": group, "case": case, "times": times}


def _inference(group: str, case: str, given: Subject, ops: ModuleType, rounds: int,
               threads: int) -> Record:  # fmt: skip
    here = rivals.installed()
    calls: dict[str, Call] = {OURS: _ours(given, ops)}
    for name, (package, make) in rivals.INFERENCE.items():
        if package in here:
            calls[name] = make(given, threads)
    return _record(group, case, compare(calls, rounds))


def _ours(given: Subject, ops: ModuleType) -> Call:
    compiled = program(given.model, len(given.codes), ops)
    if compiled is None:
        return lambda: infer(given.model, given.codes, ops)
    return compiled.bound(given.model, given.codes)[0]


def kernels(ops: ModuleType, rounds: int, threads: int) -> Iterator[Record]:
    """Time single layers."""
    for case, (make, batch) in LAYERS.items():
        yield _inference("kernels", case, subject(make(), batch), ops, rounds, threads)


def inference(ops: ModuleType, rounds: int, threads: int) -> Iterator[Record]:
    """Time whole networks with one sample."""
    for case, make in NETWORKS.items():
        yield _inference("inference", case, subject(make(), 1), ops, rounds, threads)


def _twice(call: Call) -> Call:
    """Return a call of two calls."""

    def run() -> None:
        call()
        call()

    return run


def _labels(given: Subject) -> np.ndarray:
    return np.arange(len(given.codes)) % given.model.graph.output_size


def stepping(rule: Rule, given: Subject, ops: ModuleType) -> Call:
    """Return a call that takes the next step of a run."""
    run = [(given.model, rule.init(given.model))]
    labels = _labels(given)

    def step() -> None:
        model, state = run.pop()
        model, state, _ = rule.step(model, state, given.codes, labels, ops)
        run.append((model, state))

    return step


def steps(ops: ModuleType, rounds: int, threads: int) -> Iterator[Record]:
    """Time training steps, and two inferences of the same batch."""
    for name, (make, batches) in LEARNERS.items():
        for batch in batches:
            given = subject(make(), batch)
            once = _ours(given, ops)
            calls: dict[str, Call] = {
                name: stepping(rule, given, ops) for name, rule in rules(batch).items()
            }
            calls["two inferences"] = _twice(once)
            if "torch" in rivals.installed():
                from edgetrain.benchmark.torch_nets import FORMATS, backprop

                for layout in FORMATS if given.codes.ndim == 4 else FORMATS[:1]:
                    kind = f"torch backprop float32 {str(layout).removeprefix('torch.')}"
                    calls[kind] = backprop(given.real, given.x, threads, layout)
            yield _record("steps", f"{name}, batch {batch}", compare(calls, rounds))


def memory(ops: ModuleType, rounds: int, threads: int) -> Iterator[Record]:
    """Count the bytes that training keeps: parameters, activations, gradients, constants."""
    for name, (make, batches) in LEARNERS.items():
        for batch in batches:
            given = subject(make(), batch)
            sizes = {kind: _bytes(rule, given, ops) for kind, rule in rules(batch).items()}
            if "torch" in rivals.installed():
                from edgetrain.benchmark.torch_nets import live_bytes

                sizes["torch backprop float32"] = live_bytes(given.real, given.x)
            yield {"group": "memory", "case": f"{name}, batch {batch}", "bytes": sizes}


def _bytes(rule: Rule, given: Subject, ops: ModuleType) -> int:
    """Return what a run keeps between and during its steps."""
    model, state = given.model, rule.init(given.model)
    for _ in range(2):
        model, state, _ = rule.step(model, state, given.codes, _labels(given), ops)
    return training.kept_bytes(model, state)


GROUPS: dict[str, Callable[[ModuleType, int, int], Iterator[Record]]] = {
    "kernels": kernels,
    "inference": inference,
    "steps": steps,
    "memory": memory,
}
"""What `edgetrain bench` measures, in this order."""
