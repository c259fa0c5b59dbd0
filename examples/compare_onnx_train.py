"""Measure training steps of exported ONNX graphs: speed, size, and bits.

    python examples/compare_onnx_train.py      # a minute; writes examples/RESULTS.md

Each graph takes steps on random codes that are compared with NumPy's; the fastest step and the
fastest inference of a batch of one are printed, with one thread, by this ONNX Runtime.
"""

import numpy as np
import onnxruntime
from compare_tflite_train import RULES, STEPS, TASKS, Task, fastest
from tables import RESULTS, put

from edgetrain import fixed
from edgetrain.exporters.onnx_training.run import calling, runner
from edgetrain.exporters.step_writing.program import chosen, parameters
from edgetrain.exporters.to_onnx_train import to_onnx_train
from edgetrain.parity import compare, synthetic
from edgetrain.quantize import quantize
from edgetrain.rules import Rule, configured


def row(task: Task, rule: Rule, name: str) -> str:
    """Measure one graph."""
    rng = np.random.default_rng(0)
    shape = task.network.graph.input_shape
    model = quantize(task.network, rng.normal(size=(64, *shape)).astype(np.float32))
    rule = configured(rule, batch=task.batch)
    files = to_onnx_train(model, rule=rule, batch=task.batch)
    train, infer = (runner(files[f"{key}.onnx"]) for key in ("train", "infer"))
    batches = list(synthetic(model, STEPS, task.batch))
    steppers = {"numpy": fixed, "graph": calling(train, rule, 0)}
    equal = compare(rule, model, batches, steppers)[1].equal
    x, y = batches[0]
    scalars = {"seed": np.zeros((), np.int64), "step": np.array(STEPS, np.int64)}
    given = {**parameters(model, chosen(rule), rule.init(model)), **scalars, "x": x, "y": y}
    one = {**given, "x": x[:1]}
    step, answer = fastest(lambda: train(given)), fastest(lambda: infer(one))
    size = len(files["train.onnx"]) / 1000
    return (
        f"| {task.name} | {name} | {step:.2f} | {answer:.3f} | {step / answer:.1f} | {size:.0f} "
        f"| {equal} of {STEPS} |"
    )


def main() -> None:
    rows = [
        f"| ONNX Runtime {onnxruntime.__version__}: network | rule | ms a step "
        "| ms an inference | ratio | KB | equal to NumPy |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        for name, rule in RULES.items():
            rows.append(row(task, rule, name))
            print(rows[-1], flush=True)
    put(RESULTS, "onnx training", "\n".join(rows))


if __name__ == "__main__":
    main()
