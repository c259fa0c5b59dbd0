"""Replay recorded steps in whatever ONNX Runtime this Python has; tell where it goes apart.

    python replay_steps.py FOLDER

Each folder in FOLDER has a train.onnx and a steps.npz. It needs ONNX Runtime and NumPy alone.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def equal_steps(folder: Path) -> int:
    """Feed every step with what the last one left; return how many were as recorded."""
    session = onnxruntime.InferenceSession(
        str(folder / "train.onnx"), providers=["CPUExecutionProvider"]
    )
    names = [end.name for end in session.get_outputs()]
    recorded: dict[int, dict[str, dict[str, np.ndarray]]] = {}
    with np.load(folder / "steps.npz") as arrays:
        for key in arrays.files:
            number, way, name = key.split("/", 2)
            recorded.setdefault(int(number), {}).setdefault(way, {})[name] = arrays[key]
    carried: dict[str, np.ndarray] = {}
    for number in sorted(recorded):
        carried |= recorded[number]["in"]
        left = dict(zip(names, session.run(names, carried), strict=True))
        if any(not np.array_equal(left[k], v) for k, v in recorded[number]["out"].items()):
            return number
        carried |= {k.removeprefix("next/"): v for k, v in left.items() if k.startswith("next/")}
    return len(recorded)


if __name__ == "__main__":
    found = {folder.name: equal_steps(folder) for folder in sorted(Path(sys.argv[1]).iterdir())}
    print(json.dumps({"onnxruntime": onnxruntime.__version__, "equal": found}))
