"""Tune published TensorFlow Lite models with edgetrain and give them back as such files.

    python examples/tune_imported.py                      # all; half an hour
    python examples/tune_imported.py --task colour        # the rules on ResNet-8, three seeds
    python examples/tune_imported.py --task export        # five int8 networks: tune, export, run
    python examples/tune_imported.py --write-readme       # RESULTS.md, from the results so far

colour: the float parameters of MLPerf Tiny's ResNet-8, quantized by us, learn from 500 labels of
pictures with other colours, less contrast and less focus; 10,000 such pictures test it.

export: each int8 network is imported with its own integers, tuned, exported, and run by
TensorFlow Lite Micro, whose bytes are compared with `edgetrain.inference.output`.

Learning rates are chosen on validation data with one seed. Results lie in
examples/tune_imported.json. Needs flatbuffers and tflite_micro (the groups examples and test), the
shared models and the shared data sets.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from compare_rules import ACTIVITY, SEEDS, Entry, accuracy, mono, plain
from imported import TASKS
from tables import RESULTS as TABLES
from tables import put
from tasks import OPS

from edgetrain.data import Data
from edgetrain.evaluate import evaluate, output_reals
from edgetrain.exporters.to_tflite import to_tflite
from edgetrain.files import write_whole
from edgetrain.inference import output
from edgetrain.model import Model
from edgetrain.rules import MonoForward, Rule
from edgetrain.settings import Settings
from edgetrain.train import Result, fit

RESULTS = Path(__file__).with_suffix(".json")
COMPARED = 1000
"""How many inputs the interpreter runs at least: test samples, then training samples."""


def own_output(settings: Settings) -> Rule:
    """Mono-Forward with its default blocks; only the network's own output predicts."""
    return MonoForward(settings=settings, predict_with="last")


COLOUR = (
    Entry("colour", "before", None),
    Entry("colour", "backprop, classifier only", plain, (0.3, 1.0, 3.0), epochs=15, batch=16,
          train=1),
    Entry("colour", "backprop", plain, (0.0003, 0.0005, 0.001), epochs=15, batch=16),
    Entry("colour", "mono_forward", mono, (0.0003, 0.001, 0.002), epochs=15, batch=16, bar=-4.0),
    Entry("colour", "mono_forward, own output", own_output, (0.0003, 0.001, 0.002), epochs=15,
          batch=16, bar=-4.0),
    Entry("colour", "forward_gradient, activity, exact head", ACTIVITY, (1e-6, 3e-6), epochs=30,
          batch=64),
)  # fmt: skip
EXPORT = (
    Entry("keywords", "mono_forward", own_output, (0.01, 0.03, 0.1), epochs=3),
    Entry("resnet8", "mono_forward", own_output, (0.0003, 0.001, 0.002), epochs=15, batch=16),
    Entry("mobilenet", "mono_forward", own_output, (0.03, 0.1), epochs=4, batch=16),
    Entry("micro_speech", "backprop", plain, (0.003, 0.01, 0.03), epochs=20, batch=16),
    Entry("hello_world", "mono_forward", own_output, (0.01, 0.03, 0.1), epochs=60, batch=16),
)  # fmt: skip


