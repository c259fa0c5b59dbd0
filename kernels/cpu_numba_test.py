import numpy as np
import pytest

pytest.importorskip("numba", reason="Numba is not installed")

from edgetrain.fixed import Key, Window
from edgetrain.kernels import cpu_numba, cpu_numba_jit


def test_wrong_shapes_are_refused():
    x, w, b = (
        np.zeros((2, 5, 5, 4), np.int8),
        np.zeros((6, 3, 3, 4), np.int8),
        np.zeros(6, np.int32),
    )
    window = Window((3, 3), (1, 1), (0, 0, 0, 0))
    e, ratio = np.zeros((2, 3, 3, 6), np.int8), np.ones(6, np.int16)

    for wrong in [(x, w[..., :3], b), (x, w, b[:5]), (x[..., :3], w, b), (x, w[:, :2], b)]:
        with pytest.raises(ValueError, match="must have shape"):
            cpu_numba.conv2d_acc(*wrong, 0, window)
    with pytest.raises(ValueError, match="groups must divide"):
        cpu_numba.conv2d_acc(x, w, b, 0, window._replace(groups=3))
    with pytest.raises(ValueError, match="e must have shape"):
        cpu_numba.conv2d_grad_w(x, e[:, :2], 0, window)
    with pytest.raises(ValueError, match="ratio must have shape"):
        cpu_numba.conv2d_grad_x(e, w, ratio[:5], x.shape, window)
    with pytest.raises(ValueError, match="acc must have shape"):
        cpu_numba.update_int8(w, b, b, Key(1, 2))


def test_a_kernel_is_compiled_where_nothing_can_be_cached(monkeypatch):
    monkeypatch.setattr(cpu_numba_jit, "folder", lambda: None)

    with pytest.warns(UserWarning, match="set NUMBA_CACHE_DIR to a folder that can be written"):
        twice = cpu_numba_jit.jit(lambda x: 2 * x)

    assert twice(3) == 6
