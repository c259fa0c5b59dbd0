"""Compare the memory that is forecast for a Cortex-M4 with what an emulated one is seen to use.

    python examples/measure_memory.py              # a minute; writes a table of RESULTS.md
    python examples/measure_memory.py --targets    # half an hour; the rows of targets.TARGETS

It needs arm-none-eabi-gcc and `pip install '.[device]'`; --targets needs every compiler that
`edgetrain.device_tests.boards` names, and leaves out those that are missing.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from tables import RESULTS, put

from edgetrain.architectures import ds_cnn, mlp, mobilenet_v1, resnet8
from edgetrain.device_tests.boards import BOARDS
from edgetrain.device_tests.footprint import compiler_for, footprint
from edgetrain.device_tests.painted import built_by_gcc, seen
from edgetrain.exporters.c_sizes import size
from edgetrain.exporters.c_writing.memory import kept
from edgetrain.exporters.c_writing.targets import TARGETS, Kernels
from edgetrain.exporters.to_c import programs
from edgetrain.model import FloatModel, Model
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward, Rule
from edgetrain.settings import Settings

KIB = 1024
BARS = {
    "DS-CNN 49x10, all layers": (ds_cnn((49, 10, 1), 12), "all", 96 * KIB),
    "ResNet-8 32x32, all layers": (resnet8((32, 32, 3), 10), "all", 192 * KIB),
    "MobileNetV1-0.25 96x96, last 8": (mobilenet_v1((96, 96, 3), 2), 8, 256 * KIB),
}
"""Network, layers that mono_forward trains, and the most bytes of RAM that we want."""
CODE = 24 * KIB
"""The most bytes of code that we want."""
SMALL = {
    "mlp": mlp((12,), 5, hidden=(24, 16)),
    "ds_cnn": ds_cnn((25, 9, 1), 5, channels=8),
    "resnet8": resnet8((8, 8, 3), 5, channels=4),
    "mobilenet_v1": mobilenet_v1((32, 32, 1), 3),
}
FAST, W16 = Settings(learning_rate=0.5), Settings(learning_rate=0.5, weights="w16")
RULES: tuple[Rule, ...] = (
    MonoForward(settings=FAST), MonoForward(settings=W16, blocks="layer"), Backprop(settings=FAST),
    ForwardGradient(settings=FAST), ForwardGradient(settings=FAST, space="weight"),
    ForwardForward(settings=FAST), Backprop(settings=replace(W16, momentum=0.5)),
)  # fmt: skip
"""A rate at which no network's steps round to nothing."""
LINES = range(20, 100, 2)


def quantized(network: FloatModel) -> Model:
    """Return an int8 network."""
    rng = np.random.default_rng(0)
    return quantize(network, rng.normal(0, 1, (4, *network.graph.input_shape)).astype(np.float32))


def compare(folder: Path) -> str:
    """Return forecast and measurement of the networks that have a bar."""
    BOARDS["gcc-cortex-m4"] = built_by_gcc()
    heads = ("mono_forward, w8, batch 1", "weights", "state", "arena", "stack", "RAM forecast",
             "measured", "bar", "code", "bar")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, (network, train, bar) in BARS.items():
        model, rule = quantized(network), MonoForward(settings=Settings(train=train))
        forecast = size(model, TARGETS["cortex-m4"], rule)
        made = footprint("gcc-cortex-m4", model, rule, folder)
        used = seen("gcc-cortex-m4", model, rule, folder)
        stack, measured = made.stack["train"], used.variables + used.stack
        ram = forecast.ram - forecast.stack + stack
        numbers = (forecast.weights_ram, forecast.state_ram, forecast.arena, stack, ram)
        cells = [name, *(f"{n:,}" for n in numbers)]
        cells += [f"{measured:,} ({100 * (ram / measured - 1):+.2f} %)", f"{bar:,}"]
        lines.append(f"| {' | '.join([*cells, f'{made.code:,}', f'{CODE:,}'])} |")
    return "\n".join(lines)


def measure(board: str, folder: Path) -> tuple[int, Kernels, Kernels]:
    """Return line, dense and convolutional of a `Target`: the least that no network exceeds."""
    rows: dict[bool, list[tuple[int, int, int]]] = {True: [], False: []}
    for name, network in SMALL.items():
        model = quantized(network)
        for rule in RULES:
            _, _, infer, learn = programs(model, rule)
            made = footprint(board, model, rule, folder)
            lines = len(infer.lines) + len(learn.lines)
            rows[name == "mlp"].append((made.code, lines, made.stack["train"] - kept(learn)))

    def bound(kind: bool, line: int) -> int:
        return max(code - line * lines for code, lines, _ in rows[kind])

    def slack(line: int) -> int:
        return max(bound(k, line) + line * n - code for k in rows for code, n, _ in rows[k])

    line = min(LINES, key=slack)
    dense, other = (Kernels(max(s for *_, s in rows[k]), bound(k, line)) for k in (True, False))
    return line, dense, other


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", action="store_true", help="print the rows of TARGETS")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not wanted.targets:
            table = compare(Path(folder))
            print(table)
            put(RESULTS, "memory on m4", table)
            return
        for name, target in TARGETS.items():
            board = compiler_for(target.boards[:1])
            print(f"{name}: {measure(board, Path(folder)) if board else 'no compiler'}", flush=True)


if __name__ == "__main__":
    main()