def tune(entry: Entry, rate: float, seed: int, validation: bool) -> tuple[Rule, Result, Data]:
    """Prepare a task and train its model."""
    model, data = TASKS[entry.task].prepare(seed, validation)
    steps = entry.epochs * (len(data.x_train) // entry.batch)
    settings = Settings(
        learning_rate=rate, schedule="linear", steps=steps, batch=entry.batch,
        train=entry.train,
    )  # fmt: skip
    rule = entry.rule(settings) if entry.rule else plain(settings)
    result = fit(rule, model, data, ops=OPS, seed=seed, steps=steps, batch=entry.batch)
    return rule, result, data


def choose(entry: Entry) -> dict[str, Any]:
    """Choose a learning rate on validation data."""
    scores = {}
    for rate in entry.rates:
        rule, result, data = tune(entry, rate, SEEDS[0], True)
        scores[rate] = goodness(rule, result, data)
        print(f"{entry.task}: {entry.name}: {rate} on validation data: {scores[rate]}", flush=True)
    best = max(scores, key=lambda rate: scores[rate])
    return {"learning_rate": best, "validation": {str(r): s for r, s in scores.items()}}


def goodness(rule: Rule, result: Result, data: Data) -> float:
    """Return the accuracy in percent, of a regression minus its mean squared error."""
    if result.model.task == "classify":
        return accuracy(rule, result.model, data, result.state)
    report = evaluate(rule, result.model, result.state, data.x_test, data.y_test, ops=OPS)
    return -report["squared_error"]


def compare(entry: Entry) -> dict[str, Any]:
    """Measure a rule on the test data, three seeds."""
    if entry.rule is None:
        cases = [TASKS[entry.task].prepare(seed, False) for seed in SEEDS]
        return {"test": [accuracy(None, *case, None) for case in cases], "seconds": 0.0}
    chosen, tests, seconds = choose(entry), [], 0.0
    for seed in SEEDS:
        rule, result, data = tune(entry, chosen["learning_rate"], seed, False)
        seconds += result.seconds / len(SEEDS)
        tests.append(accuracy(rule, result.model, data, result.state))
    return {**chosen, "test": tests, "seconds": seconds}


def give_back(entry: Entry) -> dict[str, Any]:
    """Tune an int8 network, export it, and compare an interpreter's bytes with ours."""
    chosen = choose(entry)
    before, data = TASKS[entry.task].prepare(SEEDS[0], False)
    _, result, _ = tune(entry, chosen["learning_rate"], SEEDS[0], False)
    model = result.model
    inputs = np.concatenate([data.x_test, data.x_train])[: max(COMPARED, len(data.x_test))]
    codes = model.quantize_input(inputs)
    found = micro(to_tflite(model, entry.task)[f"{entry.task}.tflite"], codes)
    wanted = np.concatenate([output(model, part, OPS) for part in np.array_split(codes, 10)])
    if found.dtype != np.int8 or found.size != wanted.size:
        raise ValueError(f"{entry.task}: the interpreter gave {found.dtype} {found.shape}")
    wanted = wanted.reshape(found.shape)
    changed = sum(int((model.params[name].w != old.w).sum()) for name, old in before.params.items())
    return {
        **chosen,
        "changed_weights": changed,
        "before": ours(before, data),
        "after": ours(model, data),
        "interpreter": theirs(model, found[: len(data.x_test)], data),
        "test_samples": len(data.x_test),
        "inputs": len(codes),
        "bytes": found.size,
        "differing": int((found != wanted).sum()),
    }


def micro(content: bytes, codes: np.ndarray) -> np.ndarray:
    """Run a file in TensorFlow Lite Micro, sample by sample."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content)
    shape, results = interpreter.get_input_details(0)["shape"], []
    for sample in codes:
        interpreter.set_input(sample.reshape(shape), 0)
        interpreter.invoke()
        results.append(interpreter.get_output(0).ravel())
    return np.stack(results)


def ours(model: Model, data: Data) -> str:
    """Say how good a model is by our evaluation of its own output."""
    report = evaluate(None, model, None, data.x_test, data.y_test, ops=OPS)
    if model.task == "classify":
        return f"{100 * report['accuracy']:.1f} %"
    return f"error {report['squared_error'] ** 0.5:.3f}"


def theirs(model: Model, y: np.ndarray, data: Data) -> str:
    """Say how good an exported model is by the bytes that the interpreter gave."""
    if model.task == "classify":
        return f"{100 * float((y.argmax(axis=1) == data.y_test).mean()):.1f} %"
    return f"error {float(((output_reals(model, y) - data.y_test) ** 2).mean()) ** 0.5:.3f}"


def tables(results: dict[str, dict[str, Any]]) -> str:
    """Return the tables of RESULTS.md."""
    return "\n".join([*colour_table(results), "", *export_table(results)])


def colour_table(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of the table of rules."""
    title = TASKS["colour"].title
    lines = [f"| {title} | accuracy, % | minus backprop's | seconds |", "|---|---|---|---|"]
    for entry in COLOUR:
        found = results.get(f"colour: {entry.name}")
        if found is None:
            continue
        tests = found["test"]
        mean, low, high = np.mean(tests), min(tests), max(tests)
        level = results.get("colour: backprop", found)["test"]
        gap = f"{mean - np.mean(level):+.1f}" if entry.bar else ""
        gap += f" (at least {entry.bar:+.0f})" if entry.bar else ""
        seconds = f"{found['seconds']:.0f}" if entry.rule else ""
        lines.append(f"| {entry.name} | {mean:.1f} ({low:.1f} to {high:.1f}) | {gap} | {seconds} |")
    return lines


def export_table(results: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of the table of exported networks."""
    lines = [
        "| published int8 network, tuned to | rule | before | after "
        "| TensorFlow Lite Micro | bytes that differ |",
        "|---|---|---|---|---|---|",
    ]
    for entry in EXPORT:
        found = results.get(f"export: {entry.task}")
        if found is not None:
            lines.append(
                f"| {TASKS[entry.task].title} | {entry.name} | {found['before']} "
                f"| {found['after']} | {found['interpreter']} "
                f"| {found['differing']} of {found['bytes']:,} |"
            )
    return lines


def load_results() -> dict[str, dict[str, Any]]:
    """Return what was measured so far."""
    found: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def keep(key: str, found: dict[str, Any]) -> None:
    """Add a result to the file."""
    print(f"{key}: {found}", flush=True)
    results = {**load_results(), key: found}
    write_whole(RESULTS, (json.dumps(results, indent=1) + "\n").encode())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--task", choices=("colour", "export"), help="default: both")
    parser.add_argument("--only", default="", help="rows whose name or task contains this")
    parser.add_argument("--write-readme", action="store_true", help="write the tables and stop")
    options = parser.parse_args(arguments)
    if options.write_readme:
        put(TABLES, "imported", tables(load_results()))
        return
    if options.task in (None, "colour"):
        for entry in COLOUR:
            if options.only in entry.name:
                keep(f"colour: {entry.name}", compare(entry))
    if options.task in (None, "export"):
        for entry in EXPORT:
            if options.only in entry.task:
                keep(f"export: {entry.task}", give_back(entry))
    print(tables(load_results()))


if __name__ == "__main__":
    main()
