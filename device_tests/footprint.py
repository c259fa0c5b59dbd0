"""What a compiler makes of exported C: bytes of code and constants, and how deep its stack goes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from edgetrain.device_tests.boards import BOARDS, Board, missing
from edgetrain.device_tests.build import compile_all
from edgetrain.exporters.to_c import to_c
from edgetrain.kernels.host_c_build import sources
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
    texts = to_c(model, "net", rule, batch)
    place, objects = compile_all(board, texts, folder, flags=_flags(board))
    linked = _Linked(place, objects)
    public = {name.removeprefix("net_"): k for name, k in linked.names.items()
              if name.startswith("net_")}  # fmt: skip
    roots = {name: public[name] for name in functions or public}
    sizes = dict.fromkeys(("code", "constants", "ram"), 0)
    for section in map(linked.sections.__getitem__, linked.reach(roots.values())):
        code = section.flags & EXECUTABLE or section.of_kernel
        kind = "ram" if section.flags & WRITABLE else "code" if code else "constants"
        sizes[kind] += section.size
    return Footprint(**sizes, stack={name: linked.deepest(key) for name, key in roots.items()})


def kernel_stacks(board: str, folder: Path) -> dict[str, int]:
    """Return the bytes of stack that each kernel takes, with all that it calls by name.

    Args:
        board: a name of `boards.BOARDS`.
        folder: for objects, which are used again for equal sources.

    Raises:
        BoardError: if the compiler is missing or refuses the sources.
    """
    linked = _Linked(*compile_all(board, sources(), folder, flags=_flags(board)))
    return {name: linked.depth(key) for name, key in linked.names.items()
            if linked.sections[key].flags & EXECUTABLE}  # fmt: skip


def _flags(board: str) -> tuple[str, ...]:
    zig = "ziglang" in BOARDS[board].needs
    frames = "-fstack-size-section" if zig else "-fstack-usage"
    return ("-O2", "-ffunction-sections", "-fdata-sections", frames)


class _Linked:
    """Objects and how their sections use each other."""

    def __init__(self, place: Path, objects: Sequence[str]) -> None:
        self.sections: dict[Key, _Section] = {}
        self.names: dict[str, Key] = {}
        for path in objects:
            _read(place / path, self.sections, self.names)
        self.depth = cache(self._depth)

    def used(self, key: Key) -> list[Key]:
        """Return the sections that one uses."""
        uses = self.sections[key].uses
        found = (self.names.get(use) if isinstance(use, str) else use for use in uses)
        return [other for other in found if other is not None]

    def reach(self, first: Iterable[Key]) -> set[Key]:
        """Return sections and all that they use."""
        found, queue = set[Key](), list(first)
        while queue:
            if (key := queue.pop()) not in found:
                found.add(key)
                queue += self.used(key)
        return found

    def called(self, key: Key) -> list[Key]:
        """Return the functions that a section uses."""
        return [k for k in self.used(key) if self.sections[k].flags & EXECUTABLE and k != key]

    def _depth(self, key: Key) -> int:
        """Return the stack of a function and of what it calls."""
        return self.sections[key].frame + max(map(self.depth, self.called(key)), default=0)

    def deepest(self, root: Key) -> int:
        """Return that, with functions whose addresses stand in constants."""
        data = [key for key in self.reach([root]) if not self.sections[key].flags & EXECUTABLE]
        pointed = [self.depth(k) for key in data for k in self.called(key)]
        return self.depth(root) + max(pointed, default=0)


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
