"""Models and training states as files: safetensors, written whole or not at all.

The header's metadata has one entry, ``edgetrain``: JSON with the version of the format, the kind
("model", "float_model" or "checkpoint"), the graph and all scales; see `edgetrain.description`.
There is no pickle. Files are read as if nobody had checked them.
"""

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from edgetrain.description import Json, describe, integer, items, mapping, model_from, text
from edgetrain.errors import EdgetrainError, FileError
from edgetrain.model import FloatModel, Model
from edgetrain.state import State

ENTRY = "edgetrain"
VERSION = 1
MAX_BYTES = 4 << 30
MAX_HEADER = 16 << 20
MAX_TENSORS = 1 << 16
DTYPES = {
    "I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64, "U8": np.uint8,
    "F32": np.float32, "F64": np.float64,
}  # fmt: skip
"""The element types of safetensors that a file of ours can have."""


def save(model: Model | FloatModel, path: str | Path) -> None:
    """Save a model to one file; equal models give equal bytes.

    Raises:
        FileError: if the file cannot be written; an old file of that name is then unchanged.
    """
    write_whole(path, _container(*describe(model)))


def load(path: str | Path) -> Model | FloatModel:
    """Load a model.

    Raises:
        FileError: if the file is truncated, foreign, or holds values that make no model.

    Example:
        >>> import tempfile
        >>> from edgetrain.architectures import mlp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(mlp((4,), 3), Path(folder, "mlp.safetensors"))
        ...     load(Path(folder, "mlp.safetensors")).graph.parameters
        9091
    """
    found, tensors = _read(Path(path))
    if found["kind"] == "checkpoint":
        raise FileError(f"{path} is a checkpoint, not a model: continue it with --resume {path}")
    with _naming(path):
        return model_from(found, tensors)


def save_checkpoint(
    path: str | Path, model: Model, state: State, extra: Mapping[str, Any] | None = None
) -> None:
    """Save a model with its training state.

    Args:
        path: of the file.
        model: as it is at the step of the state.
        state: of a rule.
        extra: anything that JSON can hold.

    Raises:
        FileError: if the file cannot be written; an old file of that name is then unchanged.
    """
    found, tensors = describe(model)
    found |= {"kind": "checkpoint", "step": int(state.step), "state": sorted(state.tensors)}
    found["extra"] = dict(extra or {})
    states = {f"state/{name}": np.asarray(t, order="C") for name, t in state.tensors.items()}
    write_whole(path, _container(found, {**tensors, **states}))


def load_checkpoint(path: str | Path) -> tuple[Model, State, Json]:
    """Load what `save_checkpoint` saved.

    Raises:
        FileError: if the file is truncated, foreign, or not a checkpoint.
    """
    found, tensors = _read(Path(path))
    if found["kind"] != "checkpoint":
        raise FileError(f"{path} is a {found['kind']}, not a checkpoint: train it without --resume")
    with _naming(path):
        names = [text(name, "state") for name in items(found.get("state"), "state")]
        states = {}
        for name in names:
            tensor = tensors.pop(f"state/{name}", None)
            if tensor is None or tensor.dtype.kind not in "iu":
                raise FileError(f"it lacks integers for the state {name!r:.60}")
            states[name] = tensor
        model = model_from({**found, "kind": "model"}, tensors)
        step = integer(found.get("step"), "step", 0, 2**62)
        extra = mapping(found.get("extra"), "extra")
    assert isinstance(model, Model)
    return model, State(step, states), extra


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file so that at any moment it is the old one or the new one, never a part.

    Written beside it under another name, synced to the disk, and then renamed.

    Raises:
        FileError: if that fails, a full disk for one; nothing is left behind.
    """
    path = Path(path)
    with _temporary(path) as (target, temporary, file):
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        file.close()
        temporary.replace(target)
        _sync_folder(target.parent)


def check_writable(path: str | Path) -> None:
    """Raise FileError unless a file could be written here; leaves everything as it is."""
    with _temporary(Path(path)):
        pass


@contextlib.contextmanager
def _temporary(path: Path) -> Any:
    """Open a new file beside a path, and remove it at the end if it is still there."""
    temporary = None
    try:
        target = _regular(path)
        temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(4)}.part")
        with temporary.open("xb") as file:
            yield target, temporary, file
    except FileError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links in a loop
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{path} cannot be written: {reason}; nothing was changed") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _regular(path: Path) -> Path:
    """Return where a path really lies; raise FileError if something else than a file is there."""
    target = path.resolve()
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        raise FileError(f"{path} cannot be written: it is not a file")
    return target


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _container(found: Json, tensors: Mapping[str, NDArray[Any]]) -> bytes:
    entry = json.dumps({**found, "version": VERSION}, sort_keys=True, separators=(",", ":"))
    return safetensors.numpy.save(dict(tensors), metadata={ENTRY: entry})


@contextlib.contextmanager
def _naming(path: str | Path) -> Any:
    """Name the file in whatever is wrong with its contents."""
    try:
        yield
    except (EdgetrainError, ValueError, OverflowError) as error:
        raise FileError(f"{path} is damaged or not of this program: {error!s:.400}") from error


def read_bytes(path: str | Path, most: int | None = None) -> bytes:
    """Read a whole file.

    Args:
        path: the file.
        most: largest number of bytes; MAX_BYTES if it is None.

    Raises:
        FileError: if it cannot be read or is too large.
    """
    path, most = Path(path), MAX_BYTES if most is None else most
    try:
        if not path.is_file():
            raise FileError(f"{path} cannot be read: there is no such file")
        if path.stat().st_size > most:
            raise FileError(f"{path} is larger than the {most} bytes that are read")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} cannot be read: {error}") from error


def _read(path: Path) -> tuple[Json, dict[str, NDArray[Any]]]:
    """Return description and tensors of a file, whose sizes are checked before it is unpacked."""
    content = read_bytes(path)
    with _naming(path):
        found = _metadata(content)
        return found, _tensors(content)


def _metadata(content: bytes) -> Json:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > min(len(content) - 8, MAX_HEADER):
        raise FileError("it is truncated, or not a safetensors file")
    try:
        header = json.loads(content[8 : 8 + length])
        entries = mapping(mapping(header, "the header").get("__metadata__"), "__metadata__")
        if ENTRY not in entries:
            raise FileError("it is a safetensors file, but not of edgetrain")
        found = mapping(json.loads(text(entries[ENTRY], ENTRY)), ENTRY)
    except (ValueError, RecursionError) as error:
        raise FileError(f"its header is not JSON: {error}") from error
    if len(header) > MAX_TENSORS:
        raise FileError(f"it declares {len(header)} tensors, more than {MAX_TENSORS}")
    if found.get("version") != VERSION:
        raise FileError(
            f"its format has version {found.get('version')!r:.40}, this program reads {VERSION}"
        )
    if found.get("kind") not in ("model", "float_model", "checkpoint"):
        raise FileError(f"it holds a {found.get('kind')!r:.40}, not a model or a checkpoint")
    return found


def _tensors(content: bytes) -> dict[str, NDArray[Any]]:
    try:
        stored = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise FileError(f"its tensors are truncated or damaged: {error}") from error
    tensors: dict[str, NDArray[Any]] = {}
    for name, tensor in stored:
        if tensor["dtype"] not in DTYPES:
            raise FileError(f"the tensor {name!r:.60} has the type {tensor['dtype']}")
        dtype = np.dtype(DTYPES[tensor["dtype"]])
        flat = np.frombuffer(tensor["data"], dtype.newbyteorder("<"))
        tensors[name] = flat.astype(dtype).reshape(tensor["shape"])
    return tensors
