"""Programs in Unicorn: functions are called, memory is written and read, strays are caught."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import unicorn
from unicorn import arm64_const, arm_const, riscv_const

from edgetrain.device_tests.elf import Elf, read_elf
from edgetrain.device_tests.program import (
    BoardError,
    BoardFaultError,
    BoardTimeoutError,
    Program,
    Reply,
)

PAGE = 4096
RETURN = PAGE
"""Where a function returns to: a page of its own, above the page of the null pointer."""
FLASH_BYTES = 4 << 20
PAINT = b"\xa5"
ACCESSES = {
    unicorn.UC_MEM_READ: "read", unicorn.UC_MEM_WRITE: "write",
    unicorn.UC_MEM_READ_UNMAPPED: "read", unicorn.UC_MEM_WRITE_UNMAPPED: "write",
    unicorn.UC_MEM_FETCH_UNMAPPED: "jump", unicorn.UC_MEM_WRITE_PROT: "write",
    unicorn.UC_MEM_READ_PROT: "read", unicorn.UC_MEM_FETCH_PROT: "jump",
}  # fmt: skip


@dataclass(frozen=True)
class Core:
    """How a family of cores calls a function.

    Attributes:
        arch: number of the architecture in Unicorn.
        mode: number of the mode.
        pc: register of the next instruction.
        sp: of the stack.
        link: of the return address.
        registers: all to show, by name.
        thumb: 1 where addresses of functions are odd.
    """

    arch: int
    mode: int
    pc: int
    sp: int
    link: int
    registers: dict[str, int]
    thumb: int = 0


def _named(module: Any, prefix: str, names: Sequence[str]) -> dict[str, int]:
    return {name: getattr(module, f"{prefix}_REG_{name.upper()}") for name in names}


ARM = Core(
    unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB, arm_const.UC_ARM_REG_PC, arm_const.UC_ARM_REG_SP,
    arm_const.UC_ARM_REG_LR,
    _named(arm_const, "UC_ARM", [f"r{i}" for i in range(13)] + ["sp", "lr", "pc"]), 1,
)  # fmt: skip
RISCV = Core(
    unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV32, riscv_const.UC_RISCV_REG_PC,
    riscv_const.UC_RISCV_REG_SP, riscv_const.UC_RISCV_REG_RA,
    _named(riscv_const, "UC_RISCV", [f"x{i}" for i in range(1, 32)] + ["pc"]),
)  # fmt: skip
ARM64 = Core(
    unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM, arm64_const.UC_ARM64_REG_PC,
    arm64_const.UC_ARM64_REG_SP, arm64_const.UC_ARM64_REG_LR,
    _named(arm64_const, "UC_ARM64", [f"x{i}" for i in range(31)] + ["sp", "pc"]),
)  # fmt: skip


def run(
    program: Program, frames: Sequence[bytes], *, count: bool = False, uncounted: int = 0,
    timeout_s: float = 60,
) -> list[Reply]:  # fmt: skip
    """Call `frame_run` for each frame; see `run.run`."""
    machine = Machine(program)
    replies = [machine.call(frame, timeout_s) for frame in frames[:uncounted]]
    if count:
        machine.count()
    return replies + [machine.call(frame, timeout_s) for frame in frames[uncounted:]]


class Machine:
    """A core with a program in its memory."""

    def __init__(self, program: Program) -> None:
        target = " ".join(program.board.flags)
        self.core = RISCV if "riscv" in target else ARM64 if "aarch64" in target else ARM
        self.program = program
        self.elf: Elf = read_elf(program.path)
        self.uc = unicorn.Uc(self.core.arch, self.core.mode)
        if program.board.core:
            model = getattr(arm_const, f"UC_CPU_ARM_{program.board.core}")
            self.uc.ctl_set_cpu_model(model)
        self.stack = self.elf.region("stack")
        self.stray: tuple[str, int, int] | None = None
        self.instructions: int | None = None
        self._lengths: dict[tuple[int, int], int] = {}
        self._map()

    def _map(self) -> None:
        """Map code read-only and each part of memory with nothing around it."""
        self.uc.mem_map(self.program.board.flash, FLASH_BYTES)
        self.uc.mem_map(RETURN, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        hook, watched = self.uc.hook_add, unicorn.UC_HOOK_MEM_READ | unicorn.UC_HOOK_MEM_WRITE
        for part in map(self.elf.region, ("state", "arena", "frames", "stack")):
            if not part:
                continue
            start, stop = part.start // PAGE * PAGE, -(-part.stop // PAGE) * PAGE
            self.uc.mem_map(start, stop - start, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
            # What is left of its pages is watched, so that a single byte outside is caught.
            for low, high in ((start, part.start), (part.stop, stop)):
                if low < high:
                    hook(watched, self._astray, begin=low, end=high - 1)
        hook(unicorn.UC_HOOK_MEM_INVALID, self._astray)
        for address, data in self.elf.segments:
            self.uc.mem_write(address, data)
        self.uc.mem_write(self.stack.start, PAINT * len(self.stack))
        self.uc.mem_protect(
            self.program.board.flash, FLASH_BYTES, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
        )

    def count(self) -> None:
        """Count instructions from now on, a block at a time; those translated before as well."""
        self.instructions = 0
        self.uc.ctl_flush_tb()
        self.uc.hook_add(unicorn.UC_HOOK_BLOCK, self._block)

    def call(self, frame: bytes, timeout_s: float) -> Reply:
        """Give the program a frame and return what it makes of it."""
        (start, size), (out, out_size) = (self.elf.symbols[f"frame_{s}"] for s in ("in", "out"))
        if len(frame) != size:
            raise BoardError(f"{self.program.name} takes frames of {size} bytes, got {len(frame)}")
        self.uc.mem_write(start, frame)
        self.uc.reg_write(self.core.sp, self.stack.stop)
        self.uc.reg_write(self.core.link, RETURN | self.core.thumb)
        before = self.instructions
        entry = self.elf.symbols["frame_run"][0] | self.core.thumb
        try:
            self.uc.emu_start(entry, RETURN, timeout=int(timeout_s * 1e6))
        except unicorn.UcError as error:
            raise self._fault(str(error)) from error
        if self.stray:
            raise self._fault("")
        if self.uc.reg_read(self.core.pc) != RETURN:
            raise BoardTimeoutError(
                f"{self.program.name} did not finish a frame in {timeout_s:g} s, it was at "
                f"{self._where()}\n{self.dump()}"
            )
        counted = None if before is None else (self.instructions or 0) - before
        return Reply(bytes(self.uc.mem_read(out, out_size)), counted, self.deepest_stack())

    def deepest_stack(self) -> int:
        """Return how many bytes of the stack were ever written."""
        painted = bytes(self.uc.mem_read(self.stack.start, len(self.stack)))
        return len(painted) - (len(painted) - len(painted.lstrip(PAINT)))

    def dump(self) -> str:
        """Show all registers."""
        shown = [f"{name}={self.uc.reg_read(number):08x}"
                 for name, number in self.core.registers.items()]  # fmt: skip
        return "\n".join(" ".join(shown[i : i + 8]) for i in range(0, len(shown), 8))

    def _where(self) -> str:
        return self.elf.place(int(self.uc.reg_read(self.core.pc)))

    def _fault(self, why: str) -> BoardFaultError:
        if self.stray:
            access, address, size = self.stray
            why = f"{access} of {size} bytes at 0x{address:08x}, {self.elf.distance(address)}"
        return BoardFaultError(
            f"{self.program.name} faulted: {why}; at {self._where()}\n{self.dump()}"
        )

    def _astray(self, uc: Any, access: int, address: int, size: int, value: int, data: Any) -> bool:
        """Note the first access to what is no memory of the program, and stop."""
        self.stray = self.stray or (ACCESSES.get(access, "access"), address, size)
        uc.emu_stop()
        return False

    def _block(self, uc: Any, address: int, size: int, data: Any) -> None:
        """Add the instructions of a block, which are counted once."""
        length = self._lengths.get((address, size))
        if length is None:
            code = bytes(uc.mem_read(address, size))
            length = self._lengths[address, size] = self._instructions(code)
        self.instructions = (self.instructions or 0) + length

    def _instructions(self, code: bytes) -> int:
        """Count instructions of 16 and 32 bits; their first bits tell which."""
        at = found = 0
        while at < len(code):
            half = int.from_bytes(code[at : at + 2], "little")
            wide = half >> 11 >= 29 if self.core is ARM else half & 3 == 3
            at += 4 if wide or self.core is ARM64 else 2
            found += 1
        return found
