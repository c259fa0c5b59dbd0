"""Journals: what was written is read, and no cut, flip or exchange goes unseen."""

import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from edgetrain.errors import FileError, RuleError
from edgetrain.journal import (
    FRAME_STEPS,
    all_slopes,
    load_journal,
    pack_frame,
    read_journal,
    slopes_of,
)
from edgetrain.journal_header import Header, checked, differences, read_header
from edgetrain.rules import Backprop, ForwardGradient
from edgetrain.settings import Settings

SIGNS = ForwardGradient(space="weight", head="same", queries=3)
VALUES = replace(SIGNS, estimate="value")
LENGTHS = (FRAME_STEPS, 5, 1, FRAME_STEPS)


def slopes(rule, steps):
    high = 1 if rule.uses_sign else 2**24
    return np.random.default_rng(steps).integers(-high, high + 1, (steps, rule.queries))


def written(rule, lengths=LENGTHS):
    """Return a journal, where its frames end, and the slopes in them."""
    content = Header("0123abcd", rule, 7).packed()
    ends, crc = [len(content)], zlib.crc32(content[:-4])
    for i, steps in enumerate(lengths):
        frame, crc = pack_frame(slopes(rule, steps).tolist(), rule.uses_sign, f"{i:08x}", crc)
        content += frame
        ends.append(len(content))
    return content, ends


def reframed(text):
    """Return the first bytes of a journal with another text and a right CRC."""
    content = b"ETJ\x01" + struct.pack("<H", len(text)) + text
    return content + struct.pack("<I", zlib.crc32(content))


@pytest.mark.parametrize("rule", [SIGNS, VALUES])
def test_what_is_written_is_read(rule):
    content, ends = written(rule)
    journal = read_journal(content)

    assert (journal.steps, journal.size, journal.dropped) == (sum(LENGTHS), ends[-1], 0)
    assert journal.header == Header("0123abcd", rule, 7)
    for i, (frame, steps) in enumerate(zip(journal.frames, LENGTHS, strict=True)):
        assert frame.trace == f"{i:08x}"
        np.testing.assert_array_equal(slopes_of(frame, rule), slopes(rule, steps))


def test_a_sign_takes_two_bits():
    rule = replace(SIGNS, queries=64)
    one, two = (len(written(rule, (n,))[0]) for n in (1, 2))

    assert two - one == 64 * 2 // 8


def test_ten_thousand_steps_take_less_than_4_kb():
    rule = replace(SIGNS, queries=1)
    whole, rest = divmod(10_000, FRAME_STEPS)

    assert len(written(rule, (FRAME_STEPS,) * whole + (rest,))[0]) < 4096


@pytest.mark.parametrize("rule", [SIGNS, VALUES])
def test_a_cut_at_any_byte_drops_the_tail_alone(rule):
    content, ends = written(rule)
    for cut in range(len(content)):
        if cut < ends[0]:
            with pytest.raises(FileError, match=r"cut within its header|not a journal"):
                read_journal(content[:cut])
            continue
        whole = sum(end <= cut for end in ends) - 1
        for erased in (b"", b"\xff" * 300, b"\x00" * 300):
            journal = read_journal(content[:cut] + erased)
            assert len(journal.frames) >= whole  # more where what was erased is what was cut
            assert journal.steps == sum(LENGTHS[: len(journal.frames)])
            if not erased:
                assert len(journal.frames) == whole
                assert journal.dropped == cut - ends[whole]


@pytest.mark.parametrize("queries", [1, 2, 3])
@pytest.mark.parametrize("rule", [SIGNS, VALUES])
def test_all_slopes_are_those_of_the_frames(rule, queries):
    rule = replace(rule, queries=queries)
    for lengths in ((), (1,), (4, 8, 4), (3, 4, 128, 8, 5, 1, 4)):
        journal = read_journal(written(rule, lengths)[0])
        frames = [slopes_of(frame, rule) for frame in journal.frames]

        assert all_slopes(journal).shape == (sum(lengths), queries)
        assert all_slopes(journal).tolist() == [own for part in frames for own in part.tolist()]


def test_any_flipped_bit_is_an_error_or_drops_the_rest():
    content, ends = written(SIGNS)
    whole = read_journal(content)
    for at in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[at] ^= 1 << bit
            before = max(sum(end <= at for end in ends) - 1, 0)
            try:
                journal = read_journal(bytes(flipped))
            except FileError:
                continue
            assert at in ends  # only the length of a frame can look like a cut
            assert journal.frames == whole.frames[:before]
            assert journal.dropped == len(content) - ends[before]


