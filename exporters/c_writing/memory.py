"""How many bytes exported C takes, from the plan of its arena and its declarations."""

from dataclasses import dataclass

from edgetrain.blocks import is_convolutional
from edgetrain.exporters.c_writing.backward import EXPONENT
from edgetrain.exporters.c_writing.program import Program
from edgetrain.exporters.c_writing.targets import SCALING_BYTES, WORD_BYTES, Target
from edgetrain.exporters.c_writing.unit import Unit

COUNTERS = 12
"""Bytes of the step and of the count of saturated updates."""
PART_BYTES = 12
"""Bytes of an entry in the tables of what is saved and how it begins."""
WEIGHTS = ("_w", "_start", "_first")
"""Ends of the names of constants that are weights, biases or their first values."""


@dataclass(frozen=True)
class Memory:
    """Bytes of one exported model.

    Attributes:
        weights_flash: frozen layers, and the first values of those that learn; exact.
        constants_flash: shapes, scales, rates, tables; exact, but for padding.
        weights_ram: layers that learn; exact.
        state_ram: heads, masters, exponents, counters, a journal's frame; exact.
        arena: of activations, errors, sums and scratch memory; exact.
        stack: of the deepest call.
        code: kernels and the model's functions.
    """

    weights_flash: int
    constants_flash: int
    weights_ram: int
    state_ram: int
    arena: int
    stack: int
    code: int

    @property
    def ram(self) -> int:
        """Bytes of RAM in all."""
        return self.weights_ram + self.state_ram + self.arena + self.stack

    @property
    def flash(self) -> int:
        """Bytes of flash in all."""
        return self.weights_flash + self.constants_flash + self.code


def kept(program: Program) -> int:
    """Return the bytes of stack for what a function keeps: pointers, scalings and exponents."""
    scalings = sum("et_choose_scale" in line for line in program.lines)
    exponents = sum(line.startswith(EXPONENT) for line in program.lines)
    return SCALING_BYTES * scalings + WORD_BYTES * (exponents + len(program.buffers))


def memory(unit: Unit, target: Target, *programs: Program) -> Memory:
    """Add up what a file declares and what its functions need.

    Stack and code are upper bounds from the target's table; everything else is what is written.

    Args:
        unit: the file, after its programs were written.
        target: for the form of the kernels, and sizes of stack and code.
        programs: of its functions.
    """
    weights = sum(s for name, s in unit.declared.items() if name.endswith(WEIGHTS))
    learning = {key: size for key, (_, size) in unit.traced.items()}
    state = sum(size for key, size in learning.items() if key.startswith("state/"))
    kernels = target.convolutional if is_convolutional(unit.graph) else target.dense
    parts = len(learning) + 2 if learning else 0
    lines = [line for program in programs for line in program.lines]
    return Memory(
        weights_flash=weights,
        constants_flash=sum(unit.declared.values()) - weights + PART_BYTES * parts,
        weights_ram=sum(learning.values()) - state,
        state_ram=state + unit.untraced + (COUNTERS if learning else 0),
        arena=max(program.arena(target.form)[1] for program in programs),
        stack=kernels.stack + max(map(kept, programs)),
        code=kernels.code + target.line * len(lines),
    )
