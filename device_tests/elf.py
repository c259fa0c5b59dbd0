"""What linkers leave in a program: segments and symbols."""

from dataclasses import dataclass
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from edgetrain.device_tests.program import BoardError


@dataclass(frozen=True)
class Elf:
    """A program as its file has it.

    Attributes:
        segments: (address where it runs, bytes) of code, constants and initial values.
        symbols: address and size by name.
        objects: (name, address, size) of arrays and structs; a name may be there twice.
    """

    segments: tuple[tuple[int, bytes], ...]
    symbols: dict[str, tuple[int, int]]
    objects: tuple[tuple[str, int, int], ...] = ()

    def region(self, name: str) -> range:
        """Return the addresses of a part that `support/board.ld` names."""
        return range(self.symbols[f"__{name}_start"][0], self.symbols[f"__{name}_end"][0])

    def place(self, address: int) -> str:
        """Say in words where an address is.

        Example:
            >>> Elf((), {"net_train": (0x100, 0x40)}).place(0x110)
            '0x00000110 (net_train+0x10)'
        """
        before = [(start, name) for name, (start, size) in self.symbols.items()
                  if start & ~1 <= address < (start & ~1) + max(size, 1)]  # fmt: skip
        if not before:
            return f"0x{address:08x}"
        start, name = max(before)
        return f"0x{address:08x} ({name}+0x{address - (start & ~1):x})"

    def distance(self, address: int) -> str:
        """Say how an address lies to the nearest part of memory, for what was written astray."""
        names = ("flash", "state", "arena", "frames", "stack")
        if address < 64:
            return "a null pointer"
        parts = [(name, self.region(name)) for name in names if f"__{name}_start" in self.symbols]
        for name, part in parts:
            if address in part:
                return f"in {name}"
        ways = [(address - part.stop, f"bytes past the end of {name}") for name, part in parts]
        ways += [(part.start - 1 - address, f"bytes before {name}") for name, part in parts]
        near = [way for way in ways if way[0] >= 0]
        return (
            f"{min(near)[0] + 1} {min(near)[1]}" if near and min(near)[0] < 1 << 16 else "nowhere"
        )


def read_elf(path: Path) -> Elf:
    """Read a program."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        segments = tuple(
            (segment["p_vaddr"], segment.data())
            for segment in elf.iter_segments()
            if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]
        )
        table = elf.get_section_by_name(".symtab")
        if not isinstance(table, SymbolTableSection):
            raise BoardError(f"{path.name} has no symbols")
        named = [
            (symbol.name, symbol["st_value"], symbol["st_size"], symbol["st_info"]["type"])
            for symbol in table.iter_symbols()
            if symbol.name and not symbol.name.startswith("$")
        ]
    symbols = {name: (address, size) for name, address, size, _ in named}
    objects = [(name, at, size) for name, at, size, kind in named if kind == "STT_OBJECT"]
    return Elf(segments, symbols, tuple(objects))