def test_frames_are_valid_at_their_own_place_only():
    content, ends = written(SIGNS, (4, 4, 4))
    head, *frames = (content[a:b] for a, b in zip([0, *ends], ends, strict=False))
    other, _ = written(replace(SIGNS, settings=Settings(batch=8)), (4, 4, 4))

    for order in ((1, 0, 2), (0, 2, 1), (0, 0, 1, 2), (0, 2)):
        with pytest.raises(FileError, match="is damaged at byte"):
            read_journal(head + b"".join(frames[i] for i in order))
    with pytest.raises(FileError, match="its first 0 steps are whole"):
        read_journal(other[: -len(b"".join(frames))] + b"".join(frames))


def test_the_steps_before_damage_can_be_read():
    content, ends = written(SIGNS)
    damaged = content[: ends[2] + 3] + b"\x55" + content[ends[2] + 4 :]

    with pytest.raises(FileError, match=f"--step {FRAME_STEPS + 5}"):
        read_journal(damaged)
    assert read_journal(damaged, FRAME_STEPS + 5).steps == FRAME_STEPS + 5


def test_a_code_that_is_no_sign_is_damage():
    content = Header("0123abcd", SIGNS, 7).packed()
    frame = bytes([1, 0b110100]) + struct.pack("<I", 0)
    frame += struct.pack("<I", zlib.crc32(frame, zlib.crc32(content[:-4])))

    with pytest.raises(FileError, match="damaged"):
        read_journal(content + frame)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base", 5), ("base", None), ("seed", -1), ("seed", 2**32), ("seed", 0.5),
        ("seed", True), ("queries", 65), ("queries", "1"), ("batch", 2**31), ("batch", 0),
        ("steps", 10**400), ("learning_rate", 0), ("learning_rate", "fast"),
        ("learning_rate", float("nan")), ("learning_rate", 10**400), ("momentum", 0.3),
        ("train", [1]), ("train", {}), ("space", "activity"), ("head", "exact"),
        ("weights", "w4"), ("error_clip", float("inf")), ("perturbation", -1.0),
        ("unknown", 1),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be(name, value):
    found = {**Header("0123abcd", SIGNS, 7).described(), "version": "1"}
    assert read_header(reframed(json.dumps(found).encode()))[0].seed == 7

    with pytest.raises(FileError):
        read_header(reframed(json.dumps({**found, name: value}).encode()))
    del found["seed"]
    with pytest.raises(FileError, match="seed"):
        read_header(reframed(json.dumps(found).encode()))


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 60000, b"1" * 5000])
def test_a_header_that_is_not_of_ours(text):
    with pytest.raises(FileError):
        read_header(reframed(text))


def test_random_bytes_are_refused():
    rng = np.random.default_rng(0)
    content, ends = written(SIGNS)
    for length in range(200):
        with pytest.raises(FileError):
            read_journal(rng.bytes(length))
    for length in range(60, 200):
        with pytest.raises(FileError, match="damaged at byte"):
            read_journal(content[: ends[1]] + b"\x01" + rng.bytes(length))


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    with pytest.raises(FileError, match="there is no such file"):
        load_journal(tmp_path / "absent.journal")
    with pytest.raises(FileError, match="cannot be read"):
        load_journal(tmp_path)
    monkeypatch.setattr("edgetrain.journal.MAX_BYTES", 10)
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(FileError, match="larger than the 10 bytes"):
        load_journal(tmp_path / "large")


def test_a_rule_whose_run_is_more_than_signs_is_refused_with_the_cure():
    with pytest.raises(RuleError, match="--space weight --head same, or `edgetrain delta`"):
        checked(Backprop())
    with pytest.raises(RuleError, match="--space weight"):
        checked(ForwardGradient())
    with pytest.raises(RuleError, match="use --head same"):
        checked(ForwardGradient(space="weight"))


def test_headers_that_differ_say_in_what():
    a = Header("0123abcd", SIGNS, 7)
    b = Header("0123abcd", replace(SIGNS, settings=Settings(batch=8)), 7, version="old")

    assert differences(b, a) == ["its batch is 8, here it is 32"]
    assert differences(replace(a, version="old"), a) == []
