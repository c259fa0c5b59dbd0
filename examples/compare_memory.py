"""Write the README's table of memory: what training MLPerf Tiny's networks keeps.

    python examples/compare_memory.py      # a second; prints the table and writes the README

The numbers are forecasts for one sample; `edgetrain/arena_test.py` compares forecasts with what
the runtime keeps.
"""

import numpy as np
from tables import README, put

from edgetrain.architectures import ds_cnn, mobilenet_v1, resnet8
from edgetrain.memory import plans
from edgetrain.model import FloatModel
from edgetrain.quantize import quantize

NETWORKS = {
    "DS-CNN 49x10": ds_cnn((49, 10, 1), 12),
    "ResNet-8 32x32": resnet8((32, 32, 3), 10),
    "MobileNetV1-0.25 96x96": mobilenet_v1((96, 96, 3), 2),
}
ROWS = {
    "inference": ("inference", "-"),
    "forward_gradient, weight": ("forward_gradient weight", "-"),
    "forward_gradient, activity": ("forward_gradient activity", "-"),
    "mono_forward, a block a layer": ("mono_forward", "layer"),
    "mono_forward, two blocks (default)": ("mono_forward", "2"),
    "backprop": ("backprop", "network"),
}


def arenas(network: FloatModel) -> dict[tuple[str, str], int]:
    """Return the arena of every rule and block choice in bytes."""
    model = quantize(network, np.ones((1, *network.graph.input_shape), np.float32))
    return {(row.rule, row.blocks): row.arena_bytes for row in plans(model)}


def table() -> str:
    """Return the table."""
    found = [arenas(network) for network in NETWORKS.values()]
    lines = [f"| arena, bytes | {' | '.join(NETWORKS)} |", "|---|" + "---|" * len(NETWORKS)]
    for name, key in ROWS.items():
        lines.append(f"| {name} | {' | '.join(f'{arena[key]:,}' for arena in found)} |")
    return "\n".join(lines)


def main() -> None:
    print(table())
    put(README, "memory", table())


if __name__ == "__main__":
    main()
