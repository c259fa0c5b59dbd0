"""ONNX operators that compute nothing: they change how a tensor's dimensions are counted."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edgetrain.errors import ModelError
from edgetrain.exporters.onnx_reading.builder import Builder, Constant
from edgetrain.exporters.onnx_reading.graph import MAX_RANK, Op
from edgetrain.exporters.onnx_reading.input import cut_to_image
from edgetrain.exporters.onnx_reading.pending import padded, settle
from edgetrain.exporters.onnx_reading.values import Dims, Value, lengths, regroup
from edgetrain.exporters.onnx_reading.windows import LARGEST, four, image


def identity(build: Builder, op: Op) -> Value:
    """Read Identity, and Dropout, which does nothing outside of training."""
    if len(op.inputs) > 2 and op.inputs[2] and build.needed(op, 2).array.any():
        raise ModelError(f"node {op.name!r}: Dropout must be in inference mode: use model.eval()")
    return build.value(op, moved=True)


def cast(build: Builder, op: Op) -> Value:
    """Read a cast from float to float."""
    if op.attributes.get("to") != 1:
        raise ModelError(
            f"node {op.name!r}: Cast of a computed value must be to float32, "
            f"got type {op.attributes.get('to')}: export the model in float32"
        )
    value = build.value(op, moved=True)
    if value.codes:
        raise ModelError(f"node {op.name!r}: Cast must read reals, got integers")
    return value


def flatten(build: Builder, op: Op) -> Value:
    """Read a flatten of everything but the batch."""
    value = padded(build, build.value(op, moved=True), f"{op.name}_pad")
    rank = len(value.dims) + 1
    axis = op.attributes.get("axis", 1)
    if axis < 0:
        axis += rank
    if axis < 1 or any(value.dims[: axis - 1]):
        raise ModelError(f"node {op.name!r}: axis of Flatten must be 1, got {axis}")
    return replace(value, dims=(tuple(a for group in value.dims for a in group),))


def reshape(build: Builder, op: Op) -> Value:
    """Read a reshape that keeps the batch and cuts no axis."""
    value = padded(build, build.value(op, moved=True), f"{op.name}_pad")
    sizes = lengths(value.dims, build.shapes[value.source])
    target = build.integers(op, 1, "shape") or []
    wanted = _target(target, sizes, build.graph.batch)
    dims = None if wanted is None else regroup(value.dims, build.shapes[value.source], wanted)
    other = cut_to_image(value, wanted or ()) if dims is None else None
    if other is not None:
        raise other
    if dims is None:
        raise ModelError(
            f"node {op.name!r}: Reshape must keep the batch and only join or split off whole axes "
            f"(a flatten, a dimension of 1), got (batch, {', '.join(map(str, sizes))}) to "
            f"{target}"
        )
    return replace(value, dims=dims)


def squeeze(build: Builder, op: Op) -> Value:
    """Read the removal of dimensions of size 1."""
    value = build.value(op, moved=True)
    rank = len(value.dims) + 1
    axes = _axes(build, op, rank)
    if axes is None:
        axes = {i + 1 for i, group in enumerate(value.dims) if not group}
        if build.graph.batch == 1:
            raise ModelError(f"node {op.name!r}: Squeeze needs axes where the batch is 1")
    if not all(0 < i < rank and not value.dims[i - 1] for i in axes):
        raise ModelError(
            f"node {op.name!r}: Squeeze must remove dimensions of size 1 but the batch, "
            f"got axes {sorted(axes)}"
        )
    kept = tuple(group for i, group in enumerate(value.dims) if i + 1 not in axes)
    return replace(value, dims=kept)


def unsqueeze(build: Builder, op: Op) -> Value:
    """Read new dimensions of size 1."""
    value = build.value(op, moved=True)
    count = len(build.integers(op, 1, "axes") or ())
    axes = _axes(build, op, len(value.dims) + 1 + count) or set()
    rank = len(value.dims) + 1 + len(axes)
    if len(axes) != count or rank > MAX_RANK or not all(0 < i < rank for i in axes):
        raise ModelError(
            f"node {op.name!r}: Unsqueeze must keep the batch the first of at most {MAX_RANK} "
            f"dimensions, got axes {sorted(axes)}"
        )
    rest = iter(value.dims)
    dims: Dims = tuple(() if i in axes else next(rest) for i in range(1, rank))
    return replace(value, dims=dims)


def transpose(build: Builder, op: Op) -> Value:
    """Read a permutation of everything but the batch."""
    value = build.value(op, moved=True)
    rank = len(value.dims) + 1
    order = list(op.attributes.get("perm", range(rank)[::-1]))
    if sorted(order) != list(range(rank)) or order[0] != 0:
        raise ModelError(f"node {op.name!r}: Transpose must keep the batch first, got {order}")
    return replace(value, dims=tuple(value.dims[i - 1] for i in order[1:]))


def pad(build: Builder, op: Op) -> Value:
    """Read zeros around an image; the convolution that follows takes them over."""
    mode = op.attributes.get("mode", "constant")
    filled = build.constant(op, 2)
    fill = op.attributes.get("value", 0.0) if filled is None else filled.array.ravel()
    pads = build.integers(op, 1, "pads") or []
    old = build.value(op)
    value = replace(image(build, op, old), margin=old.margin)
    rank = len(value.dims) + 1
    listed = build.integers(op, 3, "axes")
    axes = range(rank) if listed is None else [a % rank for a in listed]
    if mode != "constant" or np.any(fill) or len(pads) != 2 * len(axes):
        raise ModelError(
            f"node {op.name!r}: Pad must add zeros, got mode {mode!r}, value {fill} and "
            f"{len(pads)} numbers for {len(axes)} dimensions"
        )
    both = {a: (pads[i], pads[i + len(axes)]) for i, a in enumerate(axes)}
    rows = both.pop(2, (0, 0)) if rank == 4 else (0, 0)
    columns = both.pop(rank - 1, (0, 0))
    if any(map(any, both.values())) or not all(0 <= n <= LARGEST for n in (*rows, *columns)):
        raise ModelError(
            f"node {op.name!r}: Pad must add zeros around height and width, got {pads}"
        )
    margin = four(a + b for a, b in zip(value.margin, (*rows, *columns), strict=True))
    return replace(value, margin=margin)


def shape_of(build: Builder, op: Op) -> Constant:
    """Return a computed tensor's shape; its batch is 0, which Reshape reads as "unchanged"."""
    value = padded(build, build.value(op, moved=True), f"{op.name}_pad")
    sizes = (0, *lengths(value.dims, build.shapes[value.source]))
    part = sizes[op.attributes.get("start", 0) : op.attributes.get("end", len(sizes))]
    return Constant(np.array(part, np.int64), batch=0 in part)


