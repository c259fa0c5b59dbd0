"""Power cuts, damage and wrong use of et_store on a simulated flash."""

import ctypes
import random
from itertools import accumulate, product

import pytest

from edgetrain.errors import BackendError
from edgetrain.kernels import host_c_build

try:
    COMMAND = host_c_build.compiler()
except BackendError as error:
    pytest.skip(str(error), allow_module_level=True)

OK, BAD_ARGUMENT, NO_RECORD, FOREIGN, CORRUPT, FLASH_FAILED, NO_ROOM = 0, -1, -2, -3, -4, -5, -6
PAGE, SLOT, SLOTS, HEADER, FOREVER = 128, 384, (1024, 2048), 32, 10**9
SIZES, NOTHING = (37, 8, 0, 1, 150), bytes(196)
INT, POINTER = ctypes.c_uint32, ctypes.c_void_p
MOVE = ctypes.CFUNCTYPE(ctypes.c_int, POINTER, INT, POINTER, INT)
ERASE = ctypes.CFUNCTYPE(ctypes.c_int, POINTER, INT)
Part = type("Part", (ctypes.Structure,), {"_fields_": (("bytes", POINTER), ("size", INT))})
Flash = type("Flash", (ctypes.Structure,), {"_fields_": (
    ("context", POINTER), ("read", MOVE), ("write", MOVE), ("erase", ERASE),
    ("page_size", INT), ("write_size", INT), ("slots", INT * 2), ("slot_size", INT),
)})  # fmt: skip


