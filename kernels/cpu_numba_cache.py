"""Where compiled kernels of the backend "numba" are kept: a folder for each version of them.

Numba looks at the file that defines a function; it does not notice that a function which that one
calls, in another file, or a constant that it was compiled with, has changed. So the folder's name
has a hash of every source that compiled code comes from.
"""

import os
import tempfile
import zlib
from functools import cache
from pathlib import Path

from edgetrain import arithmetic
from edgetrain.kernels.host_c_build import cache_folder

CHOSEN = "NUMBA_CACHE_DIR"
"""The environment variable by which a user chooses a folder; it is Numba's own."""


def sources() -> list[Path]:
    """Return the files that compiled code comes from."""
    kernels = Path(__file__).parent.glob("cpu_numba*.py")
    specification = Path(arithmetic.__file__).parent.glob("*.py")
    return sorted(p for p in (*kernels, *specification) if not p.stem.endswith("_test"))


@cache
def version() -> str:
    """Return a hash of the sources."""
    crc = 0
    for path in sources():
        crc = zlib.crc32(path.read_bytes(), zlib.crc32(path.name.encode(), crc))
    return f"{crc:08x}"


def folder() -> Path | None:
    """Return the folder of this version: the user's choice, beside the kernels, or in the cache.

    None where none of them can be written.
    """
    chosen = os.environ.get(CHOSEN)
    places = [Path(chosen)] if chosen else [Path(__file__).parent / "__pycache__", cache_folder()]
    name = f"edgetrain-numba-{version()}"
    return next((place / name for place in places if place and _can_write(place)), None)


def _can_write(place: Path) -> bool:
    """Whether files can be made in a folder, which is made if need be."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False
