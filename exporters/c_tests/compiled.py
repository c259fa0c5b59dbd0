"""Compile what the C exporter writes, and call it."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

from edgetrain.exporters.to_c import to_c

COMPILER = shutil.which("cc")
STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror")


class Firmware:
    """A model and a rule in C, in this process.

    Args:
        folder: to compile in; a new one for each.
        model: as `to_c` takes it, and so are the others.
    """

    def __init__(self, folder, model, rule, batch=1, seed=0, **options):
        if COMPILER is None:
            pytest.skip("needs a C compiler that is called cc")
        self.files = to_c(model, "net", rule, batch, seed, **options)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        library = folder / "net.so"
        sources = [name for name in self.files if name.endswith(".c")]
        done = subprocess.run(
            [COMPILER, *STRICT, "-DEDGETRAIN_TRACE", "-shared", "-fPIC", "-o", library, *sources],
            cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self.library = ctypes.CDLL(str(library))
        self.library.net_trace.restype = ctypes.c_uint32
        self.outputs = model.graph.output_size
        self.library.net_init()

    def trace(self):
        """Return the trace as Python writes it."""
        return f"{self.library.net_trace():08x}"

    def train(self, x, y):
        """Take a step; return the status and the loss."""
        loss = ctypes.c_int32(-1)
        status = self.library.net_train(pointer(x), pointer(y), ctypes.byref(loss))
        return status, loss.value

    def infer(self, x):
        """Return the outputs for one sample."""
        y = np.zeros(self.outputs, np.int8)
        assert self.library.net_infer(pointer(x), pointer(y)) == 0
        return y


def pointer(array):
    """Return the address of an array, or NULL."""
    return None if array is None else np.ascontiguousarray(array).ctypes.data_as(ctypes.c_void_p)
