import os
import subprocess
import sys

import pytest

from edgetrain import kernels


def run(program: str, **environment: str) -> str:
    """Run a program where backends have not been loaded yet; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ASK = """
from edgetrain import kernels
from edgetrain.errors import BackendError
try:
    kernels.load("numba")
except BackendError as error:
    print(error)
print(kernels.default())
print(kernels.why_not_numba())
"""


def test_an_unknown_backend_is_refused_with_the_names_of_the_known():
    with pytest.raises(
        ValueError,
        match=r"backend must be one of \['c', 'numba', 'numpy', 'triton'\], got 'abacus'",
    ):
        kernels.load("abacus")


def test_the_specification_is_a_backend():
    assert kernels.load("numpy").__name__ == "edgetrain.fixed"


def test_importing_the_table_loads_no_tool():
    assert run("import sys, edgetrain.kernels; print('numba' in sys.modules)") == "False\n"


def test_without_numba_the_error_says_how_to_get_it():
    hidden = "import sys; sys.modules['numba'] = None"

    message, default, why = run(hidden + ASK).splitlines()

    assert message == why == "backend 'numba' needs numba: pip install numba"
    assert default == "numpy"


def test_numba_that_is_switched_off_is_no_backend():
    pytest.importorskip("numba", reason="Numba is not installed")

    message, default, _ = run(ASK, NUMBA_DISABLE_JIT="1").splitlines()

    assert message == (
        "backend 'numba' cannot run here: NUMBA_DISABLE_JIT is set, so Numba compiles nothing"
    )
    assert default == "numpy"


def test_numba_that_cannot_compile_is_no_backend():
    pytest.importorskip("numba", reason="Numba is not installed")
    broken = """
from numba.core.dispatcher import Dispatcher
def compile(*args):
    raise OSError("no room")
Dispatcher.compile = compile
"""

    message, default, _ = run(broken + ASK).splitlines()

    assert message == (
        "backend 'numba' cannot run here: Numba is installed but cannot compile: no room"
    )
    assert default == "numpy"


def test_where_numba_compiles_it_is_the_default():
    pytest.importorskip("numba", reason="Numba is not installed")

    assert run(ASK) == "numba\nNone\n"
