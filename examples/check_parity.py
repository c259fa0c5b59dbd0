"""Train every rule on two networks with every backend that runs here, and compare every step.

    python examples/check_parity.py             # 1,000 steps, some minutes
    python examples/check_parity.py 50 numpy,c  # steps, backends

Each comparison is a process `edgetrain parity` of its own; as many run at once as there are cores.
It prints a table, and exits with 1 on any difference.
"""

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from edgetrain.architectures import ds_cnn, mlp
from edgetrain.files import save
from edgetrain.quantize import quantize

STEPS, BACKENDS = "1000", "numpy,numba,c,triton"
NETWORKS = {"MLP": mlp((64,), 10, hidden=(128, 64)), "DS-CNN": ds_cnn((49, 10, 1), 12)}
RULES = {
    "mono_forward": ["--rule", "mono_forward"],
    "mono_forward, a block a layer": ["--rule", "mono_forward", "--blocks", "layer"],
    "forward_forward": ["--rule", "forward_forward"],
    "forward_gradient, activity": ["--rule", "forward_gradient"],
    "forward_gradient, weight": ["--rule", "forward_gradient", "--space", "weight"],
    "backprop": ["--rule", "backprop"],
    "backprop, w16, momentum": ["--rule", "backprop", "--weights", "w16", "--momentum", "0.875"],
}
COMMAND = [sys.executable, "-m", "edgetrain", "parity"]


def parity(model: Path, options: list[str], steps: str, backends: str) -> list[str]:
    """Run one comparison; return a cell a backend, or what went wrong."""
    command = [*COMMAND, str(model), *options, "--steps", steps, "--backends", backends, "--json"]
    alone = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run([*command, "--batch", "2"], capture_output=True, text=True, env=alone)
    if done.returncode not in (0, 1) or not done.stdout.startswith("{"):
        return [f"failed: {done.stderr.strip()[-600:]}"]
    cells = []
    for row in json.loads(done.stdout)["backends"]:
        if "missing" in row:
            cells.append("does not run here")
        elif row["difference"]:
            cells.append(f"differs: {row['difference']}")
        else:
            cells.append(
                f"{row['steps_equal']:,} equal, {row['steps_a_second'] or 0:,.0f} a second"
            )
    return cells


def main() -> None:
    steps, backends = (sys.argv[1:] + [STEPS, BACKENDS][len(sys.argv) - 1 :])[:2]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = {}
        for network, net in NETWORKS.items():
            x = np.random.default_rng(0).normal(size=(8, *net.graph.input_shape))
            model = Path(folder, f"{network}.safetensors")
            save(quantize(net, x.astype(np.float32), headroom=2.0), model)
            for rule, options in RULES.items():
                jobs[network, rule] = pool.submit(parity, model, options, steps, backends)
        names = backends.split(",")
        print(f"| {steps} steps | {' | '.join(names)} |\n{'|---' * (1 + len(names))}|")
        bad = 0
        for (network, rule), job in jobs.items():
            cells = job.result()
            bad += any(cell.startswith(("differs", "failed")) for cell in cells)
            print(f"| {network}, {rule} | {' | '.join(cells)} |", flush=True)
    if bad:
        sys.exit(f"{bad} of {len(jobs)} comparisons found a difference or failed")


if __name__ == "__main__":
    main()
