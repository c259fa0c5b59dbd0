"""Golden vectors as a C table of cases, and the program on a board that calls them one by one."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from edgetrain.device_tests.build import build, support
from edgetrain.device_tests.program import BoardError
from edgetrain.device_tests.run import run
from edgetrain.kernels.host_c_build import sources

FLAGS = ("-O2", "-Wno-missing-field-initializers", "-Wno-missing-braces")


class Written(Protocol):
    """A case that can be written as C."""

    def text(self, i: int) -> tuple[str, str]:
        """Return the arrays of case i, and its entry of the table."""


def table(kind: str, cases: Sequence[Written], largest: int) -> bytes:
    """Write cases as C.

    Args:
        kind: the C type of a case.
        cases: at least one.
        largest: bytes for the largest result, as the program reads them.

    Returns:
        The text of golden_values.h.
    """
    texts, entries = zip(*(case.text(i) for i, case in enumerate(cases)), strict=True)
    joined = ",\n".join(entries)
    return "\n".join([
        f"enum {{ CASES = {len(entries)}, LARGEST = {largest} }};", *texts,
        f"static const {kind} cases[CASES] = {{{joined}}};",
    ]).encode()  # fmt: skip


def replies(
    board: str, driver: str, header: bytes, count: int, folder: Path, timeout_s: float
) -> Iterator[tuple[int, ...]]:
    """Run every case on a board.

    Args:
        board: its name.
        driver: file in support/ that calls the kernels.
        header: from `table`.
        count: cases.
        folder: for the program.
        timeout_s: seconds until it counts as hanging.

    Yields:
        The numbers with which a case is answered, int32, behind the number of cases.

    Raises:
        BoardError: if the board has a table of other cases.
    """
    texts = sources() | support(driver) | {"golden_values.h": header}
    frames = [struct.pack("<I", i) for i in range(count)]
    program = build(board, texts, folder, flags=FLAGS)
    for reply in run(program, frames, timeout_s=timeout_s):
        of, *numbers = struct.unpack(f"<{len(reply.data) // 4}i", reply.data)
        if of != count:
            raise BoardError(f"{board} runs other cases: {of}, not {count}")
        yield tuple(numbers)
