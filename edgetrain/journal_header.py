"""The header of a journal: what a run starts from, read as if nobody had checked it.

| bytes | what |
|---|---|
| 4 | ``ETJ`` and the version of the format, 1 |
| 2 | length of the text that follows |
| n | JSON: trace of the base model, rule with its settings, seed, version of the program |
| 4 | CRC-32 of all that |
"""

import json
import struct
import zlib
from dataclasses import dataclass, fields
from typing import Any

from edgetrain import __version__
from edgetrain.errors import FileError, RuleError
from edgetrain.model import Model
from edgetrain.rules import ForwardGradient, Rule
from edgetrain.settings import Settings
from edgetrain.state import State, trace

MAGIC = b"ETJ\x01"
FIXED = len(MAGIC) + 2
"""Bytes in front of the text."""
CRC_BYTES = 4
LARGEST = 2**31
"""Any whole number of a rule is smaller."""
TYPES: dict[str, tuple[type, ...]] = {
    "learning_rate": (float, int), "weights": (str,), "train": (str, int, list), "loss": (str,),
    "momentum": (float, int), "schedule": (str,), "steps": (int,),
    "error_clip": (float, int, type(None)), "bits": (int,), "batch": (int,), "space": (str,),
    "head": (str,), "estimate": (str, type(None)), "perturbation": (float, int, type(None)),
    "queries": (int,),
}  # fmt: skip
"""Every option of the rule and of its settings, and what JSON may hold for it."""


@dataclass(frozen=True)
class Header:
    """What a run starts from.

    Attributes:
        base: trace of the model before the first step, with an empty state.
        rule: in weight space, with head="same".
        seed: of the run, in [0, 2**32).
        version: of the program that wrote it; the same run can have been written by another.
    """

    base: str
    rule: ForwardGradient
    seed: int
    version: str = __version__

    def described(self) -> dict[str, Any]:
        """Return base, seed and every option of the rule, by name."""
        rule, settings = self.rule, self.rule.settings
        own = {f.name: getattr(rule, f.name) for f in fields(rule) if f.name != "settings"}
        return {"base": self.base, "seed": self.seed, **vars(settings), **own}

    def packed(self) -> bytes:
        """Return the first bytes of a journal."""
        found = {**self.described(), "version": self.version}
        text = json.dumps(found, sort_keys=True, separators=(",", ":")).encode()
        content = MAGIC + struct.pack("<H", len(text)) + text
        return content + struct.pack("<I", zlib.crc32(content))


def header(rule: Rule, model: Model, seed: int) -> Header:
    """Return the header of a run's journal.

    Raises:
        RuleError: if the run is more than its seed and slopes; the message has the cure.

    Example:
        >>> import numpy as np
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> model = quantize(mlp((4,), 3), np.ones((2, 4), np.float32))
        >>> len(header(ForwardGradient(space="weight", head="same"), model, 0).packed()) < 500
        True
    """
    return Header(trace(model, State()), checked(rule), seed)


def checked(rule: Rule) -> ForwardGradient:
    """Return a rule whose runs a journal can hold; raise RuleError for any other."""
    if not isinstance(rule, ForwardGradient) or rule.space != "weight":
        raise RuleError(
            "a journal holds the signs of forward gradients in weight space: use --rule "
            "forward-gradient --space weight --head same, or `edgetrain delta` for another rule"
        )
    if rule.head != "same":
        raise RuleError(
            "with head='exact' the last layer learns from the data, which a journal does not "
            "hold: use --head same"
        )
    return rule


def read_header(content: bytes) -> tuple[Header, int]:
    """Return the header at the start of a journal, and its size in bytes.

    Raises:
        FileError: if it is foreign, cut or damaged.
    """
    length = int.from_bytes(content[len(MAGIC) : FIXED], "little")
    end = FIXED + length
    if content[: len(MAGIC)] != MAGIC:
        raise FileError("it is not a journal, or one of another version")
    if len(content) < end + CRC_BYTES:
        raise FileError("it is cut within its header and holds no step")
    if zlib.crc32(content[:end]) != int.from_bytes(content[end : end + CRC_BYTES], "little"):
        raise FileError("its header is damaged: the CRC is another")
    try:
        return _header(json.loads(content[FIXED:end])), end + CRC_BYTES
    except (ValueError, OverflowError, RecursionError) as error:
        raise FileError(f"its header is damaged: {error!s:.200}") from error


def differences(there: Header, here: Header) -> list[str]:
    """Say in what the header of a file differs from that of a run, a phrase each."""
    found, wanted = there.described(), here.described()
    return [
        f"its {name} is {found[name]!r:.60}, here it is {wanted[name]!r:.60}"
        for name in wanted
        if found[name] != wanted[name]
    ]


def _header(found: object) -> Header:
    names = {"base", "seed", "version", *TYPES}
    if not isinstance(found, dict) or set(found) != names:
        raise FileError(f"it must name {', '.join(sorted(names))}, and nothing else")
    for name, types in {**TYPES, "base": (str,), "seed": (int,), "version": (str,)}.items():
        value = found[name]
        if type(value) not in types or (isinstance(value, int) and not 0 <= value < 2 * LARGEST):
            raise FileError(f"{name} cannot be {value!r:.40}")
    if isinstance(found["train"], list):
        if not all(isinstance(name, str) for name in found["train"]):
            raise FileError("train must be names")
        found["train"] = tuple(found["train"])
    if found["batch"] >= LARGEST or found["steps"] >= LARGEST:
        raise FileError(f"batch and steps must be below {LARGEST}")
    base, seed, version = (found.pop(name) for name in ("base", "seed", "version"))
    own = {f.name: found.pop(f.name) for f in fields(ForwardGradient) if f.name in found}
    return Header(base, checked(ForwardGradient(settings=Settings(**found), **own)), seed, version)
