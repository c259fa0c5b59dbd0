"""Losses: `edgetrain.arithmetic.losses` on values, in int32."""

import numpy as np

from edgetrain.arithmetic.losses import (
    LOG_2,
    LOG_TABLE,
    LOGIT_MAX,
    PROBABILITY_BITS,
    exponentials,
)
from edgetrain.arithmetic.rounding import INT32_MAX
from edgetrain.exporters.onnx_training.graph import Value
from edgetrain.exporters.onnx_training.integers import INT32, INT64
from edgetrain.exporters.onnx_training.layers import Layers

FARTHEST = 2**14 - 1
"""Logits that are further below the largest count as this."""


class Losses(Layers):
    """Offers the losses of `Emitter`."""

    def _largest(self, x: Value) -> Value:
        shape = (x.shape[0], 1)
        axes = np.array([1], np.int64)
        return self.op("ReduceMax", x, axes, dtype=x.dtype, shape=shape, keepdims=1)

    def _terms(self, logits: Value) -> tuple[Value, Value]:
        """Append the exponentials of logits, Q15, and their sums (batch, 1)."""
        below = self.minimum(self.minus(self._largest(logits), logits), FARTHEST)
        terms = self.op("Gather", exponential_table(), below, dtype=INT32, shape=logits.shape)
        total = self.total(terms, 1)
        return terms, self.shaped(total, (total.shape[0], 1))

    def softmax(self, logits: Value) -> Value:
        """Append `fixed.softmax`."""
        terms, total = self._terms(logits)
        wide = self.times(terms, 1 << PROBABILITY_BITS)
        return self.divide(self.plus(wide, self.divide(total, 2)), total)

    def log_softmax(self, logits: Value) -> Value:
        """Append `fixed.log_softmax`."""
        _, total = self._terms(logits)
        above = self.minus(logits, self._largest(logits))
        return self.minus(above, self._log_q10(total))

    def _log_q10(self, total: Value) -> Value:
        """Append `edgetrain.arithmetic.losses.log_q10`."""
        excess = self.minus(self.bit_length(total), 16)
        mantissa = self.unsigned_shift(total, excess)
        coarse = self.divide(mantissa, 128)
        rest = self.minus(mantissa, self.times(coarse, 128))
        index = self.minus(coarse, 256)
        tables = LOG_TABLE[:-1], np.diff(LOG_TABLE)
        start, slope = (
            self.op("Gather", table.astype(np.int32), index, dtype=INT32, shape=index.shape)
            for table in tables
        )
        step = self.divide(self.plus(self.times(slope, rest), 64), 128)
        log = self.plus(self.plus(self.times(excess, LOG_2), start), step)
        return self.divide(self.plus(log, 32), 64)

    def cross_entropy(self, logits: Value, y: Value) -> tuple[Value, Value]:
        """Append `fixed.cross_entropy`."""
        ones = self.place_ones(y, logits.shape[1])
        right = self.times(ones, 1 << PROBABILITY_BITS)
        error = self.minus(self.softmax(logits), right)
        loss = self.minus(0, self.total(self.times(ones, self.log_softmax(logits)), 1))
        return error, loss

    def place_ones(self, y: Value, width: int) -> Value:
        """Append one-hot labels."""
        return self.choose(self._hits(y, width), 1, 0)

    def squared_error(self, output: Value, target: Value) -> tuple[Value, Value]:
        """Append `fixed.squared_error`."""
        wide = self.minus(self.cast(output, INT64), target)
        error = self.clip(wide, -LOGIT_MAX, LOGIT_MAX)
        long = self.cast(error, INT64)
        total = self.total(self.times(long, long), 1)
        return error, self.clip(self.divide(total, 1 << 11), 0, INT32_MAX)


def exponential_table() -> np.ndarray:
    """Return what `edgetrain.arithmetic.losses.exponentials` makes of every difference, int32."""
    logits = np.stack([np.zeros(FARTHEST + 1), -np.arange(FARTHEST + 1)], axis=1)
    return exponentials(logits.astype(np.int32))[:, 1].astype(np.int32)
