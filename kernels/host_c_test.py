"""The C kernels: clean under strict flags and sanitizers.

That they equal the specification is the business of ``parity_test.py``; here are the operations
that it does not know: those that a device needs in one piece.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgetrain import fixed, kernels
from edgetrain.arithmetic.probabilities import softmax_multiplier
from edgetrain.errors import BackendError
from edgetrain.fixed import Key, Window
from edgetrain.kernels import host_c_build

try:
    from edgetrain.kernels import host_c, host_c_calls
except BackendError as error:
    pytest.skip(str(error), allow_module_level=True)

SOURCES = host_c_build.sources()
HERE = Path(__file__).parent


def write(folder: Path, sources: dict[str, bytes]) -> Path:
    for name, text in sources.items():
        (folder / name).write_bytes(text)
    return folder


def arrays(seed: int):
    rng = np.random.default_rng(seed)
    return rng, lambda *shape: rng.integers(-127, 128, shape).astype(np.int8)


WINDOWS = [
    (Window((3, 3), (1, 1), (1, 1, 1, 1)), (7, 6, 4), 5),
    (Window((1, 1), (1, 1), (0, 0, 0, 0)), (5, 5, 8), 3),
    (Window((3, 3), (1, 1), (1, 1, 1, 1), 6), (6, 9, 6), 6),
    (Window((2, 3), (2, 1), (0, 1, 2, 0), 2), (5, 4, 6), 4),
]


def scales(rng: np.random.Generator, channels: int):
    shift = rng.integers(-12, 1, channels).astype(np.int32)
    return rng.integers(2**30, 2**31, channels).astype(np.int32), shift


@pytest.mark.parametrize("limits", [(3, -128, 127), (-128, -128, 127), (0, 0, 90)])
def test_layers_in_one_piece_equal_the_specification(limits):
    rng, int8 = arrays(1)
    for window, shape, n_out in WINDOWS:
        x, w = int8(2, *shape), int8(n_out, *window.kernel, shape[2] // window.groups)
        b, scale = rng.integers(-(2**12), 2**12, n_out).astype(np.int32), scales(rng, n_out)
        np.testing.assert_array_equal(
            host_c.conv2d(x, w, b, -7, window, *scale, *limits),
            fixed.conv2d(x, w, b, -7, window, *scale, *limits),
            strict=True,
        )
    for n_in in (1, 16, 37):
        x, w, b = int8(3, n_in), int8(5, n_in), rng.integers(-999, 999, 5).astype(np.int32)
        scale = scales(rng, 5)
        np.testing.assert_array_equal(
            host_c.dense(x, w, b, 100, *scale, *limits),
            fixed.dense(x, w, b, 100, *scale, *limits),
            strict=True,
        )


@pytest.mark.parametrize("scale", [2**-25, 0.001, 0.1, 1 / 3, 1.0, 31.0])
@pytest.mark.parametrize("classes", [1, 2, 10, 400])
def test_softmax_equals_the_specification(scale, classes):
    _, int8 = arrays(classes)
    x = np.concatenate([int8(200, classes), np.full((1, classes), -128, np.int8)])
    numbers = softmax_multiplier(scale)

    np.testing.assert_array_equal(
        host_c.probabilities(x, *numbers), fixed.probabilities(x, *numbers), strict=True
    )


def test_tables_of_int8_are_read_in_c():
    x = np.arange(-128, 128).astype(np.int8).reshape(16, 16)
    table = np.random.default_rng(0).permutation(x.ravel())

    np.testing.assert_array_equal(host_c.look_up(x, table), fixed.look_up(x, table), strict=True)


def test_what_c_cannot_check_is_checked_before():
    x, w, b = np.zeros((2, 5, 5, 4), np.int8), np.zeros((6, 3, 3, 4), np.int8), np.zeros(6, int)
    window, pool = Window((3, 3), (1, 1), (0,) * 4), Window((2, 2), (1, 1), (0, 2, 0, 0))
    e, ratio = np.zeros((2, 3, 3, 6), np.int8), np.ones(6, np.int16)

    for wrong in [(x, w[..., :3], b), (x, w, b[:5]), (x[..., :3], w, b), (x, w[:, :2], b)]:
        with pytest.raises(ValueError, match="must have shape"):
            host_c.conv2d_acc(*wrong, 0, window)
    with pytest.raises(ValueError, match="groups must divide"):
        host_c.conv2d_acc(x, w, b, 0, window._replace(groups=3))
    with pytest.raises(ValueError, match="e must have shape"):
        host_c.conv2d_grad_w(x, e[:, :2], 0, window)
    with pytest.raises(ValueError, match="ratio must have shape"):
        host_c.conv2d_grad_x(e, w, ratio[:5], x.shape, window)
    with pytest.raises(ValueError, match="acc must have shape"):
        host_c.update_int8(w, b, b, Key(1, 2))
    with pytest.raises(ValueError, match="padding of a pool must be smaller"):
        host_c.average_pool(x, pool)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 3\), got 0 to 3"):
        host_c.cross_entropy(np.zeros((2, 3), np.int32), np.array([0, 3]))


@pytest.mark.parametrize(
    ("structure", "name"),
    [(host_c_calls.CWindow, "et_window"), (host_c_calls.COutput, "et_output"),
     (host_c_calls.CTerm, "et_term"), (host_c_calls.CKey, "et_key")],
)  # fmt: skip
def test_structures_have_the_fields_of_the_headers(structure, name):
    headers = "".join(text.decode() for file, text in SOURCES.items() if file.endswith(".h"))
    plain = re.sub(r"/\*.*?\*/", "", headers, flags=re.DOTALL)
    body = re.search(r"typedef struct {([^}]*)} " + name, plain)
    assert body
    declared = re.findall(r"(\w+)\s*[,;]", body[1])

    assert [field for field, _ in structure._fields_] == declared


def compilers():
    zig = [(sys.executable, "-m", "ziglang", "cc")] if find_spec("ziglang") else []
    found = [(name,) for name in ("gcc", "clang") if shutil.which(name)]
    return found + zig


@pytest.mark.parametrize("level", ["-O2", "-O3", "-Os"])
@pytest.mark.parametrize("command", compilers(), ids=lambda command: command[-2:][0])
def test_compiled_without_a_warning(tmp_path, command, level):
    folder = write(tmp_path, SOURCES)
    flags = (*host_c_build.FLAGS, *host_c_build.STRICT_FLAGS, level)

    host_c_build.build(folder, tmp_path / "kernels.so", command, flags)


@pytest.mark.skipif(shutil.which("nm") is None, reason="there is no nm")
def test_every_public_name_begins_with_et():
    command = ["nm", "-D", "--defined-only", host_c_calls.LIBRARY._name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    names = {line.split()[-1] for line in done.stdout.splitlines()}

    assert "et_dense" in names
    assert {name for name in names if not name.startswith(("et_", "_"))} == set()


SANITIZED = """
import sys
from edgetrain import kernels
from edgetrain.kernels import host_c_build
host_c_build.FLAGS += ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
numpy = kernels.BACKENDS["numpy"]
kernels.BACKENDS.clear()
kernels.BACKENDS.update(numpy=numpy, c="edgetrain.kernels.host_c")
import pytest
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "not compiled", *sys.argv[1:]]))
"""


def test_compiled_with_sanitizers_nothing_is_found(tmp_path):
    gcc = shutil.which("gcc")
    asan = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=False
    ).stdout.strip() if gcc else ""  # fmt: skip
    if not Path(asan).is_absolute():
        pytest.skip("gcc has no libasan here")
    environment = {
        **os.environ,
        "LD_PRELOAD": asan,
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "XDG_CACHE_HOME": str(tmp_path),
    }
    tests = [str(HERE / "parity_test.py"), str(HERE / "host_c_test.py")]

    done = subprocess.run(
        [sys.executable, "-c", SANITIZED, *tests],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert " passed" in done.stdout
    assert " failed" not in done.stdout


def test_compiled_once_and_anew_where_the_copy_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built = []
    build = host_c_build.build
    monkeypatch.setattr(host_c_build, "build", lambda *a: built.append(a[1]) or build(*a))
    folder = host_c_build.cache_folder()
    damaged = folder / f"kernels-{host_c_build._fingerprint(host_c_build.compiler())}.so"
    damaged.write_bytes(b"no library")

    for _ in range(2):
        assert host_c_build.load().et_random_signs
    assert built == [damaged]
    assert list(folder.iterdir()) == [damaged]


def test_compiled_in_a_temporary_folder_where_nothing_can_be_kept(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    assert host_c_build.load().et_random_signs
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_without_a_compiler_the_error_says_how_to_get_one(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(host_c_build, "find_spec", lambda name: None)

    with pytest.raises(BackendError, match="no C compiler on the PATH: apt-get install gcc"):
        host_c_build.load()


def test_a_compiler_that_fails_is_quoted(tmp_path):
    folder = write(tmp_path, {"broken.c": b"#error no such thing\n"})
    command = host_c_build.compiler()

    with pytest.raises(BackendError, match="no such thing"):
        host_c_build.build(folder, tmp_path / "kernels.so", command, host_c_build.FLAGS)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.c"]


def test_the_table_finds_the_backend():
    assert kernels.load("c") is host_c
