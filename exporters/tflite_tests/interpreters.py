"""Run a .tflite file in each interpreter that is installed here."""

import importlib.util
from collections.abc import Callable

import numpy as np

SHARED = "shared"


def _missing(module: str) -> bool:
    return importlib.util.find_spec(module) is None


def _run_micro(content: bytes, x: np.ndarray) -> np.ndarray:
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content)
    shape = interpreter.get_input_details(0)["shape"]
    results = []
    for sample in x:
        interpreter.set_input(sample.reshape(shape), 0)
        interpreter.invoke()
        results.append(interpreter.get_output(0))
    return np.concatenate(results)


def _lite(module: str, resolver: str) -> Callable[[bytes, np.ndarray], np.ndarray]:
    def run(content: bytes, x: np.ndarray) -> np.ndarray:
        lite = importlib.import_module(f"{module}.interpreter")
        kind = getattr(lite.OpResolverType, resolver)
        interpreter = lite.Interpreter(model_content=content, experimental_op_resolver_type=kind)
        (start,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
        one_by_one = start["shape_signature"][0] != -1
        batches = [s[None] for s in x] if one_by_one else [x]
        shape = [len(batches[0]), *start["shape"][1:]]
        if not one_by_one:
            interpreter.resize_tensor_input(start["index"], shape)
        interpreter.allocate_tensors()
        results = []
        for batch in batches:
            interpreter.set_tensor(start["index"], batch.reshape(shape))
            interpreter.invoke()
            results.append(interpreter.get_tensor(end["index"]))
        return np.concatenate(results)

    return run


INTERPRETERS = {
    "tflite_micro": ("tflite_micro", _run_micro),
    "tflite_runtime_ref": ("tflite_runtime", _lite("tflite_runtime", "BUILTIN_REF")),
    "tflite_runtime": ("tflite_runtime", _lite("tflite_runtime", "BUILTIN")),
    "litert_ref": ("ai_edge_litert", _lite("ai_edge_litert", "BUILTIN_REF")),
    "litert": ("ai_edge_litert", _lite("ai_edge_litert", "AUTO")),
}
"""Name of an interpreter and its kernels, the package it comes in, and how it runs a file."""
EXACT = ("tflite_micro", "tflite_runtime_ref")
"""Those that round as we do, in every operator."""
HERE = [name for name, (module, _) in INTERPRETERS.items() if not _missing(module)]


def run(interpreter: str, content: bytes, x: np.ndarray) -> np.ndarray:
    """Return the outputs for samples, int8 or float32 (samples, ...)."""
    return INTERPRETERS[interpreter][1](content, x)


def largest_difference(a: np.ndarray, b: np.ndarray) -> int:
    """Return the largest difference of two int8 arrays of one size."""
    return int(np.abs(a.astype(np.int32).ravel() - b.astype(np.int32).ravel()).max(initial=0))
