"""Models and a place for them."""

import pytest

from edgetrain.architectures import mlp
from edgetrain.files_tests.cases import EVERY_OPERATION, drawn, int8, rich


@pytest.fixture(scope="module")
def model():
    return rich(int8(drawn(EVERY_OPERATION)))


@pytest.fixture(scope="module")
def small():
    return int8(mlp((4,), 3, hidden=(5,)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"
