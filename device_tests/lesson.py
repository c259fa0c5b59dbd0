"""What a network is asked and taught on a board, and what NumPy answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from edgetrain import fixed
from edgetrain.arithmetic.rounding import Int8, Int32, Ints
from edgetrain.device_tests.network import INFER, INIT, TRAIN, question
from edgetrain.errors import DataError
from edgetrain.exporters.to_c import answer
from edgetrain.model import Model
from edgetrain.rules import MonoForward, Rule
from edgetrain.state import State, trace


@dataclass(frozen=True)
class Lesson:
    """A network, a rule, and the samples of a test.

    Attributes:
        model: the network as it is exported.
        rule: what it learns by on the device.
        seed: of all randomness of the device.
        batches: (int8 samples, labels or Q10 targets) of every step; all of one size.
        samples: int8 (n, ...), to infer.
    """

    model: Model
    rule: Rule
    seed: int
    batches: tuple[tuple[Int8, Ints], ...]
    samples: Int8

    @property
    def batch(self) -> int:
        """Samples of a step."""
        return len(self.batches[0][0])


class Wanted(NamedTuple):
    """A frame and what NumPy makes of it.

    Attributes:
        name: in words: the step or the sample.
        frame: for the board.
        trace: of parameters and state afterwards.
        loss: of a training step, Q10.
        y: of an inference.
    """

    name: str
    frame: bytes
    trace: str
    loss: int = 0
    y: Int8 | None = None


def draw(
    model: Model, rule: Rule, batch: int = 1, seed: int = 0, steps: int = 20, samples: int = 4
) -> Lesson:
    """Draw samples at random: every code, labels and targets of the whole range.

    Args:
        model: the network.
        rule: what it learns by.
        batch: samples of a step.
        seed: of the device, and of the samples.
        steps: after the warm-up, if the rule has one.
        samples: to infer.
    """
    rng = np.random.default_rng(seed)

    def codes(n: int) -> Int8:
        return rng.integers(-128, 128, (n, *model.graph.input_shape)).astype(np.int8)

    def targets() -> Int32:
        if rule.settings.loss == "cross_entropy":
            return rng.integers(0, model.graph.output_size, batch).astype(np.int32)
        return rng.integers(-1024, 1025, (batch, model.graph.output_size)).astype(np.int32)

    total = warm_up(model, rule) + steps
    batches = tuple((codes(batch), targets()) for _ in range(total))
    return Lesson(model, rule, seed, batches, codes(samples))


def take(
    model: Model, rule: Rule, x: Int8, y: Ints, batch: int = 1, seed: int = 0, steps: int = 20,
    samples: int = 4,
) -> Lesson:  # fmt: skip
    """Take samples from given ones, in their order and from the beginning again at their end.

    Args:
        model: the network.
        rule: what it learns by.
        x: int8 codes (n, ...).
        y: labels (n,), or Q10 targets (n, outputs).
        batch: samples of a step.
        seed: of the device.
        steps: after the warm-up, if the rule has one.
        samples: to infer.

    Raises:
        DataError: if there are no samples.
    """
    if not len(x):
        raise DataError("there must be at least one sample")
    total = warm_up(model, rule) + steps
    order = np.arange(total * batch).reshape(total, batch) % len(x)
    return Lesson(
        model, rule, seed, tuple((x[i], y[i]) for i in order), x[np.arange(samples) % len(x)]
    )


def warm_up(model: Model, rule: Rule) -> int:
    """Return how many steps pass until every block learns."""
    return rule.warmup_steps(model) if isinstance(rule, MonoForward) else 0


def inferences(lesson: Lesson, model: Model, state: State) -> Iterator[Wanted]:
    """Return every sample and what a network makes of it."""
    crc = trace(model, state)
    for i, x in enumerate(lesson.samples):
        y = answer(model, lesson.rule, state, x[None], fixed).ravel()
        yield Wanted(f"sample {i}", ask(lesson, INFER, x[None]), crc, y=y)


def walk(lesson: Lesson) -> Iterator[tuple[Model, State, Wanted]]:
    """Train in NumPy; return what the start, and then each step, leaves."""
    model, state = lesson.model, lesson.rule.init(lesson.model)
    yield model, state, Wanted("the start", ask(lesson, INIT), trace(model, state))
    for i, (x, y) in enumerate(lesson.batches):
        model, state, metrics = lesson.rule.step(model, state, x, y, fixed, lesson.seed)
        frame, loss = ask(lesson, TRAIN, x, y), int(metrics["loss"])
        yield model, state, Wanted(f"step {i}", frame, trace(model, state), loss)


def ask(
    lesson: Lesson, command: int, x: Int8 | None = None, y: Ints | tuple[int, ...] = ()
) -> bytes:
    """Write a frame, see `network.question`."""
    return question(lesson.model, lesson.batch, command, x, y)
