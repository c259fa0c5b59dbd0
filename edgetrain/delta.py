"""What a training changed, as a file: for every rule whose run no journal can hold.

| bytes | what |
|---|---|
| 4 | ``ETD`` and the version of the format, 1 |
| 4 | length of the text that follows |
| n | JSON: traces of both models, CRC-32 of graph and scales, history of the new model |
| m | zlib: differences of weights and biases, modulo their range, tensors in order of name |
| 4 | CRC-32 of all that |

Numbers are little-endian. Graph and scales of the two models are the same.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.description import Json, describe, items, mapping, model_from, text
from edgetrain.errors import EdgetrainError, FileError, ModelError
from edgetrain.model import Model
from edgetrain.state import State, trace

MAGIC = b"ETD\x01"
FIXED = len(MAGIC) + 4
LEVEL = 9

Tensors = Mapping[str, NDArray[Any]]


def delta(old: Model, new: Model) -> bytes:
    """Return what makes one model of another.

    Args:
        old: the base.
        new: with the same graph and scales.

    Raises:
        ModelError: if more than weights, biases and history differ.

    Example:
        >>> from edgetrain.architectures import mlp
        >>> from edgetrain.quantize import quantize
        >>> model = quantize(mlp((4,), 3), np.ones((2, 4), np.float32))
        >>> moved = model.params["classifier"]._replace(b=np.array([1, 2, 3], np.int32))
        >>> packed = delta(model, model.replace_params({"classifier": moved}))
        >>> len(packed) < 300
        True
        >>> apply(model, packed).params["classifier"].b
        array([1, 2, 3], dtype=int32)
    """
    (_, before), (found, after) = describe(old), describe(new)
    if network_crc(old) != network_crc(new):
        raise ModelError(
            "a delta holds weights and biases alone, and these models differ in graph, task or "
            "scales: send the whole model instead"
        )
    names = _learnable(after)
    raw = b"".join(_bytes(_minus(after[name], before[name])) for name in names)
    head: Json = {
        "base": trace(old, State()), "result": trace(new, State()), "network": network_crc(new),
        "history": found["history"],
    }  # fmt: skip
    line = json.dumps(head, sort_keys=True, separators=(",", ":")).encode()
    content = MAGIC + struct.pack("<I", len(line)) + line + zlib.compress(raw, LEVEL)
    return content + struct.pack("<I", zlib.crc32(content))


def apply(base: Model, content: bytes) -> Model:
    """Return the model that a delta makes of its base.

    Args:
        base: the model that the delta was made from.
        content: from `delta`.

    Raises:
        FileError: if the content is foreign or damaged, or made from another base.
    """
    head, packed = _unpacked(content)
    wanted = {"base": trace(base, State()), "network": network_crc(base)}
    for name, value in wanted.items():
        if head[name] != value:
            raise FileError(
                f"the delta is of another base model: its {name} is {head[name]!r:.20}, "
                f"here it is {value!r}"
            )
    found, tensors = describe(base)
    names = _learnable(tensors)
    raw = _inflated(packed, sum(tensors[name].nbytes for name in names))
    made, start = dict(tensors), 0
    for name in names:
        old = tensors[name]
        step = np.frombuffer(raw, old.dtype.newbyteorder("<"), old.size, start)
        made[name] = _plus(old, step.astype(old.dtype).reshape(old.shape))
        start += old.nbytes
    try:
        history = [text(line, "history") for line in items(head["history"], "history")]
        model = model_from({**found, "history": history}, made)
    except EdgetrainError as error:
        raise FileError(f"the delta is damaged: {error!s:.300}") from error
    assert isinstance(model, Model)
    if (reached := trace(model, State())) != head["result"]:
        raise FileError(
            f"the delta is damaged: it leads to the trace {reached}, not {head['result']!r:.20}"
        )
    return model


def network_crc(model: Model) -> int:
    """Return the CRC-32 of all of a model that training leaves as it is."""
    found, tensors = describe(model)
    crc = zlib.crc32(json.dumps({**found, "history": None}, sort_keys=True).encode())
    for name in sorted(tensors):
        crc = zlib.crc32(name.encode(), crc)
        if tensors[name].dtype.kind == "f":
            crc = zlib.crc32(_bytes(tensors[name]), crc)
    return crc


def _learnable(tensors: Tensors) -> list[str]:
    return sorted(name for name, tensor in tensors.items() if tensor.dtype.kind == "i")


def _bytes(array: NDArray[Any]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _minus(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return (a.astype(np.int64) - b).astype(a.dtype)


def _plus(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return (a.astype(np.int64) + b).astype(a.dtype)


def _unpacked(content: bytes) -> tuple[Json, bytes]:
    """Return header and compressed differences of a delta, whose CRC is right."""
    if content[: len(MAGIC)] != MAGIC:
        raise FileError("it is not a delta, or one of another version")
    end = FIXED + int.from_bytes(content[len(MAGIC) : FIXED], "little")
    if len(content) < end + 4 or zlib.crc32(content[:-4]) != int.from_bytes(content[-4:], "little"):
        raise FileError("the delta is cut or damaged: its CRC is another")
    try:
        head = mapping(json.loads(content[FIXED:end]), "the header")
    except (ValueError, RecursionError) as error:
        raise FileError(f"the delta is damaged: {error!s:.200}") from error
    if set(head) != {"base", "result", "network", "history"}:
        raise FileError("the delta is damaged: its header has other names")
    return head, content[end:-4]


def _inflated(packed: bytes, size: int) -> bytes:
    """Return exactly so many bytes, and never make more of them."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(packed, size + 1)
    except zlib.error as error:
        raise FileError(f"the delta is damaged: {error}") from error
    if len(raw) != size or not stream.eof or stream.unused_data:
        raise FileError(f"the delta is damaged: it does not hold {size} bytes of differences")
    return raw
