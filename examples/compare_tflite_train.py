"""Measure training steps of exported TensorFlow Lite files: speed, size, and bits.

    python examples/compare_tflite_train.py      # a minute; writes examples/RESULTS.md

Each file takes steps on random codes that are compared with NumPy's; the fastest step and the
fastest inference of one sample are printed, with one thread. An interpreter that is not installed
is left out.
"""

import time
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from tables import RESULTS, put

from edgetrain import fixed
from edgetrain.architectures import ds_cnn, mlp
from edgetrain.exporters.tflite_training.run import calling, number, runners
from edgetrain.exporters.to_tflite_train import to_tflite_train
from edgetrain.model import FloatModel
from edgetrain.parity import compare, synthetic
from edgetrain.quantize import quantize
from edgetrain.rules import ForwardGradient, MonoForward, Rule, configured

PACKAGES = {"ai_edge_litert": "LiteRT", "tflite_runtime": "tflite-runtime"}
STEPS = 200
BURSTS, CALLS = 5, 40


class Task(NamedTuple):
    """A network and its batch."""

    name: str
    network: FloatModel
    batch: int


TASKS = (
    Task("MLP 784-128-128-10, batch 32", mlp((784,), 10, hidden=(128, 128)), 32),
    Task("DS-CNN, batch 1", ds_cnn((49, 10, 1), 12), 1),
)
RULES = {
    "mono_forward": MonoForward(warmup=0),
    "forward_gradient, activity": ForwardGradient(),
    "forward_gradient, weight, two passes": ForwardGradient(space="weight", head="same"),
}


def fastest(call, *given) -> float:
    """Return the milliseconds of the fastest call."""
    best = np.inf
    for _ in range(BURSTS):
        for _ in range(CALLS):
            start = time.perf_counter()
            call(*given)
            best = min(best, time.perf_counter() - start)
    return 1000 * best


def row(package: str, task: Task, rule: Rule, name: str) -> str:
    """Measure one file in one interpreter."""
    rng = np.random.default_rng(0)
    shape = task.network.graph.input_shape
    model = quantize(task.network, rng.normal(size=(64, *shape)).astype(np.float32))
    rule = configured(rule, batch=task.batch)
    (contents,) = to_tflite_train(model, rule=rule, batch=task.batch).values()
    calls = runners(contents, package=package)
    batches = list(synthetic(model, STEPS, task.batch))
    equal = compare(rule, model, batches, {"numpy": fixed, "file": calling(calls, 0)})[1].equal
    x, y = batches[0]
    step = fastest(lambda: calls["train"](x=x, y=y, seed=number(0), step=number(STEPS)))
    infer = fastest(lambda: calls["infer"](x=x[:1]))
    return (
        f"| {PACKAGES[package]} | {task.name} | {name} | {step:.2f} | {infer:.3f} "
        f"| {len(contents) / 1000:.0f} | {equal} of {STEPS} |"
    )


def main() -> None:
    rows = [
        "| interpreter | network | rule | ms a step | ms an inference | KB | equal to NumPy |",
        "|---|---|---|---|---|---|---|",
    ]
    for package in filter(find_spec, PACKAGES):
        for task in TASKS:
            for name, rule in RULES.items():
                rows.append(row(package, task, rule, name))
                print(rows[-1], flush=True)
    put(RESULTS, "tflite training", "\n".join(rows))


if __name__ == "__main__":
    main()
