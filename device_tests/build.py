"""C sources to a program for a board."""

import hashlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from edgetrain.device_tests.boards import Board, board_named, missing
from edgetrain.device_tests.program import BoardError, Program

SUPPORT = Path(__file__).parent / "support"
WARNINGS = ("-Wall", "-Wextra", "-Werror")
BARE = ("-ffreestanding", "-ffunction-sections", "-fdata-sections")
ZIG_BARE = (
    "-fno-sanitize=undefined", "-fno-stack-protector", "-mllvm", "-enable-global-merge=false",
)  # fmt: skip
"""Without merging, the arena stays apart from other variables."""
QUARTER = 1 << 20
STACK_BYTES = 16384


def build(
    name: str, sources: Mapping[str, bytes], folder: Path, *, flags: Sequence[str] = ("-O2",)
) -> Program:
    """Compile and link sources that define `support/frames.h`.

    Objects are kept in the folder and used again for equal sources.

    Args:
        name: of the board.
        sources: contents by file name; headers among them.
        folder: for the program and its objects; may hold others already.
        flags: optimization and definitions.

    Raises:
        BoardError: if a tool is missing or refuses the sources; with what it says.
    """
    board = board_named(name)
    if lacks := missing(board):
        raise BoardError(f"cannot build for {name}: {'; '.join(lacks)}")
    place, objects = compile_all(name, _support(board) | dict(sources), folder, flags=flags)
    program = Program(name, board, place / f"{_digest(*objects)}.elf")
    command = _command(board, flags)
    _call(name, [*command, *objects, *_link(board, place), "-o", program.path.name], place)
    return program


def compile_all(
    name: str, sources: Mapping[str, bytes], folder: Path, *, flags: Sequence[str] = ("-O2",)
) -> tuple[Path, list[str]]:
    """Compile sources for a board; return the folder of the objects, and their names.

    Args:
        name: of the board.
        sources: as for `build`, which adds nothing.
        folder: as for `build`.
        flags: as for `build`.

    Raises:
        BoardError: if the compiler refuses the sources.
    """
    command = _command(board_named(name), flags)
    headers = {file: text for file, text in sources.items() if not file.endswith(".c")}
    place = folder / _digest(repr(command), headers)
    place.mkdir(parents=True, exist_ok=True)
    for file, text in headers.items():
        (place / file).write_bytes(text)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(
            pool.map(
                lambda item: _object(name, command, place, *item),
                [(file, text) for file, text in sources.items() if file.endswith(".c")],
            )
        )
    return place, objects


def _command(board: Board, flags: Sequence[str]) -> list[str]:
    return [*board.compiler, *board.flags, "-std=c99", *WARNINGS, *flags, *_bare(board)]


def _support(board: Board) -> dict[str, bytes]:
    """Return what surrounds a program on a board."""
    names = ["frames.h"]
    if board.kind == "host":
        names += ["host_main.c"]
    else:
        names += ["memory.c"]
    if board.kind == "qemu":
        arm = board.compiler[0].startswith("arm")
        names += ["semihosting.h", "qemu_main.c", "arm_start.c" if arm else "riscv_start.c"]
    return {name: (SUPPORT / name).read_bytes() for name in names}


def _bare(board: Board) -> tuple[str, ...]:
    if board.kind == "host":
        return ()
    return BARE if board.kind == "qemu" else BARE + ZIG_BARE


def _link(board: Board, place: Path) -> list[str]:
    """Return the linker's flags, and write the board's memory beside its script."""
    if board.kind == "host":
        return []
    if board.kind == "wasm":
        names = ("run", "in", "out", "in_size", "out_size")
        exports = [f"-Wl,--export=frame_{name}" for name in names]
        return ["-nostdlib", "-Wl,--no-entry", "-Wl,--export=__heap_base", *exports]
    (place / "memory.ld").write_text(memory_map(board))
    script = ["-nostdlib", f"-Wl,-T,{SUPPORT / 'board.ld'}", f"-L{place}", "-Wl,--gc-sections"]
    if board.kind == "qemu":
        return [*script, "-lgcc"]
    return [*script, "-rtlib=compiler-rt", "-Wl,-e,frame_run"]


def memory_map(board: Board) -> str:
    """Write the memory of a board as a linker reads it."""
    parts = {name: (board.ram + i * QUARTER, QUARTER) for i, name in enumerate(("STATE", "ARENA"))}
    parts["FRAMES"] = (board.ram + 2 * QUARTER, QUARTER)
    parts["STACK"] = (board.ram + 3 * QUARTER, STACK_BYTES)
    lines = [f"  FLASH (rx) : ORIGIN = {board.flash:#x}, LENGTH = 4M"]
    lines += [f"  {name} (rw) : ORIGIN = {start:#x}, LENGTH = {size}"
              for name, (start, size) in parts.items()]  # fmt: skip
    return "MEMORY {\n" + "\n".join(lines) + "\n}\n"


def _object(name: str, command: list[str], place: Path, file: str, text: bytes) -> str:
    """Compile a file, or find what was compiled before."""
    stem = f"{Path(file).stem}-{_digest(text)}"
    if not (place / f"{stem}.o").is_file():
        (place / f"{stem}.c").write_bytes(text)
        unfinished = f"{stem}.{os.getpid()}.o"
        _call(name, [*command, "-I.", "-c", f"{stem}.c", "-o", unfinished], place)
        (place / unfinished).replace(place / f"{stem}.o")
    return f"{stem}.o"


def _call(name: str, command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, errors="replace"
    )
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[:20])
        raise BoardError(f"cannot build for {name}: {command[0]} says\n{said}")


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
