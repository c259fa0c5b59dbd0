"""Write the table of an NVIDIA GPU: products beside torch, a fleet's replay beside one CPU core.

    python examples/compare_gpu.py         # two minutes; needs an NVIDIA GPU
    python examples/compare_gpu.py --tune  # only times of products with other tiles

It writes RESULTS.md. Products are timed on the device, in graphs that take their operands in turn,
torch's without and ours with its requantization. A replay is timed from the bytes of journals, on
the host, to weights on the host that were checked against the journals' traces.
"""

import os

os.environ["NUMBA_NUM_THREADS"] = "1"

import itertools
import statistics
import sys
import time
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
import triton
from tables import RESULTS, put

from edgetrain import fixed, kernels
from edgetrain.architectures import ds_cnn, mlp
from edgetrain.fleet import replay_many
from edgetrain.journal import FRAME_STEPS, pack_frame, read_journal, weights_trace
from edgetrain.journal_header import header
from edgetrain.model import Model
from edgetrain.parity import compare, synthetic
from edgetrain.quantize import quantize
from edgetrain.replay_steps import Run, steps_again
from edgetrain.rules import Backprop, ForwardGradient
from edgetrain.settings import Settings

PRODUCTS = {
    "4096 x 4096 x 4096": (4096, 4096, 4096),
    "8192 x 8192 x 8192": (8192, 8192, 8192),
    "1024 x 1024 x 1024": (1024, 1024, 1024),
    "pointwise convolution of 64 to 64 channels, 256 images of 25 x 5": (256 * 125, 64, 64),
}
"""Rows, columns and filters."""
OPERANDS, ROUNDS, CALLS = 4, 30, 8
DEVICES, STEPS = 256, 10_000
ON_ONE_CORE = 4
"""Devices that one CPU core replays."""
TRAINING_STEPS, BATCH = 60, 32
TILES = [
    {"M": m, "N": n, "K": k, "num_warps": warps, "num_stages": stages}
    for m, n, k, warps, stages in (
        (128, 128, 128, 4, 3), (128, 128, 128, 8, 3), (256, 128, 128, 8, 3), (128, 256, 128, 8, 3),
        (128, 128, 64, 4, 4), (128, 64, 128, 4, 4), (64, 128, 128, 4, 4), (64, 64, 128, 4, 4),
        (128, 64, 64, 4, 3),
    )
]  # fmt: skip
GROUPS = (2, 4, 8)
"""Tiles and their order, all to be tried with the products of TUNED."""
TUNED = ("4096 x 4096 x 4096", "1024 x 1024 x 1024")


def graph_of(run: Callable[[int], None]) -> torch.cuda.CUDAGraph:
    """Return CALLS calls of a function of their number, ready to be replayed."""
    for call in range(CALLS):
        run(call)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in range(CALLS):
            run(call)
    return graph


def times(*runs: Callable[[int], None]) -> list[float]:
    """Return the median microseconds of functions that ran in turn."""
    graphs = [graph_of(run) for run in runs]
    taken: list[list[float]] = [[] for _ in runs]
    for _ in range(ROUNDS + 3):
        for graph, own in zip(graphs, taken, strict=True):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            graph.replay()
            end.record()
            end.synchronize()
            own.append(start.elapsed_time(end) * 1000 / CALLS)
    return [statistics.median(own[3:]) for own in taken]


