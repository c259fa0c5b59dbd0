"""The tasks of examples/tune_imported.py: published models, and data that their makers never saw.

A task's `prepare(seed, validation)` returns a model and data. With validation=True all of the
data come out of the training part: learning rates are chosen there, and the test data are seen
once.

The colour shift is a camera with wrong colours, low contrast and a soft lens. Its numbers were
set so that the network keeps a third of its answers, before any rule had been tried on it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from tasks import OPS, SHARED, arrays

from edgetrain.data import Data
from edgetrain.exporters.from_tflite import from_tflite
from edgetrain.make_heads import make_heads
from edgetrain.model import Float, FloatModel, Model
from edgetrain.quantize import quantize

MODELS = SHARED.parent / "models"
MIX = np.array([[0.2, 0.6, 0.2], [0.2, 0.2, 0.6], [0.6, 0.2, 0.2]], np.float32)
"""Red, green and blue of a shifted pixel out of those of the real one."""
CONTRAST, GREY = 0.5, 128
LABELS, SOURCE, CALIBRATION, VALIDATION = 500, 2000, 500, 1500
"""How many training pictures have labels; make the heads; choose scales; choose rates."""
AUTOMOBILE, BIRD = 1, 2
SILENCE_UNKNOWN_YES_NO = (10, 11, 9, 3)
"""The outputs of TensorFlow Lite Micro's micro_speech as classes of our keywords."""
PHASE = 0.5


@dataclass(frozen=True)
class Tune:
    """A published model and the task it is tuned to.

    Attributes:
        title: network and data, for people.
        prepare: seed, validation → the model and the data.
    """

    title: str
    prepare: Callable[[int, bool], tuple[Model, Data]]


def float_model(name: str) -> FloatModel:
    """Import a published float32 model."""
    model = from_tflite(MODELS / f"{name}.tflite")
    if not isinstance(model, FloatModel):
        raise TypeError(f"{name} is not a float32 model")
    return model


def int8_model(name: str) -> Model:
    """Import a published int8 model with its own integers and scales."""
    model = from_tflite(MODELS / f"{name}.tflite")
    if not isinstance(model, Model):
        raise TypeError(f"{name} is not an int8 model")
    return model


@lru_cache
def cifar() -> dict[str, np.ndarray]:
    """CIFAR-10: 600 training pictures a class, the whole test split; pixels 0 to 255."""
    found = arrays("cifar10_subset")
    return {k: v.astype(np.int32).ravel() if k[0] == "y" else v for k, v in found.items()}


def colour_shift(x: np.ndarray) -> Float:
    """Mix the colours, soften with the weights 1-2-1 both ways, halve the contrast; 0 to 255."""
    soft = x.astype(np.float32) @ MIX.T
    for axis in (1, 2):
        size = soft.shape[axis]
        before = soft.take(np.r_[0, : size - 1], axis)
        after = soft.take(np.r_[1:size, size - 1], axis)
        soft = (before + 2 * soft + after) / 4
    return np.rint(GREY + CONTRAST * (soft - GREY)).astype(np.float32)


@lru_cache(maxsize=2)
def shifted_test() -> Float:
    """The test split through the other camera."""
    return colour_shift(cifar()["x_test"])


def colour_data(seed: int, validation: bool) -> tuple[Data, Data]:
    """Return shifted pictures to tune on, and source pictures that are none of them.

    Validation pictures are shifted training pictures that are neither.
    """
    found = cifar()
    x, y = found["x_train"], found["y_train"]
    order = np.random.default_rng(seed).permutation(len(x))
    labelled, source = order[:LABELS], order[LABELS : LABELS + SOURCE]
    clean = x[source].astype(np.float32)
    x_test, y_test = shifted_test(), found["y_test"]
    if validation:
        held_out = order[-VALIDATION:]
        x_test, y_test = colour_shift(x[held_out]), y[held_out]
    tuning = Data(colour_shift(x[labelled]), y[labelled], x_test, y_test)
    return tuning, Data(clean, y[source], clean[:1], y[source][:1])


def colour_float(seed: int, validation: bool) -> tuple[Model, Data]:
    """ResNet-8 from its float parameters, quantized by us; heads from source pictures."""
    tuning, source = colour_data(seed, validation)
    model = quantize(float_model("mlperf_pretrainedResnet"), source.x_train[:CALIBRATION])
    return make_heads(model, source, OPS, seed=seed), tuning


