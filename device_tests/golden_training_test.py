"""Kernels of training on every board, plain and fast forms, against the specification."""

import struct
from dataclasses import dataclass
from functools import cache

import numpy as np

from edgetrain import fixed
from edgetrain.arithmetic.randomness import PERTURB
from edgetrain.device_tests.build import SUPPORT, build
from edgetrain.device_tests.golden_layers import int8, window_numbers
from edgetrain.device_tests.run import run
from edgetrain.fixed import Key, Window
from edgetrain.kernels.host_c_build import sources
from edgetrain.state import rate_multiplier

LARGEST = 32768
KEY = Key(0x12345678, 0x7654321)
ZERO_POINT, LIMIT = -7, 2**20
ALL, NEAR, NONE = (0, 0, 0, 0), (1, 1, 1, 1), (1, 1)
DENSE = ((1, 1), (4, 4), (7, 3), (16, 12), (33, 5), (130, 9))
# batch, height, width, n_in, n_out, kernel, stride, padding, groups: sizes around those of the
# fast forms, which take 16 numbers, 32 weights and 128 pixels at a time
CONV = (
    (1, 5, 5, 8, 16, (3, 3), NONE, NEAR, 1),
    (2, 6, 7, 3, 8, (3, 3), (2, 2), (0, 1, 1, 1), 1),
    (1, 9, 15, 36, 12, (1, 1), NONE, ALL, 1),
    (2, 5, 5, 4, 4, (1, 1), NONE, ALL, 1),
    (1, 7, 5, 5, 7, (1, 1), (2, 2), ALL, 1),
    (1, 9, 6, 1, 8, (5, 4), (2, 2), (2, 2, 1, 2), 1),
    (3, 1, 20, 4, 8, (1, 5), (1, 2), (0, 0, 2, 2), 1),
    (1, 3, 3, 4, 64, (3, 3), NONE, NEAR, 1),
    (1, 4, 5, 6, 4, (3, 2), NONE, (1, 1, 0, 1), 2),
    (2, 5, 6, 8, 8, (3, 3), NONE, NEAR, 8),
    (1, 30, 18, 8, 8, (3, 3), NONE, NEAR, 8),
    (1, 7, 9, 12, 12, (3, 3), (2, 2), NEAR, 12),
    (1, 5, 4, 3, 3, (3, 3), NONE, NEAR, 3),
    (1, 6, 8, 4, 4, (5, 3), NONE, (2, 2, 0, 2), 4),
    (1, 1, 9, 8, 8, (1, 3), NONE, (0, 0, 2, 0), 8),
)
POOLS = (((6, 6, 5), Window((2, 2), (2, 2), ALL)), ((7, 5, 4), Window((3, 3), (2, 2), NEAR)))
SCALINGS = ((2**30, 0), (3 * 2**29, -1), (2**30 + 12345, -6), (2**31 - 1, -14), (2**30, -18))


@dataclass
class Case:
    """One call: arrays in the order of the kernel's arguments, numbers as its driver reads them."""

    kernel: str
    want: np.ndarray
    arrays: tuple[np.ndarray | bytes | None, ...]
    number: tuple[int, ...] = (0,)
    returned: int = 0
    window: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1)
    scaling: tuple[int, int] = (2**30, 0)
    masters: bool = False

    def text(self, i):
        """Write the arrays, and the entry of the table; an array is its bytes, aligned."""
        texts, names = [], []
        for k, array in enumerate((*self.arrays, self.want)):
            data = b"" if array is None else bytes(array)
            names.append(f"a{i}_{k}" if data else "0")
            if data:
                words = np.frombuffer(data + bytes(-len(data) % 4), "<u4")
                values = ", ".join(f"{w}u" for w in words)
                texts.append(f"static const uint32_t a{i}_{k}[] = {{{values}}};")
        *given, want = names
        joined = [", ".join(map(str, values)) for values in
                  (given, self.window, (*self.scaling, 0), self.number)]  # fmt: skip
        entry = (
            f"{{{self.kernel}, {{{joined[0]}}}, {int(self.masters)}, {{{joined[1]}}}, "
            f"{{{joined[2]}}}, {{{joined[3]}}}, {want}, {self.want.nbytes}, {self.returned}}}"
        )
        return "\n".join(texts), entry


def errors(rng, *shape):
    """Errors as they are behind a ReLU: many zeros."""
    e = np.where(rng.random(shape) < 0.4, 0, rng.integers(-127, 128, shape)).astype(np.int8)
    e.flat[0], e.flat[-1] = 127, -127
    return e


