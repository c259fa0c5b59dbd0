import gzip

import numpy as np
import pytest

from edgetrain import idx
from edgetrain.errors import DataError

LIMIT = 10_000


def encoded(array, magic=None):
    header = bytes([0, 0, 8, array.ndim]) if magic is None else magic
    return header + np.array(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()


@pytest.fixture
def images():
    return np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_an_array_comes_back(tmp_path, images, suffix):
    path = tmp_path / f"images{suffix}"
    path.write_bytes(gzip.compress(encoded(images)) if suffix else encoded(images))

    np.testing.assert_array_equal(idx.read(path, 3, LIMIT), images)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: b"\x00\x00\x0d\x03" + whole[4:], "must start with the bytes 00 00 08 03"),
        (lambda whole: encoded(np.zeros(3)), r"must start .* 3 dimensions\), got 00 00 08 01"),
        (lambda whole: b"", "got an empty file"),
        (lambda whole: whole[:9], "ends inside its header"),
        (lambda whole: whole[:-1], r"truncated: its header declares \(2, 3, 4\), 24 bytes"),
        (lambda whole: whole + b"\x00", "longer than the 24 bytes"),
        (lambda whole: whole[:4] + b"\xff" * 12 + whole[16:], "more than the 10000 bytes left"),
        (lambda whole: whole[:4] + b"\x00\x00\x00\x14" * 3, "truncated: its header declares"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path, images, suffix, change, message):
    path = tmp_path / f"images{suffix}"
    content = change(encoded(images))
    path.write_bytes(gzip.compress(content) if suffix else content)

    with pytest.raises(DataError, match=message):
        idx.read(path, 3, LIMIT)


@pytest.mark.parametrize("cut", [5, 15, -4])
def test_truncated_gzip_is_refused(tmp_path, images, cut):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(encoded(images))[:cut])

    with pytest.raises(DataError, match="damaged or truncated"):
        idx.read(path, 3, LIMIT)


def test_a_plain_file_with_the_name_of_a_gzip_file_is_refused(tmp_path, images):
    path = tmp_path / "images.gz"
    path.write_bytes(encoded(images))

    with pytest.raises(DataError, match="Not a gzipped file"):
        idx.read(path, 3, LIMIT)


class Recorder:
    """A file that remembers how much was asked of it."""

    def __init__(self, file):
        self.file, self.asked = file, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def read(self, size):
        self.asked.append(size)
        return self.file.read(size)


@pytest.fixture
def asked(monkeypatch):
    recorders = []
    original = gzip.open

    def recorded(path):
        recorders.append(Recorder(original(path)))
        return recorders[-1]

    monkeypatch.setattr(gzip, "open", recorded)
    return lambda: recorders[0].asked


def test_a_gzip_bomb_is_not_unpacked(tmp_path, images, asked):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(encoded(images) + bytes(10_000_000)))

    with pytest.raises(DataError, match="longer than the 24 bytes"):
        idx.read(path, 3, LIMIT)
    assert asked() == [16, 25]


def test_a_header_beyond_the_compressed_size_allocates_nothing(tmp_path, asked):
    path = tmp_path / "labels.gz"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1]) + b"\xf0\x00\x00\x00" + b"abc"))

    with pytest.raises(DataError, match="truncated"):
        idx.read(path, 1, max_bytes=2**40)
    assert asked() == [8]


def test_a_folder_may_mix_plain_and_compressed_files(tmp_path, images):
    labels = np.array([1, 0], np.uint8)
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    for key, (name, _) in idx.FILES.items():
        content = encoded(arrays[key])
        if key.startswith("x"):
            (tmp_path / name).write_bytes(content)
        else:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))

    loaded = idx.read_folder(tmp_path, LIMIT)

    for key, array in arrays.items():
        np.testing.assert_array_equal(loaded[key], array)
    with pytest.raises(DataError, match=r"declares \(2,\), more than the 1 bytes left"):
        idx.read_folder(tmp_path, 51)


def test_a_missing_file_is_named(tmp_path, images):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(encoded(images))

    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte or .*gz, but has neither"):
        idx.read_folder(tmp_path, LIMIT)
