"""Programs as WebAssembly modules, in wasmtime."""

import threading
from collections.abc import Sequence
from typing import Any

import wasmtime

from edgetrain.device_tests.program import (
    BoardError,
    BoardFaultError,
    BoardTimeoutError,
    Program,
    Reply,
)

FUEL = 1 << 60


def run(
    program: Program, frames: Sequence[bytes], *, count: bool = False, uncounted: int = 0,
    timeout_s: float = 60,
) -> list[Reply]:  # fmt: skip
    """Call `frame_run` for each frame; see `run.run`. An operation of wasm is an instruction."""
    config = wasmtime.Config()
    config.consume_fuel = count
    config.epoch_interruption = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    if count:
        store.set_fuel(FUEL)
    store.set_epoch_deadline(1)
    instance = wasmtime.Instance(store, wasmtime.Module.from_file(engine, str(program.path)), [])
    timer = threading.Timer(timeout_s, engine.increment_epoch)
    timer.start()
    try:
        exports = instance.exports(store)
        return [
            _call(program, store, exports, frame, count and i >= uncounted)
            for i, frame in enumerate(frames)
        ]
    except wasmtime.Trap as error:
        if error.trap_code == wasmtime.TrapCode.INTERRUPT:
            raise BoardTimeoutError(
                f"{program.name} did not finish {len(frames)} frames in {timeout_s:g} s"
            ) from error
        raise BoardFaultError(f"{program.name} faulted: {error}") from error
    finally:
        timer.cancel()


def _call(program: Program, store: Any, exports: Any, frame: bytes, count: bool) -> Reply:
    memory = exports["memory"]

    def address(name: str) -> int:
        return int(exports[f"frame_{name}"].value(store))

    def number(name: str) -> int:
        return int.from_bytes(memory.read(store, address(name), address(name) + 4), "little")

    if len(frame) != number("in_size"):
        raise BoardError(
            f"{program.name} takes frames of {number('in_size')} bytes, got {len(frame)}"
        )
    memory.write(store, frame, address("in"))
    before = store.get_fuel() if count else 0
    exports["frame_run"](store)
    used = before - store.get_fuel() if count else None
    data = memory.read(store, address("out"), address("out") + number("out_size"))
    return Reply(bytes(data), used)
