"""Compare the learning rules on real data and write the tables of README and RESULTS.md.

    python examples/compare_rules.py                      # every task; ten minutes
    python examples/compare_rules.py --task rotated       # one of them
    python examples/compare_rules.py --write-readme       # from the results so far

Learning rates are chosen on a validation part of the training data with one seed, the test data
are seen once a seed; the table gives the mean of three seeds. Results lie in
examples/results.json. Needs torch for pretraining and the shared data sets.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tables import README, put
from tables import RESULTS as TABLES
from tasks import OPS, TASKS

from edgetrain.data import Data
from edgetrain.files import write_whole
from edgetrain.model import Model
from edgetrain.outputs import predict
from edgetrain.rules import RULES, Backprop, ForwardForward, ForwardGradient, MonoForward, Rule
from edgetrain.settings import Settings
from edgetrain.train import fit

SEEDS = (0, 1, 2)
RESULTS = Path(__file__).with_name("results.json")


@dataclass(frozen=True)
class Entry:
    """A row: a rule as a function of its settings, how long it trains, what it should reach.

    Attributes:
        task: a key of TASKS.
        name: of the row.
        rule: settings → rule; None measures the model as it comes.
        rates: learning rates to choose from.
        steps: of training; epochs are steps * batch / samples.
        batch: samples a step.
        bar: accuracy to reach in percent, None where there is none.
        options: of the settings.
    """

    task: str
    name: str
    rule: Callable[[Settings], Rule] | None
    rates: tuple[float, ...] = ()
    steps: int = 0
    epochs: int = 0
    batch: int = 32
    bar: float | None = None
    weights: str = "w8"
    train: str | int = "all"


def mono(settings: Settings) -> Rule:
    """Mono-Forward with its default blocks, predicting by the sum of heads."""
    return MonoForward(settings=settings)


def plain(settings: Settings) -> Rule:
    """Backpropagation."""
    return Backprop(settings=settings)


def contrast(settings: Settings) -> Rule:
    """Forward-Forward with its defaults."""
    return ForwardForward(settings=settings)


def gradient(space: str, head: str) -> Callable[[Settings], Rule]:
    """Forward gradient."""
    return lambda settings: ForwardGradient(settings=settings, space=space, head=head)


ACTIVITY, ACTIVITY_SAME = gradient("activity", "exact"), gradient("activity", "same")
WEIGHT, WEIGHT_SAME = gradient("weight", "exact"), gradient("weight", "same")
ENTRIES = (
    Entry("digits", "mono_forward", mono, (0.25, 0.5, 1.0), epochs=60, bar=98.3),
    Entry("digits+label", "forward_forward", contrast, (0.05, 0.1, 0.2), epochs=60, bar=96.5),
    Entry("digits", "forward_gradient, activity", ACTIVITY, (0.1, 0.2), epochs=300, bar=97.5,
          weights="w16"),
    Entry("digits", "backprop", plain, (0.1, 0.25, 0.5), epochs=60),
    Entry("fashion", "mono_forward", mono, (0.15, 0.3), epochs=10, batch=64, bar=88.0),
    Entry("fashion", "forward_forward", contrast, (0.1, 0.2), epochs=12, batch=64, bar=86.5),
    Entry("fashion", "forward_gradient, activity", ACTIVITY, (0.05, 0.1, 0.2), epochs=60, batch=64,
          weights="w16"),
    Entry("fashion", "backprop", plain, (0.1, 0.25, 0.5), epochs=10, batch=64),
    Entry("rotated", "before", None),
    Entry("rotated", "backprop, w8", plain, (0.05, 0.1, 0.2), 2000, batch=64, bar=82.5),
    Entry("rotated", "backprop, w16", plain, (0.05, 0.1, 0.2), 2000, batch=64, bar=82.5,
          weights="w16"),
    Entry("rotated", "mono_forward, w8", mono, (0.1, 0.2, 0.4), 2000, batch=64, bar=82.0),
    Entry("rotated", "mono_forward, w16", mono, (0.1, 0.2, 0.4), 2000, batch=64, bar=82.0,
          weights="w16"),
    Entry("rotated", "forward_gradient, activity, exact head", ACTIVITY, (0.01, 0.03, 0.1), 2000,
          batch=128, bar=76.0),
    Entry("rotated", "forward_gradient, activity, same head", ACTIVITY_SAME, (0.015, 0.03, 0.06),
          2000, batch=512, bar=76.0),
    Entry("rotated", "forward_gradient, weight, same head", WEIGHT_SAME, (0.015, 0.03, 0.06), 2000,
          batch=512, bar=71.0, weights="w16"),
    Entry("rotated", "forward_gradient, weight, exact head", WEIGHT, (0.03, 0.06), 2000,
          batch=512, bar=77.5, weights="w16"),
    Entry("watch", "before", None),
    Entry("watch", "backprop, classifier only", plain, (0.03, 0.1), 180, batch=16, train=1),
    Entry("watch", "backprop", plain, (0.01, 0.03), 180, batch=16),
    Entry("watch", "mono_forward", mono, (0.03, 0.1, 0.2), 180, batch=16, bar=94.5),
    Entry("watch", "forward_forward", contrast, (0.01, 0.03, 0.1), 180, batch=16),
    Entry("watch", "forward_gradient, activity, exact head", ACTIVITY, (0.002, 0.004, 0.008), 3000,
          batch=16),
    Entry("keywords", "before", None),
    Entry("keywords", "backprop, classifier only", plain, (0.003, 0.01, 0.03), 180, batch=8,
          train=1),
    Entry("keywords", "backprop", plain, (0.003, 0.006, 0.012), 180, batch=8),
    Entry("keywords", "mono_forward", mono, (0.02, 0.05, 0.1), 180, batch=8),
    Entry("keywords", "forward_forward", contrast, (0.003, 0.01, 0.03), 180, batch=8),
    Entry("keywords", "forward_gradient, activity, exact head", ACTIVITY, (0.00003, 0.0001, 0.0003),
          3000, batch=8),
)  # fmt: skip


def accuracy(rule: Rule | None, model: Model, data: Data, state: object, batch: int = 500) -> float:
    """Return the accuracy on a test split in percent."""
    right = 0
    for i in range(0, len(data.x_test), batch):
        x = model.quantize_input(data.x_test[i : i + batch])
        scores = rule.predict(model, state, x, OPS) if rule else predict(model, x, OPS)
        right += int((scores.argmax(axis=1) == data.y_test[i : i + batch]).sum())
    return 100 * right / len(data.x_test)


def measure(entry: Entry, rate: float, seed: int, validation: bool) -> float:
    """Train every case of a task and return the mean accuracy in percent."""
    found = []
    for model, data in TASKS[entry.task].prepare(seed, validation):
        if entry.rule is None:
            found.append(accuracy(None, model, data, None))
            continue
        settings = Settings(
            learning_rate=rate, schedule="linear", weights=entry.weights, train=entry.train
        )
        steps = entry.steps or entry.epochs * (len(data.x_train) // entry.batch)
        rule = entry.rule(replace(settings, steps=steps, batch=entry.batch))
        result = fit(rule, model, data, ops=OPS, seed=seed, steps=steps, batch=entry.batch)
        found.append(accuracy(rule, result.model, data, result.state))
    return float(np.mean(found))


def compare(entry: Entry) -> dict[str, object]:
    """Choose a learning rate, then measure it on the test data."""
    rates = entry.rates or (0.0,)
    scores = [measure(entry, rate, SEEDS[0], True) for rate in rates] if len(rates) > 1 else [0.0]
    rate = rates[int(np.argmax(scores))]
    started = time.perf_counter()
    tests = [measure(entry, rate, seed, False) for seed in SEEDS]
    return {
        "learning_rate": rate,
        "validation": dict(zip(map(str, rates), scores, strict=True)),
        "test": tests,
        "seconds": (time.perf_counter() - started) / len(SEEDS),
    }


def table(results: dict[str, dict[str, object]]) -> str:
    """Return the table of RESULTS.md."""
    lines = ["| task | rule | accuracy, % | at least | seconds |", "|---|---|---|---|---|"]
    for entry in ENTRIES:
        found = results.get(f"{entry.task}: {entry.name}")
        if found is None:
            continue
        tests = found["test"]
        mean, low, high = np.mean(tests), min(tests), max(tests)
        bar = "" if entry.bar is None else f"{entry.bar:.1f}"
        seconds = f"{found['seconds']:.1f}" if entry.rule else ""
        lines.append(
            f"| {TASKS[entry.task].title} | {entry.name} | {mean:.1f} ({low:.1f} to {high:.1f}) "
            f"| {bar} | {seconds} |"
        )
    return "\n".join(lines)


def summary(results: dict[str, dict[str, object]]) -> str:
    """Return the README's table: the best of each rule, a row a task."""
    lines = [f"| accuracy, % | before | {' | '.join(RULES)} |", "|---|---|" + "---|" * len(RULES)]
    for task in TASKS:
        best: dict[str, float] = {}
        for entry in ENTRIES:
            found = results.get(f"{entry.task}: {entry.name}")
            row = entry.task.split("+")[0]
            if found and row == task and "classifier only" not in entry.name:
                key = entry.name.split(",")[0]
                best[key] = max(best.get(key, 0.0), float(np.mean(found["test"])))
        if best:
            cells = [f"{best[key]:.1f}" if key in best else "" for key in ("before", *RULES)]
            lines.append(f"| {TASKS[task].title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--task", choices=sorted(TASKS), action="append", help="default: all")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--write-readme", action="store_true", help="write the table and stop")
    options = parser.parse_args(arguments)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if options.write_readme:
        put(README, "rules", summary(results))
        put(TABLES, "rules", table(results))
        return
    for entry in ENTRIES:
        if entry.task not in (options.task or TASKS) or options.only not in entry.name:
            continue
        found = compare(entry)
        print(f"{entry.task}: {entry.name}: {found}", flush=True)
        fresh = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        results = {**fresh, f"{entry.task}: {entry.name}": found}
        write_whole(RESULTS, (json.dumps(results, indent=1) + "\n").encode())
    print(table(results))


if __name__ == "__main__":
    main()