class Chip:
    """NOR flash whose power may fail; with `ecc`, what a cut has torn cannot be read."""

    def __init__(self, unit, ecc):
        self.unit, self.ecc, self.rng = unit, ecc, random.Random(0)
        self.memory = bytearray(b"\xff" * (SLOTS[1] + SLOT))
        self.written, self.torn = set(), set()  # units
        self.erases = dict.fromkeys(range(0, len(self.memory), PAGE), 0)
        self.reboot()

    def reboot(self, left=FOREVER, fault=(None, 0, 0)):
        """Begin anew with power for some steps; a fault is a function, its call and its result."""
        self.left, self.fault, self.calls = left, fault, []

    def enter(self, name, address, size):
        """Return the units of a call, the steps there is power for, and its result if it fails."""
        self.calls.append(name)
        assert any(slot <= address and address + size <= slot + SLOT for slot in SLOTS)
        units = range(address // self.unit, (address + size - 1) // self.unit + 1)
        faulty = self.fault[:2] == (name, self.calls.count(name))
        failure = 1 if self.left == 0 else self.fault[2] if faulty else None
        done = min(self.left, {"write": size, "erase": 6}.get(name, 0)) if failure is None else 0
        self.left -= done
        return units, done, failure

    def read(self, _context, address, to, size):
        units, _, failure = self.enter("read", address, size)
        if failure or (self.ecc and not self.torn.isdisjoint(units)):
            return 1
        ctypes.memmove(to, bytes(self.memory[address : address + size]), size)
        return 0

    def write(self, _context, address, source, size):
        units, done, failure = self.enter("write", address, size)
        assert address % self.unit == size % self.unit == source % 8 == 0
        assert address // PAGE == (address + size - 1) // PAGE
        if failure is not None:
            return failure
        assert self.written.isdisjoint(units)
        self.written.update(units)
        for i, byte in enumerate(ctypes.string_at(source, size)[: done + 1]):
            self.memory[address + i] &= byte if i < done else byte | self.rng.randrange(256)
        self.torn.update([(address + done) // self.unit] if done < size else [])
        return int(done < size)

    def erase(self, _context, address):
        units, done, failure = self.enter("erase", address, PAGE)
        if failure is not None:
            self.written.difference_update(units if failure == 0 else ())
            return failure
        old, new, noise = self.memory[address:][:PAGE], b"\xff" * PAGE, self.rng.randbytes(PAGE)
        more = bytes(a | b for a, b in zip(old, noise, strict=True))
        states = old, new[:64] + old[64:], old[:64] + new[64:], more, noise, b"\xfe" + new[1:], new
        self.memory[address : address + PAGE] = states[done]
        self.erases[address] += 1
        for marks in (self.written, self.torn):
            (marks.difference_update if done == 6 else marks.update)(units)
        return int(done < 6)


class Device:
    """A chip, the compiled store and the memory of a program."""

    def __init__(self, library, unit=8, ecc=False, sizes=SIZES, saves=0):
        self.library, self.chip = library, Chip(unit, ecc)
        functions = MOVE(self.chip.read), MOVE(self.chip.write), ERASE(self.chip.erase)
        self.flash = Flash(None, *functions, PAGE, unit, (INT * 2)(*SLOTS), SLOT)
        self.memory = ctypes.create_string_buffer(sum(sizes))
        starts = accumulate(sizes, initial=ctypes.addressof(self.memory))
        self.parts = (Part * len(sizes))(*list(map(Part, starts, sizes))[::-1])
        assert [self.save(number) for number in range(saves)] == [OK] * saves

    def call(self, name, *more, model=1):
        arguments = ctypes.byref(self.flash), self.parts, len(self.parts), INT(model)
        return getattr(self.library, f"et_store_{name}")(*arguments, *more)

    def save(self, number, model=1):
        self.memory.raw = contents(number)
        return self.call("save", model=model)

    def load(self, model=1):
        self.memory.raw = NOTHING
        return self.call("load", model=model), self.memory.raw

    def info(self):
        stored = (ctypes.c_int32 * 4)()  # slot, saves, erases of each slot
        return self.call("info", stored), *stored


def contents(number):
    return random.Random(number).randbytes(len(NOTHING))


def compiled(folder, *changes):
    sources = host_c_build.sources()
    for before, after in changes:
        assert sources["et_store.c"].count(before.encode()) == 1
        sources["et_store.c"] = sources["et_store.c"].replace(before.encode(), after.encode())
    for name in ("et_crc.c", "et_crc.h", "et_fixed.h", "et_store.c", "et_store.h"):
        (folder / name).write_bytes(sources[name])
    host_c_build.build(folder, folder / "store.so", COMMAND, host_c_build.FLAGS)
    return ctypes.CDLL(str(folder / "store.so"))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compiled(tmp_path_factory.mktemp("store"))


def cut_everywhere(device, number):
    """Cut the power at every step of a save; return what was found after each."""
    chip, names, findings = device.chip, {device.load(): "old", (OK, contents(number)): "new"}, []
    before = [state.copy() for state in (chip.memory, chip.written, chip.torn)]
    chip.reboot()
    assert device.save(number) == OK
    for cut in range(FOREVER - chip.left + 1):
        chip.memory, chip.written, chip.torn = (state.copy() for state in before)
        chip.reboot(cut)
        device.save(number)
        chip.reboot()
        status, found = device.load()
        if chip.ecc and (status, found) == (FLASH_FAILED, NOTHING):
            status = NO_RECORD  # the mark of a first save cannot be read
        findings.append(names.get((status, found), status or "mixture"))
        assert (device.save(99), device.load()) == (OK, (OK, contents(99)))
    return findings


@pytest.mark.parametrize(("saves", "unit"), list(product(range(4), (1, 8, 64))))
@pytest.mark.parametrize("ecc", [False, True])
def test_a_cut_anywhere_leaves_the_old_or_the_new(library, saves, unit, ecc):
    findings = cut_everywhere(Device(library, unit, ecc, saves=saves), saves)
    assert len(findings) > 250
    assert set(findings) == {"old", "new"}


CRC_UNREAD = (("if (crc != header->crc)", "if (0)"), ("return crc != header->crc;", "return 0;"))
MARK_FIRST = (
    ("if (put(&writer, header,", "if (commit(flash, slot) != 0 || put(&writer, header,"),
    ("if (commit(flash, target) != 0)", "if (0)"),
)
MUTANTS = {
    "over the newest": ([("1 - better(&slots)", "better(&slots)")], {NO_RECORD, CORRUPT}),
    "mark first": (MARK_FIRST, {CORRUPT}),  # instead of NO_RECORD
    "mark first, crc unread": (MARK_FIRST + CRC_UNREAD, {CORRUPT, "mixture"}),
    "crc unread": (CRC_UNREAD, set()),  # the mark alone is enough
}


@pytest.mark.parametrize(("changes", "found"), MUTANTS.values(), ids=MUTANTS)
def test_the_cuts_find_a_mutant(tmp_path, changes, found):
    changed = compiled(tmp_path, *changes)
    findings = {f for saves in (0, 1, 2) for f in cut_everywhere(Device(changed, saves=saves), 5)}
    assert findings - {"old", "new"} == found


@pytest.mark.parametrize("seed", range(8))
def test_cuts_in_a_row(library, seed):
    rng, device, old = random.Random(seed), Device(library, ecc=seed < 4, saves=1), contents(0)
    for number in range(1, 100):
        device.chip.reboot(rng.randrange(260))
        device.save(number)
        device.chip.reboot()
        status, found = device.load()
        assert (status, found) in [(OK, old), (OK, contents(number))]
        old = found


@pytest.mark.parametrize(
    ("function", "result", "statuses"),
    [
        ("read", 1, {OK, FLASH_FAILED}), ("erase", 0, {OK, FLASH_FAILED}),
        ("erase", 1, {FLASH_FAILED}), ("write", 0, {FLASH_FAILED}), ("write", 1, {FLASH_FAILED}),
    ],
)  # fmt: skip
def test_a_function_that_fails_once(library, function, result, statuses):
    for call in range(1, {"read": 18, "write": 5, "erase": 3}[function] + 1):
        device = Device(library, saves=3)
        device.chip.reboot(fault=(function, call, result))
        assert device.load() in [(OK, contents(1)), (OK, contents(2))]
        device.chip.reboot(fault=(function, call, result))
        assert (status := device.save(3)) in statuses
        device.chip.reboot()
        assert device.load() in [(OK, contents(3)), (OK, contents(2))][: 1 + (status != OK)]


def test_a_flipped_bit_costs_one_record_at_most(library):
    device, used = Device(library), HEADER + len(NOTHING)
    for saves in (1, 2):
        assert device.save(saves) == OK
        for slot, byte in product(range(2), range(SLOT)):
            harmless = slot != saves - 1 or used <= byte < SLOT - 8
            alone = (CORRUPT if byte < used else NO_RECORD, NOTHING)
            harmed = alone if saves == 1 else (OK, contents(1))
            device.chip.memory[SLOTS[slot] + byte] ^= 1 << byte % 8
            assert device.load() == ((OK, contents(saves)) if harmless else harmed)
            device.chip.memory[SLOTS[slot] + byte] ^= 1 << byte % 8
    for slot in SLOTS:
        device.chip.memory[slot + used - 1] ^= 1
    assert (device.load(), device.save(3)) == ((CORRUPT, NOTHING), OK)
    device.chip.ecc, device.chip.torn = True, set(range(1000))  # neither can be read
    device.chip.reboot()
    assert (device.load(), device.save(1)) == ((FLASH_FAILED, NOTHING), FLASH_FAILED)
    assert set(device.chip.calls) == {"read"}


def test_a_foreign_record_is_refused_and_its_slot_used(library, tmp_path):
    device = Device(compiled(tmp_path, ("0x53544501u", "0x53544502u")), saves=1)
    device.library = library  # of another format
    assert device.load() == (FOREIGN, NOTHING)
    assert (device.save(0, model=2), device.load()) == (OK, (FOREIGN, NOTHING))
    for number, foreign in ((1, (OK, contents(0))), (2, (FOREIGN, NOTHING))):
        assert (device.save(number), device.load()) == (OK, (OK, contents(number)))
        assert device.load(model=2) == foreign
    device.parts[0].size, device.parts[1].size = 149, 2
    assert device.load() == (FOREIGN, NOTHING)


def test_the_number_wraps_around(tmp_path):
    device = Device(compiled(tmp_path, (".number + 1;", ".number + 0x50000000u;")))
    for number in range(20):
        assert (device.save(number), device.load()) == (OK, (OK, contents(number)))


def test_wear_is_counted_and_the_slots_take_turns(library):
    device = Device(library)
    assert (device.load()[0], device.info()) == (NO_RECORD, (NO_RECORD, -1, 0, 0, 0))
    for number in range(9):
        assert device.save(number) == OK
        worn = [device.chip.erases[start] for start in SLOTS]
        assert device.info() == (OK, number % 2, number + 1, *worn)


@pytest.mark.parametrize("unit", [1, 2, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("spare", [0, 1, 7, 63, 250])
def test_sizes_that_are_no_multiple_of_anything(library, unit, spare):
    size = SLOT - HEADER - max(unit, 8) - spare
    device = Device(library, unit, sizes=(size,))
    device.memory.raw = content = random.Random(size).randbytes(size)
    assert device.call("save") == OK
    device.memory.raw = bytes(size)
    assert (device.call("load"), device.memory.raw) == (OK, content)
    device.parts[0].size += spare + 1
    assert device.call("save") == NO_ROOM


WRONG = {
    "read": [MOVE()], "write": [MOVE()], "erase": [ERASE()], "write_size": [0, 3, 128],
    "page_size": [0, 96], "slot_size": [0, 200, 2**32 - PAGE],
    "slots": [(INT * 2)(*two) for two in ((1000, 2048), (1024, 1280), (1024, 2**32 - PAGE))],
}  # fmt: skip


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_flash_is_refused_before_anything_is_done(library, field):
    device = Device(library)
    for value in WRONG[field]:
        setattr(device.flash, field, value)
        assert {device.save(0), device.load()[0], device.info()[0]} == {BAD_ARGUMENT}
    assert device.chip.calls == []


def test_wrong_parts_are_refused_before_anything_is_done(library):
    device = Device(library)
    flash, parts = ctypes.byref(device.flash), device.parts
    for wrong in ((None, parts, 5), (flash, None, 5), (flash, parts, 0)):
        assert library.et_store_save(*wrong, 1) == BAD_ARGUMENT
    parts[0].size = 2**32 - 1
    assert (device.call("info", None), device.call("save")) == (BAD_ARGUMENT, NO_ROOM)
    parts[1].bytes = None
    assert (device.call("save"), device.chip.calls) == (BAD_ARGUMENT, [])
