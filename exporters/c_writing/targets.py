"""The cores that C is exported for: one table."""

from dataclasses import dataclass
from typing import NamedTuple

ARM = "arm-none-eabi-gcc"


class Kernels(NamedTuple):
    """What a compiler made of the kernels that a kind of network uses.

    Attributes:
        stack: bytes of the deepest call, and of what a step keeps meanwhile.
        code: bytes.
    """

    stack: int
    code: int


@dataclass(frozen=True)
class Target:
    """A core, and what a compiler made of exported C for it.

    The sizes are the largest that `examples/measure_memory.py --targets` finds over networks and
    rules (gcc 12, -O2): forecasts of what fits are on the safe side.

    Attributes:
        form: of the kernels, see `forms.FORMS`.
        compiler: its usual one.
        flags: that choose the core.
        boards: of `device_tests` with compilers for it, the usual one first.
        line: bytes of code a call of a kernel.
        dense: kernels of fully connected networks.
        convolutional: kernels of other networks.
    """

    form: str
    compiler: str
    flags: tuple[str, ...]
    boards: tuple[str, ...]
    line: int
    dense: Kernels
    convolutional: Kernels


def _arm(core: str, form: str, line: int, dense: Kernels, other: Kernels, *more: str) -> Target:
    boards = tuple(f"{tool}{core}" for tool in ("qemu-", "") if core != "cortex-m55" or tool)
    return Target(form, ARM, (f"-mcpu={core}", "-mthumb", *more), boards, line, dense, other)


TARGETS = {
    "cortex-m0": _arm("cortex-m0", "plain", 20, Kernels(508, 9350), Kernels(492, 14316)),
    "cortex-m3": _arm("cortex-m3", "plain", 20, Kernels(452, 8314), Kernels(412, 12972)),
    "cortex-m4": _arm("cortex-m4", "dsp", 28, Kernels(564, 9348), Kernels(720, 22840)),
    "cortex-m7": _arm("cortex-m7", "dsp", 28, Kernels(564, 9442), Kernels(704, 23026)),
    "cortex-m33": _arm("cortex-m33", "dsp", 28, Kernels(580, 9342), Kernels(720, 22886)),
    "cortex-m55": _arm(
        "cortex-m55", "mve", 28, Kernels(692, 11010), Kernels(948, 26992), "-mfloat-abi=hard"
    ),
    "rv32imc": Target(
        "plain", "riscv64-unknown-elf-gcc", ("-march=rv32imc", "-mabi=ilp32"),
        ("qemu-rv32imc", "rv32imc"), 22, Kernels(404, 9990), Kernels(404, 15806),
    ),
    # No compiler for it measured this: rv32imc's sizes and a quarter.
    "esp32": Target(
        "plain", "xtensa-esp32-elf-gcc", ("-mlongcalls",), (),
        28, Kernels(505, 12488), Kernels(505, 19758),
    ),
    "aarch64": Target(
        "plain", "aarch64-linux-gnu-gcc", (), ("qemu-aarch64", "aarch64"),
        30, Kernels(532, 10514), Kernels(1452, 17388),
    ),
    "host": Target("plain", "cc", (), ("host",), 30, Kernels(556, 10320), Kernels(588, 17006)),
}  # fmt: skip
"""Every target by name."""

SCALING_BYTES, WORD_BYTES = 12, 4
"""Stack of a training step for each error that it scales itself, and for each exponent of an error
and each buffer that it names."""


def target_named(name: str) -> Target:
    """Return a target of the table.

    Raises:
        ValueError: if there is none of that name; with the names that there are.

    Example:
        >>> target_named("cortex-m4").form
        'dsp'
    """
    if name not in TARGETS:
        raise ValueError(f"target must be one of {', '.join(TARGETS)}, got {name!r}")
    return TARGETS[name]
