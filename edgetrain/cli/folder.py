"""A folder of files, written whole or not at all."""

import contextlib
from collections.abc import Mapping
from pathlib import Path

from edgetrain.errors import FileError
from edgetrain.files import check_writable, write_whole


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files into a folder and its subfolders, which are made.

    Args:
        folder: where.
        contents: by relative path.

    Raises:
        FileError: if one of them cannot be written; then none is, and no folder stays behind.
    """
    made: list[Path] = []
    try:
        for path in contents:
            _make((folder / path).parent, made)
            check_writable(folder / path)
    except FileError:
        for parent in reversed(made):
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise
    for path, content in contents.items():
        write_whole(folder / path, content)


def _make(folder: Path, made: list[Path]) -> None:
    """Make a folder and its parents, and note those that are new."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(new):
        try:
            place.mkdir()
        except OSError as error:
            raise FileError(f"{place} cannot be a folder: {error.strerror}") from error
        made.append(place)
    if not folder.is_dir():
        raise FileError(f"{folder} cannot be a folder: Not a directory")
