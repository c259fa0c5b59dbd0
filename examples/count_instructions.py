"""Count the instructions of exported C on emulated boards, and write them into the documents.

    pip install '.[device]'                        # and the compilers and emulators of doctor
    python examples/count_instructions.py          # two minutes; writes README.md and RESULTS.md
    python examples/count_instructions.py --json   # one JSON object on the last line

Counts are exact and repeat to the instruction; they are not cycles. A step is one sample; its
errors have found their scale before it is counted. Boards whose tools are missing are left out,
and said.
"""

import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
from tables import README, RESULTS, put

from edgetrain.architectures import autoencoder, ds_cnn, mobilenet_v1, resnet8
from edgetrain.device_tests.boards import BOARDS, missing
from edgetrain.device_tests.network import INFER, INIT, TRAIN, build_network, question
from edgetrain.device_tests.run import run
from edgetrain.graph import Graph
from edgetrain.model import FloatModel, Model
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardGradient, MonoForward, Rule
from edgetrain.settings import Settings

SETTINGS = Settings(learning_rate=0.01, batch=1)
STEPS = 9
RULES = {
    "mono_forward, two blocks": MonoForward(settings=SETTINGS, warmup=0),
    "mono_forward, a block a layer": MonoForward(settings=SETTINGS, warmup=0, blocks="layer"),
    "forward_gradient, weight": ForwardGradient(settings=SETTINGS, space="weight", head="same"),
    "forward_gradient, activity": ForwardGradient(settings=SETTINGS),
    "backprop": Backprop(settings=SETTINGS),
}
NETWORKS: dict[str, FloatModel] = {
    "DS-CNN 49x10": ds_cnn((49, 10, 1), 12),
    "ResNet-8 32x32": resnet8((32, 32, 3), 10),
    "MobileNetV1-0.25 96x96": mobilenet_v1((96, 96, 3), 2),
    "autoencoder 640": autoencoder((640,)),
}
TRAINED_BOARDS = ("qemu-cortex-m0", "qemu-cortex-m3", "qemu-cortex-m4", "qemu-cortex-m7",
                  "qemu-cortex-m33", "qemu-cortex-m55", "qemu-rv32imc", "wasm32")  # fmt: skip
PER_MAC = {
    "qemu-cortex-m4": {"dense": 1.40, "conv": 1.05, "pointwise": 1.50, "depthwise": 2.40},
    "qemu-cortex-m55": {"dense": 0.21, "conv": 0.27, "pointwise": 0.38, "depthwise": 1.10},
}
"""What single kernels are to need a multiply-accumulate, `examples/count_kernels.py`."""


def int8_model(network: FloatModel) -> Model:
    """Quantize a network for noise."""
    x = np.random.default_rng(0).normal(0, 1, (16, *network.graph.input_shape))
    return quantize(network, x.astype(np.float32), headroom=1.5)


def frozen(model: Model) -> Rule:
    """Return a rule that leaves all weights in flash but for the fewest that a rule can train."""
    graph = model.graph
    least = min(graph.trainable, key=lambda node: math.prod(graph.weight_shape(node)))
    return Backprop(settings=Settings(learning_rate=0.01, batch=1, train=(least.name,)))


def counts(board: str, model: Model, rule: Rule, steps: int, folder: Path) -> list[int]:
    """Return the instructions of the last of some training steps, and of an inference."""
    rng, shape = np.random.default_rng(1), (1, *model.graph.input_shape)
    program = build_network(board, model, rule, folder, 1, 7, traced=False)
    frames = [question(model, 1, INIT)]
    for _ in range(steps):
        x, y = rng.integers(-128, 128, shape).astype(np.int8), rng.integers(0, 2, 1, np.int32)
        frames.append(question(model, 1, TRAIN, x, y))
    frames.append(question(model, 1, INFER, rng.integers(-128, 128, shape).astype(np.int8)))
    replies = run(program, frames, count=True, timeout_s=600)
    return [reply.instructions or 0 for reply in replies[-2:]]


