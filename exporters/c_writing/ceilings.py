"""Ceilings of RAM and flash: whether exported C fits below them, and what would."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from edgetrain.blocks import select
from edgetrain.errors import ModelError, RuleError
from edgetrain.exporters.c_writing.memory import Memory, memory
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.targets import target_named
from edgetrain.exporters.c_writing.unit import Unit
from edgetrain.memory import candidates
from edgetrain.model import Model
from edgetrain.rules import RULES, Rule, configured

Writer = Callable[[Model, Rule, int], tuple[Unit, Any, Sequence[Program]]]
"""From a model, a rule and a batch to `to_c.Written`."""
KINDS = ("ram", "flash")


@dataclass(frozen=True)
class Ceilings:
    """What a device has left for a model.

    Attributes:
        target: a key of TARGETS.
        ram: bytes at most for weights, state, arena and stack together; None for any.
        flash: bytes at most for weights, constants and code together; None for any.

    Raises:
        ValueError: if there is no such target, or a ceiling is below 1.
    """

    target: str
    ram: int | None = None
    flash: int | None = None

    def __post_init__(self) -> None:
        target_named(self.target)
        for kind in KINDS:
            most = getattr(self, kind)
            if most is not None and most < 1:
                raise ValueError(f"{kind} must be at least 1 byte, got {most}")

    def excess(self, memory: Memory) -> list[str]:
        """Return which ceilings do not hold: "ram", "flash"."""
        pairs = [(kind, getattr(self, kind)) for kind in KINDS]
        return [kind for kind, most in pairs if most is not None and getattr(memory, kind) > most]


def check(
    ceilings: Ceilings, name: str, model: Model, rule: Rule, batch: int, write: Writer
) -> Memory:
    """Return what a model takes, or refuse it with options that fit, found by trying them.

    Args:
        ceilings: that must hold.
        name: of the model.
        model: to export.
        rule: that learns.
        batch: samples of a step.
        write: makes the programs of `to_c`.

    Raises:
        ModelError: if it does not fit.
    """
    size = partial(_size, write, ceilings, model)
    found = size(rule, batch)
    if not (over := ceilings.excess(found)):
        return found
    tried = list(_tried(ceilings, model, rule, batch, size))
    fits = [_words(option, memory, over) for option, memory in tried if not ceilings.excess(memory)]
    if fits:
        cure = ", ".join(f"{words.replace(' (', ' fits (')}" for words in fits)
    else:
        least = min(tried, key=lambda pair: getattr(pair[1], over[0]), default=None)
        cure = "nothing that was tried fits" + (
            f", the least is {_words(*least, over)}" if least else ""
        )
    needs = " and ".join(
        f"{getattr(found, kind):,} bytes of {_called(kind)}, the ceiling is "
        f"{getattr(ceilings, kind):,}"
        for kind in over
    )
    raise ModelError(f"{name} with {_name(rule)} needs {needs}: {cure}")


def _size(write: Writer, ceilings: Ceilings, model: Model, rule: Rule, batch: int) -> Memory:
    unit, _, functions = write(model, rule, batch)
    return memory(unit, target_named(ceilings.target), *functions)


def _called(kind: str) -> str:
    return "RAM" if kind == "ram" else kind


def _name(rule: Rule) -> str:
    return next(name for name, kind in RULES.items() if isinstance(rule, kind))


def _words(option: str, memory: Memory, over: list[str]) -> str:
    return f"{option} ({', '.join(f'{getattr(memory, kind):,}' for kind in over)})"


def _tried(
    ceilings: Ceilings, model: Model, rule: Rule, batch: int, size: Callable[[Rule, int], Memory]
) -> Iterator[tuple[str, Memory]]:
    """Yield the first of each kind of options that fits, else its last."""
    for group in _options(model, rule, batch):
        last = None
        for option, other, samples in group:
            try:
                last = option, size(other, samples)
            except (ModelError, RuleError):
                continue
            if not ceilings.excess(last[1]):
                break
        if last:
            yield last


def _options(model: Model, rule: Rule, batch: int) -> Iterator[list[tuple[str, Rule, int]]]:
    """Yield kinds of options: what is given up grows within each."""
    if rule.settings.weights == "w16":
        yield [("--weights w8", configured(rule, weights="w8"), batch)]
    halves = [batch >> shift for shift in range(1, batch.bit_length())]
    yield [(f"--batch {half}", configured(rule, batch=half), half) for half in halves]
    count = len(select(model.graph, rule.settings.train))
    yield [(f"--train {k}", configured(rule, train=k), batch) for k in range(count - 1, 0, -1)]
    others = _other_rules(model, rule, batch)
    for option, other in others.items():
        yield [(option, other, batch)]
    less: dict[str, Any] = {"weights": "w8"} if rule.settings.weights == "w16" else {}
    less |= {"batch": 1} if batch > 1 else {}
    if less:
        words = " ".join(f"--{name} {value}" for name, value in less.items())
        yield [
            (f"{words} {option}".strip(), configured(other, **less), 1)
            for option, other in {"": rule, **others}.items()
        ]


def _other_rules(model: Model, rule: Rule, batch: int) -> dict[str, Rule]:
    """Return other rules and ways to cut the network, by their options."""
    found = {}
    for kind, blocks, other in candidates(model, replace(rule.settings, batch=batch)):
        words = kind.split()
        option = f"--rule {words[0].replace('_', '-')}"
        if kind == "mono_forward":
            option += f" --blocks {blocks}"
        elif len(words) == 2:
            option += f" --space {words[1]}"
        if "," not in kind and other != rule:
            found[option] = other
    return found
