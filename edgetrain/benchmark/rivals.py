"""What the times are compared with, where it is installed."""

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import numpy as np

from edgetrain.benchmark.cases import Subject
from edgetrain.benchmark.timing import Call
from edgetrain.exporters import load

MODULES = MappingProxyType(
    {"torch": "torch", "onnxruntime": "onnxruntime", "ai-edge-litert": "ai_edge_litert"}
)
"""Package and module of each rival."""


def installed() -> Mapping[str, str]:
    """Return the versions of the rivals that are here, by package."""
    found = {}
    for package, module in MODULES.items():
        if find_spec(module):
            try:
                found[package] = version(package)
            except PackageNotFoundError:
                found[package] = "unknown"
    return found


def litert(subject: Subject, threads: int) -> Call:
    """Run the int8 network in LiteRT with its default kernels, XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    (content,) = load("to_tflite")(subject.model).values()
    runner = Interpreter(model_content=content, num_threads=threads)
    place = runner.get_input_details()[0]["index"]
    runner.resize_tensor_input(place, list(subject.codes.shape))
    runner.allocate_tensors()
    runner.set_tensor(place, subject.codes)
    return runner.invoke


def onnxruntime(subject: Subject, threads: int) -> Call:
    """Run the int8 network in ONNX Runtime, as quantize-dequantize pairs that it fuses."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    (content,) = load("to_onnx")(subject.model, form="qdq").values()
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    x = subject.x if subject.x.ndim == 2 else np.ascontiguousarray(subject.x.transpose(0, 3, 1, 2))
    given = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, given)


def torch_inference(subject: Subject, threads: int) -> Call:
    """Run the float32 network in torch."""
    import torch

    from edgetrain.benchmark.torch_nets import module, samples

    torch.set_num_threads(threads)
    net, x = module(subject.real), samples(subject.x)

    def run() -> Any:
        with torch.inference_mode():
            return net(x)

    return run


INFERENCE: Mapping[str, tuple[str, Callable[[Subject, int], Call]]] = MappingProxyType(
    {
        "LiteRT int8": ("ai-edge-litert", litert),
        "ONNX Runtime int8": ("onnxruntime", onnxruntime),
        "torch float32": ("torch", torch_inference),
    }
)
"""Name, package, and what makes the call."""
