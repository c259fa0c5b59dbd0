"""The cores that C is exported for: one table."""

from dataclasses import dataclass

ARM, RISCV = "arm-none-eabi-gcc", "riscv64-unknown-elf-gcc"


@dataclass(frozen=True)
class Target:
    """A core, and what a compiler made of the kernels for it.

    The sizes are the largest that `examples/measure_memory.py --targets` finds over networks and
    rules (gcc 12, -O2): forecasts of what fits are on the safe side.

    Attributes:
        form: of the kernels, see `forms.FORMS`.
        compiler: its usual one.
        flags: that choose the core.
        boards: of `device_tests` with compilers for it, the usual one first.
        stack: bytes of the deepest call of a kernel.
        dense: bytes of the kernels of a fully connected network.
        code: bytes of the kernels of any network.
        line: bytes of code a call of a kernel.
    """

    form: str
    compiler: str
    flags: tuple[str, ...]
    boards: tuple[str, ...]
    stack: int
    dense: int
    code: int
    line: int


def _arm(core: str, form: str, sizes: tuple[int, int, int, int], *more: str) -> Target:
    boards = tuple(f"{tool}{core}" for tool in ("qemu-", "") if core != "cortex-m55" or tool)
    return Target(form, ARM, (f"-mcpu={core}", "-mthumb", *more), boards, *sizes)


TARGETS = {
    "cortex-m0": _arm("cortex-m0", "plain", (1000, 9000, 13000, 50)),
    "cortex-m3": _arm("cortex-m3", "plain", (1000, 9000, 13000, 50)),
    "cortex-m4": _arm("cortex-m4", "dsp", (1000, 9000, 15500, 50)),
    "cortex-m7": _arm("cortex-m7", "dsp", (1000, 9000, 15500, 50)),
    "cortex-m33": _arm("cortex-m33", "dsp", (1000, 9000, 15500, 50)),
    "cortex-m55": _arm("cortex-m55", "mve", (1000, 9000, 15500, 50), "-mfloat-abi=hard"),
    "rv32imc": Target(
        "plain", RISCV, ("-march=rv32imc", "-mabi=ilp32"), ("qemu-rv32imc", "rv32imc"),
        1000, 9000, 15500, 50,
    ),
    "esp32": Target("plain", "xtensa-esp32-elf-gcc", ("-mlongcalls",), (), 1000, 9000, 15500, 50),
    "aarch64": Target(
        "plain", "aarch64-linux-gnu-gcc", (), ("qemu-aarch64", "aarch64"), 1000, 9000, 15500, 50
    ),
    "host": Target("plain", "cc", (), ("host",), 1000, 9000, 15500, 50),
}  # fmt: skip
"""Every target by name. No compiler measured esp32: its sizes are rv32imc's and a quarter."""

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
