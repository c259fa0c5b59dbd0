"""Errors and gradients of layers.

The weight gradient of a convolution is a convolution too: of the inputs, channels as samples,
with the errors as filters that are as far apart as the stride.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import ACTIVATION_RANGE, Window
from edgetrain.exporters.onnx_training.graph import OFFSET, Shape, Value
from edgetrain.exporters.onnx_training.integers import INT32, INT64, UINT8, UINT64
from edgetrain.exporters.onnx_training.updates import Updates
from edgetrain.exporters.onnx_writing.form_exact import MIDDLE, rounding

ERROR_MAX = 127
_LOW_BITS = 7


class Gradients(Updates):
    """Offers errors and gradients of `Emitter`."""

    def scale_error(self, acc: Value, multiplier: int, shift: Any) -> tuple[Value, Value]:
        """Append `fixed.scale_error`."""
        if isinstance(shift, int):
            scaled, origin = self.rescaled(acc, multiplier, shift)
            scaled = self.minus(scaled, origin)
        else:
            scaled = self._scaled(acc, multiplier, shift)
        peak = self.op("ReduceMax", self.op("Abs", scaled, dtype=INT32, shape=scaled.shape),
                       dtype=INT32, shape=(), keepdims=0)  # fmt: skip
        return self.clip(scaled, -ERROR_MAX, ERROR_MAX), peak

    def _scaled(self, acc: Value, multiplier: int, shift: Value) -> Value:
        """Append `edgetrain.arithmetic.rounding.rescale` by a shift of the step, from -31 to 0."""
        parts = rounding(np.full(32, multiplier), -np.arange(32))
        right = self.minus(0, shift)
        up, down, bits, origin = (
            self.op("Gather", table, right, dtype=table.dtype, shape=())
            for table in (parts.up, parts.down, parts.bits, parts.origin.astype(np.int32))
        )
        product = self.times(self.cast(acc, INT64), int(parts.factor[0]))
        nudge = self.choose(self.less(acc, 0), down, up)
        positive = self.cast(self.plus(product, nudge), UINT64)
        shifted = self.op("BitShift", positive, bits, dtype=UINT64, shape=product.shape,
                          direction="RIGHT")  # fmt: skip
        return self.minus(self.cast(shifted, INT32), origin)

    def _digits(self, e: Value, ratio: NDArray[Any]) -> list[tuple[Value, int, int]]:
        """Write errors times a channel's ratio in digits of 8 bits: codes, zero point, unit."""
        if (ratio == ratio[0]).all():
            return [(self.as_codes(e), 0, int(ratio[0]))]
        factors = ratio.astype(np.int32).reshape(-1, *[1] * (len(e.shape) - 2))
        scaled = self.times(e, factors)
        high = self.shift_right(scaled, _LOW_BITS)
        low = self.minus(scaled, self.times(high, 1 << _LOW_BITS))
        return [(self.as_codes(high), 0, 1 << _LOW_BITS), (self.cast(low, UINT8), -OFFSET, 1)]

    def _united(self, parts: list[tuple[Value, int]]) -> Value:
        """Append the sum of products, each times its unit."""
        total: Any = 0
        for acc, unit in parts:
            total = self.also(total, acc if unit == 1 else self.times(acc, unit))
        return total

    def dense_grad_x(self, e: Value, w: Any, ratio: NDArray[Any]) -> Value:
        """Append `fixed.dense_grad_x`."""
        filters = self._filters(w)
        shape = (e.shape[0], filters.shape[1])
        return self._united([
            (self.product(digit, filters, zero, shape=shape), unit)
            for digit, zero, unit in self._digits(e, ratio)
        ])  # fmt: skip

    def dense_grad_w(self, x: Value, e: Value, x_zero_point: int) -> Value:
        """Append `fixed.dense_grad_w`."""
        turned = self.turned(self.as_codes(e), (1, 0))
        shape = (e.shape[1], x.shape[1])
        return self._reaching(self.product(turned, x, 0, x_zero_point, shape=shape), e)

    def _reaching(self, acc: Value, e: Value) -> Value:
        """Note how large a weight gradient can be: a sum over samples and pixels."""
        terms = math.prod(e.shape) // e.shape[1]
        self.reaches[acc.name] = terms * ERROR_MAX * ACTIVATION_RANGE
        return acc

    def grad_b(self, e: Value) -> Value:
        """Sum an error up over all but its channels."""
        axes = np.array([0, 2, 3][: len(e.shape) - 1], np.int64)
        return self.op("ReduceSum", e, axes, dtype=INT32, shape=(e.shape[1],), keepdims=0)

    def conv2d_grad_w(self, x: Value, e: Value, x_zero_point: int, window: Window) -> Value:
        """Append `fixed.conv2d_grad_w`."""
        return self._reaching(self._conv2d_grad_w(x, e, x_zero_point, window), e)

    def _conv2d_grad_w(self, x: Value, e: Value, x_zero_point: int, window: Window) -> Value:
        groups, inputs, n = window.groups, x.shape[1], e.shape[1]
        errors = self.as_codes(e)
        if window.kernel == window.stride == (1, 1) and groups == 1 and not any(window.padding):
            return self._pointwise_grad_w(x, errors, x_zero_point)
        if groups in (1, inputs):
            return self._strided_grad_w(x, errors, x_zero_point, window)
        alone = window._replace(groups=1)
        parts = [
            self._strided_grad_w(
                self.cut(x, g * inputs // groups, (g + 1) * inputs // groups, 1),
                self.cut(errors, g * n // groups, (g + 1) * n // groups, 1), x_zero_point, alone,
            )
            for g in range(groups)
        ]  # fmt: skip
        return self.join(parts, 0)

    def _pointwise_grad_w(self, x: Value, errors: Value, x_zero_point: int) -> Value:
        """Append the gradient of a kernel of one pixel: a product of matrices."""
        n, inputs = errors.shape[1], x.shape[1]
        rows = errors.shape[0] * errors.shape[2] * errors.shape[3]
        left = self.shaped(self.turned(errors, (1, 0, 2, 3)), (n, rows))
        right = self.shaped(self.turned(x, (0, 2, 3, 1)), (rows, inputs))
        acc = self.product(left, right, 0, x_zero_point, shape=(n, inputs))
        return self.shaped(acc, (n, inputs, 1, 1))

    def _strided_grad_w(self, x: Value, errors: Value, x_zero_point: int, window: Window) -> Value:
        """Append the gradient of any kernel, of one group or a group a channel."""
        batch, inputs, height, width = x.shape
        n, (kh, kw), groups = errors.shape[1], window.kernel, window.groups
        images, filters = self.turned(x, (1, 0, 2, 3)), self.turned(errors, (1, 0, 2, 3))
        if groups > 1:
            images = self.shaped(images, (1, inputs * batch, height, width))
        top, bottom, left, right = window.padding
        spans = [(size - 1) * step for size, step in zip(errors.shape[2:], window.stride,
                                                         strict=True)]  # fmt: skip
        long = (height + top + bottom - spans[0], width + left + right - spans[1])
        samples = 1 if groups > 1 else inputs
        acc = self.op(
            "ConvInteger", images, filters, np.uint8(x_zero_point + OFFSET), MIDDLE, dtype=INT32,
            shape=(samples, n, *long), group=groups, dilations=window.stride,
            kernel_shape=errors.shape[2:], pads=(top, left, bottom, right),
        )  # fmt: skip
        acc = self.cut(self.cut(acc, 0, kh, 2), 0, kw, 3)
        return self.turned(acc, (1, 0, 2, 3))

    def conv2d_grad_x(
        self, e: Value, w: Any, ratio: NDArray[Any], x_shape: Shape, window: Window
    ) -> Value:
        """Append `fixed.conv2d_grad_x`: a convolution of the errors, a stride apart."""
        filters = self._turned_filters(self._filters(w), window)
        _, height, width, n = x_shape
        top, _, left, _ = window.padding
        kh, kw = window.kernel
        before = (kh - 1 - top, kw - 1 - left)
        parts = []
        for digit, zero, unit in self._digits(e, ratio):
            far = self._apart(digit, window.stride, zero + OFFSET)
            after = (height - far.shape[2] + top, width - far.shape[3] + left)
            padded, pads = self._padded(far, before, after, zero + OFFSET)
            acc = self.op(
                "ConvInteger", padded, filters, np.uint8(zero + OFFSET), MIDDLE, dtype=INT32,
                shape=(x_shape[0], n, height, width), group=window.groups,
                kernel_shape=window.kernel, pads=pads,
            )  # fmt: skip
            parts.append((acc, unit))
        return self._united(parts)

    def _turned_filters(self, w: Any, window: Window) -> Any:
        """Append filters with inputs and outputs exchanged, upside down."""
        if isinstance(w, np.ndarray):
            w = self.op("Identity", w, dtype=UINT8, shape=w.shape)
        groups, (kh, kw) = window.groups, window.kernel
        n, inputs = w.shape[0] // groups, w.shape[1]
        turned = self.shaped(w, (groups, n, inputs, kh * kw))
        turned = self.turned(turned, (0, 2, 1, 3))
        if kh * kw > 1:
            order = np.arange(kh * kw)[::-1].copy()
            turned = self.op("Gather", turned, order, dtype=UINT8, shape=turned.shape, axis=3)
        return self.shaped(turned, (groups * inputs, n, kh, kw))

    def _apart(self, x: Value, stride: tuple[int, int], fill: int) -> Value:
        """Append an image whose pixels lie a stride apart."""
        if stride == (1, 1):
            return x
        batch, n, height, width = x.shape
        fine = self.shaped(x, (batch * n, height, 1, width, 1))
        ends = np.array([0] * 7 + [stride[0] - 1, 0, stride[1] - 1], np.int64)
        shape = (batch * n, height, stride[0], width, stride[1])
        far = self.op("Pad", fine, ends, x.dtype.type(fill), dtype=x.dtype, shape=shape)
        far = self.shaped(far, (batch, n, height * stride[0], width * stride[1]))
        far = self.cut(far, 0, (height - 1) * stride[0] + 1, 2)
        return self.cut(far, 0, (width - 1) * stride[1] + 1, 3)

    def _padded(
        self, x: Value, before: tuple[int, int], after: tuple[int, int], fill: int
    ) -> tuple[Value, tuple[int, ...]]:
        """Return an image and the pads of its convolution; cut off what is negative."""
        pads = (*before, *after)
        if min(pads) >= 0:
            return x, pads
        ends = np.array([0, 0, *before, 0, 0, *after], np.int64)
        shape = (*x.shape[:2], *(x.shape[2 + i] + before[i] + after[i] for i in (0, 1)))
        fit = self.op("Pad", x, ends, x.dtype.type(fill), dtype=x.dtype, shape=shape)
        return fit, (0, 0, 0, 0)
