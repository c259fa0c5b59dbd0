"""Programs on the machines of QEMU: frames go over files of this computer, by semihosting."""

import hashlib
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgetrain.device_tests.boards import CURES
from edgetrain.device_tests.build import SUPPORT
from edgetrain.device_tests.elf import read_elf
from edgetrain.device_tests.program import (
    BoardError,
    BoardFaultError,
    BoardTimeoutError,
    Program,
    Reply,
)

OPTIONS = (
    "-nographic", "-monitor", "none", "-serial", "null",
    "-semihosting-config", "enable=on,target=native",
)  # fmt: skip
FAULT = 99
"""Status with which the start-up code ends after a fault."""


def run(
    program: Program, frames: Sequence[bytes], *, count: bool = False, uncounted: int = 0,
    timeout_s: float = 60,
) -> list[Reply]:  # fmt: skip
    """Start the machine, which reads in.bin and writes out.bin and stack.bin; see `run.run`."""
    size = read_elf(program.path).symbols["frame_in"][1]
    for frame in frames:
        if len(frame) != size:
            raise BoardError(f"{program.name} takes frames of {size} bytes, got {len(frame)}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "in.bin").write_bytes(b"".join(frames))
        plugin = ["-plugin", f"{_plugin(program.path.parent)},out=counts"] if count else []
        command = [*program.board.launcher, *OPTIONS, *plugin, "-kernel", str(program.path)]
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=timeout_s, check=False, errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise BoardTimeoutError(
                f"{program.name} did not finish {len(frames)} frames in {timeout_s:g} s"
            ) from error
        if done.returncode:
            raise _fault(program, done.returncode, done.stderr + done.stdout)
        out = (folder / "out.bin").read_bytes()
        stacks = struct.unpack(f"<{len(frames)}I", (folder / "stack.bin").read_bytes())
        counts: list[int | None] = [None] * len(frames)
        if count:
            found = [int(n) for n in (folder / "counts").read_text().split()]
            counts[uncounted:] = found[uncounted:]
    size = len(out) // max(len(frames), 1)
    return [Reply(out[i * size : (i + 1) * size], counts[i], stacks[i]) for i in range(len(frames))]


def _plugin(folder: Path) -> Path:
    """Compile the plugin that counts, once."""
    source = SUPPORT / "count.c"
    library = folder / f"count-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.so"
    if not library.is_file():
        if not shutil.which("cc"):
            raise BoardError(f"counting instructions needs a compiler: {CURES['cc']}")
        command = ["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(command, check=True, capture_output=True)
    return library


def _fault(program: Program, status: int, said: str) -> BoardError:
    """Make an error of the report that the start-up code printed."""
    found = re.search(r"FAULT (.*)", said)
    if not found:
        return BoardError(f"{program.name} ended with status {status}: {said.strip()[:2000]}")
    registers = {name: int(value, 16) for name, value in re.findall(r"(\w+)=(\w+)", found[1])}
    elf = read_elf(program.path)
    why = "an access, instruction or jump that the core does not allow"
    if "address" in registers:
        address = registers["address"]
        why = f"access to 0x{address:08x}, {elf.distance(address)}"
    return BoardFaultError(
        f"{program.name} faulted: {why}; at {elf.place(registers['pc'])}\n{found[1].strip()}"
    )
