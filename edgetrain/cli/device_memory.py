"""What every rule takes on a device: the rows of `edgetrain analyze --target`."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from edgetrain.device_tests.boards import BOARDS
from edgetrain.device_tests.footprint import compiler_for, footprint
from edgetrain.errors import ModelError, RuleError
from edgetrain.exporters.c_sizes import inference_size, size
from edgetrain.exporters.c_writing.memory import Memory
from edgetrain.exporters.c_writing.targets import target_named
from edgetrain.memory import candidates
from edgetrain.model import Model
from edgetrain.rules import MonoForward, Rule
from edgetrain.settings import Settings


@dataclass(frozen=True)
class Row:
    """Inference, or a rule and block choice.

    Attributes:
        rule: its name, with the options that matter.
        blocks: how the network is cut; "-" where it is not.
        memory: bytes; None if it cannot be exported.
        refused: why not; empty if it can.
    """

    rule: str
    blocks: str
    memory: Memory | None
    refused: str = ""


def compiler(target: str) -> tuple[str, str]:
    """Return a board with a compiler for a target that is here, and its command; or empty texts."""
    board = compiler_for(target_named(target).boards)
    return board, " ".join(BOARDS[board].compiler[:1]) if board else ""


def rows(
    model: Model, batch: int, settings: Settings, target: str, wanted: str = ""
) -> Iterator[Row]:
    """Yield what inference and every rule take.

    Weights, state and arena are those of the C that `to_c` writes. Stack and code are what a
    compiler makes of it, where there is one for the target, else the bounds of its table.

    Args:
        model: the network.
        batch: samples of a step.
        settings: options of the rules.
        target: a key of TARGETS.
        wanted: how the names of the rules begin.
    """
    chosen = target_named(target)
    board, _ = compiler(target)
    settings = replace(settings, batch=batch)
    with tempfile.TemporaryDirectory() as folder:
        still: Rule = MonoForward(settings=replace(settings, train=0))
        found = inference_size(model, chosen)
        if board:
            made = footprint(board, model, still, Path(folder), functions=("init", "infer"))
            found = replace(found, stack=made.stack["infer"], code=made.code)
        yield Row("inference", "-", found)
        for name, blocks, rule in candidates(model, settings):
            if not name.startswith(wanted):
                continue
            try:
                found = size(model, chosen, rule, batch)
            except (ModelError, RuleError) as error:
                yield Row(name, blocks, None, str(error))
                continue
            if board:
                made = footprint(board, model, rule, Path(folder), batch)
                found = replace(found, stack=max(made.stack.values()), code=made.code)
            yield Row(name, blocks, found)
