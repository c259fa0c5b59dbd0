"""Devices on the command line: forecasts, ceilings, and what is wrong with them."""

import re

import pytest

from edgetrain.device_tests.footprint import compiler_for
from edgetrain.exporters.c_sizes import inference_size, size
from edgetrain.exporters.c_writing.targets import TARGETS
from edgetrain.files import load
from edgetrain.rules import MonoForward

STALE = 1.25
"""As in device_tests/footprint_test.py."""


@pytest.mark.parametrize("target", ["cortex-m4", "esp32"])
def test_a_forecast_for_a_device(report, folder, model, target):
    found = report("analyze", model, "--target", target)
    rows = {(row["rule"], row["blocks"]): row["memory"] for row in found["plans"]}
    assert found["target"] == target
    assert bool(found["compiler"]) == bool(compiler_for(TARGETS[target].boards))
    assert len(rows) > 5
    network, chosen = load(folder / model), TARGETS[target]
    for row, forecast in (
        (rows["inference", "-"], inference_size(network, chosen)),
        (rows["mono_forward", "layer"], size(network, chosen, MonoForward(blocks="layer"))),
    ):
        for name in ("weights_flash", "constants_flash", "weights_ram", "state_ram", "arena"):
            assert row[name] == getattr(forecast, name)
        assert 0 < row["stack"] <= STALE * forecast.stack
        assert 0 < row["code"] <= STALE * forecast.code
        assert row["ram"] == sum(row[n] for n in ("weights_ram", "state_ram", "arena", "stack"))
        assert row["flash"] == sum(row[n] for n in ("weights_flash", "constants_flash", "code"))


def test_tables_for_a_device(edgetrain, model):
    code, out, err = edgetrain("analyze", model, "--target", "cortex_m4", "--rule", "backprop")
    assert code == 0
    assert "bytes of RAM on cortex-m4, batch 1" in out
    assert "bytes of flash on cortex-m4, batch 1" in out
    assert "backprop, last layer" in out
    assert "mono_forward" not in out
    assert "stack and code" in err


def test_one_rule(report, model):
    found = report("analyze", model, "--rule", "forward-gradient")
    assert {row["rule"] for row in found["plans"]} == {
        "forward_gradient activity", "forward_gradient weight",
    }  # fmt: skip


def test_an_export_below_its_ceilings(report, folder, model):
    found = report("export", model, "--to", "c", "-o", "fits", "--target", "cortex-m4",
                   "--ram", "64K", "--flash", "1M", "--name", "net")  # fmt: skip
    assert {"fits/net.ld", "fits/cortex-m4.cmake"} <= set(found["files"])
    script = (folder / "fits" / "net.ld").read_text()
    assert "net_ram_ceiling = 65536;" in script
    assert "net_flash_ceiling = 1048576;" in script
    assert "-mcpu=cortex-m4" in (folder / "fits" / "cortex-m4.cmake").read_text()


def test_what_a_refusal_names_is_accepted_word_for_word(edgetrain, report):
    report("new", "--arch", "cnn", "--data", "digits.npz", "-o", "cnn.st")
    command = ("export", "cnn.st", "--to", "c", "-o", "fits", "--name", "net", "--weights", "w16",
               "--batch", "8", "--target", "cortex-m4", "--ram", "24K")  # fmt: skip
    code, _, err = edgetrain(*command)
    assert code == 1
    found = re.findall(r"(--[^(]+) fits", err)
    assert len(found) > 1
    assert any("--weights w8 --batch 1" in option for option in found)
    for option in found:
        assert "fits/src/net.c" in report(*command, *option.split())["files"]


TARGET = ("--target", "cortex-m4")
KNOWN = "target must be one of cortex-m0, "


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*TARGET, "--ram", "8K"), "bytes of RAM, the ceiling is 8,192: --"),
        ((*TARGET, "--ram", "1K"), "the ceiling is 1,024: nothing that was tried fits"),
        ((*TARGET, "--flash", "16K"), "bytes of flash, the ceiling is 16,384: "),
        ((*TARGET, "--ram", "lots"), "--ram must be a size such as 131072, 128K or 1M, got 'lots'"),
        ((*TARGET, "--ram", "0K"), "--ram must be a size"),
        ((*TARGET, "--ram", ""), "--ram must be a size"),
        ((*TARGET, "--flash", "-5"), "--flash must be a size"),
        ((*TARGET, "--flash", "1.5M"), "--flash must be a size"),
        ((*TARGET, "--flash", "5G"), "--flash must be a size"),
        (("--target", "z80"), KNOWN),
        (("--ram", "8K"), "--ram and --flash need --target, one of cortex-m0, "),
    ],
)
def test_a_bad_ceiling_is_one_sentence_and_nothing_is_written(
    edgetrain, folder, model, arguments, message
):
    before = sorted(path.name for path in folder.iterdir())
    code, out, err = edgetrain("export", model, "--to", "c", "-o", "never", *arguments)
    assert (code, out) == (1, "")
    assert err.count("edgetrain: error: ") == 1
    assert message in err
    assert sorted(path.name for path in folder.iterdir()) == before


def test_an_unknown_target_or_rule_of_a_forecast(edgetrain, model):
    code, _, err = edgetrain("analyze", model, "--target", "z80")
    assert (code, KNOWN in err) == (1, True)
    code, _, err = edgetrain("analyze", model, "--rule", "hebb")
    assert (code, "--rule must be one of mono_forward, " in err) == (1, True)


def test_ceilings_are_of_c_only(edgetrain, model):
    code, _, err = edgetrain("export", model, "--to", "onnx", "-o", "never", *TARGET)
    assert code == 1
    assert "no option of the format onnx" in err
