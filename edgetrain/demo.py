"""The demo: a network has learned digits; a device sees them turned and noisy; it learns again.

A small convolutional network was pretrained on 1,000 handwritten digits (by
examples/pretrain.py). The device sees other writers, its camera is turned by 30 degrees and
noisy. It gets 397 labelled samples and fine-tunes the int8 network with each rule; accuracy is
measured on 400 more.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from types import ModuleType

import numpy as np

from edgetrain.data import Data, digits
from edgetrain.files import load
from edgetrain.make_heads import make_heads
from edgetrain.model import FloatModel, Model
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardForward, ForwardGradient, MonoForward, Rule, configured
from edgetrain.settings import Settings
from edgetrain.shift import add_noise, rotate
from edgetrain.state import State, trace
from edgetrain.train import fit

SOURCE = 1000
"""So many samples were seen on the host; the rest is the device's."""
DEGREES, NOISE = 30.0, 0.1
TUNE = 397
BATCH = 16
POINTS = 20
"""Points of a curve."""


@dataclass(frozen=True)
class Outcome:
    """What one rule made of the shifted data.

    Attributes:
        rule: its name.
        accuracy_before: on the device's test samples, before fine-tuning.
        accuracy_after: after it.
        arena_bytes: forecast of activations and errors for one sample.
        backprop_arena_bytes: the same for backpropagation through the whole network.
        trace: CRC-32 of parameters and state at the end.
        seconds: of training.
        steps: of training.
        curve: (step, accuracy) pairs.
        predictions: labels for the test samples at the end.
    """

    rule: str
    accuracy_before: float
    accuracy_after: float
    arena_bytes: int
    backprop_arena_bytes: int
    trace: str
    seconds: float
    steps: int
    curve: tuple[tuple[int, float], ...]
    predictions: tuple[int, ...]


def settings(learning_rate: float) -> Settings:
    """Settings of every rule of the demo."""
    return Settings(learning_rate=learning_rate, schedule="linear", batch=BATCH)


RULES: Mapping[str, tuple[Rule, int]] = {
    "backprop": (Backprop(settings=settings(0.007)), 800),
    "mono_forward": (MonoForward(settings=settings(0.06)), 800),
    "forward_forward": (ForwardForward(settings=settings(0.03)), 800),
    "forward_gradient": (
        ForwardGradient(settings=replace(settings(0.006), weights="w16", train=5)),
        1200,
    ),
}
"""Name → rule and steps; chosen with a quarter of the tuning samples held out. The forward
gradient trains the last five layers: the fewer it perturbs, the less noise it has."""


def pretrained() -> FloatModel:
    """Load the network that ships with the package."""
    with as_file(files("edgetrain") / "assets" / "digits_ds_cnn.safetensors") as path:
        model = load(path)
    if not isinstance(model, FloatModel):
        raise TypeError(f"the shipped network must be a float model, got {type(model).__name__}")
    return model


def source_data() -> Data:
    """Return what the network was pretrained on; its test split is the clean device data."""
    data = digits()
    x = np.concatenate([data.x_train, data.x_test])
    y = np.concatenate([data.y_train, data.y_test])
    return Data(x[:SOURCE], y[:SOURCE], x[SOURCE:], y[SOURCE:])


def device_data(seed: int = 0) -> Data:
    """Return what the device sees: turned, noisy, in random order; 397 to tune, 400 to test."""
    source = source_data()
    order = np.random.default_rng(seed).permutation(len(source.x_test))
    x = add_noise(rotate(source.x_test[order], DEGREES), NOISE, seed)
    y = source.y_test[order]
    return Data(x[:TUNE], y[:TUNE], x[TUNE:], y[TUNE:])


def factory_model(ops: ModuleType, seed: int = 0) -> Model:
    """Quantize the shipped network and make its local heads, both on source data."""
    source = source_data()
    return make_heads(quantize(pretrained(), source.x_train), source, ops, seed=seed)


def run(
    name: str, model: Model, data: Data, ops: ModuleType, seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Outcome:  # fmt: skip
    """Fine-tune with one rule.

    Args:
        name: a key of RULES.
        model: from `factory_model`.
        data: from `device_data`.
        ops: the backend.
        seed: of the training.
        on_step: called with the step and the number of steps.
    """
    rule, steps = RULES[name]
    rule = configured(rule, steps=steps)
    x_test = model.quantize_input(data.x_test)
    curve: list[tuple[int, float]] = []

    def predictions(current: Model, state: State) -> np.ndarray:
        return rule.predict(current, state, x_test, ops).argmax(axis=1)

    def watch(step: int, current: Model, state: State) -> None:
        if step % (steps // POINTS) == 0:
            accuracy = float((predictions(current, state) == data.y_test).mean())
            curve.append((step, accuracy))
        if on_step:
            on_step(step, steps)

    before = float(
        (Backprop().predict(model, State(), x_test, ops).argmax(axis=1) == data.y_test).mean()
    )
    started = time.perf_counter()
    result = fit(rule, model, data, ops=ops, seed=seed, steps=steps, batch=BATCH, on_step=watch)
    after = predictions(result.model, result.state)
    return Outcome(
        name,
        before,
        float((after == data.y_test).mean()),
        rule.cost(model, 1).arena_bytes,
        Backprop().cost(model, 1).arena_bytes,
        trace(result.model, result.state),
        time.perf_counter() - started,
        steps,
        ((0, before), *curve),
        tuple(int(label) for label in after),
    )
