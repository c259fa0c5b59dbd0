"""An emitter that computes instead of writing: what every operation means.

A step written with it is a step taken: its results must be those of the rule. Other emitters are
compared with it, operation by operation.
"""

import numpy as np

from edgetrain import fixed
from edgetrain.arithmetic.randomness import Key
from edgetrain.arithmetic.rounding import WEIGHT_MAX
from edgetrain.arithmetic.updates import MASTER_MAX, MASTER_MIN
from edgetrain.state import rate_multiplier


def _stepped(old, acc, multiplier, octets, shift, size, low, high):
    scaled = acc.astype(np.int64) * multiplier.astype(np.int64).reshape(-1, *[1] * (acc.ndim - 1))
    fractions = (octets.astype(np.int64).reshape(acc.shape) << 24) + (1 << 23)
    steps = (scaled + (fractions >> (32 - shift))) >> shift
    clipped = np.clip(steps, -size, size - 1)
    new = np.clip(old.astype(np.int64) - clipped, low, high).astype(old.dtype)
    return new, int(np.count_nonzero(steps != clipped))


def _all_stepped(layers, *form):
    found = [_stepped(*layer, *form) for layer in zip(*layers, strict=True)]
    return [new for new, _ in found], sum(cut for _, cut in found)


class Eager:
    """Computes every operation of `Emitter` on arrays; scalars are ints.

    Args:
        given: x, y, seed, step and the parameters, by name.
    """

    def __init__(self, given) -> None:
        self.given, self.outputs = given, {}
        self.wanted = []

    def __getattr__(self, name):
        return getattr(fixed, name)

    def samples(self, shape):
        assert self.given["x"].shape[1:] == shape
        return self.given["x"]

    def labels(self):
        return self.given["y"]

    def targets(self, outputs):
        assert self.given["y"].shape[1] == outputs
        return self.given["y"]

    def step_number(self):
        return int(self.given["step"])

    def parameter(self, name, value):
        self.wanted.append(name)
        found = self.given.get(name, value)
        assert (found.dtype, found.shape) == (value.dtype, value.shape)
        return found

    def output(self, name, value):
        self.outputs[name] = np.asarray(value)

    def codes(self, x):
        return x.astype(np.int32)

    def as_codes(self, x):
        assert x.min() >= -128
        assert x.max() <= 127
        return x.astype(np.int8)

    def cross_entropy(self, logits, y):
        return fixed.cross_entropy(logits, np.clip(y, 0, logits.shape[1] - 1))

    def scale_error(self, acc, multiplier, shift):
        assert -31 <= shift <= 0
        return fixed.scale_error(acc, multiplier, shift)

    def grad_b(self, e):
        return e.reshape(-1, e.shape[-1]).sum(axis=0, dtype=np.int32)

    def opened(self, y, low, high):
        return ((y > low) & (y < (128 if high is None else high))).astype(np.int32)

    def _words(self, stream, counter):
        key = fixed.stream_key(int(self.given["seed"]), *stream)
        return fixed.random_words(key, counter)

    def random_octets(self, streams):
        words = (self._words(stream, np.arange(-(-count // 4))) for stream, count in streams)
        octets = (w.astype("<u4").view(np.uint8) for w in words)
        return [o[:count] for o, (_, count) in zip(octets, streams, strict=True)]

    def random_signs(self, stream, rows, columns):
        key = fixed.stream_key(int(self.given["seed"]), *stream)
        return fixed.random_signs(Key(*key), rows, columns)

    def random_below(self, stream, bounds):
        words = self._words(stream, np.arange(len(bounds))).astype(np.int64)
        return ((words * bounds) >> 32).astype(np.int32)

    def rate_multipliers(self, rates):
        return [rate_multiplier(*rate) for rate in rates]

    def update_biases(self, *layers):
        return [fixed.update_bias(*layer) for layer in zip(*layers, strict=True)]

    def update_int8(self, *layers):
        return _all_stepped(layers, 32, 128, -WEIGHT_MAX, WEIGHT_MAX)

    def update_int16(self, *layers):
        return _all_stepped(layers, 24, 2**15, MASTER_MIN, MASTER_MAX)

    # integers
    @staticmethod
    def _number(value):
        wide = np.asarray(value)
        assert wide.dtype == bool or np.abs(wide.astype(np.int64)).max(initial=0) < 2**40
        return int(wide) if wide.ndim == 0 and wide.dtype != bool else wide

    def plus(self, a, b):
        return self._number(np.int64(a) + b)

    def minus(self, a, b):
        return self._number(np.int64(a) - b)

    def times(self, a, b):
        return self._number(np.int64(a) * b)

    def divide(self, a, b):
        assert np.min(a) >= 0
        assert np.min(b) > 0
        return self._number(np.int64(a) // b)

    def floor_divide(self, a, b):
        assert np.min(b) > 0
        return self._number(np.int64(a) // b)

    def shift_right(self, a, bits):
        assert 0 <= bits <= 31
        return self._number(np.int64(a) >> bits)

    def minimum(self, a, b):
        return self._number(np.minimum(a, b))

    def maximum(self, a, b):
        return self._number(np.maximum(a, b))

    def clip(self, a, low, high):
        return self._number(np.clip(a, low, high))

    def sign(self, a):
        return self._number(np.sign(a))

    def bit_length(self, a):
        assert np.min(a) >= 0
        return self._number(np.ceil(np.log2(np.float64(a) + 1)).astype(np.int64))

    def less(self, a, b):
        return np.less(a, b)

    def equal(self, a, b):
        return np.equal(a, b)

    def both(self, a, b):
        return np.logical_and(a, b)

    def every(self, condition):
        return np.all(condition)

    def choose(self, condition, a, b):
        found = np.where(condition, a, b)
        array = next((v for v in (a, b) if isinstance(v, np.ndarray)), None)
        return self._number(found if array is None else found.astype(array.dtype))

    # shapes
    def reshape(self, x, shape):
        return x.reshape(shape)

    def spread(self, x, shape):
        return np.broadcast_to(x[:, None, None, :], shape)

    def total(self, x, axis=None):
        return self._number(x.sum(axis=axis, dtype=np.int64))

    def running_total(self, x):
        return x.cumsum(axis=-1)

    def pick(self, x, index):
        inside = (index >= 0) & (index < x.shape[1])
        return np.where(inside, x[np.arange(len(x)), np.where(inside, index, 0)], 0)

    def place(self, values, index, width):
        placed = np.zeros((len(values), width), np.int32)
        inside = (index >= 0) & (index < width)
        placed[np.nonzero(inside)[0], index[inside]] = values[inside]
        return placed

    def best(self, x):
        return x.argmax(axis=-1).astype(np.int32)

    def stack(self, numbers):
        dtype = bool if np.asarray(numbers[0]).dtype == bool else np.int32
        return np.array(numbers, dtype)

    def join(self, parts, axis):
        return np.concatenate(parts, axis)

    def cut(self, x, start, stop, axis):
        return np.take(x, np.arange(start, stop), axis)

    def item(self, x, *index):
        return int(x[index])

    def column(self, x, rows, column):
        return x[list(rows), column]

    def with_rows(self, x, rows, columns):
        new = x.copy()
        new[list(rows)] = np.stack(columns, axis=-1)
        return new
