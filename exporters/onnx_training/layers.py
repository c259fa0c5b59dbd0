"""The forward pass: the operations of `edgetrain.exporters.onnx_writing.form_exact` on values."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import (
    Window,
    global_pool_multiplier,
)
from edgetrain.arithmetic.losses import LOGIT_MAX
from edgetrain.arithmetic.rounding import INT8_MAX, INT8_MIN
from edgetrain.exporters.onnx_training.graph import OFFSET, Shape, Value
from edgetrain.exporters.onnx_training.integers import (
    INT32,
    INT64,
    UINT8,
    UINT64,
    Integers,
    broadcast,
)
from edgetrain.exporters.onnx_writing.form_exact import MIDDLE, add_table, counts, rounding
from edgetrain.exporters.onnx_writing.layout import sliding


class Layers(Integers):
    """Offers the forward pass of `Emitter`."""

    def unsigned(self, w: Value) -> Value:
        """Return codes or weights as uint8."""
        return self.as_codes(w) if w.dtype != np.int8 else self.as_codes(self.cast(w, INT32))

    def dense_acc(self, x: Value, w: Value | NDArray[Any], b: Any, x_zero_point: int) -> Value:
        """Append `fixed.dense_acc`."""
        filters = self._filters(w)
        turned = self.turned(filters, (1, 0)) if isinstance(filters, Value) else filters.T
        shape = (x.shape[0], turned.shape[1])
        return self._biased(self.product(x, turned, x_zero_point, shape=shape), b)

    def product(self, a: Value, b: Any, a_zero: int = 0, b_zero: int = 0, *, shape: Shape) -> Value:
        """Append a product of matrices of codes with zero points."""
        zeros = (np.uint8(zero + OFFSET) for zero in (a_zero, b_zero))
        return self.op("MatMulInteger", a, b, *zeros, dtype=INT32, shape=shape)

    def conv2d_acc(
        self, x: Value, w: Value | NDArray[Any], b: Any, x_zero_point: int, window: Window
    ) -> Value:
        """Append `fixed.conv2d_acc`."""
        filters = self._filters(w)
        size = window.output_size(*x.shape[2:])
        shape = (x.shape[0], filters.shape[0], *size)
        zero = np.uint8(x_zero_point + OFFSET)
        acc = self.op(
            "ConvInteger", x, filters, zero, MIDDLE, dtype=INT32, shape=shape,
            group=window.groups, **sliding(window),
        )  # fmt: skip
        return self._biased(acc, b)

    def _filters(self, w: Value | NDArray[Any]) -> Any:
        """Return weights as uint8, channels first."""
        if isinstance(w, Value):
            return self.unsigned(w)
        codes = (w.astype(np.int16) + OFFSET).astype(np.uint8)
        return codes.transpose(0, 3, 1, 2) if codes.ndim == 4 else codes

    def _biased(self, acc: Value, b: Any) -> Value:
        shape = (-1, 1, 1) if len(acc.shape) == 4 else (-1,)
        if isinstance(b, Value):
            return self.plus(acc, self.shaped(b, (acc.shape[1], *shape[1:])))
        return self.plus(acc, b.reshape(shape)) if b.any() else acc

    def rescaled(
        self, acc: Value, multiplier: Any, shift: Any, is_positive: bool = False
    ) -> tuple[Value, NDArray[Any]]:
        """Append `edgetrain.arithmetic.rounding.rescale` of int32, with an origin to be taken off.

        Args:
            acc: int32.
            multiplier: a number, or int32 (channels,).
            shift: likewise.
            is_positive: whether results from 0 on are all that counts.
        """
        last = (1, -1, *[1] * (len(acc.shape) - 2))
        parts = rounding(multiplier, shift)
        factor, up, away, bits, origin = (
            part[0] if (part == part[0]).all() else part.reshape(last)
            for part in parts._replace(down=parts.up - parts.down)
        )
        product = self.op(
            "Mul", self.cast(acc, INT64), factor, dtype=INT64,
            shape=broadcast(acc.shape, np.shape(factor)),
        )  # fmt: skip
        raised = self.plus(product, up)
        if np.any(away) and not is_positive:
            down = self.op("Where", self.less(acc, 0), -away, np.int64(0), dtype=INT64,
                           shape=product.shape)  # fmt: skip
            raised = self.plus(raised, down)
        positive = self.cast(raised, UINT64)
        shifted = self.op("BitShift", positive, bits, dtype=UINT64, shape=product.shape,
                          direction="RIGHT")  # fmt: skip
        return self.cast(shifted, INT32), origin.astype(np.int32)

    def requantize(
        self, acc: Value, multiplier: Any, shift: Any, zero_point: int, low: int, high: int
    ) -> Value:
        """Append `fixed.requantize`."""
        scaled, origin = self.rescaled(acc, multiplier, shift, is_positive=low >= zero_point)
        moved = zero_point + OFFSET
        if np.max(shift) < 0:  # what is halved at least has room for a zero point
            codes = self.clip(self.minus(scaled, origin - moved), low + OFFSET, high + OFFSET)
            return self.cast(codes, UINT8)
        codes = self.clip(self.minus(scaled, origin), low - zero_point, high - zero_point)
        return self.cast(self.plus(codes, moved), UINT8)

    def logits_q10(self, acc: Value, multiplier: Any, shift: Any) -> Value:
        """Append `fixed.logits_q10`."""
        scaled, origin = self.rescaled(acc, multiplier, shift)
        return self.clip(self.minus(scaled, origin), -LOGIT_MAX, LOGIT_MAX)

    def average_pool(self, x: Value, window: Window) -> Value:
        """Append `fixed.average_pool`."""
        batch, n, height, width = x.shape
        ones = np.ones((n, 1, *window.kernel), np.uint8)
        shape = (batch, n, *window.output_size(height, width))
        total = self.op("ConvInteger", x, ones, MIDDLE, dtype=INT32, shape=shape, group=n,
                        **sliding(window))  # fmt: skip
        count = counts(height, width, window)
        average = self.divide(self.plus(total, self.times(self.sign(total), count // 2)), count)
        return self.as_codes(average)

    def max_pool(self, x: Value, window: Window) -> Value:
        """Append `fixed.max_pool`."""
        shape = (*x.shape[:2], *window.output_size(*x.shape[2:]))
        return self.op("MaxPool", x, dtype=UINT8, shape=shape, **sliding(window))

    def global_average_pool(
        self, x: Value, x_zero_point: int, multiplier: int, shift: int, y_zero_point: int
    ) -> Value:
        """Append `fixed.global_average_pool`."""
        batch, n, height, width = x.shape
        total = self.op(
            "ReduceSum", self.cast(x, INT32), np.array([2, 3], np.int64), dtype=INT32,
            shape=(batch, n), keepdims=0,
        )  # fmt: skip
        acc = self.minus(total, height * width * (x_zero_point + OFFSET))
        scale = global_pool_multiplier(multiplier, shift, height * width)
        return self.requantize(acc, *scale, y_zero_point, INT8_MIN, INT8_MAX)

    def add(
        self, a: Value, a_zero_point: int, a_scale: tuple[int, int], b: Value,
        b_zero_point: int, b_scale: tuple[int, int], y_zero_point: int,
        y_scale: tuple[int, int], low: int, high: int,
    ) -> Value:  # fmt: skip
        """Append `fixed.add`."""
        terms = (
            self.look_up(x, add_table(zero, scale))
            for x, zero, scale in ((a, a_zero_point, a_scale), (b, b_zero_point, b_scale))
        )
        return self.requantize(self.plus(*terms), *y_scale, y_zero_point, low, high)

    def look_up(self, x: Value, table: NDArray[Any]) -> Value:
        """Append `fixed.look_up`."""
        if table.dtype == np.int8:
            table = (table.astype(np.int16) + OFFSET).astype(np.uint8)
        return self.op("Gather", table, self.cast(x, INT32), dtype=table.dtype, shape=x.shape)
