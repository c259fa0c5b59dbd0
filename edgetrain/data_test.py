import gzip
import math

import numpy as np
import pytest

from edgetrain.data import digits, from_arrays, load
from edgetrain.errors import DataError
from edgetrain.idx import FILES


@pytest.fixture
def arrays():
    x = np.arange(48, dtype=np.uint8).reshape(4, 12)
    y = np.array([0, 1, 5, 1], np.uint8)
    return {"x_train": x, "y_train": y, "x_test": x[:2] + 1, "y_test": y[:2]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.npz"


def test_integers_without_scale_are_taken_as_they_are(path, arrays):
    np.savez(path, **arrays)

    data = load(path)

    np.testing.assert_array_equal(data.x_train, arrays["x_train"])
    np.testing.assert_array_equal(data.y_train, arrays["y_train"])
    assert (data.x_train.dtype, data.y_train.dtype, data.classes) == (np.float32, np.int32, 6)


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.float16, np.float64, ">i4"])
def test_every_dtype_of_real_numbers_loads(path, arrays, dtype):
    np.savez(path, **arrays | {"x_train": arrays["x_train"].astype(dtype)})

    np.testing.assert_array_equal(load(str(path)).x_train, arrays["x_train"])


def test_scale_and_zero_point_give_real_numbers(path, arrays):
    np.savez(path, **arrays, scale=0.5, zero_point=10)

    data = load(path)

    np.testing.assert_array_equal(data.x_train, (np.arange(48).reshape(4, 12) - 10) * 0.5)
    assert data.x_test[0, 0] == -4.5


def test_scale_may_differ_along_the_last_axis(path, arrays):
    scale = 2.0 ** np.arange(3)
    x = {name: arrays[name].reshape(-1, 4, 3) for name in ("x_train", "x_test")}
    np.savez(path, **arrays | x, scale=scale, input=[1, 4, 3])

    data = load(path)

    np.testing.assert_array_equal(data.x_train[:, 0], x["x_train"] * scale)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"scale": 0.0}, "scale must be > 0, got 0.0"),
        ({"scale": np.nan}, "scale must be finite in float32, got nan"),
        ({"scale": 1e300}, "scale must be finite in float32, got 1e"),
        ({"scale": 1e-300}, "scale must be > 0"),
        ({"scale": np.ones(5)}, r"scale must be a number or 12 numbers, .*got float64 \(5,\)"),
        ({"scale": "1"}, "scale must be a number or 12 numbers, .*got <U1"),
        ({"scale": 1.0, "zero_point": np.ones(5)}, "zero_point must be a number or 12 numbers"),
        ({"zero_point": 3}, "with a zero_point must have a scale"),
        ({"input": [3.0, 4.0, 1.0]}, "input must be integers .*got float64"),
        ({"input": [1] * 9}, r"input must be .*got int64 of shape \(9,\)"),
        ({"input": [3, 4]}, r"the input shape must be \(features,\) or .*got \(3, 4\)"),
        ({"input": [3, 5, 1]}, r"must have the 12 elements of one sample \(12\), got 3x5x1"),
    ],
)
def test_wrong_extras_are_named(path, arrays, extra, message):
    np.savez(path, **arrays, **extra)

    with pytest.raises(DataError, match=message):
        load(path)


def test_the_file_says_what_a_sample_is_unless_the_caller_does(path, arrays):
    np.savez(path, **arrays, input=[3, 4, 1])

    assert load(path).input_shape == (3, 4, 1)
    assert load(path, input_shape=(1, 4, 3)).input_shape == (1, 4, 3)
    assert load(path, for_model=(12,)).input_shape == (12,)
    with pytest.raises(DataError, match=r"the model's input 1x4x3 .*got 3x4x1"):
        load(path, for_model=(1, 4, 3))


@pytest.mark.parametrize("model", [(3, 4, 1), (1, 3, 4), (12,)])
def test_a_model_settles_samples_with_two_axes(path, arrays, model):
    x = {name: arrays[name].reshape(-1, 3, 4) for name in ("x_train", "x_test")}
    np.savez(path, **arrays | x)

    assert load(path, for_model=model).input_shape == model
    with pytest.raises(DataError, match=r"--input 3x4x1 .* --input 1x3x4"):
        load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no .*absent\.npz"):
        load(tmp_path / "absent.npz")


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
def test_a_missing_array_is_named(path, arrays, name):
    del arrays[name]
    np.savez(path, **arrays)

    with pytest.raises(DataError, match=f"must hold the array {name}"):
        load(path)


@pytest.mark.parametrize("name", ["x_train", "y_test", "scale"])
def test_pickled_arrays_are_refused(path, arrays, name):
    np.savez(path, **arrays | {name: np.array([None])})

    with pytest.raises(DataError, match=f"{name} holds pickled Python objects"):
        load(path)


