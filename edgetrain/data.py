"""Training data: loaded from files or arrays, and checked once.

Real numbers come out, whatever was stored: ``real = scale * (stored - zero_point)``. Images are
(height, width, channels), signals (1, steps, channels), everything else (features,).
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain import idx, npz
from edgetrain.dataset import (
    MAX_CLASSES,
    Data,
    Float,
    Int32,
    check_labels,
    reshape_for,
    validation_split,
)
from edgetrain.errors import DataError
from edgetrain.sample_shape import Shape, is_channels_first, parse_shape, sample_shape

__all__ = [
    "Data",
    "check_labels",
    "digits",
    "from_arrays",
    "load",
    "parse_shape",
    "reshape_for",
    "validation_split",
]

DIGITS = Path(__file__).with_name("assets") / "digits8x8.npz"
MAX_BYTES = 4 << 30  # 4 GiB
SPLITS = ("x_train", "y_train", "x_test", "y_test")


def load(
    path: str | Path,
    input_shape: Shape | None = None,
    for_model: Shape | None = None,
    max_bytes: int = MAX_BYTES,
) -> Data:
    """Load an .npz file, or a folder of MNIST-style IDX files (or one of the four files).

    An .npz file holds x_train, y_train, x_test and y_test as `from_arrays` takes them. It may hold
    ``scale`` and ``zero_point`` of x, a number each or one for every entry of x's last axis, and
    ``input``, the shape of one sample. Integers without scale are taken as they are. IDX files
    hold images with one channel.

    Args:
        path: the file or folder.
        input_shape: the shape of one sample, (features,) or (height, width, channels); it
            overrides the file's.
        for_model: the input shape of the model that will see the data, see `reshape_for`. It
            settles what samples with two axes mean. Samples with their channels first, as PyTorch
            has them, are turned round if they fit in no other way.
        max_bytes: most bytes that the uncompressed file or folder may have.

    Returns:
        The data, checked.

    Raises:
        DataError: if the data is missing, damaged, too large or of unclear meaning.

    Example:
        >>> load(DIGITS, for_model=(64,)).x_test.shape
        (360, 64)
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no {path}: data must be an .npz file or a folder of IDX files")
    if path.is_dir() or idx.is_idx(path):
        images = idx.read_folder(path if path.is_dir() else path.parent, max_bytes)
        stored: Mapping[str, NDArray[Any]] = images
        shape: Shape | None = (*images["x_train"].shape[1:], 1)
    else:
        stored = npz.read(path, SPLITS, ("scale", "zero_point", "input"), max_bytes)
        shape = _stored_shape(stored["input"]) if "input" in stored else None
    return from_arrays(
        _real("x_train", stored),
        stored["y_train"],
        _real("x_test", stored),
        stored["y_test"],
        shape if input_shape is None else input_shape,
        for_model,
    )


def digits() -> Data:
    """Load the bundled handwritten digits: 8x8x1, values 0 to 1, 10 classes.

    1437 training and 360 test images, by different writers; assets/README.md names the source.

    Example:
        >>> data = digits()
        >>> data.x_train.shape, data.x_test.shape, data.classes
        ((1437, 8, 8, 1), (360, 8, 8, 1), 10)
    """
    return load(DIGITS)


def from_arrays(
    x_train: NDArray[Any],
    y_train: NDArray[Any],
    x_test: NDArray[Any],
    y_test: NDArray[Any],
    input_shape: Shape | None = None,
    for_model: Shape | None = None,
) -> Data:
    """Make data of arrays of any numeric dtype.

    Args:
        x_train: real numbers (n, ...); samples that have neither one nor three axes need
            input_shape or for_model.
        y_train: integers (n,), classes; or floats (n,) or (n, n_out), targets of a regression.
        x_test: like x_train, with its own n.
        y_test: like y_train, with its own n.
        input_shape: see `load`.
        for_model: see `load`.

    Returns:
        The data, checked.

    Raises:
        DataError: if the arrays are not such data, or of unclear meaning.

    Example:
        >>> x, y = np.arange(12).reshape(3, 2, 2), np.array([0.5, 1.0, 2.0])
        >>> data = from_arrays(x, y, x, y, input_shape=(2, 2, 1))
        >>> data.input_shape, data.y_test.shape
        ((2, 2, 1), (3, 1))
    """
    x_train, x_test = _numbers("x_train", x_train), _numbers("x_test", x_test)
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            "samples of x_train and x_test must have the same shape, "
            f"got {x_train.shape[1:]} and {x_test.shape[1:]}"
        )
    if input_shape is None and is_channels_first(x_train.shape[1:], for_model or ()):
        x_train, x_test = np.moveaxis(x_train, 1, -1), np.moveaxis(x_test, 1, -1)
    shape = sample_shape(x_train.shape[1:], input_shape, for_model)
    data = Data(
        x_train.reshape(len(x_train), *shape),
        _outputs("y_train", y_train),
        x_test.reshape(len(x_test), *shape),
        _outputs("y_test", y_test),
    )
    return data if for_model is None else reshape_for(data, for_model)


def _numbers(name: str, x: NDArray[Any]) -> Float:
    if x.dtype.kind not in "biuf" or x.ndim == 0:
        raise DataError(f"{name} must hold real numbers (n, ...), got {x.dtype} {x.shape}")
    return _float32(x)


def _float32(x: NDArray[Any]) -> Float:
    with np.errstate(over="ignore"):  # too large for float32: infinite, which is refused later
        return x.astype(np.float32, copy=False)


def _stored_shape(shape: NDArray[Any]) -> Shape:
    if shape.dtype.kind not in "iu" or shape.ndim != 1 or shape.size > 3:
        raise DataError(
            "input must be integers (features,) or (height, width, channels), "
            f"got {shape.dtype} of shape {shape.shape}"
        )
    return tuple(shape.tolist())


def _real(name: str, stored: Mapping[str, NDArray[Any]]) -> Float:
    """Return ``scale * (x - zero_point)``, float32 throughout: exact for 8 and 16 bit integers."""
    x = _numbers(name, stored[name])
    if "scale" not in stored:
        if "zero_point" in stored:
            raise DataError("data with a zero_point must have a scale too, got none")
        return x
    scale = _numbers_per_last_axis("scale", stored["scale"], x)
    if not (scale > 0).all():
        raise DataError(f"scale must be > 0, got {scale.min()}")
    zero_point = stored.get("zero_point", np.zeros((), np.float32))
    with np.errstate(over="ignore"):
        return (x - _numbers_per_last_axis("zero_point", zero_point, x)) * scale


def _numbers_per_last_axis(name: str, values: NDArray[Any], x: Float) -> Float:
    if values.dtype.kind not in "iuf" or values.shape not in ((), (1,), x.shape[-1:]):
        raise DataError(
            f"{name} must be a number or {x.shape[-1]} numbers, one for each entry of the last "
            f"axis of x {x.shape}, got {values.dtype} {values.shape}"
        )
    if not np.isfinite(_float32(values)).all():
        raise DataError(f"{name} must be finite in float32, got {values}")
    return _float32(values)


def _outputs(name: str, y: NDArray[Any]) -> Int32 | Float:
    if y.dtype.kind in "iu" and y.ndim == 1:
        check_labels(y, MAX_CLASSES, name)
        return y.astype(np.int32)
    if y.dtype.kind == "f" and y.ndim in (1, 2):
        return _numbers(name, y).reshape(len(y), math.prod(y.shape[1:]))
    raise DataError(
        f"{name} must be integers (n,), labels from 0, or floats (n,) or (n, n_out), targets of a "
        f"regression, got {y.dtype} {y.shape}"
    )
