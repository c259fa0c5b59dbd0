"""Compile the C kernels for this computer, once, and load them."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

from edgetrain.errors import BackendError

FLAGS = ("-std=c99", "-O3", "-shared", "-fPIC")
STRICT_FLAGS = (
    "-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-pedantic",
)  # fmt: skip
"""The sources are clean with these; a user's compiler, which may be a newer one, is not asked."""
CURE = "apt-get install gcc libc6-dev (or your system's C compiler), or pip install ziglang"


def compiler() -> tuple[str, ...]:
    """Return the command of the system's C compiler, else that of the package ziglang.

    Raises:
        BackendError: if there is neither.
    """
    for name in ("cc", "gcc", "clang"):
        if path := shutil.which(name):
            return (path,)
    if find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc")
    raise BackendError(f"there is no C compiler on the PATH: {CURE}")


def sources() -> dict[str, bytes]:
    """Return the C kernels: file name -> contents, sorted by name."""
    folder = files("edgetrain.kernels") / "c"
    texts = {item.name: item.read_bytes() for item in folder.iterdir()}
    return {name: texts[name] for name in sorted(texts) if name.endswith((".c", ".h"))}


def build(folder: Path, library: Path, command: Sequence[str], flags: Sequence[str]) -> None:
    """Compile every C file of a folder to a shared library, which appears whole or not at all.

    Raises:
        BackendError: if the compiler fails; with what it says.
    """
    handle, unfinished = tempfile.mkstemp(suffix=library.suffix, dir=library.parent)
    os.close(handle)
    paths = sorted(str(path) for path in folder.glob("*.c"))
    try:
        done = subprocess.run(
            [*command, *flags, *paths, "-o", unfinished],
            capture_output=True, text=True, check=False, errors="replace",
        )  # fmt: skip
        if done.returncode:
            said = "\n".join(done.stderr.strip().splitlines()[:8])
            raise BackendError(f"{' '.join(command)} cannot compile the kernels: {said}\n{CURE}")
        Path(unfinished).replace(library)
    finally:
        Path(unfinished).unlink(missing_ok=True)


def cache_folder() -> Path | None:
    """Return the user's cache folder of edgetrain, made if need be; None where none can be."""
    try:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(root) / "edgetrain"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def load() -> ctypes.CDLL:
    """Return the compiled kernels, from the cache where they are there already.

    Raises:
        BackendError: if there is no compiler or it fails.
    """
    command = compiler()
    folder = cache_folder()
    if folder is None:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            return _load(Path(temporary) / "kernels.so", command)
    library = folder / f"kernels-{_fingerprint(command)}.so"
    if library.is_file():
        try:
            return ctypes.CDLL(str(library))
        except OSError:  # not of this machine, or damaged: it is made anew
            library.unlink(missing_ok=True)
    return _load(library, command)


def _load(library: Path, command: Sequence[str]) -> ctypes.CDLL:
    with as_file(files("edgetrain.kernels") / "c") as folder:
        build(folder, library, command, FLAGS)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise BackendError(f"the compiled kernels cannot be loaded: {error}") from error


def _fingerprint(command: Sequence[str]) -> str:
    """Hash what the library depends on: sources, compiler and flags."""
    done = subprocess.run([*command, "--version"], capture_output=True, check=False)
    digest = hashlib.sha256(repr((command, FLAGS, done.stdout)).encode())
    for name, text in sources().items():
        digest.update(f"{name} {len(text)} ".encode() + text)
    return digest.hexdigest()[:24]