def softmax(build: Builder, op: Op) -> Value:
    """Read the last node of a classifier; see `edgetrain.model.FloatModel.softmax`."""
    value = settle(build, build.value(op))
    rank = len(value.dims) + 1
    default = -1 if build.graph.opset >= 13 else 1
    axis = op.attributes.get("axis", default) % rank
    whole = [group for i, group in enumerate(value.dims) if i + 1 != axis]
    if axis == 0 or any(whole) or len(value.dims[axis - 1]) > 1:
        raise ModelError(
            f"node {op.name!r}: {op.kind} must go over all classes of a sample, one number each, "
            f"got axis {axis} of {rank} dimensions"
        )
    order = value.dims[axis - 1]
    source, _ = build.flat(replace(value, dims=(order,)), op.name)
    groups = tuple(source.dims[0] if i + 1 == axis else () for i in range(rank - 1))
    return replace(source, dims=groups, softmax=True, exclusive=False)


def _target(given: list[int], sizes: Sequence[int], batch: int | None) -> list[int] | None:
    """Return the sizes that a sample gets, without -1 and 0; None if the batch is not kept."""
    if not 1 <= len(given) <= MAX_RANK or (batch and given[0] not in (0, -1, batch)):
        return None
    copied = [sizes[i] if n == 0 and i < len(sizes) else n for i, n in enumerate(given[1:])]
    if copied.count(-1) > 1 or any(n < -1 for n in copied) or given[0] < -1:
        return None
    rest = math.prod(n for n in copied if n != -1)
    if -1 in copied:
        if given[0] == -1 or rest == 0 or math.prod(sizes) % rest:
            return None
        copied[copied.index(-1)] = math.prod(sizes) // rest
    return copied if math.prod(copied) == math.prod(sizes) else None


def _axes(build: Builder, op: Op, rank: int) -> set[int] | None:
    """Return axes counted from the front."""
    axes = build.integers(op, 1, "axes")
    return None if axes is None else {a + rank if a < 0 else a for a in axes}
