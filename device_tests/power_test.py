"""The power of a Cortex-M4 fails at every write of a save: the old or the new weights are left.

Flash lies in the memory of the emulated board. Every byte that a save writes or erases there is
seen, so what a cut leaves is known for every moment; the board then starts again with this flash,
memory as start-up code leaves it, noise elsewhere, and loads.
"""

import random
from itertools import pairwise

import pytest

unicorn = pytest.importorskip("unicorn", reason="cuts need edgetrain[device]")

from edgetrain.device_tests.build import build, support  # noqa: E402
from edgetrain.device_tests.lesson import ask, draw  # noqa: E402
from edgetrain.device_tests.network import (  # noqa: E402
    ALWAYS,
    DRIVER,
    INIT,
    LOAD,
    SAVE,
    TRAIN,
    answer,
    export_network,
    saved_bytes,
)
from edgetrain.device_tests.saving import OK, UNIT  # noqa: E402
from edgetrain.device_tests.training_test import RULES, exported  # noqa: E402
from edgetrain.device_tests.unicorn_board import Machine  # noqa: E402

NO_RECORD = -2
SAVES = 3
FLAGS = ("-O2", "-DEDGETRAIN_TRACE")


class Board:
    """A Cortex-M4 that learns, whose power may fail."""

    def __init__(self, folder, name, store=None):
        self.lesson = draw(exported("mlp")[0], RULES["mono_forward"], steps=SAVES)
        sources = export_network(self.lesson.model, self.lesson.rule, 1, 0)
        self.record = -(-(32 + saved_bytes(sources)) // UNIT) * UNIT + UNIT
        sources |= support(*DRIVER, "flash.c") | ({"et_store.c": store} if store else {})
        self.machine = Machine(build(name, sources, folder, flags=FLAGS))
        address, size = self.machine.elf.symbols["flash_bytes"]
        self.flash, self.writes, self.noise = range(address, address + size), [], random.Random(0)
        self.machine.uc.hook_add(
            unicorn.UC_HOOK_MEM_WRITE, self._seen, begin=address, end=address + size - 1
        )

    def _seen(self, uc, access, address, size, value, data):
        assert size == 1
        self.writes.append((address - self.flash.start, value & 0xFF))

    def call(self, command, *arguments):
        """Return what the driver answers."""
        frame = ask(self.lesson, command, *arguments)
        return answer(self.lesson.model, self.machine.call(frame, 60))

    def save(self):
        """Save; return the status and the writes, a byte each."""
        self.writes.clear()
        return self.call(SAVE, None, (ALWAYS,)), list(self.writes)

    def contents(self):
        """Return the flash."""
        return bytearray(self.machine.uc.mem_read(self.flash.start, len(self.flash)))

    def start_and_load(self, contents):
        """Start with given flash; return the status and the trace after a load."""
        uc, elf = self.machine.uc, self.machine.elf
        uc.mem_write(self.flash.start, bytes(contents))
        for part in ("arena", "stack"):
            region = elf.region(part)
            uc.mem_write(region.start, self.noise.randbytes(len(region)))
        state = elf.region("state")
        uc.mem_write(state.start, bytes(len(state)))
        for address, data in elf.segments:
            if address in state:
                uc.mem_write(address, data)
        self.call(INIT)
        loaded = self.call(LOAD)
        return loaded.status, loaded.trace


def cut(board, before, writes, every=1):
    """Return what is found after a cut at every so-manieth write, not done or done in part."""
    flash, found = bytearray(before), []
    for number, (address, value) in enumerate(writes):
        if number % every == 0:
            found.append(board.start_and_load(flash))
            old, noise = flash[address], board.noise.randrange(256)
            flash[address] = old | noise if (value | old) == value else old & (value | noise)
            found.append(board.start_and_load(flash))
        flash[address] = value
    return [*found, board.start_and_load(flash)]


def test_a_cut_at_every_write_leaves_the_old_or_the_new(need, objects):
    board = Board(objects, need("cortex-m4"))
    old, cuts, worn = (NO_RECORD, board.call(INIT).trace), 0, [0, 0]
    slot = len(board.flash) // 2
    for number in range(SAVES):
        before = board.contents()
        new = OK, board.call(TRAIN, *board.lesson.batches[number]).trace
        saved, writes = board.save()
        after = board.contents()
        worn[number % 2] += 1
        assert (saved.status, saved.slot, saved.saves) == (OK, number % 2, number + 1)
        assert list(saved.erases) == worn
        assert len(writes) == slot + board.record  # all is erased, and the record is written
        assert {address // slot for address, _ in writes} == {number % 2}

        found = cut(board, before, writes)

        assert len(found) == 2 * len(writes) + 1
        assert set(found) == {old, new}
        assert (found[0], found[-1]) == (old, new)
        assert sum(a != b for a, b in pairwise(found)) == 1
        assert found.index(new) > len(found) - 2 * UNIT  # the mark decides
        assert board.start_and_load(after) == new
        cuts += len(found)
        old = new
    assert cuts == SAVES * (2 * (slot + board.record) + 1) > 15_000


def test_a_board_goes_on_after_a_cut(need, objects):
    board = Board(objects, need("cortex-m4"))
    board.call(INIT)
    board.save()
    before = board.contents()
    new = board.call(TRAIN, *board.lesson.batches[0]).trace
    _, writes = board.save()
    flash = bytearray(before)
    for number, (address, value) in enumerate(writes):
        if number % 50 == 0:
            board.start_and_load(flash)
            assert board.call(TRAIN, *board.lesson.batches[0]).trace == new
            assert board.save()[0].status == OK
            assert board.start_and_load(board.contents()) == (OK, new)
        flash[address] = value


def test_the_cuts_find_a_store_that_marks_first_and_checks_nothing(need, objects):
    store = export_network(exported("mlp")[0], RULES["mono_forward"], 1, 0)["et_store.c"]
    for good, bad in (
        (b"if (put(&writer, header,", b"if (commit(flash, slot) != 0 || put(&writer, header,"),
        (b"if (commit(flash, target) != 0)", b"if (0)"),
        (b"if (crc != header->crc)", b"if (0)"),
        (b"return crc != header->crc;", b"return 0;"),
    ):
        assert store.count(good) == 1
        store = store.replace(good, bad)
    board = Board(objects, need("cortex-m4"), store)
    old = NO_RECORD, board.call(INIT).trace
    new = OK, board.call(TRAIN, *board.lesson.batches[0]).trace
    before = board.contents()
    _, writes = board.save()
    found = set(cut(board, before, writes, every=7))
    assert found - {old, new}
