"""What does not fit is refused with options that do, and the linker holds the ceilings."""

import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from edgetrain.architectures import ds_cnn, mlp
from edgetrain.errors import ModelError
from edgetrain.exporters.c_sizes import size
from edgetrain.exporters.c_tests.packages_test import call, tool
from edgetrain.exporters.c_writing.ceilings import Ceilings
from edgetrain.exporters.c_writing.targets import TARGETS
from edgetrain.exporters.to_c import to_c
from edgetrain.journal_header import header
from edgetrain.memory import candidates
from edgetrain.quantize import quantize
from edgetrain.rules import Backprop, ForwardGradient, MonoForward, configured
from edgetrain.settings import Settings

M4 = TARGETS["cortex-m4"]


def quantized(network):
    rng = np.random.default_rng(0)
    return quantize(network, rng.normal(0, 1, (4, *network.graph.input_shape)).astype(np.float32))


MODEL = quantized(ds_cnn((25, 10, 1), 12, channels=32))
RULE = MonoForward(settings=Settings(weights="w16", batch=4))


def refused(rule, batch, **most):
    with pytest.raises(ModelError) as error:
        to_c(MODEL, "net", rule, batch, ceilings=Ceilings("cortex-m4", **most))
    return str(error.value)


def taken(option, rule, batch):
    """Return what an option of a refusal takes."""
    words = dict(re.findall(r"--(\w+) (\S+)", option))
    if "batch" in words:
        batch = int(words["batch"])
        rule = configured(rule, batch=batch)
    if "weights" in words:
        rule = configured(rule, weights=words["weights"])
    if "train" in words:
        rule = configured(rule, train=int(words["train"]))
    if "rule" in words:
        kind = " ".join(
            [words["rule"].replace("-", "_"), *([words["space"]] if "space" in words else [])]
        )
        (rule,) = [
            other for name, blocks, other in candidates(MODEL, replace(rule.settings, batch=batch))
            if name == kind and words.get("blocks", blocks) == blocks
        ]  # fmt: skip
    return size(MODEL, M4, rule, batch)


def options(message):
    """Return the options of a refusal, and what it says that they take."""
    cure = message.split(": ", 1)[1]
    return [(option, int(number.replace(",", "")))
            for option, number in re.findall(r"(--[^(]+) fits \(([\d,]+)\)", cure)]  # fmt: skip


def test_a_refusal_names_what_fits():
    need = size(MODEL, M4, RULE, 4).ram
    others = [MonoForward(settings=RULE.settings, blocks="layer"),
              ForwardGradient(settings=RULE.settings, space="weight")]  # fmt: skip
    most = max(size(MODEL, M4, other, 4).ram for other in others)
    assert most < need
    message = refused(RULE, 4, ram=most)
    assert message.startswith(
        f"net with mono_forward needs {need:,} bytes of RAM, the ceiling is {most:,}: "
    )
    found = options(message)
    kinds = {option.split()[0] for option, _ in found}
    assert {"--batch", "--train", "--rule"} <= kinds
    assert any("--blocks" in option for option, _ in found)
    assert any("--space" in option for option, _ in found)
    for option, number in found:
        assert taken(option, RULE, 4).ram == number <= most


def test_the_largest_number_of_layers_that_fits_is_named():
    need = size(MODEL, M4, Backprop()).ram
    (k,) = [int(option.split()[1]) for option, _ in options(refused(Backprop(), 1, ram=need - 1))
            if option.startswith("--train")]  # fmt: skip
    fits = [size(MODEL, M4, Backprop(settings=Settings(train=n))).ram < need for n in range(1, 10)]
    assert k == max(n for n, fit in enumerate(fits, 1) if fit)


def test_flash_has_a_ceiling_too():
    message = refused(RULE, 1, flash=40_000)
    assert "bytes of flash, the ceiling is 40,000" in message
    for option, number in options(message):
        assert taken(option, RULE, 1).flash == number <= 40_000


def test_nothing_fits():
    message = refused(ForwardGradient(), 1, ram=1000, flash=1000)
    assert "bytes of RAM, the ceiling is 1,000 and " in message
    least = size(MODEL, M4, ForwardGradient(settings=Settings(train=1)))
    assert message.endswith(
        f"nothing that was tried fits, the least is --train 1 ({least.ram:,}, {least.flash:,})"
    )


