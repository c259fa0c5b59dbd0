"""The boards: this computer, emulated microcontrollers, and what each needs."""

import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

Kind = Literal["host", "unicorn", "qemu", "wasm", "serial"]

ZIG = (sys.executable, "-m", "ziglang", "cc")
CURES = {
    "cc": "apt-get install gcc libc6-dev (or your system's C compiler)",
    "ziglang": "pip install ziglang",
    "unicorn": "pip install unicorn",
    "elftools": "pip install pyelftools",
    "wasmtime": "pip install wasmtime",
    "serial": "pip install pyserial",
    "arm-none-eabi-gcc": "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "riscv64-unknown-elf-gcc": "apt-get install gcc-riscv64-unknown-elf",
    "aarch64-linux-gnu-gcc": "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    "qemu-system-arm": "apt-get install qemu-system-arm",
    "qemu-system-riscv32": "apt-get install qemu-system-misc",
    "qemu-aarch64": "apt-get install qemu-user",
}
"""What a board may need, and the command that brings it."""
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
PACKAGES = ("ziglang", "unicorn", "elftools", "wasmtime", "serial")


@dataclass(frozen=True)
class Board:
    """One way to run a program.

    Attributes:
        kind: the module that runs it: `host_board`, `unicorn_board`, `qemu_board`, `wasm_board`,
            `serial_board`.
        compiler: its command.
        flags: what chooses the core.
        needs: programs and packages, each a key of `CURES`.
        core: name of the core where an emulator has to be told.
        launcher: the emulator's command; empty where the program runs by itself; port and speed
            of a serial board.
        flash: address of code and constants.
        ram: address of at least 4 MiB; state, arena, frames and stack get a quarter each.
    """

    kind: Kind
    compiler: tuple[str, ...]
    flags: tuple[str, ...]
    needs: tuple[str, ...]
    core: str = ""
    launcher: tuple[str, ...] = ()
    flash: int = 0x10000
    ram: int = 0x20000000


def _unicorn(target: str, cpu: str, core: str = "") -> Board:
    flags = ("-target", target, f"-mcpu={cpu}")
    return Board("unicorn", ZIG, flags, ("ziglang", "unicorn", "elftools"), core)


def _qemu_arm(
    cpu: str,
    machine: str,
    *settings: str,
    flash: int = 0,
    ram: int = 0x20000000,
    abi: Literal["soft", "hard"] = "soft",
) -> Board:
    """Return a machine of QEMU; Helium needs the ABI whose arguments may lie in its registers."""
    flags = (f"-mcpu={cpu}", "-mthumb", f"-mfloat-abi={abi}")
    core = cpu.split("+")[0]
    globals_ = [word for setting in settings for word in ("-global", setting)]
    launcher = ("qemu-system-arm", "-M", machine, "-cpu", core, *globals_)
    needs = ("arm-none-eabi-gcc", "qemu-system-arm", "elftools")
    return Board("qemu", needs[:1], flags, needs, core, launcher, flash, ram)


BOARDS = {
    "host": Board("host", ("cc",), (), ("cc",)),
    "host-sanitizers": Board("host", ("cc",), SANITIZERS, ("cc",)),
    "cortex-m0": _unicorn("thumb-freestanding-eabi", "cortex_m0", "CORTEX_M0"),
    "cortex-m3": _unicorn("thumb-freestanding-eabi", "cortex_m3", "CORTEX_M3"),
    "cortex-m4": _unicorn("thumb-freestanding-eabi", "cortex_m4", "CORTEX_M4"),
    "cortex-m7": _unicorn("thumb-freestanding-eabi", "cortex_m7", "CORTEX_M7"),
    "cortex-m33": _unicorn("thumb-freestanding-eabi", "cortex_m33+dsp", "CORTEX_M33"),
    "rv32imc": _unicorn("riscv32-freestanding-none", "generic_rv32+m+c-a-f-d"),
    "aarch64": _unicorn("aarch64-freestanding-none", "cortex_a53"),
    # The same cores by a cross compiler and QEMU. A micro:bit with more memory than it has.
    "qemu-cortex-m0": _qemu_arm(
        "cortex-m0", "microbit", "nrf51-soc.sram-size=4194304", "nrf51-soc.flash-size=1048576"
    ),
    "qemu-cortex-m3": _qemu_arm("cortex-m3", "mps2-an385"),
    "qemu-cortex-m4": _qemu_arm("cortex-m4", "mps2-an386"),
    "qemu-cortex-m7": _qemu_arm("cortex-m7", "mps2-an500"),
    "qemu-cortex-m33": _qemu_arm("cortex-m33", "mps2-an505", flash=0x10000000, ram=0x38000000),
    "qemu-cortex-m55": _qemu_arm("cortex-m55", "mps3-an547", ram=0x60000000, abi="hard"),
    "qemu-cortex-m55-nomve": _qemu_arm("cortex-m55+nomve", "mps3-an547", ram=0x60000000),
    "qemu-rv32imc": Board(
        "qemu", ("riscv64-unknown-elf-gcc",), ("-march=rv32imc", "-mabi=ilp32"),
        ("riscv64-unknown-elf-gcc", "qemu-system-riscv32", "elftools"),
        launcher=("qemu-system-riscv32", "-M", "virt", "-cpu", "rv32,a=off,f=off,d=off,v=off",
                  "-bios", "none"),
        flash=0x80000000, ram=0x80400000,
    ),
    "qemu-aarch64": Board(
        "host", ("aarch64-linux-gnu-gcc",), ("-static",),
        ("aarch64-linux-gnu-gcc", "qemu-aarch64"), launcher=("qemu-aarch64",),
    ),
    "wasm32": Board(
        "wasm", ZIG, ("-target", "wasm32-freestanding", "-mcpu=generic"), ("ziglang", "wasmtime")
    ),
}  # fmt: skip
"""Every board by name; a new one is a line here."""


BAUD = 115200


def board_named(name: str) -> Board:
    """Return a board of the table, or one behind a serial port.

    Args:
        name: a key of BOARDS, or serial:PORT or serial:PORT@BAUD.

    Raises:
        ValueError: if there is none of that name; with the names that there are.

    Example:
        >>> board_named("serial:/dev/ttyACM0@921600").launcher
        ('/dev/ttyACM0', '921600')
    """
    kind, _, place = name.partition(":")
    if kind == "serial" and place:
        port, at, baud = place.rpartition("@")
        found = (port, baud) if at else (place, str(BAUD))
        if not found[0] or not found[1].isdecimal() or not int(found[1]):
            raise ValueError(
                f"a serial board must be serial:PORT or serial:PORT@BAUD, got {name!r}"
            )
        return Board("serial", (), (), ("serial",), launcher=found)
    if name not in BOARDS:
        raise ValueError(f"board must be one of {', '.join(BOARDS)}, serial:PORT, got {name!r}")
    return BOARDS[name]


def missing(board: Board) -> list[str]:
    """Return a sentence for everything that a board needs and this computer lacks.

    Example:
        >>> missing(Board("host", ("cc",), (), ()))
        []
    """
    return [f"{need} is missing: {CURES[need]}" for need in board.needs if not _has(need)]


def _has(need: str) -> bool:
    return bool(find_spec(need)) if need in PACKAGES else shutil.which(need) is not None
