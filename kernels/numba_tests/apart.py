"""Take steps of every rule with each array of a program in pages of its own.

Behind an array lie the bytes that kernels may read, all marked, and then a page that nobody may
touch: a kernel that reads further ends the process, one that writes there leaves its traces. Run as
a program, for that reason.
"""

import ctypes
import mmap

import numpy as np

from edgetrain import kernels
from edgetrain.compiled import builder, program
from edgetrain.kernels.numba_tests import check
from edgetrain.rules import parity_test
from edgetrain.state import trace

MARK, PAGE, NO_ACCESS = 0x5A, mmap.PAGESIZE, 0


def up(size, unit=PAGE):
    return -(-size // unit) * unit


class Apart:
    """Stands for the layout and the memory of programs."""

    def __init__(self):
        self.memories, self.arrays, self.closed = [], [], []

    def lay_out(self, buffers, base, further):
        """Give each array pages of its own, and let its last readable byte end them."""
        end = up(base + further)
        self.arrays, self.closed = [(0, base)], [end]
        for buffer in buffers:
            end += PAGE + up(buffer.size + further + builder.ALIGNMENT)
            buffer.start = (end - further - buffer.size) // builder.ALIGNMENT * builder.ALIGNMENT
            self.arrays.append((buffer.start, buffer.size))
            self.closed.append(end)
        return end + PAGE

    def memory(self, size):
        """Return zeros in the arrays, and marks around them."""
        whole = np.frombuffer(mmap.mmap(-1, size), np.uint8)
        outside = np.ones(size, bool)
        for start, count in self.arrays:
            outside[start : start + count] = False
        whole[outside] = MARK
        for start in self.closed:
            outside[start : start + PAGE] = False
            close(whole.ctypes.data + start)
        self.memories.append((whole, outside))
        return whole

    def check(self):
        """Stop if a mark has changed."""
        for whole, outside in self.memories:
            assert (whole[outside] == MARK).all()


def close(address):
    """Let the process end when it touches a page."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(PAGE), NO_ACCESS):
        raise OSError(ctypes.get_errno(), "mprotect")


def cases():
    """Yield name, rule, model, samples and what they should give, the model a new one."""
    for name, rule in parity_test.CASES:
        model, x, y = parity_test.network.__wrapped__(name)
        yield name, rule, model, x[:4], y[:4]
    for name in check.NETWORKS:
        if name != "autoencoder":  # its labels are its samples: the cases above have one
            for rule in check.RULES.values():
                yield name, rule, *check.quantized(name), np.arange(4) % 2


def traces(rule, model, x, y, ops):
    """Take three steps, and return their traces and what the rule predicts then."""
    run, found = (model, rule.init(model)), []
    for _ in range(3):
        *run, _ = rule.step(*run, x, y, ops)
        found.append(trace(*run))
    return [*found, rule.predict(*run, x, ops).tolist()]


def main():
    ops = kernels.load("numba")
    wanted = [traces(*case[1:], ops) for case in cases()]
    programs = 0
    for (name, rule, *given), expected in zip(cases(), wanted, strict=True):
        apart = Apart()
        builder._lay_out, program.aligned = apart.lay_out, apart.memory
        print(name, type(rule).__name__, flush=True)
        assert traces(rule, *given, ops) == expected
        apart.check()
        programs += len(apart.memories)
    print(programs, "programs")


if __name__ == "__main__":
    main()