def test_what_fits_exactly_is_written():
    need = size(MODEL, M4, RULE, 4)
    ceilings = Ceilings("cortex-m4", need.ram, need.flash)
    assert to_c(MODEL, "net", RULE, 4, ceilings=ceilings) == to_c(MODEL, "net", RULE, 4)
    with pytest.raises(ModelError, match="RAM"):
        to_c(MODEL, "net", RULE, 4, ceilings=replace(ceilings, ram=need.ram - 1))
    with pytest.raises(ModelError, match="flash"):
        to_c(MODEL, "net", RULE, 4, ceilings=replace(ceilings, flash=need.flash - 1))


def test_a_journal_has_its_share():
    """An open frame of 41 bytes with one query a step, and in flash at least the header."""
    rule = ForwardGradient(space="weight", head="same")
    need = size(MODEL, M4, rule)
    with pytest.raises(ModelError, match=f"{need.ram + 41:,} bytes of RAM, the ceiling is"):
        to_c(MODEL, "net", rule, ceilings=Ceilings("cortex-m4", need.ram), journal=True)
    with pytest.raises(ModelError, match="bytes of flash") as error:
        to_c(MODEL, "net", rule, ceilings=Ceilings("cortex-m4", flash=need.flash), journal=True)
    asked = int(re.search(r"needs ([\d,]+) bytes", str(error.value))[1].replace(",", ""))
    assert asked > need.flash + len(header(rule, MODEL, 0).packed())
    roomy = Ceilings("cortex-m4", need.ram + 41, asked)
    assert to_c(MODEL, "net", rule, ceilings=roomy, journal=True)


@pytest.mark.parametrize("most", [{"ram": 0}, {"flash": -5}])
def test_a_ceiling_is_at_least_a_byte(most):
    with pytest.raises(ValueError, match="must be at least 1 byte"):
        Ceilings("cortex-m4", **most)


def test_an_unknown_target_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"cortex-m0, .*, host, got 'cortex-m99'"):
        Ceilings("cortex-m99")


APPLICATION = """
cmake_minimum_required(VERSION 3.13)
project(application C)
add_subdirectory(net)
add_executable(application main.c)
target_link_libraries(application PRIVATE net)
"""
MAIN = """
#include "net.h"
static int8_t x[NET_INPUTS], y[NET_OUTPUTS];
int main(void) {
    const int32_t label = 0;
    net_init();
    return (int)net_train(x, &label, 0) + (int)net_infer(x, y);
}
"""


def put(folder, target):
    """Write a package for a target, and return a command that configures it there."""
    ceilings = Ceilings(target, 64 << 10, 128 << 10)
    files = to_c(quantized(mlp((64,), 10)), "net", package="cmake", ceilings=ceilings)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    toolchain = folder / f"{target}.cmake"
    return tool("cmake"), "-B", "build", "-G", "Ninja", "--toolchain", toolchain


@pytest.mark.parametrize("target", TARGETS)
def test_a_toolchain_builds_the_library_for_its_target(target, tmp_path):
    if not shutil.which(TARGETS[target].compiler):
        pytest.skip(
            f"{target}: {TARGETS[target].compiler} is not installed; CI has all but Espressif's"
        )
    call(*put(tmp_path, target), cwd=tmp_path)
    call(tool("ninja"), "-C", "build", "-v", cwd=tmp_path)
    assert (tmp_path / "build" / "libnet.a").is_file()


@pytest.mark.parametrize("kind", ["ram", "flash"])
def test_the_linker_holds_the_ceilings(kind, tmp_path):
    """A firmware with the package links; where the ceiling is lower than its need it does not."""
    if not shutil.which(M4.compiler):
        pytest.skip(f"needs {M4.compiler}: apt-get install gcc-arm-none-eabi")
    configure = put(tmp_path / "net", "cortex-m4")
    (tmp_path / "CMakeLists.txt").write_text(APPLICATION)
    (tmp_path / "main.c").write_text(MAIN)
    call(*configure, "-DCMAKE_EXE_LINKER_FLAGS=--specs=nosys.specs", cwd=tmp_path)
    call(tool("ninja"), "-C", "build", cwd=tmp_path)
    script = tmp_path / "net" / "net.ld"
    lowered = re.sub(rf"(net_{kind}_ceiling = )\d+", r"\g<1>9000", script.read_text())
    script.write_text(lowered)
    (tmp_path / "main.c").touch()
    done = subprocess.run(
        [tool("ninja"), "-C", "build"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    wanted = {
        "ram": "the ceiling of 65536 bytes of RAM",
        "flash": "the ceiling of 131072 bytes of flash",
    }
    assert f"net: {'variables' if kind == 'ram' else 'code'}" in done.stdout
    assert wanted[kind] in done.stdout