class Product:
    """Operands of a product, and both ways to multiply them."""

    def __init__(self, rows: int, columns: int, filters: int) -> None:
        def codes(*shape: int) -> torch.Tensor:
            return torch.randint(-127, 128, shape, dtype=torch.int8, device="cuda")

        self.x = [codes(rows, columns) for _ in range(OPERANDS)]
        self.w = [codes(filters, columns) for _ in range(OPERANDS)]
        self.b = torch.randint(-999, 1000, (filters,), dtype=torch.int32, device="cuda")
        self.shift = -7 - columns.bit_length() // 2
        self.scales = torch.full_like(self.b, 2**30 + 7), torch.full_like(self.b, self.shift)
        self.out = torch.empty((rows, filters), dtype=torch.int8, device="cuda")
        x, w, b = (t.cpu().numpy() for t in (self.x[0], self.w[0], self.b))
        self.rows = [0, 1, rows // 2, rows - 1]
        self.wanted = fixed.dense(x[self.rows], w, b, 3, 2**30 + 7, self.shift, -5)

    def fused(self, call: int) -> None:
        """Multiply and requantize as the backend does."""
        from edgetrain.kernels.gpu_triton_calls import run_dense

        i = call % OPERANDS
        run_dense(self.x[i], self.w[i], self.b, self.out, 3, *self.scales, -5, -128, 127)

    def plain(self, call: int) -> None:
        """Multiply as torch does."""
        i = call % OPERANDS
        torch._int_mm(self.x[i], self.w[i].T)

    def check(self) -> None:
        """Stop unless some rows are those of the specification."""
        self.out.fill_(99)
        self.fused(0)
        np.testing.assert_array_equal(self.out[self.rows].cpu().numpy(), self.wanted)


def products() -> list[str]:
    """Return the table of products."""
    lines = ["| int8 product, requantized | µs | TOP/s | torch._int_mm, µs | speed, times |",
             "|---|---|---|---|---|"]  # fmt: skip
    for name, (rows, columns, filters) in PRODUCTS.items():
        product = Product(rows, columns, filters)
        product.check()
        ours, theirs = times(product.fused, product.plain)
        rate = 2 * rows * columns * filters / ours / 1e6
        lines.append(f"| {name} | {ours:.1f} | {rate:,.0f} | {theirs:.1f} | {theirs / ours:.2f} |")
    return lines


def tune() -> None:
    """Print how fast products are with every tile."""
    from edgetrain.kernels import gpu_triton_calls as calls

    for name in TUNED:
        product = Product(*PRODUCTS[name])
        for tile, group in itertools.product(TILES, GROUPS):
            calls.TILE = calls.LARGE_TILE = tile
            calls.GROUP = group
            product.check()
            ours, theirs = times(product.fused, product.plain)
            shape = " ".join(map(str, tile.values()))
            print(f"{name}, {shape}, {group}: {ours:.1f} µs, {theirs / ours:.2f}", flush=True)


def float_images(shape: tuple[int, ...]) -> np.ndarray:
    """Return images to calibrate with."""
    return np.random.default_rng(0).normal(size=(8, *shape)).astype(np.float32)


def journals(model: Model, rule: ForwardGradient, ops: ModuleType) -> dict[int, bytes]:
    """Return the journals of devices whose steps went up or down at random."""
    fresh = rule.init(model)
    runs: list[Run] = [(model, fresh)] * DEVICES
    seeds = list(range(DEVICES))
    heads = [header(rule, model, seed).packed() for seed in seeds]
    files = [[head] for head in heads]
    crcs = [read_journal(head).crc for head in heads]
    slopes = np.random.default_rng(1).choice([-1, 1], (DEVICES, STEPS, 1)).astype(np.int32)
    for first in range(0, STEPS, FRAME_STEPS):
        part = slopes[:, first : first + FRAME_STEPS]
        runs = steps_again(rule, runs, part, seeds, ops)
        for device, run in enumerate(runs):
            content, crcs[device] = pack_frame(
                part[device].tolist(), True, weights_trace(*run, fresh), crcs[device]
            )
            files[device].append(content)
    return {device: b"".join(parts) for device, parts in enumerate(files)}


def replayed(model: Model, files: dict[int, bytes], ops: ModuleType) -> float:
    """Replay a fleet; return steps a second, all devices together."""
    started = time.perf_counter()
    read = {device: read_journal(content) for device, content in files.items()}
    for _, run in replay_many(model, read, ops=ops):
        if isinstance(run, Exception):
            raise run
    return len(files) * STEPS / (time.perf_counter() - started)


def fleet() -> list[str]:
    """Return the table of replays; both backends must reach the traces of the journals."""
    numba, gpu = kernels.load("numba"), kernels.load("triton")
    model = quantize(ds_cnn((49, 10, 1), 12), float_images((49, 10, 1)), headroom=2.0)
    rule = ForwardGradient(settings=Settings(learning_rate=0.05), space="weight", head="same")
    files = journals(model, rule, gpu)
    some = {device: files[device] for device in range(ON_ONE_CORE)}
    replayed(model, some, numba)  # compiles
    one_core = statistics.median(replayed(model, some, numba) for _ in range(3))
    many = statistics.median(replayed(model, files, gpu) for _ in range(4))
    return [
        f"| replay of {STEPS:,} steps of DS-CNN | steps a second, all devices | times |",
        "|---|---|---|",
        f"| one CPU core, numba, {ON_ONE_CORE} devices | {one_core:,.0f} | 1 |",
        f"| GPU, triton, {DEVICES} devices | {many:,.0f} | {many / one_core:,.0f} |",
        "",
        f"A journal of these has {len(files[0]):,} bytes.",
    ]


def training() -> list[str]:
    """Return the table of training steps, whose bits must be equal."""
    backends = {name: kernels.load(name) for name in ("numba", "triton")}
    lines = [f"| backprop steps a second, batch {BATCH} | {' | '.join(backends)} |",
             "|---" * (1 + len(backends)) + "|"]  # fmt: skip
    for name, net in (("MLP 784-128-64-10", mlp((784,), 10)),
                      ("DS-CNN", ds_cnn((49, 10, 1), 12))):  # fmt: skip
        model = quantize(net, float_images(net.graph.input_shape), headroom=2.0)
        rule = Backprop(settings=Settings(learning_rate=0.05, batch=BATCH))
        rows = compare(rule, model, synthetic(model, TRAINING_STEPS, BATCH), backends)
        for row in rows:
            if row.difference:
                raise AssertionError(f"{row.backend}: {row.difference}")
        cells = [f"{row.steps_a_second or 0:,.0f}" for row in rows]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    name = torch.cuda.get_device_name()
    print(f"{name}, torch {torch.__version__}, triton {triton.__version__}", flush=True)
    if "--tune" in sys.argv[1:]:
        tune()
        return
    lines = [f"On an {name}:"]
    for table in (products, fleet, training):
        found = table()
        lines += ["", *found]
        print("\n".join(found), flush=True)
    put(RESULTS, "gpu", "\n".join(lines))


if __name__ == "__main__":
    main()
