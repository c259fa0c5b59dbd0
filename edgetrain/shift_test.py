import numpy as np
import pytest

from edgetrain.shift import add_noise, rotate


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 1, (5, 8, 8, 2)).astype(np.float32)


@pytest.fixture
def blobs():
    """Images whose light is near the centre, so that none is turned out of the picture."""
    rows, columns = np.mgrid[:17, :17] - 8.0
    light = np.exp(-((rows - 2) ** 2 + (columns + 2) ** 2) / 8)
    return light[None, :, :, None].astype(np.float32)


def test_no_angle_is_no_change(images):
    np.testing.assert_array_equal(rotate(images, 0), images)


@pytest.mark.parametrize("degrees", [360, -360, 720])
def test_a_whole_turn_is_no_change(images, degrees):
    np.testing.assert_allclose(rotate(images, degrees), images, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 8, 8, 1), (2, 7, 7, 3)])
def test_a_quarter_turn_is_clockwise_and_exact(shape):
    images = np.random.default_rng(1).uniform(0, 1, shape).astype(np.float32)

    np.testing.assert_allclose(rotate(images, 90), np.rot90(images, -1, (1, 2)), atol=1e-5)


def test_four_quarter_turns_are_no_change(images):
    turned = images
    for _ in range(4):
        turned = rotate(turned, 90)

    np.testing.assert_allclose(turned, images, atol=1e-5)


def test_there_and_back_is_nearly_no_change(blobs):
    back = rotate(rotate(blobs, 30), -30)

    assert np.abs(back - blobs).max() < 0.1
    assert np.abs(rotate(blobs, 30) - blobs).max() > 0.2


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_light_in_the_middle_is_kept(blobs, degrees):
    assert rotate(blobs, degrees).sum() == pytest.approx(blobs.sum(), rel=0.03)


@pytest.mark.parametrize("degrees", [10, 30, 45, 200])
def test_values_stay_between_zero_and_the_brightest(images, degrees):
    turned = rotate(images, degrees)

    assert turned.shape == images.shape
    assert turned.dtype == np.float32
    assert turned.min() >= 0
    assert turned.max() <= images.max() + 1e-6
    assert turned.sum() < images.sum()  # the corners leave the picture, zeros come in


def test_oblong_images_turn_about_their_centre():
    image = np.zeros((1, 3, 7, 1), np.float32)
    image[0, 1, 4] = 1  # right of the centre goes below it

    assert rotate(image, 90)[0, 2, 3, 0] == pytest.approx(1, abs=1e-5)


def test_samples_and_channels_are_turned_alone(images):
    turned = rotate(images, 25)

    np.testing.assert_allclose(turned[2:3, :, :, 1:], rotate(images[2:3, :, :, 1:], 25))


def test_rotation_leaves_its_argument_alone(images):
    before = images.copy()
    rotate(images, 40)
    add_noise(images, 0.5, 0)

    np.testing.assert_array_equal(images, before)


def test_noise_is_clipped():
    images = np.repeat(np.array([0.0, 1.0], np.float32), 500)

    noisy = add_noise(images, 0.5, seed=0)

    assert (noisy.min(), noisy.max()) == (0, 1)
    assert noisy.dtype == np.float32
    assert 0.4 < (noisy[:500] == 0).mean() < 0.6  # the half that went below
    assert 0.4 < (noisy[500:] == 1).mean() < 0.6


def test_noise_has_the_deviation_that_was_asked_for():
    noisy = add_noise(np.full(20_000, 0.5, np.float32), 0.1, seed=3)

    assert noisy.std() == pytest.approx(0.1, rel=0.03)
    assert noisy.mean() == pytest.approx(0.5, abs=0.003)


def test_the_seed_decides_the_noise(images):
    once = add_noise(images, 0.1, seed=7)

    np.testing.assert_array_equal(once, add_noise(images, 0.1, seed=7))
    assert (once != add_noise(images, 0.1, seed=8)).mean() > 0.5


def test_no_deviation_is_no_noise(images):
    np.testing.assert_array_equal(add_noise(images, 0, seed=0), images)
