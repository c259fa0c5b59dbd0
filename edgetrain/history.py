"""What happened to a model, as lines of text that people and files keep."""

import re
from dataclasses import replace
from typing import NamedTuple

from edgetrain.model import Model


class Training(NamedTuple):
    """One training; its text is one line of `edgetrain.model.Model.history`."""

    rule: str
    steps: int
    trace: str  # of the last step, eight hexadecimal digits

    def __str__(self) -> str:
        return f"{self.rule}, {self.steps} steps, trace {self.trace}"

    def signed(self, model: Model) -> Model:
        """Return a model with this line behind its history."""
        return replace(model, history=(*model.history, str(self)))


def last_training(history: tuple[str, ...]) -> Training | None:
    """Return the newest training of a model's history, or None if it was never trained.

    Example:
        >>> last_training(("imported", str(Training("mono_forward", 200, "1a2b3c4d"))))
        Training(rule='mono_forward', steps=200, trace='1a2b3c4d')
    """
    for line in reversed(history):
        found = re.fullmatch(r"(\w+), (\d{1,18}) steps, trace (\w+)", line)
        if found:
            return Training(found[1], int(found[2]), found[3])
    return None
