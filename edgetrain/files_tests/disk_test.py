"""Disks fill up, folders are read-only, files are foreign."""

import errno
import os
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as safetensors_save

from edgetrain import files
from edgetrain.errors import FileError
from edgetrain.files import check_writable, load, load_checkpoint, save, save_checkpoint
from edgetrain.files_tests.cases import MIB, assert_same
from edgetrain.model import Weights
from edgetrain.state import State


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullDisk:
    """A file that takes some bytes and then none."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, content):
        self.file.write(content[: len(content) // 2])
        full()


def break_fsync(monkeypatch):
    monkeypatch.setattr(files.os, "fsync", full)


def break_write(monkeypatch):
    original = Path.open
    monkeypatch.setattr(Path, "open", lambda self, mode="r": FullDisk(original(self, mode)))


def break_rename(monkeypatch):
    monkeypatch.setattr(Path, "replace", full)


@pytest.mark.parametrize("breakage", [break_fsync, break_write, break_rename])
@pytest.mark.parametrize("existed", [True, False])
def test_a_full_disk_leaves_everything_as_it_was(
    path, small, model, monkeypatch, breakage, existed
):
    if existed:
        save(small, path)
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}

    with monkeypatch.context() as patch:
        breakage(patch)
        with pytest.raises(FileError, match=r"No space left on device; nothing was changed"):
            save(model, path)
        with pytest.raises(FileError, match="No space left"):
            save_checkpoint(path, small, State())

    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before
    save(model, path)
    assert_same(load(path), model)


def test_an_interruption_leaves_everything_as_it_was(path, small, model, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    save(small, path)
    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(model, path)

    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert_same(load(path), small)


def unwritable(folder):
    (folder / "file").write_text("a file")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    return [
        folder,  # a folder
        folder / "file" / "below",
        folder / "missing" / "model",
        folder / "pipe",
        folder / "loop",
        folder / "loop" / "model",
        folder / ("x" * 300),
        folder / "nul\0",
        "",
        "/dev/null",
        "/proc/model",
    ]


@pytest.mark.parametrize("index", range(11))
def test_places_that_cannot_be_written(tmp_path, small, index):
    place = unwritable(tmp_path)[index]
    before = sorted(p.name for p in tmp_path.rglob("*"))

    for write in (lambda: save(small, place), lambda: check_writable(place)):
        with pytest.raises(FileError, match="cannot be written"):
            write()

    assert sorted(p.name for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("index", range(10))  # the last place, below /proc, is only missing
def test_places_that_cannot_be_read(tmp_path, index):
    place = unwritable(tmp_path)[index]

    for read in (load, load_checkpoint):
        with pytest.raises(FileError, match="cannot be read"):
            read(place)


def test_checking_changes_nothing(path, small):
    check_writable(path)
    assert list(path.parent.iterdir()) == []

    save(small, path)
    before = path.read_bytes()
    check_writable(path)

    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_weights_of_another_type_are_not_saved(path, small):
    wide = {n: Weights(w.astype(np.int32), b) for n, (w, b) in small.params.items()}

    with pytest.raises(FileError, match="must be int8, got int32"):
        save(replace(small, params=wide), path)

    assert not path.exists()


# --- foreign files ---


class Trap:
    """Its pickle opens a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_is_refused_and_not_loaded(path):
    trap = path.with_name("trap")
    path.write_bytes(pickle.dumps(Trap(trap)))

    for read in (load, load_checkpoint):
        with pytest.raises(FileError, match="not a safetensors file"):
            read(path)
    assert not trap.exists()

    pickle.loads(path.read_bytes()).close()  # the trap does work
    assert trap.exists()


def test_a_pickle_inside_an_npz_is_refused(path):
    np.savez(path.with_suffix(".npz"), w=np.array([Trap(path)], dtype=object))

    with pytest.raises(FileError, match="not a safetensors file"):
        load(path.with_suffix(".npz"))
    assert not path.exists()


def test_safetensors_of_others_are_refused(path):
    for metadata in (None, {"format": "pt"}):
        path.write_bytes(safetensors_save({"w": np.zeros(3, np.float32)}, metadata=metadata))
        with pytest.raises(FileError, match=path.name):
            load(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\x02" + b"\0" * 7 + b"{}", b"\xff" * 64])
def test_almost_nothing_is_refused(path, content):
    path.write_bytes(content)

    with pytest.raises(FileError, match=path.name):
        load(path)


def test_a_file_that_is_too_large_is_not_read(path, monkeypatch):
    with path.open("wb") as file:
        file.truncate(files.MAX_BYTES + 1)  # a hole, no real bytes

    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="larger than"):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < MIB
    finally:
        tracemalloc.stop()


# --- edited files: each line is one lie ---
