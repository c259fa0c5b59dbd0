import time

import pytest

from edgetrain.benchmark import timing


def spin(seconds):
    def call():
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass

    return call


def test_ratios_are_those_of_the_calls():
    found = timing.compare({"one": spin(2e-4), "three": spin(6e-4)}, rounds=15, burst=1e-3)

    assert found["one"].ratio == 1
    assert 2 < found["three"].ratio < 4.5
    assert 2e-4 <= found["one"].seconds < 2e-3


def test_candidates_take_turns():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}

    timing.compare(calls, rounds=3, burst=0)

    turns = [name for i, name in enumerate(order) if i == 0 or name != order[i - 1]]
    assert turns == list("abababab")  # the first turns are not timed


def test_nothing_to_time_is_refused():
    for calls, rounds in [({}, 3), ({"a": lambda: None}, 0)]:
        with pytest.raises(ValueError, match="there must be calls and rounds"):
            timing.compare(calls, rounds)
