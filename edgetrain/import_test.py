"""Importing costs NumPy and nothing else, and imports point one way: to the same floor or down."""

import ast
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import edgetrain
from edgetrain import kernels
from edgetrain.errors import BackendError

CHECKOUT = Path(__file__).resolve().parent.parent
FLOORS = (
    {"errors", "arithmetic", "fixed", "fewbit", "sample_shape"},
    {"graph", "scheme", "model", "settings", "idx", "npz", "dataset", "data", "history",
     "kernels"},
    {"reals", "quantize", "architectures", "inference", "blocks", "state", "step", "backward",
     "heads", "outputs", "compiled", "arena", "description", "files", "shift"},
    {"rules"},
    {"journal_header", "journal", "replay_steps", "replay", "fleet", "delta", "parity", "memory",
     "defaults", "evaluate", "watch", "train", "trial", "make_heads", "demo", "report",
     "exporters"},
    {"benchmark"},
    {"device_tests"},
    {"cli", "__main__"},
)  # fmt: skip
"""The house from the ground up: a file, or a folder with all its files."""
LARGEST = 300
LAZY = ("", "exporters")
"""`edgetrain/__init__.py` loads an importer or exporter when it is asked for one."""
MAY_LOAD_KERNELS = {"kernels", "device_tests", "cli", "__main__"}
KERNELS_READ = {"kernels", "errors", "arithmetic", "fixed"}
TOOLS = ("numba", "safetensors", "typer", "rich", "torch", "triton", "onnx", "onnxruntime",
         "ai_edge_litert", "flatbuffers", "tensorflow", "matplotlib", "unicorn", "elftools",
         "wasmtime", "serial")  # fmt: skip


def sources() -> list[Path]:
    files = [
        p
        for folder in ("edgetrain", "kernels", "exporters", "device_tests")
        for p in (CHECKOUT / folder).rglob("*.py")
    ]
    tests = ("_test", "_tests", "conftest")
    return [
        p for p in sorted(files) if not p.stem.endswith(tests) and "_tests/" not in p.as_posix()
    ]


def room(path: Path) -> str:
    """Return the name by which FLOORS knows a source file; "" for `edgetrain/__init__.py`."""
    parts = path.relative_to(CHECKOUT).with_suffix("").parts
    name = parts[1] if parts[0] == "edgetrain" else parts[0]
    return "" if name == "__init__" else name


def imported(path: Path) -> set[str]:
    """Return the rooms of edgetrain that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("edgetrain.")}
    return {name for name in found if any(name in floor for floor in FLOORS)}


def floor(name: str) -> int:
    (level,) = [i for i, names in enumerate(FLOORS) if name in names]
    return level


@pytest.fixture(scope="module")
def files():
    found = {path: imported(path) for path in sources()}
    assert len(found) > 40
    return found


def test_every_source_file_has_a_floor(files):
    unknown = {room(path) for path in files} - {""} - set().union(*FLOORS)
    assert not unknown, "write it into FLOORS"


def test_imports_point_down(files):
    upwards = [
        f"{path.relative_to(CHECKOUT)} imports {name}"
        for path, names in files.items()
        for name in names
        if floor(name) > (floor(room(path)) if room(path) else 0) and (room(path), name) != LAZY
    ]
    assert not upwards


def test_only_the_command_line_knows_that_there_are_kernels(files):
    guilty = {room(path) for path, names in files.items() if "kernels" in names}
    assert "cli" in guilty  # the search finds what there is to be found
    assert guilty <= MAY_LOAD_KERNELS


def test_kernels_know_only_the_specification(files):
    read = set().union(*(names for path, names in files.items() if room(path) == "kernels"))
    assert {"fixed", "errors"} <= read <= KERNELS_READ


@pytest.mark.parametrize(
    "module",
    ["edgetrain", "edgetrain.kernels", "edgetrain.rules", "edgetrain.quantize",
     "edgetrain.architectures", "edgetrain.memory", "edgetrain.data", "edgetrain.exporters"],
)  # fmt: skip
def test_importing_loads_numpy_and_no_other_tool(module):
    script = (
        f"import sys, {module}\n"
        f"print(*(name for name in {TOOLS} if name in sys.modules))\n"
        "print('numpy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    tools, numpy = done.stdout.split("\n")[:2]
    assert tools == ""
    assert numpy == "True" or module in ("edgetrain", "edgetrain.kernels")
    assert done.stderr == ""


def test_nothing_is_printed_or_loaded_that_the_package_does_not_need():
    script = "import sys, edgetrain; print(*(n for n in sys.modules if n.startswith('edgetrain')))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == {"edgetrain", "edgetrain.errors"}


def test_every_list_of_public_names_is_sorted_and_true(files):
    with_list = [path for path in files if "\n__all__ = " in path.read_text()]
    assert len(with_list) > 4
    for path in with_list:
        parts = path.relative_to(CHECKOUT).with_suffix("").parts
        parts = parts if parts[0] == "edgetrain" else ("edgetrain", *parts)
        name = ".".join(part for part in parts if part != "__init__")
        if name in kernels.BACKENDS.values() and not runs_here(name):
            continue
        module = import_module(name)
        assert len(set(module.__all__)) == len(module.__all__), name
        assert list(module.__all__) == natural(module.__all__), name
        assert all(hasattr(module, public) for public in module.__all__), name


def runs_here(module: str) -> bool:
    """Whether the module of a backend can be imported."""
    (name,) = [name for name, path in kernels.BACKENDS.items() if path == module]
    try:
        kernels.load(name)
    except BackendError:
        return False
    return True


def natural(names: list[str]) -> list[str]:
    """Sort as ruff does: constants, classes, functions, and 8 before 16."""

    def key(name: str) -> tuple[int, list[tuple[str, int]]]:
        parts = re.findall(r"(\D*)(\d*)", name)
        return (not name.isupper()) + (not name[0].isupper()), [(t, int(n or 0)) for t, n in parts]

    return sorted(names, key=key)


def test_the_errors_of_the_package_are_all_public():
    errors = import_module("edgetrain.errors")
    defined = {
        n
        for n, v in vars(errors).items()
        if isinstance(v, type) and v.__module__ == errors.__name__
    }
    assert set(edgetrain.__all__) >= defined


def test_no_source_file_is_longer_than_it_should_be(files):
    lengths = {str(p.relative_to(CHECKOUT)): p.read_text().count("\n") for p in files}
    assert {name: n for name, n in lengths.items() if n > LARGEST} == {}
