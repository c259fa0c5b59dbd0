import numpy as np
import pytest

from edgetrain.dataset import Data, check_labels, reshape_for, validation_split
from edgetrain.errors import DataError


@pytest.fixture
def arrays():
    x = np.arange(80, dtype=np.float32).reshape(20, 4)
    y = np.arange(20, dtype=np.int32)
    return {"x_train": x, "y_train": y, "x_test": x[:5], "y_test": y[:5]}


@pytest.fixture
def regression(arrays):
    y = np.ones((20, 2), np.float32)
    return arrays | {"y_train": y, "y_test": y[:5]}


def test_labels_make_classes(arrays):
    data = Data(**arrays)

    assert (data.input_shape, data.classes, data.is_regression) == ((4,), 20, False)


def test_labels_may_have_gaps_and_the_test_split_counts(arrays):
    data = Data(**arrays | {"y_test": np.array([0, 30, 30, 0, 0], np.int32)})

    assert data.classes == 31


def test_targets_make_a_regression_without_classes(regression):
    data = Data(**regression)

    assert data.is_regression
    with pytest.raises(DataError, match="only labels have classes"):
        _ = data.classes


def test_data_cannot_be_changed(arrays):
    with pytest.raises(AttributeError):
        Data(**arrays).x_train = None


@pytest.mark.parametrize("name", ["x_train", "x_test"])
def test_values_that_are_not_finite_are_counted(arrays, name):
    x = arrays[name].copy()
    x[1, :3] = np.nan, np.inf, -np.inf

    with pytest.raises(DataError, match=f"{name} must be finite in float32, got 3 NaN or inf"):
        Data(**arrays | {name: x})


def test_targets_that_are_not_finite_are_counted(regression):
    y = np.full((5, 2), np.nan, np.float32)

    with pytest.raises(DataError, match="y_test must be finite in float32, got 10 NaN or inf"):
        Data(**regression | {"y_test": y})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((20, 4))}, r"x_train must be float32 .*got float64 \(20, 4\)"),
        ({"x_train": np.zeros((20, 4, 1), np.float32)}, r"x_train must be .*\(20, 4, 1\)"),
        ({"x_test": np.zeros((5, 0), np.float32)}, r"x_test must be .*\(5, 0\)"),
        ({"y_train": np.zeros(20, np.int64)}, r"y_train must be int32 .* got int64 \(20,\)"),
        ({"y_test": np.zeros(5, np.float32)}, r"y_test must be .* got float32 \(5,\)"),
        ({"y_test": np.zeros((5, 0), np.float32)}, r"y_test must be .* got float32 \(5, 0\)"),
        ({"y_train": np.zeros(19, np.int32)}, "x_train and y_train .* got 20 and 19"),
        (
            {"x_test": np.zeros((0, 4), np.float32), "y_test": np.zeros(0, np.int32)},
            "x_test and y_test must hold .* at least one, got 0 and 0",
        ),
        ({"x_test": np.zeros((5, 3), np.float32)}, r"x_train and x_test must agree .*\(5, 3\)"),
        ({"y_test": np.zeros((5, 1), np.float32)}, "y_train and y_test must agree .* float32"),
        ({"y_train": -np.ones(20, np.int32)}, "y_train must hold labels .* got 20 outside"),
    ],
)
def test_wrong_arrays_are_named(arrays, changes, message):
    with pytest.raises(DataError, match=message):
        Data(**arrays | changes)


def test_labels_within_the_classes_pass():
    assert check_labels(np.array([0, 9], np.uint8), 10) is None


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0, -1, 3]), "labels from 0 to 2, got 2 outside: the first is -1"),
        (np.array([2**64 - 1], np.uint64), "got 1 outside: the first is 18446744073709551615"),
        (np.array([0.0, 1.0]), r"labels, integers \(n,\), got float64 \(2,\)"),
        (np.array([True]), "got bool"),
        (np.array([[1]]), r"\(1, 1\)"),
    ],
)
def test_other_labels_are_refused(y, message):
    with pytest.raises(DataError, match=message):
        check_labels(y, 3)


def test_a_validation_split_divides_the_training_split_and_keeps_the_order(arrays):
    parts = validation_split(Data(**arrays), 0.3, seed=1)

    assert (len(parts.x_train), len(parts.x_test)) == (14, 6)
    assert sorted([*parts.y_train, *parts.y_test]) == list(range(20))
    for x, y in ((parts.x_train, parts.y_train), (parts.x_test, parts.y_test)):
        np.testing.assert_array_equal(x, arrays["x_train"][y])
        assert (np.diff(y) > 0).all()


def test_the_seed_decides_the_validation_split(arrays):
    first, again, other = (validation_split(Data(**arrays), 0.3, seed).y_test for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("fraction", [0.02, 0.98])
def test_a_validation_split_without_samples_is_refused(arrays, fraction):
    with pytest.raises(DataError, match="both parts of a validation split must hold a sample"):
        validation_split(Data(**arrays), fraction, seed=0)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_fraction_out_of_range_is_refused(arrays, fraction):
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\)"):
        validation_split(Data(**arrays), fraction, seed=0)


def test_reshaping_keeps_every_number(arrays):
    data = reshape_for(Data(**arrays), (1, 4, 1))

    assert data.input_shape == (1, 4, 1)
    np.testing.assert_array_equal(data.x_train.ravel(), arrays["x_train"].ravel())


def test_data_of_the_right_shape_is_not_copied(arrays):
    data = Data(**arrays)

    assert reshape_for(data, (4,)) is data


def test_data_that_does_not_fit_is_refused(arrays):
    with pytest.raises(DataError, match=r"the model's input 2x2x1 .*got 4 "):
        reshape_for(Data(**arrays), (2, 2, 1))
