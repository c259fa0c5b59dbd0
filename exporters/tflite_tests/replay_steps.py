"""Replay recorded steps in every interpreter that this Python has; tell where they go apart.

    python replay_steps.py FOLDER

Each case in FOLDER is a CASE.tflite and a CASE.npz. It needs NumPy and an interpreter alone.
"""

import json
import platform
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

PACKAGES = ("ai_edge_litert", "tflite_runtime")
RESOLVERS = ("BUILTIN", "BUILTIN_REF")


def equal_steps(file: Path, package: str, resolver: str) -> int:
    """Take all steps; return how many losses, and parameters at the end, were as recorded."""
    lite = import_module(f"{package}.interpreter")
    interpreter = lite.Interpreter(
        model_content=file.read_bytes(),
        experimental_op_resolver_type=getattr(lite.OpResolverType, resolver),
    )
    train, save = (interpreter.get_signature_runner(name) for name in ("train", "save"))
    with np.load(file.with_suffix(".npz")) as arrays:
        recorded = dict(arrays)
    seed = recorded.pop("seed")
    x, y, losses = (recorded.pop(name) for name in ("x", "y", "loss"))
    for i, loss in enumerate(losses):
        if train(x=x[i], y=y[i], seed=seed, step=np.array([i], np.int32))["loss"] != loss:
            return i
    saved = save()
    return len(losses) if all(np.array_equal(saved[k], v) for k, v in recorded.items()) else 0


if __name__ == "__main__":
    found = {
        f"{package} {resolver} {file.stem}": equal_steps(file, package, resolver)
        for package in filter(find_spec, PACKAGES)
        for resolver in RESOLVERS
        for file in sorted(Path(sys.argv[1]).glob("*.tflite"))
    }
    print(json.dumps({"machine": platform.machine(), "equal": found}))
