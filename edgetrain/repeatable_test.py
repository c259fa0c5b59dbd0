"""Quantizing gives the same file, whatever does the float arithmetic."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from edgetrain.architectures import ds_cnn, mlp
from edgetrain.errors import ModelError
from edgetrain.model import FloatModel, Weights
from edgetrain.quantize import quantize
from edgetrain.reals import forward

PROGRAM = """
import numpy as np
from edgetrain.arithmetic.activations import FUNCTIONS
from edgetrain.architectures import autoencoder, ds_cnn
from edgetrain.files import save
from edgetrain.files_tests.cases import EVERY_OPERATION, drawn
from edgetrain.quantize import quantize

for network in (autoencoder((640,)), ds_cnn((49, 10, 1), 12), drawn(EVERY_OPERATION)):
    x = np.random.default_rng(0).normal(size=(128, *network.graph.input_shape))
    for method in ("min_max", "percentile"):
        model = quantize(network, x.astype(np.float32), method)
        save(model, f"{x.shape}, {method}")
for name, function in FUNCTIONS.items():
    function(np.linspace(-20, 20, 99999)).tofile(name)
"""
VECTORS = " ".join(np.show_config(mode="dicts")["SIMD Extensions"].get("found", []))
MACHINES = {
    "one thread": {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    "two threads": {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
    "no vectors": {"NPY_DISABLE_CPU_FEATURES": VECTORS},
}
if platform.machine() in ("x86_64", "AMD64"):
    MACHINES["an old kernel"] = {"OPENBLAS_CORETYPE": "Prescott"}
    MACHINES["a new kernel"] = {"OPENBLAS_CORETYPE": "Haswell"}


def quantized(folder, **machine):
    """Run PROGRAM in a folder; return what it leaves there."""
    folder.mkdir()
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path, **machine},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    return quantized(tmp_path_factory.mktemp("here") / "files")


@pytest.mark.parametrize("machine", MACHINES)
def test_a_model_is_the_same_on_every_machine(here, machine, tmp_path):
    there = quantized(tmp_path / "files", **MACHINES[machine])

    assert len(there) == 6 + 5
    assert [name for name in here if there[name] != here[name]] == []


def test_a_sum_does_not_depend_on_its_order():
    rng = np.random.default_rng(1)
    real = mlp((999,), 7, hidden=())
    ((name, (w, b)),) = real.params.items()
    x, order = rng.normal(size=(5, 999)).astype(np.float32), rng.permutation(999)
    turned = FloatModel(real.graph, {name: Weights(w[:, order], b)})

    y = forward(real, x)[name]
    np.testing.assert_array_equal(forward(turned, x[:, order])[name], y)
    np.testing.assert_allclose(y, x.astype(np.float64) @ w.T.astype(np.float64) + b, atol=3e-6)
    assert (y != x[:, order] @ w[:, order].T + b).any()  # as float32 does


def test_a_result_does_not_depend_on_the_rest_of_its_batch():
    real = ds_cnn((25, 10, 1), 4, channels=8)
    x = np.random.default_rng(2).normal(size=(6, 25, 10, 1)).astype(np.float32)
    x[3] *= 1000

    whole, alone = forward(real, x), forward(real, x[2:3])
    for name, value in whole.items():
        np.testing.assert_array_equal(value[2:3], alone[name])


def test_results_that_leave_float32_are_refused():
    real = mlp((4,), 3, hidden=(5,))
    params = {name: Weights(w * np.float32(1e25), b) for name, (w, b) in real.params.items()}
    x = np.ones((8, 4), np.float32)
    with pytest.raises(ModelError, match=r"node 'classifier': results .* leave float32"):
        quantize(FloatModel(real.graph, params), x)
