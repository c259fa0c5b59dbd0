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
    "cortex-m0": _arm("cortex-m0", "plain", 46, Kernels(676, 10718), Kernels(2292, 15220)),
    "cortex-m3": _arm("cortex-m3", "plain", 44, Kernels(572, 8994), Kernels(1980, 14042)),
    "cortex-m4": _arm("cortex-m4", "dsp", 44, Kernels(676, 10598), Kernels(2092, 19830)),
    "cortex-m7": _arm("cortex-m7", "dsp", 44, Kernels(676, 10654), Kernels(2084, 19482)),
    "cortex-m33": _arm("cortex-m33", "dsp", 44, Kernels(684, 10602), Kernels(2092, 19370)),
    "cortex-m55": _arm(
        "cortex-m55", "mve", 42, Kernels(844, 9474), Kernels(1756, 19696), "-mfloat-abi=hard"
    ),
    "rv32imc": Target(
        "plain", "riscv64-unknown-elf-gcc", ("-march=rv32imc", "-mabi=ilp32"),
        ("qemu-rv32imc", "rv32imc"), 62, Kernels(436, 8796), Kernels(1356, 12910),
    ),
    # No compiler for it measured this: rv32imc's sizes and a quarter.
    "esp32": Target(
        "plain", "xtensa-esp32-elf-gcc", ("-mlongcalls",), (),
        78, Kernels(545, 10995), Kernels(1695, 16138),
    ),
    "aarch64": Target(
        "plain", "aarch64-linux-gnu-gcc", (), ("qemu-aarch64", "aarch64"),
        56, Kernels(724, 10026), Kernels(3100, 15702),
    ),
    "host": Target("plain", "cc", (), ("host",), 66, Kernels(732, 10503), Kernels(2836, 17101)),
}  # fmt: skip
"""Every target by name."""

SCALING_BYTES, POINTER_BYTES = 12, 4
"""Stack of a training step for each error that it scales, and each buffer that it names."""


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
