"""Compiled kernels are kept, are not stale, and are done without where nothing can be kept."""

import os
import shutil
import subprocess
import sys

import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from edgetrain.kernels import cpu_numba_cache

COMPILE = """
from numba.core import event
compiled = event.RecordingListener()
with event.install_listener("numba:compile", compiled):
    from edgetrain.kernels import cpu_numba_machine
    cpu_numba_machine.instruction("lower")
names = [e.data["dispatcher"].py_func.__name__ for _, e in compiled.buffer if e.is_start]
print("whole" in names)
"""


def run(**environment):
    """Compile an instruction in a process of its own; return what it prints and says."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment},
    )  # fmt: skip
    return done.stdout.strip(), done.stderr


def test_a_second_process_compiles_nothing(tmp_path):
    first, second = (run(NUMBA_CACHE_DIR=str(tmp_path)) for _ in range(2))

    assert (first[0], second[0]) == ("True", "False")
    assert not first[1]
    assert not second[1]


def test_where_nothing_can_be_kept_it_is_said_once_and_works(tmp_path):
    (tmp_path / "file").touch()
    unwritable = str(tmp_path / "file" / "below")

    found, said = run(NUMBA_CACHE_DIR=unwritable)

    assert found == "True"
    assert said.count("compiled kernels cannot be kept") == 1


def test_a_read_only_install_keeps_them_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    beside = cpu_numba_cache.folder().parent
    can_write = cpu_numba_cache._can_write
    monkeypatch.setattr(cpu_numba_cache, "_can_write", lambda p: p != beside and can_write(p))

    assert cpu_numba_cache.folder().parent == tmp_path / "edgetrain"


@pytest.mark.parametrize("changed", ["cpu_numba_gemm.py", "losses.py"])
def test_a_changed_source_has_a_cache_of_its_own(tmp_path, monkeypatch, changed):
    copies = [shutil.copy(path, tmp_path / path.name) for path in cpu_numba_cache.sources()]
    monkeypatch.setattr(cpu_numba_cache, "sources", lambda: copies)
    version = cpu_numba_cache.version.__wrapped__
    before = version()

    with (tmp_path / changed).open("a") as file:
        file.write("\n")

    assert before == cpu_numba_cache.version()
    assert version() != before
