"""Programs that run as processes: of this computer, or of another by QEMU's user emulation."""

import re
import signal
import subprocess
from collections.abc import Sequence

from edgetrain.device_tests.program import (
    BoardError,
    BoardFaultError,
    BoardTimeoutError,
    Program,
    Reply,
)


def run(
    program: Program, frames: Sequence[bytes], *, count: bool = False, uncounted: int = 0,
    timeout_s: float = 60,
) -> list[Reply]:  # fmt: skip
    """Send frames through a process; see `run.run`. Instructions are not counted."""
    command = [*program.board.launcher, str(program.path)]
    try:
        done = subprocess.run(
            command, input=b"".join(frames), capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BoardTimeoutError(
            f"{program.name} did not finish {len(frames)} frames in {timeout_s:g} s"
        ) from error
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode:
        raise _fault(program, done.returncode, said)
    size, rest = divmod(len(done.stdout), max(len(frames), 1))
    if rest:
        raise BoardError(
            f"{program.name} answered {len(done.stdout)} bytes to {len(frames)} frames"
        )
    return [Reply(done.stdout[i * size : (i + 1) * size]) for i in range(len(frames))]


def _fault(program: Program, status: int, said: str) -> BoardError:
    """Make an error of how a process ended, with what a sanitizer found."""
    if found := re.search(r"(AddressSanitizer: .*|runtime error: .*)", said):
        where = re.search(r"^(READ|WRITE) of size.*", said, re.MULTILINE)
        shown = [found[0], where[0] if where else "", *said.splitlines()[:60]]
        return BoardFaultError(f"{program.name} faulted: " + "\n".join(filter(None, shown)))
    if status < 0:
        return BoardFaultError(
            f"{program.name} was ended by {signal.Signals(-status).name}\n{said}"
        )
    return BoardError(f"{program.name} ended with status {status}\n{said}")
