"""A training and a test split as one checked value."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain.errors import DataError
from edgetrain.sample_shape import Shape, fitted_shape

Float = NDArray[np.float32]
Int32 = NDArray[np.int32]

MAX_CLASSES = 2**31  # labels are int32


@dataclass(frozen=True, eq=False)
class Data:
    """A training and a test split, checked; `edgetrain.data.from_arrays` makes one of any numbers.

    Attributes:
        x_train: float32 (n, features) or (n, height, width, channels), finite.
        y_train: int32 (n,), classes from 0; or float32 (n, n_out), targets of a regression.
        x_test: like x_train, with its own n.
        y_test: like y_train, with its own n.

    Raises:
        DataError: if an array is not as described here.

    Example:
        >>> x, y = np.zeros((3, 5), np.float32), np.array([0, 2, 1], np.int32)
        >>> data = Data(x, y, x, y)
        >>> data.input_shape, data.classes, data.is_regression
        ((5,), 3, False)
    """

    x_train: Float
    y_train: Int32 | Float
    x_test: Float
    y_test: Int32 | Float

    def __post_init__(self) -> None:
        _check_split("train", self.x_train, self.y_train)
        _check_split("test", self.x_test, self.y_test)
        _check_alike("x", self.x_train, self.x_test)
        _check_alike("y", self.y_train, self.y_test)

    @property
    def input_shape(self) -> Shape:
        """The shape of one sample."""
        return self.x_train.shape[1:]

    @property
    def is_regression(self) -> bool:
        """Whether y holds targets instead of classes."""
        return self.y_train.dtype == np.float32

    @property
    def classes(self) -> int:
        """The largest label of both splits, plus 1; a regression raises DataError."""
        if self.is_regression:
            raise DataError(
                f"only labels have classes, got targets {self.y_train.shape} of a regression: "
                "store labels as integers (n,)"
            )
        return int(max(self.y_train.max(), self.y_test.max())) + 1


def check_labels(y: NDArray[Any], classes: int, name: str = "y") -> None:
    """Raise if y is anything but labels of so many classes.

    Args:
        y: what should be integers (n,), each in [0, classes).
        classes: how many the model tells apart.
        name: what to call y in the message.

    Raises:
        DataError: if y is not.

    Example:
        >>> check_labels(np.array([0, 7, 12]), classes=10)
        Traceback (most recent call last):
        edgetrain.errors.DataError: y must hold labels from 0 to 9, got 1 outside: the first is 12
    """
    if y.dtype.kind not in "iu" or y.ndim != 1:
        raise DataError(f"{name} must hold labels, integers (n,), got {y.dtype} {y.shape}")
    outside = y[(y < 0) | (y > classes - 1)]
    if outside.size:
        raise DataError(
            f"{name} must hold labels from 0 to {classes - 1}, "
            f"got {outside.size} outside: the first is {outside[0]}"
        )


def validation_split(data: Data, fraction: float, seed: int) -> Data:
    """Hold out part of the training split; the test split plays no role.

    A class that only the test split has is not counted by the ``classes`` of the result.

    Args:
        data: what to divide.
        fraction: the part of the training samples to hold out, in (0, 1).
        seed: decides which; the same seed gives the same parts.

    Returns:
        Data whose test split is the validation part; both parts keep their order.

    Raises:
        ValueError: if fraction is out of its range.
        DataError: if a part would be empty.

    Example:
        >>> x, y = np.zeros((10, 5), np.float32), np.zeros(10, np.int32)
        >>> parts = validation_split(Data(x, y, x, y), fraction=0.2, seed=0)
        >>> len(parts.x_train), len(parts.x_test)
        (8, 2)
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be in (0, 1), got {fraction}")
    n = len(data.x_train)
    held = round(n * fraction)
    if held in (0, n):
        raise DataError(
            "both parts of a validation split must hold a sample, "
            f"got {n - held} and {held} of {n} for the fraction {fraction}"
        )
    out = np.zeros(n, bool)
    out[np.random.default_rng(seed).permutation(n)[:held]] = True
    x, y = data.x_train, data.y_train
    return Data(x_train=x[~out], y_train=y[~out], x_test=x[out], y_test=y[out])


def reshape_for(data: Data, model_input_shape: Shape) -> Data:
    """Give samples the shape of a model's input, if that cannot change their meaning.

    Args:
        data: samples that are equal to the model's input but for axes of length 1; any samples
            with as many elements, if the model's input is flat.
        model_input_shape: (features,) or (height, width, channels).

    Raises:
        DataError: if the samples do not fit; the message names both shapes.

    Example:
        >>> x, y = np.zeros((10, 8, 8, 1), np.float32), np.zeros(10, np.int32)
        >>> reshape_for(Data(x, y, x, y), (64,)).input_shape
        (64,)
    """
    shape = fitted_shape(data.input_shape, model_input_shape)
    if shape == data.input_shape:
        return data
    return replace(
        data,
        x_train=data.x_train.reshape(-1, *shape),
        x_test=data.x_test.reshape(-1, *shape),
    )


def _check_split(split: str, x: NDArray[Any], y: NDArray[Any]) -> None:
    if x.dtype != np.float32 or x.ndim not in (2, 4) or 0 in x.shape[1:]:
        raise DataError(
            f"x_{split} must be float32 (n, features) or (n, height, width, channels), "
            f"got {x.dtype} {x.shape}: edgetrain.data.from_arrays converts"
        )
    is_labels = y.dtype == np.int32 and y.ndim == 1
    is_targets = y.dtype == np.float32 and y.ndim == 2 and y.shape[1] > 0
    if not (is_labels or is_targets):
        raise DataError(
            f"y_{split} must be int32 (n,) or float32 (n, n_out), "
            f"got {y.dtype} {y.shape}: edgetrain.data.from_arrays converts"
        )
    if not 0 < len(x) == len(y):
        raise DataError(
            f"x_{split} and y_{split} must hold the same number of samples, at least one, "
            f"got {len(x)} and {len(y)}"
        )
    for name, values in ((f"x_{split}", x), (f"y_{split}", y)):
        wrong = values.size - np.count_nonzero(np.isfinite(values))
        if wrong:
            raise DataError(f"{name} must be finite in float32, got {wrong} NaN or infinite values")
    if is_labels:
        check_labels(y, MAX_CLASSES, f"y_{split}")


def _check_alike(name: str, train: NDArray[Any], test: NDArray[Any]) -> None:
    if (train.dtype, train.shape[1:]) != (test.dtype, test.shape[1:]):
        raise DataError(
            f"{name}_train and {name}_test must agree in dtype and in all axes but the first, "
            f"got {train.dtype} {train.shape} and {test.dtype} {test.shape}"
        )
