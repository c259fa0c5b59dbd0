"""A device's journal: read by a host, taken again by the device, after a cut at any frame."""

import ctypes
import zlib

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import ds_cnn, mlp
from edgetrain.errors import RuleError
from edgetrain.exporters.c_tests.compiled import Firmware, pointer
from edgetrain.exporters.to_c import to_c
from edgetrain.journal import read_journal
from edgetrain.quantize import quantize
from edgetrain.replay import replay
from edgetrain.rules import Backprop, ForwardGradient
from edgetrain.settings import Settings
from edgetrain.state import trace

NETWORKS = {"mlp": lambda: mlp((12,), 4, hidden=(9,)), "ds_cnn": lambda: ds_cnn((9, 7, 2), 4)}
RULES = {
    "w8": ForwardGradient(
        settings=Settings(learning_rate=0.05, schedule="linear", steps=90), space="weight",
        head="same", queries=3,
    ),
    "w16": ForwardGradient(
        settings=Settings(learning_rate=0.05, weights="w16", momentum=0.75), space="weight",
        head="same",
    ),
}  # fmt: skip


class Device(Firmware):
    """A program with a journal, and the flash memory that the journal lies in."""

    def __init__(self, folder, model, rule):
        folder.mkdir()
        super().__init__(folder, model, rule, seed=5, journal=True)
        self.library.net_frame.restype = ctypes.c_uint32
        size = next(
            int(line.split("[")[1].split("]")[0])
            for line in self.files["net.h"].decode().splitlines()
            if line.startswith("extern const uint8_t net_journal[")
        )
        self.flash = bytes((ctypes.c_uint8 * size).in_dll(self.library, "net_journal"))
        self.ends = [size]

    def store(self):
        frame = np.zeros(5000, np.uint8)
        size = self.library.net_frame(pointer(frame), self.previous())
        self.flash += frame[:size].tobytes()
        self.ends.append(len(self.flash))

    def previous(self, end=None):
        return ctypes.c_uint32(int.from_bytes(self.flash[:end][-4:], "little"))

    def again(self, flash, start, end):
        frame = np.frombuffer(flash[start:], np.uint8)
        return self.library.net_replay(
            pointer(frame) if len(frame) else None, len(frame),
            ctypes.c_uint32(int.from_bytes(flash[start - 4 : start], "little")),
        )  # fmt: skip


@pytest.fixture(params=NETWORKS)
def model(request):
    x = np.random.default_rng(0).normal(size=(8, *NETWORKS[request.param]().graph.input_shape))
    return quantize(NETWORKS[request.param](), x.astype(np.float32), headroom=2.0)


@pytest.mark.parametrize("name", RULES)
def test_a_journal_of_a_device_is_replayed_by_host_and_device(model, name, tmp_path):
    rule, rng, traces = RULES[name], np.random.default_rng(1), []
    device = Device(tmp_path / "a", model, rule)
    for step in range(1, 41):
        x = rng.integers(-128, 128, (1, *model.graph.input_shape)).astype(np.int8)
        assert device.train(x, np.array([step % 4], np.int32))[0] == 0
        traces.append(device.trace())
        if step in (3, 10, 11, 40):
            device.store()
    device.store()
    assert device.ends[-1] == device.ends[-2]  # there was no step
    journal = read_journal(device.flash)

    assert [frame.steps for frame in journal.frames] == [3, 7, 1, 29]
    for step in (1, 10, 25, 40):
        assert trace(*replay(model, journal, ops=fixed, step=step)) == traces[step - 1]
    other = Device(tmp_path / "b", model, rule)
    for start, end, step in zip(device.ends, device.ends[1:], (3, 10, 11, 40), strict=False):
        for cut in range(start + 1, end):
            assert other.again(device.flash[:cut], start, cut) != 0
        before = other.trace()
        damaged = bytearray(device.flash)
        damaged[start + 2] ^= 4
        assert other.again(bytes(damaged), start, end) == -4
        assert other.trace() == before
        assert other.again(device.flash, start, end) == 0
        assert other.trace() == traces[step - 1]


def test_an_open_frame_is_bounded_and_a_frame_that_leads_elsewhere_is_foreign(tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 12)).astype(np.float32)
    model = quantize(NETWORKS["mlp"](), x, headroom=2.0)
    device = Device(tmp_path / "a", model, RULES["w8"])
    codes = model.quantize_input(x[:1])
    for _ in range(128):
        assert device.train(codes, np.array([1], np.int32))[0] == 0
    before = device.trace()
    assert device.train(codes, np.array([1], np.int32))[0] == -1
    assert device.again(device.flash, device.ends[0], 0) == -1
    assert device.trace() == before
    device.store()
    assert device.train(codes, np.array([1], np.int32))[0] == 0
    assert read_journal(device.flash).steps == 128

    start = device.ends[0]
    frame = bytearray(device.flash[start:-4])
    frame[1] ^= 3
    frame += zlib.crc32(frame, device.previous(start).value).to_bytes(4, "little")
    other = Device(tmp_path / "b", model, RULES["w8"])
    assert other.again(device.flash[:start] + bytes(frame), start, 0) == -3


def test_rules_without_a_journal_are_refused_with_the_cure():
    x = np.random.default_rng(0).normal(size=(8, 12)).astype(np.float32)
    model = quantize(NETWORKS["mlp"](), x)
    for rule, words in (
        (Backprop(), "--space weight"),
        (ForwardGradient(space="weight"), "--head same"),
        (ForwardGradient(space="weight", head="same", estimate="value"), "--estimate sign"),
    ):
        with pytest.raises(RuleError, match=words):
            to_c(model, rule=rule, journal=True)
