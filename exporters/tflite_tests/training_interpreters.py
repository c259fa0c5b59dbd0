"""Run training files, and single operations, with every kind of kernels that is here."""

import numpy as np

from edgetrain.exporters.tflite_tests.interpreters import _missing
from edgetrain.exporters.tflite_training.run import runners
from edgetrain.exporters.tflite_training.tensor import tensor
from edgetrain.exporters.tflite_writing.file import File, Subgraph

PACKAGES = [p for p in ("ai_edge_litert", "tflite_runtime") if not _missing(p)]
RESOLVERS = ("AUTO", "BUILTIN", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "BUILTIN_REF")
KERNELS = [f"{package}/{resolver}" for package in PACKAGES for resolver in RESOLVERS]
"""Package and kind of its kernels."""


def load(content, kernels):
    """Return what calls each signature of a file."""
    package, resolver = kernels.split("/")
    return runners(content, resolver, package)


def check(operation, wanted, *arrays):
    """Assert that an operation on tensors gives an array, or several, with all kernels."""
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    file = File()
    graph = Subgraph(file, "main")
    inputs = {f"x{i}": tensor(graph, f"x{i}", a.dtype, a.shape) for i, a in enumerate(arrays)}
    results = operation(*inputs.values())
    results = results if isinstance(results, tuple) else (results,)
    outputs = {f"y{i}": result for i, result in enumerate(results)}
    graph.ends([t.index for t in inputs.values()], [t.index for t in outputs.values()])
    ends = ({name: t.index for name, t in some.items()} for some in (inputs, outputs))
    file.signature("main", graph.index, *ends)
    content = file.finish({"edgetrain": "test"})
    for kernels in KERNELS:
        found = load(content, kernels)["main"](**dict(zip(inputs, arrays, strict=True)))
        for (name, declared), right in zip(outputs.items(), wanted, strict=True):
            assert (found[name].shape, found[name].dtype) == (declared.shape, declared.dtype)
            right = np.asarray(right).reshape(declared.shape)
            np.testing.assert_array_equal(found[name], right, err_msg=f"{kernels} {name}")


def numbers(values):
    """Return an int32 vector."""
    return np.atleast_1d(np.asarray(values)).astype(np.int32)
