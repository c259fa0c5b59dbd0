"""Take the steps of a run of the page again, in Python, and print the trace.

    python examples/phone/replay_run.py run.safetensors [model.safetensors]

The run is what "Download run" saves: every sample and batch. The model is the one from which it
began, by default the shipped one. Exits with 1 if the page had another trace.
"""

import sys
from pathlib import Path

from make_model import BUILD, RULE, SEED
from safetensors import safe_open

from edgetrain import fixed
from edgetrain.files import load
from edgetrain.model import Model
from edgetrain.state import trace


def main(run: Path, start: Path = BUILD / "page" / "model.safetensors") -> None:
    with safe_open(run, "numpy") as file:
        x, y, batches = (file.get_tensor(name) for name in ("x", "y", "batches"))
        expected = file.metadata()["trace"]
    model = load(start)
    assert isinstance(model, Model)
    state = RULE.init(model)
    x = x.reshape(len(x), *model.graph.input_shape)
    for batch in batches:
        model, state, _ = RULE.step(model, state, x[batch], y[batch], fixed, SEED)
    print(f"{len(batches)} steps: {trace(model, state)}, on the page {expected}")
    sys.exit(trace(model, state) != expected)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
