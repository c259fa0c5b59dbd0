"""Headers that lie about sizes are found before anything is allocated."""

import json

import pytest

from edgetrain import files
from edgetrain.errors import FileError
from edgetrain.files import load
from edgetrain.files_tests.cases import put_together, saved, take_apart


def lying_headers(content):
    """A sound file with one lie in its first eight bytes or its safetensors header."""
    header, found, data = take_apart(content)
    length = int.from_bytes(content[:8], "little")
    lengths = [0, 1, length - 1, length + 1, len(content), len(content) - 8, 2**24, 2**24 + 1]
    for lie in (*lengths, 2**31, 2**32, 2**63, 2**64 - 1):
        yield lie.to_bytes(8, "little") + content[8:]
    name = next(iter(header))
    start, end = header[name]["data_offsets"]
    lies = (
        [
            {"data_offsets": offsets}
            for offsets in (
                [end, start],
                [start, 2**63],
                [-1, end],
                [start, end + 1],
                [start],
                "0",
                [0, 0],
            )
        ]
        + [
            {"shape": shape}
            for shape in (
                [2**63],
                [2**32, 2**32],
                [-1],
                [0],
                [],
                [10**30],
                [1] * 1000,
                "4",
                [1.5],
                None,
            )
        ]
        + [
            {"dtype": dtype}
            for dtype in ("F16", "BF16", "BOOL", "U64", "F8_E4M3", "object", 3, None)
        ]
    )
    for lie in lies:
        yield put_together({**header, name: {**header[name], **lie}}, found, data)
    yield put_together({**header, name: None}, found, data)
    yield put_together({**header, "more": header[name]}, found, data)
    yield put_together(header, found, data + b"\0")
    yield put_together(header, "{" * 100_000, data)
    yield put_together(header, '{"version":' * 100_000, data)
    yield put_together(header, "[" * 100_000 + "]" * 100_000, data)
    yield put_together(header, '{"version": ' + "9" * 10_000 + "}", data)
    yield put_together(header, "null", data)
    yield put_together(header, '"\\ud800"', data)
    for metadata in (None, 3, [], {files.ENTRY: None}, {files.ENTRY: found}, {files.ENTRY: ""}):
        whole = json.dumps({**header, "__metadata__": metadata}).encode()
        yield len(whole).to_bytes(8, "little") + whole + data
    for whole in (b"[" * 50_000, b"{}", b"[]", b"null", b"\xff\xfe{\0}\0", b'"' * 9):
        yield len(whole).to_bytes(8, "little") + whole + data


def test_every_lie_in_the_header_is_found(path, model):
    lies = list(lying_headers(saved(path, model)))
    assert len(lies) > 40

    for lie in lies:
        path.write_bytes(lie)
        with pytest.raises(FileError, match=path.name):
            load(path)


def test_a_file_of_a_great_many_tensors_is_refused(path, small):
    header, found, data = take_apart(saved(path, small))
    empty = {"dtype": "I8", "shape": [0], "data_offsets": [len(data), len(data)]}
    header |= {f"t{i}": empty for i in range(files.MAX_TENSORS)}
    path.write_bytes(put_together(header, found, data))

    with pytest.raises(FileError, match="declares"):
        load(path)
