import io
import zipfile

import numpy as np
import pytest

from edgetrain import npz
from edgetrain.errors import DataError

LIMIT = 10_000


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.npz"


def read(path, limit=LIMIT):
    return npz.read(path, ["x"], ["scale"], limit)


def header(shape, dtype="<f4"):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        content, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return content.getvalue()


def write_member(path, content, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x.npy", content)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("array", [np.arange(6).reshape(2, 3), np.asfortranarray(np.eye(3)[:2])])
def test_needed_and_optional_arrays_come_back_and_others_stay(path, save, array):
    save(path, x=array, scale=0.5, other=np.array([None]))

    stored = read(path)

    assert sorted(stored) == ["scale", "x"]
    np.testing.assert_array_equal(stored["x"], array)


def test_an_optional_array_may_be_absent(path):
    np.savez(path, x=np.arange(3))

    assert list(read(path)) == ["x"]


def test_a_missing_array_is_named(path):
    np.savez(path, a=np.arange(3), b=1)

    with pytest.raises(DataError, match=r"must hold the array x, got only \['a', 'b'\]"):
        read(path)


def test_a_pickled_array_is_refused(path):
    np.savez(path, x=np.array([{}, None]))

    with pytest.raises(DataError, match="array x holds pickled Python objects"):
        read(path)


def test_a_file_that_is_no_zip_is_refused(path):
    path.write_text("x,y\n1,2\n")

    with pytest.raises(DataError, match=r"is not an \.npz file"):
        read(path)


def test_a_missing_file_is_refused(path):
    with pytest.raises(DataError, match=r"cannot be read: .*No such file"):
        read(path)


@pytest.mark.parametrize("keep", [2, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(path, keep):
    np.savez(path, x=np.arange(100))
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if keep > 1 else int(len(whole) * keep)])

    with pytest.raises(DataError, match=r"is a truncated \.npz file"):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "array x is truncated or damaged"),
        (header((3,))[:-20], "array x is truncated or damaged"),
        (header((10**15,)), "must have the 4000000000000000 bytes of its header, got 0"),
        (header((3,)) + bytes(11), "must have the 12 bytes of its header, got 11"),
        (header((3,)) + bytes(13), "must have the 12 bytes of its header, got 13"),
        (header((-3, -1)) + bytes(12), "array x is truncated or damaged"),
        (b"\x93NUMPY\x03\x00" + header((3,))[8:] + bytes(12), r"unknown version \(3, 0\)"),
    ],
)
def test_a_wrong_array_is_refused(path, content, message):
    write_member(path, content)

    with pytest.raises(DataError, match=message):
        read(path)


def test_the_declared_size_is_bounded_before_anything_is_unpacked(path):
    write_member(path, header((10**6,)) + bytes(4 * 10**6), zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < LIMIT

    with pytest.raises(DataError, match="must hold at most 10000 bytes, declares 4000128"):
        read(path)


def test_a_file_with_any_damaged_byte_reads_the_same_or_is_refused(path):
    array = np.arange(40, dtype=np.int16)
    np.savez_compressed(path, x=array)
    whole = path.read_bytes()
    refused = 0
    for position in range(len(whole)):
        for flip in (0x01, 0x80):
            damaged = bytearray(whole)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            try:
                stored = read(path)
            except DataError:
                refused += 1
            else:
                np.testing.assert_array_equal(stored["x"], array)
    assert refused > len(whole)
