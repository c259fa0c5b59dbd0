"""The journal of every board: a host replays it, and so does the board when it starts again."""

import struct

import numpy as np
import pytest

from edgetrain import fixed
from edgetrain.architectures import ds_cnn, mlp
from edgetrain.device_tests.build import build, support
from edgetrain.device_tests.run import run
from edgetrain.exporters.to_c import to_c
from edgetrain.journal import read_journal
from edgetrain.quantize import quantize
from edgetrain.replay import replay
from edgetrain.rules import ForwardGradient
from edgetrain.settings import Settings
from edgetrain.state import trace

HEADER, INIT, TRAIN, CLOSE, REPLAY = range(5)
OK, CORRUPT = 0, -4
QUERIES, SEED, CLASSES = 3, 6, 4
FRAME_BYTES = 1 + 128 * QUERIES // 4 + 8
LENGTHS = (3, 1, 6)
RULE = ForwardGradient(
    settings=Settings(learning_rate=0.05, schedule="linear", steps=40), space="weight",
    head="same", queries=QUERIES,
)  # fmt: skip
NETWORKS = {
    "mlp": mlp((12,), CLASSES, hidden=(9,)),
    "ds_cnn": ds_cnn((9, 7, 1), CLASSES, channels=4, blocks=1),
}


class Device:
    """A board that starts anew for every list of questions."""

    def __init__(self, board, model, folder):
        sources = to_c(model, "net", RULE, seed=SEED, journal=True) | support("journal.c")
        self.program = build(board, sources, folder, flags=("-O2", "-DEDGETRAIN_TRACE"))
        self.inputs = int(np.prod(model.graph.input_shape))

    def question(self, command, x=b"", y=0, frame=b""):
        body = struct.pack("<iii", command, len(frame), y) + bytes(x).ljust(self.inputs, b"\0")
        body += frame.ljust(FRAME_BYTES, b"\0")
        return body + bytes(-len(body) % 4)

    def ask(self, *questions):
        """Return status, trace and bytes of each answer."""
        replies = run(self.program, [self.question(*question) for question in questions])
        return [(*struct.unpack_from("<iI", reply.data), reply.data[8:]) for reply in replies]


@pytest.mark.parametrize("name", NETWORKS)
def test_host_and_board_replay_the_journal_of_a_board(board, objects, name):
    net, rng = NETWORKS[name], np.random.default_rng(3)
    calibration = rng.normal(size=(8, *net.graph.input_shape)).astype(np.float32)
    model = quantize(net, calibration, headroom=2.0)
    device = Device(board, model, objects)
    x = rng.integers(-128, 128, (sum(LENGTHS), *net.graph.input_shape)).astype(np.int8)
    lessons = [(TRAIN, codes.tobytes(), i % CLASSES) for i, codes in enumerate(x)]
    asked, rest = [(HEADER,), (INIT,)], iter(lessons)
    for length in LENGTHS:
        asked += [*[next(rest) for _ in range(length)], (CLOSE,)]
    told = device.ask(*asked)
    status = [answer[0] for question, answer in zip(asked, told, strict=True)
              if question[0] == TRAIN]  # fmt: skip
    traces = [answer[1] for question, answer in zip(asked, told, strict=True)
              if question[0] == TRAIN]  # fmt: skip
    head, *frames = (
        data[:size] for (command, *_), (size, _, data) in zip(asked, told, strict=True)
        if command in (HEADER, CLOSE)
    )  # fmt: skip
    journal = read_journal(head + b"".join(frames))

    assert status == [OK] * len(lessons)
    assert tuple(frame.steps for frame in journal.frames) == LENGTHS
    for step in range(1, len(x) + 1):
        assert int(trace(*replay(model, journal, ops=fixed, step=step)), 16) == traces[step - 1]

    damaged = frames[1][:2] + bytes([frames[1][2] ^ 1]) + frames[1][3:]
    again = device.ask(
        (INIT,), (REPLAY, b"", 0, frames[0]), (REPLAY, b"", 0, frames[2]),
        (REPLAY, b"", 0, damaged), (REPLAY, b"", 0, frames[1][:-1]), (REPLAY, b"", 0, frames[1]),
        *lessons[4:],
    )  # fmt: skip
    assert [status for status, *_ in again[1:6]] == [OK, CORRUPT, CORRUPT, CORRUPT, OK]
    assert {found for _, found, _ in again[1:5]} == {traces[2]}  # nothing was changed
    assert [found for _, found, _ in again[5:]] == traces[3:]
