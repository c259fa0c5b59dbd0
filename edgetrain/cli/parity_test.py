"""`parity`: the table, the JSON, the exit code, and backends that are not here."""

from types import SimpleNamespace

import numpy as np
import pytest

from edgetrain import fixed, kernels
from edgetrain.errors import BackendError

WRONG = SimpleNamespace(
    **{
        **{name: getattr(fixed, name) for name in kernels.OPS},
        "update_bias": lambda b, acc, step, limit: (
            fixed.update_bias(b, acc, step, limit) + np.int32(1)
        ),
    }
)


@pytest.fixture
def backends(monkeypatch):
    """Backends of this test alone."""

    def load(name):
        if name == "absent":
            raise BackendError("there is no such device here")
        if name not in ("numpy", "same", "wrong"):
            raise ValueError(f"backend must be numpy, same or wrong, got {name!r}")
        return WRONG if name == "wrong" else fixed

    monkeypatch.setattr(kernels, "load", load)


def parity(model, names):
    return ("parity", model, "--rule", "backprop", "--steps", "3", "--backends", names)


def test_equal_backends(backends, model, report):
    found = report(*parity(model, "numpy,same,absent"))

    assert [row["backend"] for row in found["backends"]] == ["numpy", "same", "absent"]
    assert [row.get("steps_equal") for row in found["backends"]] == [3, 3, None]
    assert found["backends"][2]["missing"] == "there is no such device here"


def test_a_difference_is_in_the_table_and_the_exit_code(backends, model, edgetrain):
    code, out, _ = edgetrain(*parity(model, "numpy,same,wrong"))

    assert code == 1
    assert "step 1" in out
    assert "/b[0]" in out


def test_bad_input(backends, model, edgetrain):
    for names, words in (
        ("numpy", "needs two backends"),
        ("numpy,numpy", "needs two backends"),
        ("numpy,absent", "there is no such device here"),
        ("numpy,magic", "got 'magic'"),
    ):
        code, out, err = edgetrain(*parity(model, names))
        assert (code, out) == (1, "")
        assert words in err
