"""What the tests of all backends share."""

from types import ModuleType

import pytest

from edgetrain import kernels
from edgetrain.errors import BackendError


@pytest.fixture(scope="module", params=[name for name in kernels.BACKENDS if name != "numpy"])
def backend(request: pytest.FixtureRequest) -> ModuleType:
    """Return every backend but the specification; skip where one cannot run."""
    try:
        return kernels.load(request.param)
    except BackendError as error:
        pytest.skip(str(error))