def test_a_file_beyond_the_limit_is_refused(path, arrays):
    np.savez(path, **arrays)

    with pytest.raises(DataError, match="at most 500 bytes"):
        load(path, max_bytes=500)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_floats_are_targets_of_a_regression(arrays, shape):
    y = np.arange(4.0).reshape(shape)

    data = from_arrays(**arrays | {"y_train": y, "y_test": y[:2]})

    assert data.is_regression
    assert data.y_train.shape == (4, 1)
    assert data.y_train.dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.full((4, 12), "1")}, r"x_train must hold real numbers .*<U1"),
        ({"x_test": np.zeros((2, 12), complex)}, "x_test must hold real numbers .*complex128"),
        ({"x_test": np.float64(3)}, r"x_test must hold real numbers .*float64 \(\)"),
        ({"x_test": np.zeros((2, 11))}, r"must have the same shape, got \(12,\) and \(11,\)"),
        ({"x_test": np.zeros((0, 12)), "y_test": np.zeros(0, int)}, "at least one, got 0 and 0"),
        ({"x_test": np.full((2, 12), 1e39)}, "x_test must be finite in float32, got 24"),
        ({"x_train": np.full((4, 12), np.nan)}, "x_train must be finite in float32, got 48"),
        ({"y_train": np.zeros(3, int)}, "x_train and y_train must .*got 4 and 3"),
        ({"y_train": np.array([0, -1, 1, -(2**40)])}, "y_train must hold .*2 outside.* is -1"),
        ({"y_train": np.full(4, 2**40)}, "y_train must hold labels .*got 4 outside"),
        ({"y_train": np.zeros(4, bool)}, r"y_train must be integers .*got bool \(4,\)"),
        ({"y_train": np.zeros((4, 1), int)}, r"y_train must be integers .*got int64 \(4, 1\)"),
        ({"y_train": np.zeros((4, 2, 2))}, r"y_train must be integers .*got float64 \(4, 2, 2\)"),
        ({"y_train": np.zeros((4, 0))}, r"y_train must be .*float32 \(4, 0\)"),
        ({"y_train": np.array(3)}, r"y_train must be integers .*got int64 \(\)"),
        ({"y_train": np.zeros(4)}, "y_train and y_test must agree"),
    ],
)
def test_wrong_arrays_are_named(arrays, changes, message):
    with pytest.raises(DataError, match=message):
        from_arrays(**arrays | changes)


@pytest.mark.parametrize("name", [None, "t10k-images-idx3-ubyte"])
def test_idx_files_hold_images_with_one_channel(tmp_path, name):
    images = np.arange(12, dtype=np.uint8).reshape(2, 3, 2)
    labels = np.array([3, 0], np.uint8)
    for key, (file, dimensions) in FILES.items():
        array = images if key.startswith("x") else labels
        header = bytes([0, 0, 8, dimensions]) + np.array(array.shape, ">u4").tobytes()
        (tmp_path / f"{file}.gz").write_bytes(gzip.compress(header + array.tobytes()))

    data = load(tmp_path / f"{name}.gz" if name else tmp_path)

    np.testing.assert_array_equal(data.x_test[..., 0], images)
    np.testing.assert_array_equal(data.y_train, labels)
    assert load(tmp_path, input_shape=(6,)).input_shape == (6,)
    assert load(tmp_path, for_model=(1, 3, 2)).input_shape == (1, 3, 2)


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(DataError, match="must hold train-images-idx3-ubyte"):
        load(tmp_path)


def test_the_bundled_digits_are_in_range_and_complete():
    data = digits()

    assert (data.input_shape, data.classes) == ((8, 8, 1), 10)
    assert (data.x_train.min(), data.x_train.max()) == (0, 1)
    assert np.bincount(data.y_test).min() >= 30


@pytest.mark.parametrize(
    ("stored", "model"), [((3, 4, 5), (4, 5, 3)), ((6, 9), (1, 9, 6)), ((6, 1, 9), (1, 9, 6))]
)
def test_channels_first_are_turned_round_for_a_model(stored, model):
    x = np.arange(2 * math.prod(stored), dtype=np.float32).reshape(2, *stored)
    y = np.array([0, 1])

    found = from_arrays(x, y, x, y, for_model=model)

    np.testing.assert_array_equal(found.x_train, np.moveaxis(x, 1, -1).reshape(2, *model))


def test_samples_that_fit_as_they_are_are_left_alone():
    x = np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3)
    found = from_arrays(x, np.array([0, 1]), x, np.array([0, 1]), for_model=(3, 3, 3))
    np.testing.assert_array_equal(found.x_train, x)
