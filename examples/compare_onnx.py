"""Compare the forms of ONNX files in ONNX Runtime: speed, and distance from our integers.

    python examples/compare_onnx.py      # a few minutes; writes examples/RESULTS.md

Needs the shared models and data sets. Networks are MLPerf Tiny's: ResNet-8 on CIFAR-10's test
images, DS-CNN on synthetic keywords, MobileNetV1-0.25 on the CIFAR-10 images enlarged three times.
One thread; the forms take turns in short bursts, and medians are printed. Float32 has the int8
network's weights.
"""

import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from tables import RESULTS, put

from edgetrain import kernels
from edgetrain.exporters.from_tflite import from_tflite
from edgetrain.exporters.to_onnx import to_onnx
from edgetrain.graph import INPUT
from edgetrain.inference import infer, output
from edgetrain.model import FloatModel, Model, Weights

SHARED = Path(__file__).resolve().parents[2] / "shared"
SAMPLES = 1000
BURSTS, BURST_SECONDS = 25, 0.05
BATCHES = (1, 32)


class Task(NamedTuple):
    """A network and what it reads."""

    name: str
    file: str
    data: str
    enlarge: int = 1


TASKS = (
    Task("ResNet-8", "mlperf_pretrainedResnet_quant.tflite", "cifar10_subset.npz"),
    Task("DS-CNN", "mlperf_kws_ref_model.tflite", "tts_keywords_mfcc.npz"),
    Task("MobileNetV1", "mlperf_vww_96_int8.tflite", "cifar10_subset.npz", 3),
)


def samples(task: Task, count: int = SAMPLES) -> np.ndarray:
    """Return int8 codes (count, height, width, channels): as stored, or pixels minus 128."""
    with np.load(SHARED / "data" / task.data) as data:
        x = np.concatenate([data["x_test"], data["x_train"]])[:count]
    if x.dtype == np.uint8:
        x = (x.astype(np.int16) - 128).astype(np.int8)
    x = x if x.ndim == 4 else x[..., None]
    return x.repeat(task.enlarge, axis=1).repeat(task.enlarge, axis=2)


def dequantized(model: Model) -> FloatModel:
    """Return the real-valued network that an int8 network stands for."""
    params = {}
    for node in model.graph.trainable:
        w, b = model.params[node.name]
        scale = model.scheme.weights[node.name].reshape(-1, *[1] * (w.ndim - 1))
        bias = b * model.scheme.acc_scale(node)
        params[node.name] = Weights((w * scale).astype(np.float32), bias.astype(np.float32))
    return FloatModel(model.graph, params, model.task, model.softmax)


class Running:
    """A file in ONNX Runtime, with one thread."""

    def __init__(self, model: FloatModel | Model, form: str) -> None:
        (contents,) = to_onnx(model, form=form).values()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            contents, options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the result for one batch."""
        return self.session.run(None, {"input": x})[0]

    def burst(self, x: np.ndarray) -> float:
        """Return seconds a sample."""
        started, runs = time.perf_counter(), 0
        while time.perf_counter() - started < BURST_SECONDS:
            self(x)
            runs += 1
        return (time.perf_counter() - started) / runs / len(x)


def inputs(model: Model, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return what every form reads, channels first."""
    scale, zero_point = model.scheme.activations[INPUT]
    codes = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    real = (codes.astype(np.float32) - zero_point) * np.float32(scale)
    return {"exact": codes, "qdq": real, "float": real}


def speed(model: Model, given: dict[str, np.ndarray]) -> dict[str, list[float]]:
    """Return milliseconds a sample of every form, for every batch."""
    running = {form: Running(source(model, form), form) for form in given}
    found: dict[str, list[float]] = {form: [] for form in given}
    for batch in BATCHES:
        seconds = {form: [run.burst(given[form][:batch])] for form, run in running.items()}
        for _ in range(BURSTS):
            for form, run in running.items():
                seconds[form].append(run.burst(given[form][:batch]))
        for form, times in seconds.items():
            found[form].append(1000 * float(np.median(times[1:])))
    return found


def source(model: Model, form: str) -> FloatModel | Model:
    """Return the model that is exported in a form."""
    return dequantized(model) if form == "float" else model


def distance(model: Model, form: str, given: np.ndarray, x: np.ndarray) -> str:
    """Compare the codes of the last layer with ours; of "exact" the codes of the output too."""
    ops = kernels.load("numba")
    logits = replace(model, softmax=False)
    wanted = infer(logits, x, ops).astype(int)
    y = Running(source(logits, form), form)(given)
    if form != "exact":
        scale, zero_point = model.scheme.activations[model.graph.output.name]
        y = np.clip(np.rint(y / np.float32(scale)) + zero_point, -128, 127)
    off = np.abs(y.astype(int) - wanted)
    differing = int((off > 0).sum())
    if form == "exact":
        differing += int((Running(model, form)(given) != output(model, x, ops)).sum())
    same = (y.argmax(axis=1) == wanted.argmax(axis=1)).mean()
    return f"{differing:,} | {(off > 1).mean():.1%} | {off.max()} | {same:.1%}"


def main() -> None:
    rows = [
        "| network | form | ms a sample, batch 1 | batch 32 | codes that differ | by more than 1 "
        "| at most | same arg max |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for task in TASKS:
        model = from_tflite(SHARED / "models" / task.file)
        x = samples(task)
        given = inputs(model, x)
        times = speed(model, given)
        for form in given:
            one, many = times[form]
            found = distance(model, form, given[form], x)
            rows.append(f"| {task.name} | {form} | {one:.3f} | {many:.3f} | {found} |")
            print(rows[-1], flush=True)
    put(RESULTS, "onnx", "\n".join(rows))


if __name__ == "__main__":
    main()
