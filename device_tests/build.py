"""C sources to a program for a board."""

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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

    Objects are kept in the folder and used again for equal sources, by several processes at once.

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
    texts = support(*_around(board)) | dict(sources)
    place, objects = compile_all(name, texts, folder, flags=flags)
    program = Program(name, board, place / f"{_digest(*objects)}.elf")
    _make(name, [*_command(board, flags), *objects, *_link(board, place)], program.path)
    return program


def compile_all(
    name: str, sources: Mapping[str, bytes], folder: Path, *, flags: Sequence[str] = ("-O2",)
) -> tuple[Path, list[str]]:
    """Compile sources for a board; return a folder, and the paths of the objects in it.

    Args:
        name: of the board.
        sources: as for `build`, which adds what surrounds them.
        folder: as for `build`.
        flags: as for `build`.

    Raises:
        BoardError: if the compiler refuses the sources; with what it says.
    """
    command = _command(board_named(name), flags)
    place = folder / f"{name}-{_digest(command)}"
    place.mkdir(parents=True, exist_ok=True)
    compile_one = partial(_object, name, command, place, sources)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return place, list(pool.map(compile_one, [f for f in sources if f.endswith(".c")]))


def _command(board: Board, flags: Sequence[str]) -> list[str]:
    return [*board.compiler, *board.flags, "-std=c99", *WARNINGS, *flags, *_bare(board)]


def support(*names: str) -> dict[str, bytes]:
    """Return files of `support/` by name."""
    return {name: (SUPPORT / name).read_bytes() for name in names}


def _around(board: Board) -> list[str]:
    """Return the names of what surrounds a program on a board."""
    if board.kind == "host":
        return ["frames.h", "host_main.c"]
    if board.kind != "qemu":
        return ["frames.h", "memory.c"]
    start = "arm_start.c" if board.compiler[0].startswith("arm") else "riscv_start.c"
    return ["frames.h", "memory.c", "semihosting.h", "qemu_main.c", start]


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
    _put(place / "memory.ld", memory_map(board).encode())
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


def _object(
    name: str, command: list[str], folder: Path, texts: Mapping[str, bytes], file: str
) -> str:
    """Compile a file, or find what was compiled before of it and the headers that it includes."""
    needed = {file: texts[file]}
    queue = [file]
    while queue:
        included = re.findall(rb'#include "(.+)"', texts[queue.pop()])
        new = [header for header in map(bytes.decode, included) if header not in needed]
        needed |= {header: texts[header] for header in new if header in texts}
        queue += [header for header in new if header in texts]
    place = folder / f"{Path(file).stem}-{_digest(needed)}"
    place.mkdir(exist_ok=True)
    for part, text in needed.items():
        _put(place / part, text)
    _make(name, [*command, "-c", file], place / f"{Path(file).stem}.o")
    return f"{place.name}/{Path(file).stem}.o"


def _put(path: Path, text: bytes) -> None:
    """Write a file whole, unless it is there: its name, or its folder's, says what is in it."""
    if not path.is_file():
        unfinished = path.with_name(f"{os.getpid()}-{path.name}")
        unfinished.write_bytes(text)
        unfinished.replace(path)


def _make(name: str, command: list[str], path: Path) -> None:
    """Have a compiler make a file whole, unless it is there."""
    if path.is_file():
        return
    unfinished = path.with_name(f"{os.getpid()}-{path.name}")
    done = subprocess.run(
        [*command, "-o", unfinished.name], cwd=path.parent, capture_output=True, text=True,
        check=False, errors="replace",
    )  # fmt: skip
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[:20])
        raise BoardError(f"cannot build for {name}: {command[0]} says\n{said}")
    unfinished.replace(path)


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
