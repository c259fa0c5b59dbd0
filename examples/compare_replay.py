"""Write the table of journals: their bytes, and replays beside the trainings that they replay.

    python examples/compare_replay.py  # a minute

It writes RESULTS.md. Trainings and replays run with the backend "numba" on one CPU core; a replay
is timed from the file to weights whose traces were checked.
"""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from tables import RESULTS, put

from edgetrain import kernels
from edgetrain.architectures import ds_cnn, mlp
from edgetrain.data import Data
from edgetrain.journal import load_journal
from edgetrain.quantize import quantize
from edgetrain.replay import replay
from edgetrain.rules import ForwardGradient
from edgetrain.settings import Settings
from edgetrain.state import trace
from edgetrain.train import fit
from edgetrain.watch import Options

STEPS, BATCH, ROUNDS = 10_000, 1, 3
NETWORKS = {
    "DS-CNN": ds_cnn((49, 10, 1), 12),
    "MLP 784-128-64-10": mlp((784,), 10),
    "MLP 64-128-64-10": mlp((64,), 10),
}
HEADS = (
    f"{STEPS:,} steps, batch {BATCH}", "training, s", "replay, s", "times faster",
    "journal, bytes", "bits a query", "bytes of headers, traces and CRCs",
)  # fmt: skip


def row(name: str, folder: Path) -> list[str]:
    """Train with a journal, replay it, and return the cells of a network."""
    net, ops = NETWORKS[name], kernels.load("numba")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, *net.graph.input_shape)).astype(np.float32)
    y = rng.integers(0, net.graph.output_size, 500).astype(np.int32)
    model = quantize(net, x[:64], headroom=2.0)
    data = Data(x, y, x[:20], y[:20])
    rule = ForwardGradient(settings=Settings(learning_rate=0.01), space="weight", head="same")
    trained, replayed = [], []
    fit(rule, model, data, ops=ops, steps=20, batch=BATCH)  # compiles
    for seed in range(ROUNDS):
        path = folder / f"{name}{seed}.journal"
        options = Options(journal=path)
        tuned = fit(
            rule, model, data, ops=ops, steps=STEPS, batch=BATCH, seed=seed, options=options
        )
        trained.append(tuned.seconds)
        started = time.perf_counter()
        again = replay(model, load_journal(path), ops=ops)
        replayed.append(time.perf_counter() - started)
        if trace(*again) != trace(tuned.model, tuned.state):
            raise AssertionError(f"the replay of {name} has other weights")
    size, journal = path.stat().st_size, load_journal(path)
    payload = sum(len(frame.payload) for frame in journal.frames)
    training, repeat = statistics.median(trained), statistics.median(replayed)
    return [
        name, f"{training:.1f}", f"{repeat:.1f}", f"{training / repeat:.1f}", f"{size:,}",
        f"{8 * payload / (STEPS * rule.queries):.1f}", f"{size - payload:,}",
    ]  # fmt: skip


def main() -> None:
    lines = [f"| {' | '.join(HEADS)} |", "|---" * len(HEADS) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            lines.append(f"| {' | '.join(row(name, Path(folder)))} |")
            print(lines[-1], flush=True)
    put(RESULTS, "replay", "\n".join(lines))


if __name__ == "__main__":
    main()