def colour_int8(seed: int, validation: bool) -> tuple[Model, Data]:
    """ResNet-8 with the integers of the published int8 file; 2,000 test pictures."""
    tuning, source = colour_data(seed, validation)
    model = make_heads(int8_model("mlperf_pretrainedResnet_quant"), source, OPS, seed=seed)
    return model, Data(tuning.x_train, tuning.y_train, tuning.x_test[:2000], tuning.y_test[:2000])


def keyword_codes(validation: bool) -> dict[str, np.ndarray]:
    """Synthetic keywords, int8 MFCCs; one voice in four is the validation part."""
    found = {k: v for k, v in arrays("tts_keywords_mfcc").items() if v.ndim}
    if validation:
        voice = found["voice_train"]
        held_out = np.isin(voice, np.unique(voice)[::4])
        found = {
            f"{name}_{split}": found[f"{name}_train"][part]
            for name in ("x", "y")
            for split, part in (("train", ~held_out), ("test", held_out))
        }
    return {k: v.astype(np.int32) if k[0] == "y" else v for k, v in found.items()}


def keywords(seed: int, validation: bool) -> tuple[Model, Data]:
    """DS-CNN on synthetic voices; its test voices are in no training clip."""
    model, found = int8_model("mlperf_kws_ref_model"), keyword_codes(validation)
    x, x_test = (real(model, found[f"x_{split}"]) for split in ("train", "test"))
    return model, Data(x, found["y_train"], x_test, found["y_test"])


def four_words(seed: int, validation: bool) -> tuple[Model, Data]:
    """micro_speech on four of the keyword classes.

    The file wants 40 loudnesses of 0 to 26, of which we have none: 10 MFCCs, spread over that
    range by their mean and deviation over the training clips, come four times each.
    """
    found, parts = keyword_codes(validation), []
    mean, deviation = found["x_train"].mean(axis=(0, 1)), found["x_train"].std(axis=(0, 1))
    order = np.argsort(SILENCE_UNKNOWN_YES_NO)
    for split in ("train", "test"):
        y = found[f"y_{split}"]
        chosen = np.isin(y, SILENCE_UNKNOWN_YES_NO)
        x = np.clip(13 + 5 * (found[f"x_{split}"][chosen] - mean) / deviation, 0, 26)
        label = order[np.searchsorted(SILENCE_UNKNOWN_YES_NO, y[chosen], sorter=order)]
        parts += [x.repeat(4, axis=2)[..., None].astype(np.float32), label.astype(np.int32)]
    return int8_model("tflm_micro_speech_quantized"), Data(*parts)


def real(model: Model, codes: np.ndarray) -> Float:
    """Return the real values of input codes."""
    scale, zero_point = model.scheme.activations["input"]
    codes = codes.reshape(len(codes), *model.graph.input_shape).astype(np.float32)
    return (codes - np.float32(zero_point)) * np.float32(scale)


def two_classes(seed: int, validation: bool) -> tuple[Model, Data]:
    """MobileNetV1 of visual wake words on automobiles and birds, every pixel three by three."""
    found, parts = cifar(), []
    for split in ("train", "test"):
        x, y = found[f"x_{split}"], found[f"y_{split}"]
        chosen = np.flatnonzero(np.isin(y, (AUTOMOBILE, BIRD)))
        large = x[chosen].repeat(3, axis=1).repeat(3, axis=2) / np.float32(255)
        parts += [large, (y[chosen] == BIRD).astype(np.int32)]
    if validation:
        order = np.random.default_rng(seed).permutation(len(parts[0]))
        cut = len(order) - 300
        parts = [p[part] for part in (order[:cut], order[cut:]) for p in parts[:2]]
    return int8_model("mlperf_vww_96_int8"), Data(*parts)


def sine(seed: int, validation: bool) -> tuple[Model, Data]:
    """hello_world on a sine that comes half a radian early; 1,000 numbers each."""
    parts = []
    for part in (0, 1 if validation else 2):
        rng = np.random.default_rng((seed, part))
        x = rng.uniform(0, 2 * np.pi, (1000, 1)).astype(np.float32)
        parts += [x, np.sin(x + np.float32(PHASE))]
    return int8_model("tflm_hello_world_int8"), Data(*parts)


TASKS = {
    "colour": Tune("ResNet-8, colour-shifted CIFAR, 500 labels", colour_float),
    "keywords": Tune("DS-CNN, synthetic keywords", keywords),
    "resnet8": Tune("ResNet-8, colour-shifted CIFAR, 500 labels", colour_int8),
    "mobilenet": Tune("MobileNetV1 96x96, CIFAR automobile or bird", two_classes),
    "micro_speech": Tune("micro_speech, four keyword classes", four_words),
    "hello_world": Tune("hello_world, a sine shifted by 0.5", sine),
}