def scaled(kernel, acc, scaling, *arrays, **more):
    """A case whose result is a scaled error, and which returns its peak."""
    e, peak = fixed.scale_error(acc, *scaling)
    return Case(kernel, e, arrays, returned=peak, scaling=scaling, **more)


def rates(rng, n_out, size):
    """Rates with which steps of sums of some size are a few, and now and then saturate."""
    real = 2.0 ** rng.uniform(-3, 8, n_out) / size
    real[0] = 0
    m, s = fixed.quantize_multipliers(real)
    return np.stack((m, s)), m.astype("<i4").tobytes() + s.astype(np.int8).tobytes()


def learned(rng, kernel, grad, w, x, e, **more):
    """A step of int8 weights, and one of masters."""
    numbers, data = rates(rng, len(w), np.abs(grad).mean() + 1)
    batch, rate, exponent = len(x), 200, 3
    multiplier = rate_multiplier(numbers, exponent, batch, rate, 32)
    for name, old, update in (("w8", w, fixed.update_int8),
                              ("w16", fixed.masters(w), fixed.update_int16)):  # fmt: skip
        new, saturated = update(old, grad, multiplier, KEY)
        yield Case(kernel, new, (x, e, old, data), (batch, ZERO_POINT, exponent, rate, *KEY),
                   saturated, masters=name == "w16", **more)  # fmt: skip


