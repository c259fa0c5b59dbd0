"""Reading IDX, the file format of MNIST and its relatives, from files nobody has checked.

A file is a big-endian header (two zero bytes, the element type, the number of dimensions, each
dimension in four bytes) and then the elements; it may be compressed with gzip.
"""

import gzip
import math
import zlib
from io import BufferedIOBase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgetrain.errors import DataError

UInt8 = NDArray[np.uint8]

UINT8_ELEMENTS = 0x08  # the element type that all MNIST-style files have
DEFLATE_RATIO = 1032  # no gzip file grows by more than this factor

FILES = {
    "x_train": ("train-images-idx3-ubyte", 3),
    "y_train": ("train-labels-idx1-ubyte", 1),
    "x_test": ("t10k-images-idx3-ubyte", 3),
    "y_test": ("t10k-labels-idx1-ubyte", 1),
}


def is_idx(path: Path) -> bool:
    """Return whether path names one of the four files of a data set, compressed or not.

    Example:
        >>> is_idx(Path("mnist/train-images-idx3-ubyte.gz")), is_idx(Path("mnist.npz"))
        (True, False)
    """
    return path.name.removesuffix(".gz") in {name for name, _ in FILES.values()}


def read_folder(folder: Path, max_bytes: int) -> dict[str, UInt8]:
    """Read the four files of a data set, each plain or with ``.gz``.

    Args:
        folder: the directory that holds them.
        max_bytes: most bytes that the four arrays may have together.

    Returns:
        x_train and x_test, uint8 (n, height, width); y_train and y_test, uint8 (n,).

    Raises:
        DataError: if a file is missing, damaged, or makes the arrays too large.

    Example:
        >>> read_folder(Path("/nowhere"), max_bytes=1000)
        Traceback (most recent call last):
        edgetrain.errors.DataError: /nowhere must hold train-images-idx3-ubyte or \
train-images-idx3-ubyte.gz, but has neither
    """
    arrays: dict[str, UInt8] = {}
    for key, (name, dimensions) in FILES.items():
        path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
        if path is None:
            raise DataError(f"{folder} must hold {name} or {name}.gz, but has neither")
        arrays[key] = read(path, dimensions, max_bytes)
        max_bytes -= arrays[key].size
    return arrays


def read(path: Path, dimensions: int, max_bytes: int) -> UInt8:
    """Read one file of unsigned bytes; never more of it than its header declares, and one byte.

    Args:
        path: the file; a name that ends in ``.gz`` means gzip.
        dimensions: how many it must have: 3 for images, 1 for labels.
        max_bytes: most elements it may have.

    Returns:
        uint8, the shape in the header.

    Raises:
        DataError: if the file is not what its header says, or too large.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "labels")
        ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 4]))
        ...     read(path, dimensions=1, max_bytes=1000)
        array([7, 0, 4], dtype=uint8)
    """
    compressed = path.suffix == ".gz"
    try:
        with gzip.open(path) if compressed else path.open("rb") as file:
            most = path.stat().st_size * (DEFLATE_RATIO if compressed else 1)
            return _read(file, path, dimensions, min(max_bytes, most), max_bytes)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read, it is damaged or truncated: {error}") from error


def _read(file: BufferedIOBase, path: Path, dimensions: int, most: int, max_bytes: int) -> UInt8:
    magic = bytes([0, 0, UINT8_ELEMENTS, dimensions])
    header = file.read(4 + 4 * dimensions)
    if header[:4] != magic:
        raise DataError(
            f"{path} must start with the bytes {magic.hex(' ')} (IDX, unsigned bytes, "
            f"{dimensions} dimensions), got {header[:4].hex(' ') or 'an empty file'}"
        )
    if len(header) < 4 + 4 * dimensions:
        raise DataError(f"{path} is truncated: it ends inside its header")
    shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
    size = math.prod(shape)
    if size > max_bytes:
        raise DataError(f"{path} declares {shape}, more than the {max_bytes} bytes left to it")
    # Not even allocated: a file of this length cannot hold what its header declares.
    content = b"" if size > most else file.read(size + 1)
    if len(content) < size:
        raise DataError(f"{path} is truncated: its header declares {shape}, {size} bytes")
    if len(content) > size:
        raise DataError(f"{path} is longer than the {size} bytes that its header declares, {shape}")
    return np.frombuffer(content, np.uint8).reshape(shape)
