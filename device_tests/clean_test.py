"""The kernels are clean C for every core and compiler, warnings being errors."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from edgetrain.device_tests.boards import CURES
from edgetrain.kernels.host_c_build import sources

FLAGS = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-ffreestanding")
GCC = "arm-none-eabi-gcc"
CORES = {
    "m0": ("-mcpu=cortex-m0", "-mfloat-abi=soft"),
    "m4": ("-mcpu=cortex-m4", "-mfloat-abi=soft"),
    "m4-hard": ("-mcpu=cortex-m4", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    "m7": ("-mcpu=cortex-m7", "-mfloat-abi=hard", "-mfpu=fpv5-d16"),
    "m33": ("-mcpu=cortex-m33", "-mfloat-abi=soft"),
    "m55": ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
}
TARGETS = {
    "m0": "cortex_m0", "m4": "cortex_m4", "m7": "cortex_m7", "m33": "cortex_m33+dsp",
    "m55": "cortex_m55+mve",
}  # fmt: skip


def compile_all(command, folder, form=()):
    for name, text in sources().items():
        (folder / name).write_bytes(text)

    def compile_one(path):
        call = [*command, *FLAGS, *form, "-c", path.name, "-o", f"{path.stem}.o"]
        done = subprocess.run(call, cwd=folder, capture_output=True, text=True, check=False)
        return f"{path.name}: {done.stderr}" if done.returncode or done.stderr else ""

    with ThreadPoolExecutor(2) as pool:
        return [said for said in pool.map(compile_one, sorted(folder.glob("*.c"))) if said]


@pytest.mark.skipif(not shutil.which(GCC), reason=f"{GCC} is missing: {CURES[GCC]}")
@pytest.mark.parametrize(
    ("core", "form"),
    [
        *((core, ()) for core in CORES),
        ("m55", ("-DET_PLAIN",)),
        ("m4", ("-O0",)),
        ("m55", ("-O0",)),
        ("m55", ("-Os",)),
        ("m55", ("-O1", "-fno-omit-frame-pointer")),
        ("m55", ("-Os", "-fno-omit-frame-pointer")),
    ],
)
def test_gcc_has_nothing_to_say(core, form, tmp_path):
    assert compile_all((GCC, *CORES[core], "-mthumb"), tmp_path, form) == []


@pytest.mark.skipif(not find_spec("ziglang"), reason=f"ziglang is missing: {CURES['ziglang']}")
@pytest.mark.parametrize("core", TARGETS)
def test_clang_has_nothing_to_say(core, tmp_path):
    abi = "eabihf" if core == "m55" else "eabi"
    command = (sys.executable, "-m", "ziglang", "cc", "-target", f"thumb-freestanding-{abi}",
               f"-mcpu={TARGETS[core]}")  # fmt: skip
    assert compile_all(command, tmp_path) == []