def layers(rng):
    for i, (n_in, n_out) in enumerate(DENSE):
        x, e, w = (
            int8(rng, 3, n_in),
            errors(rng, 3, n_out),
            np.maximum(int8(rng, n_out, n_in), -127),
        )
        ratio = rng.integers(0, 129, n_out).astype(np.int16)
        numbers = {"window": (1, 1, n_in, 1, 1, n_out, 1, 1, 1, 1, 0, 0, 1)}
        acc = fixed.dense_grad_x(e, w, ratio)
        yield scaled("DENSE_ERROR", acc, SCALINGS[i % 5], e, w, ratio, number=(3,), **numbers)
        yield from learned(rng, "DENSE_LEARN", fixed.dense_grad_w(x, e, ZERO_POINT), w, x, e,
                           **numbers)  # fmt: skip
    for i, (batch, height, width, n_in, n_out, kernel, stride, padding, groups) in enumerate(CONV):
        window = Window(kernel, stride, padding, groups)
        x = int8(rng, batch, height, width, n_in)
        w = np.maximum(int8(rng, n_out, *kernel, n_in // groups), -127)
        y = fixed.conv2d_acc(x, w, np.zeros(n_out, np.int32), 0, window)
        e, ratio = errors(rng, *y.shape), rng.integers(0, 129, n_out).astype(np.int16)
        numbers = {"window": window_numbers(x, y, window)}
        kind = "DEPTHWISE" if groups == n_in == n_out else "CONV"
        grad = fixed.conv2d_grad_w(x, e, ZERO_POINT, window)
        large = [np.full_like(a, n) for a, n in ((e, 127), (w, 127), (ratio, 128))]
        for scaling, *given in (
            (SCALINGS[i % 5], e, w, ratio),
            (SCALINGS[3], e, w, ratio),
            ((3 * 2**29 + 1, -1), e // 40, w // 40, ratio // 40),  # both roundings show
            ((2**30, -12), *one_more(e, w, ratio)),
            ((2**30 + 5, -23), *large),
        ):
            acc = fixed.conv2d_grad_x(*given, x.shape, window)
            yield scaled(f"{kind}_ERROR", acc, scaling, *given, number=(batch,), **numbers)
        yield from learned(rng, f"{kind}_LEARN", grad, w, x, e, **numbers)


def one_more(e, w, ratio):
    """Errors that come back as they are, the negative one larger by one."""
    e, w = np.zeros_like(e), np.zeros_like(w)
    e.flat[0], e.flat[-1], w[:, w.shape[1] // 2, w.shape[2] // 2] = 100, -101, 64
    return e, w, np.full_like(ratio, 128)


def around_errors(rng):
    """What changes errors without weights; lengths that leave a rest."""
    for i, (shape, window) in enumerate(POOLS):
        x = int8(rng, 2, *shape)
        y, index = fixed.average_pool(x, window), fixed.max_pool_index(x, window)
        e, numbers = errors(rng, *y.shape), {"window": window_numbers(x, y, window), "number": (2,)}
        acc = fixed.average_pool_grad(e, x.shape, window)
        yield scaled("AVERAGE_POOL_ERROR", acc, SCALINGS[2 + i], e, **numbers)
        acc = fixed.max_pool_grad(e, index, x.shape, window) << 8
        yield scaled("MAX_POOL_ERROR", acc, SCALINGS[2 + i], e, index, **numbers)
    for i, n in enumerate((1, 7, 8, 61)):
        e, y, slopes = errors(rng, n), int8(rng, n), rng.integers(-40, 90, 256).astype(np.int8)
        parts = [e, errors(rng, n), errors(rng, n)]
        yield scaled("WIDENED", e.astype(np.int32) << 8, SCALINGS[i], e, number=(n,))
        steep = e.astype(np.int32) * slopes[y.astype(np.int32) + 128]
        yield scaled("SLOPE", steep, SCALINGS[i], e, y, slopes, number=(n,))
        exponents = np.array([-20, -24, -60], np.int32)
        acc = sum((p.astype(np.int32) << 15) >> min(15 - 35 - k, 31)
                  for p, k in zip(parts, exponents.tolist(), strict=True))  # fmt: skip
        yield scaled("MERGE", acc, SCALINGS[i], *parts, exponents, number=(n, 3, -35))
        acc = np.concatenate([rng.integers(-(2**k), 2**k, n) for k in (6, 9, 20, 30)])
        yield scaled("SCALE", acc.astype(np.int32), SCALINGS[i], acc.astype(np.int32),
                     number=(4 * n,))  # fmt: skip
        for low, high in ((-128, 128), (-5, 90), (-129, -128), (127, 128), (3, 4)):
            is_open = (y > low) & (y < high)
            bits = np.packbits(is_open, bitorder="little")
            kept = np.where(is_open, e, 0).astype(np.int8)
            yield Case("CLOSE", kept, (e, y), (n, low, high))
            yield Case("KEEP_OPEN", bits, (y,), (n, low, high))
            yield Case("CLOSE_BY_BITS", kept, (e, bits), (n,))
    e = errors(rng, 2, 5)
    yield Case("SPREAD", np.repeat(e, 6, 0), (e,), (2, 6, 5))
    for rows, n_out in ((1, 3), (700, 20), (9, 8)):
        e = errors(rng, rows, n_out)
        e[:, 1] = -127
        numbers, data = rates(rng, n_out, 20)
        b = rng.integers(-(2**12), 2**12, n_out).astype(np.int32)
        b[-1] = LIMIT
        new = fixed.update_bias(b, e.sum(0, dtype=np.int32),
                                rate_multiplier(numbers, 3, 2, 200, 16), LIMIT)  # fmt: skip
        yield Case("BIAS_LEARN", new, (e, b, data), (2, 0, 3, 200, LIMIT, rows, n_out))


def perturbed(rng):
    for n_out, n, size in ((1, 1, 3), (5, 9, 200), (8, 64, 14), (3, 32, -60), (4, 39, 127)):
        signs = fixed.random_signs(fixed.stream_key(7, 5, 99, PERTURB), n_out, n + 1)
        w = np.maximum(int8(rng, n_out, n), -127)
        b = rng.integers(-LIMIT, LIMIT, n_out).astype(np.int32)
        moved = np.clip(w + size * signs[:, :-1].astype(np.int32), -127, 127).astype(np.int8)
        start = np.clip(b + 64 * size * signs[:, -1].astype(np.int64), -LIMIT, LIMIT)
        start = (start - ZERO_POINT * moved.sum(1, dtype=np.int64)).astype("<i4")
        want = np.frombuffer(start.tobytes() + moved.tobytes(), np.int8)
        numbers = {"window": (1, 1, n, 1, 1, n_out, 1, 1, 1, 1, 0, 0, 1)}
        yield Case("SHAKE_WEIGHTS", want, (w, b), (0, 5, size, LIMIT, ZERO_POINT), **numbers)
        yield from along_signs(rng, w, b, **numbers)
        sizes = rng.integers(1, 900, n).astype(np.int32)
        base = rng.integers(-LIMIT, LIMIT, n).astype(np.int32)
        row = fixed.random_signs(fixed.stream_key(7, 5, 99, PERTURB), 3, n)[2]
        for direction in (1, -1):
            yield Case("SHAKE_START", base + direction * row * sizes, (base, sizes),
                       (n, 5, 2, direction))  # fmt: skip
        yield from estimated(rng, n_out)


def along_signs(rng, w, b, **more):
    """A step along the signs of one and of three queries; biases stand behind the weights."""
    for queries in (1, 3):
        slopes = rng.choice([-(2**10), 2**10], queries).astype(np.int32)
        keys = [fixed.stream_key(7, 5 + q, 99, PERTURB) for q in range(queries)]
        signs = [fixed.random_signs(k, len(w), w.shape[1] + 1).astype(np.int32) for k in keys]
        grad = sum(s * u for s, u in zip(slopes.tolist(), signs, strict=True)).astype(np.int32)
        numbers, data = rates(rng, len(w), 2**10)
        multiplier = rate_multiplier(numbers, 3, 1, 200, 32)
        of_bias = rate_multiplier(numbers, 3, 1, 200, 16)
        new_b = fixed.update_bias(b, grad[:, -1], of_bias, LIMIT)
        for old, update in ((w, fixed.update_int8), (fixed.masters(w), fixed.update_int16)):
            new, saturated = update(old, np.ascontiguousarray(grad[:, :-1]), multiplier, KEY)
            gap = bytes([77]) * (-old.nbytes % 4)
            want = np.frombuffer(new.tobytes() + gap + new_b.tobytes(), np.int8)
            yield Case("SIGNS_LEARN", want, (slopes, old.tobytes() + gap + b.tobytes(), data, data),
                       (1, 5, 3, 200, *KEY, queries, LIMIT), saturated,
                       masters=old.dtype == np.int16, **more)  # fmt: skip


def estimated(rng, n_out):
    """Estimated errors of a dense layer, and of one with pixels that are open or closed."""
    batch, pixels, low, high = 2, 6, -60, 70
    differences = rng.integers(-5000, 5000, (3, batch)).astype(np.int32)
    acc = np.zeros((batch, n_out), np.int64)
    for q, difference in enumerate(differences):
        signs = fixed.random_signs(fixed.stream_key(7, 5 + q, 99, PERTURB), batch, n_out)
        acc += difference[:, None] * signs.astype(np.int64)
    acc <<= 6
    y = int8(rng, batch, pixels, n_out)
    y[0, :, 0] = -128
    inside = (y > low) & (y < high)
    e, peak = fixed.scale_error(acc // np.maximum(inside.sum(1), 1), *SCALINGS[3])
    numbers = (batch, 5, 3, low, high, pixels, n_out)
    yield Case("ESTIMATE", e[:, None] * inside.astype(np.int8), (differences, y), numbers, peak,
               scaling=SCALINGS[3])  # fmt: skip
    yield scaled("ESTIMATE", acc, SCALINGS[3], differences, None,
                 number=(batch, 5, 3, -129, 128, 1, n_out))  # fmt: skip


def losses(rng):
    for batch, classes in ((1, 2), (3, 11)):
        logits = rng.integers(-20000, 20000, (batch, classes)).astype(np.int32)
        logits[0] = 5
        y = rng.integers(0, classes, batch).astype(np.int32)
        target = rng.integers(-(2**21), 2**21, (batch, classes)).astype(np.int32)
        for kernel, loss, given in (("CROSS_ENTROPY", fixed.cross_entropy, y),
                                    ("SQUARED_ERROR", fixed.squared_error, target)):  # fmt: skip
            want = np.concatenate([part.ravel() for part in loss(logits, given)])
            yield Case(kernel, want, (logits, given), (batch, classes))


@cache
def training_cases():
    rng = np.random.default_rng(0)
    return [*layers(rng), *around_errors(rng), *perturbed(rng), *losses(rng)]


@cache
def header():
    texts, entries = zip(*(c.text(i) for i, c in enumerate(training_cases())), strict=True)
    lines = [f"enum {{ CASES = {len(entries)}, LARGEST = {LARGEST} }};", *texts]
    table = ",\n".join(entries)
    return "\n".join([*lines, f"static const training_case cases[CASES] = {{{table}}};"]).encode()


def test_the_cases_reach_saturation():
    for end, least in (("ERROR", 127), ("LEARN", 0)):
        assert any(c.returned > least for c in training_cases() if c.kernel.endswith(end))


def test_training_is_that_of_the_specification(board, objects):
    texts = sources() | {"golden_values.h": header()}
    texts["golden_training.c"] = (SUPPORT / "golden_training.c").read_bytes()
    flags = ("-O2", "-Wno-missing-field-initializers", "-Wno-missing-braces")
    program = build(board, texts, objects, flags=flags)
    cases = training_cases()
    replies = run(program, [struct.pack("<I", i) for i in range(len(cases))])
    got = [struct.unpack("<6i", reply.data) for reply in replies]
    wanted = [(len(cases), c.want.nbytes, 0, c.returned, 0, c.returned) for c in cases]
    wrong = {f"{i} {cases[i].kernel}": (g, w)
             for i, (g, w) in enumerate(zip(got, wanted, strict=True)) if g != w}  # fmt: skip
    assert wrong == {}
