"""Errors of pools."""

import numpy as np

from edgetrain.arithmetic.layers import Window
from edgetrain.exporters.onnx_training.gradients import Gradients
from edgetrain.exporters.onnx_training.graph import OFFSET, Operand, Shape, Value
from edgetrain.exporters.onnx_training.integers import INT32, INT64
from edgetrain.exporters.onnx_writing.form_exact import counts


class Pools(Gradients):
    """Offers the errors of pools of `Emitter`, and where errors pass."""

    def opened(self, y: Value, low: int, high: int | None) -> Value:
        """Say where codes are above low and below high: 1 or 0."""
        wide = self.cast(y, INT32)
        above = self.clip(self.minus(wide, low + OFFSET), 0, 1) if low > -OFFSET else self.minimum(
            wide, 1)  # fmt: skip
        if high is None:
            return above
        return self.times(above, self.clip(self.minus(high + OFFSET, wide), 0, 1))

    def average_pool_grad(self, e: Value, x_shape: Shape, window: Window) -> Value:
        """Append `fixed.average_pool_grad`."""
        _, height, width, _ = x_shape
        count = counts(height, width, window)
        share = self.floor_divide(self.plus(self.times(e, 256), count // 2), count)
        return self._scattered([share] * (window.kernel[0] * window.kernel[1]), x_shape, window)

    def max_pool_index(self, x: Value, window: Window) -> Value:
        """Append `fixed.max_pool_index`: the first of the largest."""
        batch, n, height, width = x.shape
        top, bottom, left, right = window.padding
        wide = self.cast(x, INT32)
        if any(window.padding):
            pads = np.array([0, 0, top, left, 0, 0, bottom, right], np.int64)
            padded = (batch, n, height + top + bottom, width + left + right)
            wide = self.op("Pad", wide, pads, np.int32(-1), dtype=INT32, shape=padded)
        kh, kw = window.kernel
        step, size = np.array(window.stride), window.output_size(height, width)
        shape = (batch, n, *size)
        taps = []
        for place in np.ndindex(kh, kw):
            first = np.array(place)
            end = first + step * (np.array(size) - 1) + 1
            axes = np.array([2, 3])
            taps.append(self.op("Slice", wide, first, end, axes, step, dtype=INT32, shape=shape))
        all_taps = self.shaped(self.join(taps, 1), (batch, kh * kw, n, *size))
        won = self.op("ArgMax", all_taps, dtype=INT64, shape=shape, axis=1, keepdims=0)
        return self.cast(won, INT32)

    def max_pool_grad(self, e: Value, index: Value, x_shape: Shape, window: Window) -> Value:
        """Append `fixed.max_pool_grad`."""
        count = window.kernel[0] * window.kernel[1]
        shares = [self.choose(self.equal(index, t), e, 0) for t in range(count)]
        return self._scattered(shares, x_shape, window)

    def _scattered(self, shares: list[Value], x_shape: Shape, window: Window) -> Value:
        """Add each tap's share to the pixels it was read from."""
        batch, height, width, n = x_shape
        top, bottom, left, right = window.padding
        long = (height + top + bottom, width + left + right)
        total: Operand = 0
        for t, share in enumerate(shares):
            i, j = divmod(t, window.kernel[1])
            far = self._apart(share, window.stride, 0)
            after = long[0] - i - far.shape[2], long[1] - j - far.shape[3]
            ends = np.array([0, 0, i, j, 0, 0, *after], np.int64)
            part = self.op("Pad", far, ends, np.int32(0), dtype=INT32, shape=(batch, n, *long))
            total = self.also(total, part)
        assert isinstance(total, Value)
        inner = self.cut(total, top, top + height, 2)
        return self.cut(inner, left, left + width, 3)
