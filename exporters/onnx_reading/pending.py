"""Arithmetic on elements: collected, then folded into layers or turned into nodes."""

from dataclasses import replace

import numpy as np

from edgetrain.arithmetic.activations import FUNCTIONS
from edgetrain.arithmetic.layers import Window
from edgetrain.errors import ModelError
from edgetrain.exporters.onnx_reading.builder import FUSES, Builder, Layer
from edgetrain.exporters.onnx_reading.graph import Op
from edgetrain.exporters.onnx_reading.values import (
    GRID,
    MARGIN,
    Curve,
    Padding,
    Pending,
    Reals,
    Value,
    recognise,
)

ONE, ZERO = np.array(1.0), np.array(0.0)
ADVICE = {
    "Clip": "Clip is supported from 0 up (ReLU) and from 0 to 6 (ReLU6)",
    "Gelu": 'Gelu is supported with approximate="none"',
}
"""What to say about an operator whose function has no name."""


def scaled(build: Builder, op: Op, value: Value, scale: Reals, shift: Reals) -> Value:
    """Compute ``scale * x + shift``: in the layer before, or later.

    Args:
        build: the network so far.
        op: the ONNX node, for messages.
        value: x.
        scale: (), (channels,) or the shape of the source.
        shift: likewise.
    """
    value = padded(build, value, op.name)
    old = value.pending
    if old is None and build.scale(value, scale, shift):
        return value
    uniform = scale.ndim == shift.ndim == 0
    if old is not None and old.curve is not None and not uniform:
        value, old = settle(build, value), None
    old = old or _nothing(op.name, op.kind)
    whole = None if old.whole is None or not uniform else scale * old.whole + shift
    if old.curve is not None:
        pending = Pending(old.scale, old.shift, scale * old.curve + shift, whole, op.name, op.kind)
        return replace(value, pending=pending)
    after = (scale * old.scale, scale * old.shift + shift)
    return replace(value, pending=Pending(*after, None, whole, op.name, op.kind))


def curved(build: Builder, op: Op, value: Value, curve: Curve) -> Value:
    """Compute a function of every element: in the layer before, or later."""
    value = padded(build, value, op.name)
    if value.pending is None:
        name = recognise(curve(GRID))
        inside = np.clip(GRID, *build.limits(value.source))
        if name == "" or (name in FUSES and (curve(inside) == inside).all()):
            return value
        if name in FUSES and build.fuse(value, name):
            return value
    old = value.pending or _nothing(op.name, op.kind)
    whole = None if old.whole is None else curve(old.whole)
    made = curve(GRID if old.curve is None else old.curve)
    return replace(value, pending=Pending(old.scale, old.shift, made, whole, op.name, op.kind))


def combined(op: Op, a: Value, b: Value, join: np.ufunc) -> Value | None:
    """Join two functions of the same value into one; None if it cannot be."""
    if a.source != b.source or a.dims != b.dims or a.pending is None is b.pending:
        return None
    first, second = (GRID if v.pending is None else v.pending.whole for v in (a, b))
    if first is None or second is None:
        return None
    whole = join(first, second)
    pending = Pending(ONE, ZERO, whole, whole, op.name, op.kind)
    return replace(a, pending=pending, exclusive=False)


def unfolded(build: Builder, value: Value) -> Value:
    """Read an activation node as a function of what it reads."""
    node = build.nodes.get(value.source)
    if value.pending is not None or node is None or node.op != "activation":
        return value
    results = FUNCTIONS[node.activation](GRID)
    pending = Pending(ONE, ZERO, results, results, node.name, "activation")
    return replace(value, source=node.inputs[0], pending=pending)


def settle(build: Builder, value: Value) -> Value:
    """Turn pending arithmetic into nodes.

    Raises:
        ModelError: if there are none for it; it names the newest ONNX node.
    """
    value = padded(build, value, f"{value.source}_padded")
    pending = value.pending
    if pending is None:
        return value
    name = None if pending.whole is None else recognise(pending.whole)
    if name is not None:
        return _activated(build, replace(value, pending=None), name, pending)
    name = "" if pending.curve is None else recognise(pending.curve)
    if name is None:
        advice = ADVICE.get(pending.kind, "the functions with a node are " + ", ".join(FUNCTIONS))
        raise ModelError(
            f"node {pending.label!r}: {pending.kind} makes a function of its input that is not "
            f"supported; {advice}"
        )
    value = _depthwise(build, value, pending)
    return _activated(build, value, name, pending)


def _activated(build: Builder, value: Value, name: str, pending: Pending) -> Value:
    """Apply a function that has a name."""
    if not name:
        return value
    if name in FUSES:
        if not build.fuse(value, name):
            value = _depthwise(build, value, _nothing(pending.label, pending.kind))
            build.fuse(value, name)
        return value
    node = build.append(pending.label, "activation", (value,), activation=name)
    return replace(value, source=node, exclusive=True)


def padded(build: Builder, value: Value, label: str) -> Value:
    """Surround an image with its zeros by a 1x1 convolution, where no layer can do it."""
    if value.margin == MARGIN:
        return value
    margin, value = value.margin, settle(build, replace(value, margin=MARGIN))
    return _depthwise(build, value, _nothing(label, "Pad"), margin)


def _depthwise(build: Builder, value: Value, pending: Pending, padding: Padding = MARGIN) -> Value:
    """Scale and shift an image's channels by a 1x1 convolution of its own."""
    shape = build.shapes[value.source]
    if len(shape) != 3 or pending.scale.ndim > 1 or pending.shift.ndim > 1:
        raise ModelError(
            f"node {pending.label!r}: {pending.kind} cannot be folded into a layer; on samples "
            f"of shape {shape} it is supported right after a convolution, dense layer or add, "
            "with one constant a channel also on images and just before a dense layer"
        )
    channels = shape[2]
    w = np.broadcast_to(pending.scale, (channels,)).astype(np.float64).reshape(-1, 1, 1, 1)
    b = np.broadcast_to(pending.shift, (channels,)).astype(np.float64)
    window = Window((1, 1), (1, 1), padding, channels)
    name = build.append(
        pending.label, "conv2d", (value,), channels, window, layer=Layer(w.copy(), b.copy())
    )
    return replace(value, source=name, exclusive=True, pending=None)


def _nothing(label: str, kind: str) -> Pending:
    """Return the arithmetic that changes nothing."""
    return Pending(ONE, ZERO, None, GRID, label, kind)
