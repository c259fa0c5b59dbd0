"""What a compiler makes of exported C: bytes of code and constants, and how deep its stack goes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgetrain.device_tests.boards import BOARDS, Board, missing
from edgetrain.device_tests.build import compile_all
from edgetrain.exporters.to_c import to_c
from edgetrain.model import Model
from edgetrain.rules import Rule

EXECUTABLE, WRITABLE = 4, 1
"""Flags of a section."""

Key = tuple[str, int]
"""A section: its object and number."""


@dataclass(frozen=True)
class Footprint:
    """What one exported model takes in the firmware of an application that calls all of it.

    Attributes:
        code: bytes of all functions that are reached, and of the tables of the kernels.
        constants: bytes of the model's: weights, first values, shapes, scales.
        ram: bytes of the model's variables and arena.
        stack: bytes of the deepest calls below a function, by what it does: "infer", "train".
    """

    code: int
    constants: int
    ram: int
    stack: Mapping[str, int]


@dataclass(frozen=True)
class _Section:
    size: int
    flags: int
    frame: int
    uses: tuple[Key | str, ...]
    of_kernel: bool


def compiler_for(boards: tuple[str, ...]) -> str:
    """Return the first of some boards whose compiler is here, or "".

    Example:
        >>> compiler_for(())
        ''
    """
    return next((name for name in boards if not _lacks(BOARDS[name])), "")


def _lacks(board: Board) -> list[str]:
    needs = {"elftools", "ziglang" if "ziglang" in board.needs else board.compiler[0]}
    return [lack for lack in missing(board) if lack.split()[0] in needs]


def footprint(
    board: str, model: Model, rule: Rule | None, folder: Path, batch: int = 1,
    functions: Sequence[str] = (),
) -> Footprint:  # fmt: skip
    """Compile exported C for a board and add up what it takes.

    Frames come from the compiler, calls from the relocations of its objects. Functions of the
    compiler's own library, and those that the user gives for the flash, are not counted.

    Args:
        board: a name of `boards.BOARDS`.
        model: as `to_c` takes it, and so are rule and batch.
        rule: what learns.
        folder: for objects, which are used again for equal sources.
        batch: samples of a step.
        functions: of the model that the application calls, as "infer"; none for all.

    Raises:
        BoardError: if the compiler is missing or refuses the sources.
    """
    zig = "ziglang" in BOARDS[board].needs
    frames = "-fstack-size-section" if zig else "-fstack-usage"
    flags = ("-O2", "-ffunction-sections", "-fdata-sections", frames)
    place, objects = compile_all(board, to_c(model, "net", rule, batch), folder, flags=flags)
    sections: dict[Key, _Section] = {}
    names: dict[str, Key] = {}
    for path in objects:
        _read(place / path, sections, names)
    public = {name.removeprefix("net_"): k for name, k in names.items() if name.startswith("net_")}
    roots = {name: public[name] for name in functions or public}

    def used(key: Key) -> list[Key]:
        found = (names.get(use) if isinstance(use, str) else use for use in sections[key].uses)
        return [other for other in found if other is not None]

    @cache
    def depth(key: Key) -> int:
        below = [depth(k) for k in used(key) if sections[k].flags & EXECUTABLE and k != key]
        return sections[key].frame + max(below, default=0)

    def reach(first: Iterable[Key]) -> set[Key]:
        found, queue = set[Key](), list(first)
        while queue:
            if (key := queue.pop()) not in found:
                found.add(key)
                queue += used(key)
        return found

    def deepest(root: Key) -> int:
        """Add to the deepest calls those of functions whose addresses stand in constants."""
        data = [key for key in reach([root]) if not sections[key].flags & EXECUTABLE]
        called = [depth(k) for key in data for k in used(key) if sections[k].flags & EXECUTABLE]
        return depth(root) + max(called, default=0)

    reached = reach(roots.values())
    sizes = dict.fromkeys(("code", "constants", "ram"), 0)
    for section in map(sections.__getitem__, reached):
        code = section.flags & EXECUTABLE or section.of_kernel
        kind = "ram" if section.flags & WRITABLE else "code" if code else "constants"
        sizes[kind] += section.size
    return Footprint(**sizes, stack={name: deepest(key) for name, key in roots.items()})


def _read(path: Path, sections: dict[Key, _Section], names: dict[str, Key]) -> None:
    """Read the sections of an object, and which of them define names for others."""
    from elftools.elf.elffile import ELFFile

    usage = _usage(path)
    with path.open("rb") as file:
        elf = ELFFile(file)
        uses: dict[int, list[Key | str]] = {}
        frames: dict[int, int] = {}
        symbols = elf.get_section_by_name(".symtab")
        for section in elf.iter_sections():
            if section["sh_type"] in ("SHT_REL", "SHT_RELA"):
                found = uses.setdefault(section["sh_info"], [])
                for relocation in section.iter_relocations():
                    found.append(_target(path.name, symbols.get_symbol(relocation["r_info_sym"])))
            elif section.name.startswith(".stack_sizes"):
                frames[section["sh_link"]] = _uleb(section.data()[elf.elfclass // 8 :])
        for symbol in symbols.iter_symbols():
            index = symbol["st_shndx"]
            if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(index, int):
                frames.setdefault(index, usage.get(symbol.name.split(".")[0], 0))
            if symbol["st_info"]["bind"] == "STB_GLOBAL" and isinstance(index, int):
                names[symbol.name] = (path.name, index)
        for index, section in enumerate(elf.iter_sections()):
            if section["sh_flags"] & 2:  # takes memory
                sections[path.name, index] = _Section(
                    section["sh_size"], section["sh_flags"], frames.get(index, 0),
                    tuple(uses.get(index, ())), path.name.startswith("et_"),
                )  # fmt: skip


def _target(file: str, symbol: Any) -> Key | str:
    index = symbol["st_shndx"]
    return (file, index) if isinstance(index, int) else str(symbol.name)


def _usage(path: Path) -> dict[str, int]:
    """Return the frames that gcc wrote beside an object, by function."""
    found: dict[str, int] = {}
    for report in path.parent.glob(f"*{path.stem}*.su"):
        for line in report.read_text().splitlines():
            place, size, _ = line.split("\t")
            name = place.rsplit(":", 1)[1].split(".")[0]
            found[name] = max(int(size), found.get(name, 0))
    return found


def _uleb(data: bytes) -> int:
    """Read a number of 7 bits a byte, the lowest first."""
    value = 0
    for shift, byte in enumerate(data):
        value |= (byte & 127) << 7 * shift
        if byte < 128:
            break
    return value
