"""`edgetrain doctor`: what is installed, what is missing and how to get it."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

import typer

from edgetrain import __version__, kernels
from edgetrain.cli import options
from edgetrain.cli.console import report, table
from edgetrain.kernels import cpu_numba_cache

PACKAGES = ("numpy", "numba", "safetensors", "typer", "rich")
EXTRAS = {
    "onnx": "onnx", "onnxruntime": "onnx", "ai-edge-litert": "tflite",
    "tflite-runtime": "tflite-runtime", "torch": "torch", "triton": "gpu", "ziglang": "device",
    "unicorn": "device", "pyelftools": "device", "wasmtime": "device", "pyserial": "device",
}  # fmt: skip
"""Packages that only a crossing of formats, a GPU or a board needs, and the extra for each."""


def doctor(seed: options.Seed = 0, json: options.Json = False) -> None:
    """Say what is installed, what is missing and how to get it.

    Example: `edgetrain doctor`
    """
    found = {
        "edgetrain": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 1,
        **{name: _version(name) for name in (*PACKAGES, *EXTRAS)},
        "backend": kernels.default(),
        "cache": str(cpu_numba_cache.folder()),
        "missing": _missing(),
    }
    if json:
        report(found, True)
        return
    rows = [[name, str(value)] for name, value in found.items() if name != "missing"]
    table("edgetrain doctor", ("what", "found"), rows)
    for line in found["missing"] or ["nothing is missing"]:
        typer.echo(line)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _missing() -> list[str]:
    """Say what is missing, each with its cure."""
    lines = [
        f"{name} is not installed: pip install {name}"
        for name in PACKAGES
        if _version(name) == "not installed"
    ]
    reason = kernels.why_not_numba()
    if reason:
        lines.append(f"the backend numba cannot run: {reason}; numpy gives the same bits")
    if cpu_numba_cache.folder() is None:
        lines.append(
            f"compiled kernels cannot be kept, every start compiles them again: set "
            f"{cpu_numba_cache.CHOSEN} to a "
            "folder that can be written"
        )
    return lines
