"""What a program takes on a board: measured in the linked program and while it ran."""

from collections.abc import Sequence
from dataclasses import dataclass

from edgetrain.device_tests.program import Program, Reply

KERNEL = "et_"
"""How the names of what belongs to the kernels begin; all else is a model's."""


@dataclass(frozen=True)
class Measured:
    """Bytes of a program.

    Attributes:
        flash: code, constants and initial values of variables.
        code: flash without constants of the model: kernels and their tables, calls, start-up.
        state: variables: what is trained, and what training carries on.
        arena: memory that an inference and a step share.
        stack: the deepest that was seen; None where the board does not tell.
    """

    flash: int
    code: int
    state: int
    arena: int
    stack: int | None

    @property
    def ram(self) -> int:
        """Bytes of memory in all, with the stack where it is known."""
        return self.state + self.arena + (self.stack or 0)


def measure(program: Program, replies: Sequence[Reply] = ()) -> Measured | None:
    """Measure a program of `network.build_network`.

    Args:
        program: built without traces, for they keep more constants.
        replies: of a run that initialized, trained and inferred; for the stack.

    Returns:
        Its bytes; None for a process, a wasm module and a board behind a serial port, whose
        memory is not the program's alone.
    """
    if program.board.kind not in ("unicorn", "qemu"):
        return None
    from edgetrain.device_tests.elf import read_elf  # needs a tool, which other boards do not

    elf = read_elf(program.path)
    code = elf.region("flash")
    start, stop = (elf.symbols[f"__data_{end}"][0] for end in ("start", "end"))
    flash = len(code) + stop - start
    constants = {
        address: size
        for name, address, size in elf.objects
        if address in code and not name.startswith(KERNEL)
    }
    stacks = [reply.stack_bytes for reply in replies if reply.stack_bytes is not None]
    return Measured(
        flash=flash,
        code=flash - sum(constants.values()),
        state=len(elf.region("state")),
        arena=len(elf.region("arena")),
        stack=max(stacks, default=None),
    )
