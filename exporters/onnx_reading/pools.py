"""ONNX operators that shrink an image: pools, and means over its axes."""

import math
from dataclasses import replace

from edgetrain.arithmetic.layers import Window
from edgetrain.errors import ModelError
from edgetrain.exporters.onnx_reading.builder import Builder
from edgetrain.exporters.onnx_reading.graph import Op
from edgetrain.exporters.onnx_reading.pending import padded, settle
from edgetrain.exporters.onnx_reading.values import MARGIN, Value, dims_of
from edgetrain.exporters.onnx_reading.windows import (
    four,
    image,
    image_dims,
    moving,
    numbers,
    rounded_up,
)
from edgetrain.graph import MAX_POOL


def max_pool(build: Builder, op: Op) -> Value:
    """Read a max pool; padding with zeros is no obstacle where nothing is negative."""
    value = build.value(op)
    if build.limits(value.source)[0] < 0:
        value = padded(build, value, f"{op.name}_pad")
    source, window = _window(build, op, value)
    name = build.append(op.name, "max_pool", (source,), window=window)
    return Value(name, dims_of(image_dims(value), build.shapes[name]))


def average_pool(build: Builder, op: Op) -> Value:
    """Read an average pool; one over the whole of a large image is a global one.

    Padding that counts is a convolution before the pool; what ceil_mode adds to it never counts.
    """
    source, window = _window(build, op, padded(build, build.value(op), f"{op.name}_pad"))
    if op.attributes.get("count_include_pad", 0):
        given = _unrounded(build, op, source).padding
        counted = four(min(p, g) for p, g in zip(window.padding, given, strict=True))
        rest = four(p - c for p, c in zip(window.padding, counted, strict=True))
        source = padded(build, replace(source, margin=counted), f"{op.name}_pad")
        window = window._replace(padding=rest)
    if math.prod(window.kernel) > MAX_POOL and window == Window(
        build.shapes[source.source][:2], window.stride, MARGIN
    ):
        return _global(build, op, source)
    name = build.append(op.name, "average_pool", (source,), window=window)
    return Value(name, dims_of(image_dims(source), build.shapes[name]))


def global_average_pool(build: Builder, op: Op) -> Value:
    """Read a mean over the image that keeps its axes."""
    return _global(build, op, image(build, op, padded(build, build.value(op), f"{op.name}_pad")))


def global_max_pool(build: Builder, op: Op) -> Value:
    """Read a maximum over the image: a max pool as large as the image."""
    source = image(build, op, padded(build, build.value(op), f"{op.name}_pad"))
    height, width, _ = build.shapes[source.source]
    window = Window((height, width), (1, 1), MARGIN)
    name = build.append(op.name, "max_pool", (source,), window=window)
    return Value(name, dims_of(image_dims(source), build.shapes[name]))


def reduce_mean(build: Builder, op: Op) -> Value:
    """Read a mean over height and width, wherever a Transpose has put them."""
    value = settle(build, build.value(op))
    shape, rank = build.shapes[value.source], len(value.dims) + 1
    axes = build.integers(op, 1, "axes")
    if axes is None or not all(-rank <= a < rank for a in axes):
        raise ModelError(
            f"node {op.name!r}: axes of ReduceMean must be those of height and width, got {axes}"
        )
    over = {a % rank - 1 for a in axes}
    reduced = {axis for i in over if i >= 0 for axis in value.dims[i]}
    spatial = {axis for axis, size in zip("hw", shape, strict=False) if size > 1}
    if len(shape) != 3 or -1 in over or reduced != spatial or len(over) != len(value.dims) - 1:
        raise ModelError(
            f"node {op.name!r}: ReduceMean must go over height and width of an image, got the "
            f"axes {axes} of samples of shape {shape}"
        )
    name = build.append(op.name, "global_average_pool", (value,))
    (axis,) = dims_of("f", build.shapes[name])
    keep = op.attributes.get("keepdims", 1)
    dims = [() if i in over else axis for i in range(rank - 1) if keep or i not in over]
    return Value(name, tuple(dims))


def _window(build: Builder, op: Op, value: Value) -> tuple[Value, Window]:
    """Check a pool's attributes; return what it reads and how it moves."""
    source = image(build, op, value)
    window = _unrounded(build, op, replace(source, margin=value.margin))
    if set(numbers(op, "dilations", len(value.dims) - 1, 1)) != {1}:
        raise ModelError(
            f"node {op.name!r}: dilations of {op.kind} must be 1, "
            f"got {list(op.attributes['dilations'])}"
        )
    height, width, _ = build.shapes[source.source]
    up = op.attributes.get("ceil_mode", 0)
    return source, rounded_up(window, (height, width)) if up else window


def _unrounded(build: Builder, op: Op, value: Value) -> Window:
    """Return how a pool moves without ceil_mode."""
    height, width, _ = build.shapes[value.source]
    kernel = numbers(op, "kernel_shape", len(value.dims) - 1, 0)
    return moving(op, kernel, (height, width), value.margin)


def _global(build: Builder, op: Op, source: Value) -> Value:
    """Append a global average pool that keeps the image's axes."""
    name = build.append(op.name, "global_average_pool", (source,))
    return Value(name, dims_of("f" + "1" * (len(source.dims) - 1), build.shapes[name]))