def kind(graph: Graph, name: str) -> str:
    """Say which row of PER_MAC holds for a node."""
    node = next(node for node in graph.nodes if node.name == name)
    if node.op == "dense":
        return "dense"
    if node.moving.groups > 1:
        return "depthwise"
    return "pointwise" if node.moving.kernel == (1, 1) else "conv"


def predicted(graph: Graph, board: str) -> float:
    """Return the instructions a multiply-accumulate that single kernels let expect."""
    total = sum(PER_MAC[board][kind(graph, n.name)] * graph.node_macs(n) for n in graph.trainable)
    return total / graph.macs


def inference_rows(boards: list[str], folder: Path) -> list[dict[str, object]]:
    """Count inferences of networks whose weights lie in flash."""
    rows: list[dict[str, object]] = []
    for name, network in NETWORKS.items():
        model = int8_model(network)
        for board in boards:
            count = counts(board, model, frozen(model), 0, folder)[1]
            measured, wanted = count / model.graph.macs, predicted(model.graph, board)
            rows.append({"network": name, "board": board, "instructions": count,
                         "per_mac": measured, "predicted": wanted})  # fmt: skip
    return rows


def step_rows(boards: list[str], folder: Path) -> list[dict[str, object]]:
    """Count inference and training steps of DS-CNN."""
    model = int8_model(NETWORKS["DS-CNN 49x10"])
    return [
        {"board": board, "rule": name,
         **dict(zip(("step", "inference"), counts(board, model, rule, STEPS, folder),
                    strict=True))}
        for board in boards
        for name, rule in RULES.items()
    ]  # fmt: skip


def inference_table(rows: list[dict[str, object]]) -> str:
    """Write what an inference costs."""
    lines = ["| inference | board | instructions | a MAC | the kernels alone | ratio |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for row in rows:
        ratio = float(row["per_mac"]) / float(row["predicted"])  # type: ignore[arg-type]
        lines.append(
            f"| {row['network']} | {row['board']} | {row['instructions']:,} | "
            f"{row['per_mac']:.2f} | {row['predicted']:.2f} | {ratio:.2f} |"
        )
    return "\n".join(lines)


def step_table(rows: list[dict[str, object]]) -> str:
    """Write what steps cost: millions of instructions of an inference, inferences of a step."""
    boards = list(dict.fromkeys(str(row["board"]) for row in rows))
    lines = [f"| DS-CNN, batch 1 | {' | '.join(name.removeprefix('qemu-') for name in boards)} |",
             "|---|" + "---|" * len(boards)]  # fmt: skip
    found = {(row["rule"], row["board"]): row for row in rows}
    first = [found[next(iter(RULES)), board]["inference"] for board in boards]
    lines.append(f"| inference, million | {' | '.join(f'{n / 1e6:.1f}' for n in first)} |")  # type: ignore[operator]
    for rule in RULES:
        pairs = [(found[rule, board]["step"], found[rule, board]["inference"]) for board in boards]
        lines.append(f"| {rule} | {' | '.join(f'{step / one:.1f}x' for step, one in pairs)} |")  # type: ignore[operator]
    return "\n".join(lines)


def main() -> None:
    wanted = dict.fromkeys([*PER_MAC, *TRAINED_BOARDS])
    for board in wanted:
        for sentence in missing(BOARDS[board]):
            print(f"{board} is left out: {sentence}", file=sys.stderr)
    here = [board for board in wanted if not missing(BOARDS[board])]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        inferences = inference_rows([board for board in PER_MAC if board in here], folder)
        steps = step_rows([board for board in TRAINED_BOARDS if board in here], folder)
    print(inference_table(inferences), step_table(steps), sep="\n\n")
    if here == list(wanted):
        put(RESULTS, "inferences", inference_table(inferences))
        put(README, "steps", step_table(steps))
    if "--json" in sys.argv[1:]:
        print(json.dumps({"inferences": inferences, "steps": steps}))


if __name__ == "__main__":
    main()
