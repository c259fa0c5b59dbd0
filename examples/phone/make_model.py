"""Make what the page needs: a pretrained network, its two graphs, samples, and Python's traces.

    python examples/phone/make_model.py      # half a minute; writes examples/phone/build

The network has learned 1,000 upright digits, in integers and by the rule with which it goes on.
The page sees digits of other writers, turned by 30 degrees: 397 to learn from, 400 to measure on.
A second, larger network is for the tests. Needs edgetrain[onnx].
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save as packed

from edgetrain import fixed, heads
from edgetrain.architectures import mlp
from edgetrain.arithmetic.losses import LOGIT_BITS
from edgetrain.blocks import split
from edgetrain.data import Data
from edgetrain.demo import DEGREES, TUNE, source_data
from edgetrain.exporters.to_onnx_train import to_onnx_train
from edgetrain.files import save
from edgetrain.graph import INPUT
from edgetrain.model import Float, Model, Weights
from edgetrain.quantize import quantize
from edgetrain.rules import MonoForward
from edgetrain.settings import Settings
from edgetrain.shift import rotate
from edgetrain.state import trace
from edgetrain.train import fit, stream

BUILD = Path(__file__).parent / "build"
NAME, HIDDEN = "mono_forward", (128, 64)
LARGE = (128, 128)  # on 784 pixels
PRETRAIN = MonoForward(settings=Settings(learning_rate=0.5, schedule="linear"))
EPOCHS = 20
RULE = MonoForward(settings=Settings(learning_rate=0.12), predict_with="last")
BATCH, SEED, STEPS = 32, 0, 200


def pretrained(data: Data, hidden: tuple[int, ...], epochs: int) -> Model:
    """Return a network that learned data, with the heads that it learned with."""
    shape = data.x_train.shape[1:]
    model = quantize(mlp(shape, 10, hidden=hidden), data.x_train[:256], headroom=2.0)
    result = fit(PRETRAIN, model, data, ops=fixed, seed=SEED, epochs=epochs, batch=BATCH)
    names = [block.output for block in split(model.graph, RULE.blocks)[:-1]]
    learned = result.state.tensors
    return replace(
        result.model,
        heads={n: Weights(learned[f"head/{n}/w"], learned[f"head/{n}/b"]) for n in names},
        head_scales={n: heads.scale(model, n) for n in names},
    )


def turned(source: Data) -> Data:
    """Return what the page sees: digits that the network has not seen, turned, in random order."""
    order = np.random.default_rng(SEED).permutation(len(source.x_test))
    x, y = rotate(source.x_test[order], DEGREES), source.y_test[order]
    return Data(x[:TUNE], y[:TUNE], x[TUNE:], y[TUNE:])


def enlarged(x: Float) -> Float:
    """Return digits of 8 x 8 pixels as 784 numbers: four times as large, without their edges."""
    return x.repeat(4, axis=1).repeat(4, axis=2)[:, 2:-2, 2:-2].reshape(len(x), 784)


def write(folder: Path, model: Model, data: Data) -> None:
    """Write the graphs, the model, its first state, samples, and the traces of a run."""
    folder.mkdir(parents=True, exist_ok=True)
    graphs = to_onnx_train(model, rule=RULE, batch=BATCH)
    for name in ("train.onnx", "infer.onnx"):
        (folder / name).write_bytes(graphs[name])
    save(model, folder / "model.safetensors")
    state = RULE.init(model)
    tensors = packed({f"state/{name}": tensor for name, tensor in state.tensors.items()})
    (folder / "state.safetensors").write_bytes(tensors)
    x, y = model.quantize_input(data.x_train), data.y_train
    batches = np.arange(STEPS * BATCH, dtype=np.int32).reshape(STEPS, BATCH) % len(x)
    unseen = model.quantize_input(data.x_test)
    samples = {"shipped/x": x, "shipped/y": y, "unseen/x": unseen, "unseen/y": data.y_test}
    (folder / "digits.safetensors").write_bytes(packed(samples | {"batches": batches}))
    run = stream(RULE, model, state, ((x[b], y[b]) for b in batches), ops=fixed, seed=SEED)
    scale, zero_point = model.scheme.activations[INPUT]
    about = {
        "rule": NAME, "seed": SEED, "batch": BATCH, "classes": model.graph.output_size,
        "degrees": DEGREES, "scale": scale, "zero_point": zero_point, "unit": 2.0**-LOGIT_BITS,
        "start": trace(model, state), "traces": [trace(net, after) for net, after, _ in run],
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(about))


def main() -> None:
    source = source_data()
    data = turned(source)
    write(BUILD / "page", pretrained(source, HIDDEN, EPOCHS), data)
    np.savez_compressed(BUILD / "turned.npz", **vars(data))  # for edgetrain evaluate
    large = Data(enlarged(source.x_train), source.y_train, enlarged(source.x_test), source.y_test)
    write(BUILD / "large", pretrained(large, LARGE, 1), large)
    print(f"wrote {BUILD}")


if __name__ == "__main__":
    main()
