"""Deltas: the very model again, and no other base, cut, flip or bomb gets through."""

import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import cnn, mlp
from edgetrain.data import Data, digits
from edgetrain.delta import MAGIC, apply, delta
from edgetrain.errors import FileError, ModelError
from edgetrain.files import save
from edgetrain.model import Weights
from edgetrain.quantize import quantize
from edgetrain.rules import RULES, Backprop
from edgetrain.settings import Settings
from edgetrain.train import fit


@pytest.fixture(scope="module")
def data():
    full = digits()
    return Data(full.x_train[:100], full.y_train[:100], full.x_test[:50], full.y_test[:50])


@pytest.fixture(scope="module")
def model(data):
    return quantize(cnn((8, 8, 1), 10, channels=(4, 4)), data.x_train[:64], headroom=2.0)


@pytest.fixture(scope="module")
def tuned(model, data):
    rule = Backprop(settings=Settings(learning_rate=0.05))
    return replace(fit(rule, model, data, ops=fixed, steps=5).model, history=("backprop, 5 steps",))


@pytest.fixture(scope="module")
def packed(model, tuned):
    return delta(model, tuned)


def file_of(model, path):
    save(model, path)
    return path.read_bytes()


@pytest.mark.parametrize("name", RULES)
def test_a_delta_of_any_rule_makes_the_very_file(model, data, tmp_path, name):
    rule = RULES[name](settings=Settings(learning_rate=0.05))
    new = fit(rule, model, data, ops=fixed, steps=3).model
    content = delta(model, new)

    assert file_of(apply(model, content), tmp_path / "a") == file_of(new, tmp_path / "b")
    assert len(content) < (tmp_path / "b").stat().st_size / 2


def test_the_history_and_heads_come_along(model, tuned, packed, tmp_path):
    assert apply(model, packed).history == tuned.history
    w, b = np.ones((10, 4), np.int8), np.arange(10, dtype=np.int32)
    old = replace(model, heads={"conv1": Weights(w, b)}, head_scales={"conv1": 0.25})
    new = replace(old, heads={"conv1": Weights(-w, b + 1)})

    assert file_of(apply(old, delta(old, new)), tmp_path / "a") == file_of(new, tmp_path / "b")
    with pytest.raises(FileError, match="another base model: its network is"):
        apply(model, delta(old, new))


def test_extreme_differences(model):
    low, high = (
        replace(model, params={n: Weights(np.full_like(p.w, v), p.b) for n, p in
                               model.params.items()})
        for v in (-127, 127)
    )  # fmt: skip
    for old, new in ((low, high), (high, low)):
        again = apply(old, delta(old, new))
        for name, weights in again.params.items():
            np.testing.assert_array_equal(weights.w, new.params[name].w)


def test_another_base_is_refused(model, tuned, packed, data):
    with pytest.raises(FileError, match="another base model: its base is"):
        apply(tuned, packed)
    other = quantize(mlp((8, 8, 1), 10), data.x_train[:64])
    with pytest.raises(FileError, match="another base model"):
        apply(other, packed)


def test_models_that_differ_in_more_than_weights_have_no_delta(model, data):
    other = quantize(cnn((8, 8, 1), 10, channels=(4, 4)), data.x_train[:9], headroom=3.0)
    wider = quantize(cnn((8, 8, 1), 10, channels=(4, 5)), data.x_train[:64], headroom=2.0)

    for new in (other, wider, replace(model, softmax=True)):
        with pytest.raises(ModelError, match="send the whole model"):
            delta(model, new)


def test_every_cut_and_every_flipped_bit_is_refused(model, packed):
    for cut in range(len(packed)):
        with pytest.raises(FileError):
            apply(model, packed[:cut])
    for at in range(len(packed)):
        flipped = bytearray(packed)
        flipped[at] ^= 1 << at % 8
        with pytest.raises(FileError):
            apply(model, bytes(flipped))
    with pytest.raises(FileError):
        apply(model, packed + b"\x00")


def remade(packed, head=None, body=None):
    """Return a delta with another header or body, and a right CRC."""
    end = 8 + int.from_bytes(packed[4:8], "little")
    text = packed[8:end] if head is None else head
    content = MAGIC + struct.pack("<I", len(text)) + text
    content += packed[end:-4] if body is None else body
    return content + struct.pack("<I", zlib.crc32(content))


def test_lies_with_a_right_crc(model, packed):
    assert apply(model, remade(packed)) is not None
    head = json.loads(packed[8 : 8 + int.from_bytes(packed[4:8], "little")])
    raw = zlib.decompress(packed[8 + int.from_bytes(packed[4:8], "little") : -4])
    lies = [
        remade(packed, head=text)
        for text in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b"9" * 5000)
    ]
    for name, value in (
        ("result", 7), ("history", 5), ("history", [5]), ("base", None), ("network", []),
    ):  # fmt: skip
        lies.append(remade(packed, head=json.dumps({**head, name: value}).encode()))
    for body in (
        b"", b"no zlib", zlib.compress(raw[:-1]), zlib.compress(raw + b"\x00"),
        zlib.compress(raw) + b"\x00", zlib.compress(raw)[:-3], zlib.compress(bytes(len(raw))),
        zlib.compress(b"\x80" * len(raw)),
    ):  # fmt: skip
        lies.append(remade(packed, body=body))
    for content in lies:
        with pytest.raises(FileError):
            apply(model, content)


def test_a_bomb_is_not_unpacked(model, packed):
    squeezer = zlib.compressobj(9)
    bomb = b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(200)) + squeezer.flush()

    with pytest.raises(FileError, match="does not hold"):
        apply(model, remade(packed, body=bomb))
