"""Write the tables of kernels: instructions a multiply-accumulate on Cortex-M4 and Cortex-M55.

    python examples/count_kernels.py          # a minute; prints the tables, writes RESULTS.md
    python examples/count_kernels.py --json   # the same numbers, as JSON

Every count is of a whole call, zero point, bias, both roundings, clamp and store among it, and of
a call whose result equals the specification. QEMU or Unicorn counts instructions, not cycles. Each
number is that of the better build: gcc at -O2 or -O3, clang where ziglang is installed.
"""

import argparse
import json
import tempfile
from pathlib import Path

from tables import RESULTS, put

from edgetrain.arithmetic.layers import Window
from edgetrain.device_tests.boards import BOARDS, missing
from edgetrain.device_tests.kernel_counts import BARS, Call, count
from edgetrain.device_tests.program import BoardError

BOARDS_OF = {"M4": ("qemu-cortex-m4", "cortex-m4"), "M55": ("qemu-cortex-m55",)}
LEVELS = ("-O2", "-O3")
SAME, NONE, STRIDE = (1, 1, 1, 1), (0, 0, 0, 0), (0, 1, 0, 1)
CMSIS_NN = {"M4": (2.08, None, 2.87, 3.98, 8.29, None), "M55": (0.53, 1.02, 0.62, 0.95, 3.47, None)}
"""What CMSIS-NN takes for the rows of BARS, built with the same gcc; measured once."""


def conv(image: tuple[int, int, int], n_out: int, kernel: tuple[int, int] = (1, 1),
         stride: int = 1, padding: tuple[int, int, int, int] = NONE) -> Call:  # fmt: skip
    return Call("conv", image, n_out, Window(kernel, (stride, stride), padding))


def depthwise(image: tuple[int, int, int], stride: int = 1,
              padding: tuple[int, int, int, int] = SAME) -> Call:  # fmt: skip
    window = Window((3, 3), (stride, stride), padding, image[2])
    return Call("depthwise", image, image[2], window)


SHAPES = {
    "DS-CNN: conv 10x4/2, 49x10x1→64": conv((49, 10, 1), 64, (10, 4), 2, (4, 5, 1, 1)),
    "DS-CNN: depthwise 3x3, 25x5x64": depthwise((25, 5, 64)),
    "DS-CNN: conv 1x1, 25x5x64→64": conv((25, 5, 64), 64),
    "ResNet-8: conv 3x3, 32x32x3→16": conv((32, 32, 3), 16, (3, 3), 1, SAME),
    "ResNet-8: conv 3x3, 32x32x16→16": conv((32, 32, 16), 16, (3, 3), 1, SAME),
    "ResNet-8: conv 3x3/2, 32x32x16→32": conv((32, 32, 16), 32, (3, 3), 2, STRIDE),
    "ResNet-8: conv 1x1/2, 32x32x16→32": conv((32, 32, 16), 32, (1, 1), 2),
    "ResNet-8: conv 3x3, 16x16x32→32": conv((16, 16, 32), 32, (3, 3), 1, SAME),
    "ResNet-8: conv 3x3, 8x8x64→64": conv((8, 8, 64), 64, (3, 3), 1, SAME),
    "MobileNetV1: conv 3x3/2, 96x96x3→8": conv((96, 96, 3), 8, (3, 3), 2, STRIDE),
    "MobileNetV1: depthwise 3x3, 48x48x8": depthwise((48, 48, 8)),
    "MobileNetV1: conv 1x1, 48x48x8→16": conv((48, 48, 8), 16),
    "MobileNetV1: depthwise 3x3/2, 48x48x16": depthwise((48, 48, 16), 2, STRIDE),
    "MobileNetV1: depthwise 3x3, 6x6x128": depthwise((6, 6, 128)),
    "MobileNetV1: conv 1x1, 6x6x128→128": conv((6, 6, 128), 128),
    "MobileNetV1: depthwise 3x3/2, 6x6x128": depthwise((6, 6, 128), 2, STRIDE),
    "MobileNetV1: depthwise 3x3, 3x3x256": depthwise((3, 3, 256)),
    "MobileNetV1: conv 1x1, 3x3x256→256": conv((3, 3, 256), 256),
    "autoencoder: dense 640→128": Call("dense", (1, 1, 640), 128),
    "autoencoder: dense 128→128": Call("dense", (1, 1, 128), 128),
    "autoencoder: dense 128→8": Call("dense", (1, 1, 128), 8),
    "autoencoder: dense 8→128": Call("dense", (1, 1, 8), 128),
    "autoencoder: dense 128→640": Call("dense", (1, 1, 128), 640),
}
UNWEIGHTED = {
    "add, 16x16x32": Call("add", (16, 16, 32), 32),
    "requantize, 16x16x32": Call("requantize", (16, 16, 32), 32),
    "average pool 2x2/2, 16x16x16": Call(
        "average_pool", (16, 16, 16), 16, Window((2, 2), (2, 2), NONE, 16)
    ),
    "average pool 25x5, 25x5x64": Call(
        "average_pool", (25, 5, 64), 64, Window((25, 5), (1, 1), NONE, 64)
    ),
    "max pool 2x2/2, 16x16x16": Call(
        "max_pool", (16, 16, 16), 16, Window((2, 2), (2, 2), NONE, 16)
    ),
    "global average pool, 8x8x64": Call("global_pool", (8, 8, 64), 64),
}


def measure(folder: Path) -> dict[str, dict[str, float]]:
    """Return the fewest instructions a unit of work: core, then row."""
    calls = {name: row[0] for name, row in BARS.items()} | SHAPES | UNWEIGHTED
    found = {}
    for core, boards in BOARDS_OF.items():
        builds = [
            count(board, list(calls.values()), folder, (level,))
            for board in boards if not missing(BOARDS[board]) for level in LEVELS
        ]  # fmt: skip
        if not builds:
            lacks = "; ".join(missing(BOARDS[boards[0]]))
            raise BoardError(f"nothing here counts instructions of a Cortex-{core}: {lacks}")
        found[core] = dict(zip(calls, map(min, *builds), strict=True))
    return found


def bars_table(found: dict[str, dict[str, float]]) -> str:
    """Return measured numbers beside their bars and CMSIS-NN's."""
    lines = ["| instructions a multiply-accumulate | M4 | bar | CMSIS-NN | M55 | bar | CMSIS-NN |",
             "|---|---|---|---|---|---|---|"]  # fmt: skip
    for i, (name, (_, *bars)) in enumerate(BARS.items()):
        cells = [f"{value:.3f} | {bar or '-'} | {CMSIS_NN[core][i] or '-'}"
                 for (core, counts), bar in zip(found.items(), bars, strict=True)
                 for value in (counts[name],)]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def table(title: str, rows: dict[str, Call], found: dict[str, dict[str, float]]) -> str:
    """Return measured numbers of some rows."""
    lines = [f"| {title} | {' | '.join(found)} |", "|---|" + "---|" * len(found)]
    lines += [f"| {name} | " + " | ".join(f"{counts[name]:.2f}" for counts in found.values()) + " |"
              for name in rows]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON, write nothing")
    as_json = parser.parse_args().json
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder))
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    tables = [
        bars_table(found),
        table("instructions a multiply-accumulate, whole layers", SHAPES, found),
        table("instructions a value (pools: a value under the window)", UNWEIGHTED, found),
    ]
    print("\n\n".join(tables))
    put(RESULTS, "kernels", "\n\n".join(tables))


if __name__ == "__main__":
    main()
