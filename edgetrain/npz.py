"""Reading NumPy's .npz files that nobody has checked: no pickles, no surprises in size."""

import math
import zipfile
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

from numpy.lib import format as npy
from numpy.typing import NDArray

from edgetrain.errors import DataError

HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def read(
    path: Path, needed: Collection[str], optional: Collection[str], max_bytes: int
) -> dict[str, NDArray[Any]]:
    """Read arrays by name; what else the file holds is left alone.

    Before an array is allocated, the size in its header is compared with the size in the zip
    directory, and all sizes in the directory with max_bytes.

    Args:
        path: the file.
        needed: names of arrays that must be there.
        optional: names of arrays that may be there.
        max_bytes: most bytes that the file may have when uncompressed.

    Returns:
        name -> array, of any dtype but object.

    Raises:
        DataError: if the file or one of these arrays cannot be read, or is too large.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "two.npz")
        ...     np.savez(path, a=np.arange(3), b=np.ones(2))
        ...     read(path, needed=["a"], optional=["c"], max_bytes=1000)
        {'a': array([0, 1, 2])}
    """
    try:
        with path.open("rb") as file:
            started = file.read(2) == b"PK"
        archive = zipfile.ZipFile(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        problem = "is a truncated .npz file" if started else "is not an .npz file"
        raise DataError(f"{path} {problem}: make one with numpy.savez(path, ...)") from error
    with archive:
        names = set(archive.namelist())
        missing = [name for name in needed if f"{name}.npy" not in names]
        if missing:
            have = sorted(name.removesuffix(".npy") for name in names)
            raise DataError(f"{path} must hold the array {missing[0]}, got only {have}")
        total = sum(member.file_size for member in archive.infolist())
        if total > max_bytes:
            raise DataError(f"{path} must hold at most {max_bytes} bytes, declares {total}")
        wanted = [*needed, *(name for name in optional if f"{name}.npy" in names)]
        return {name: _array(archive, path, name) for name in wanted}


def _array(archive: zipfile.ZipFile, path: Path, name: str) -> NDArray[Any]:
    member = archive.getinfo(f"{name}.npy")
    try:
        with archive.open(member) as file:
            _check_header(file, path, name, member.file_size)
        with archive.open(member) as file:
            return npy.read_array(file, allow_pickle=False)
    except DataError:
        raise
    # RuntimeError: encrypted; NotImplementedError: a compression that Python lacks.
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: the array {name} is truncated or damaged: {error}") from error


def _check_header(file: IO[bytes], path: Path, name: str, file_size: int) -> None:
    version = npy.read_magic(file)
    if version not in HEADERS:
        raise DataError(f"{path}: the array {name} has a header of unknown version {version}")
    shape, _, dtype = HEADERS[version](file)
    if dtype.hasobject:
        raise DataError(
            f"{path}: the array {name} holds pickled Python objects, which could run any code and "
            "are refused: store it as numbers"
        )
    declared, held = math.prod(shape) * dtype.itemsize, file_size - file.tell()
    if declared != held:
        raise DataError(
            f"{path}: the array {name} must have the {declared} bytes of its header, got {held}"
        )
