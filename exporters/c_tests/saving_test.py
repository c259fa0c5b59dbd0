"""What a program has learned survives a restart; another program's record does not get in."""

import ctypes

import numpy as np
import pytest

from edgetrain.exporters.c_tests.compiled import Firmware
from edgetrain.exporters.c_tests.store_test import ERASE, FOREIGN, MOVE, NO_RECORD, Flash
from edgetrain.exporters.c_tests.training_test import RULES, batches, network
from edgetrain.rules import Backprop, MonoForward
from edgetrain.settings import Settings

PAGE, SLOT = 1024, 128 * 1024


@pytest.fixture
def flash():
    """A flash in memory that never fails."""
    memory = np.full(2 * SLOT, 255, np.uint8)

    @MOVE
    def read(_context, address, to, size):
        ctypes.memmove(to, memory[address:].ctypes.data, size)
        return 0

    @MOVE
    def write(_context, address, source, size):
        memory[address : address + size] &= np.frombuffer(ctypes.string_at(source, size), np.uint8)
        return 0

    @ERASE
    def erase(_context, address):
        memory[address : address + PAGE] = 255
        return 0

    return Flash(None, read, write, erase, PAGE, 8, (0, SLOT), SLOT)


def call(firmware, what, flash):
    return getattr(firmware.library, f"net_{what}")(ctypes.byref(flash))


@pytest.mark.parametrize(
    "rule",
    ["mono_forward", "mono_forward, layer, w16", "forward_gradient", "backprop, momentum, w16",
     "forward_forward, channel, momentum, last three"],
)  # fmt: skip
def test_a_run_goes_on_after_a_restart(rule, flash, tmp_path):
    c = Firmware(tmp_path, network("cnn"), RULES[rule]())
    steps = list(batches(network("cnn"), 1, 6))
    assert call(c, "load", flash) == NO_RECORD
    for x, y in steps[:3]:
        c.train(x, y)
    saved = c.trace()
    assert call(c, "save", flash) == 0
    for x, y in steps[3:]:
        c.train(x, y)
    reached = c.trace()

    c.library.net_init()
    assert call(c, "load", flash) == 0
    assert c.trace() == saved
    for x, y in steps[3:]:
        c.train(x, y)
    assert c.trace() == reached


def test_the_record_of_another_rule_is_foreign(flash, tmp_path):
    folders = tmp_path / "a", tmp_path / "b"
    for folder in folders:
        folder.mkdir()
    model = network("mlp")
    first = Firmware(folders[0], model, MonoForward(blocks="network"))
    other = Firmware(folders[1], model, Backprop(settings=Settings(learning_rate=0.5)))
    assert call(first, "save", flash) == 0
    before = other.trace()
    assert call(other, "load", flash) == FOREIGN
    assert other.trace() == before
