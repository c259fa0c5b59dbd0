import numpy as np
import pytest

from edgetrain.arithmetic.probabilities import MAX_CLASSES, probabilities, softmax_multiplier


def float_softmax(x, scale):
    z = scale * (x.astype(np.float64) - x.max(axis=1, keepdims=True))
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("scale", [1e-6, 0.003, 0.0625, 0.14469, 1.0, 7.3, 31.0])
@pytest.mark.parametrize("classes", [1, 2, 10, 257])
def test_it_is_the_softmax_of_reals(scale, classes):
    rng = np.random.default_rng(classes)
    x = rng.integers(-128, 128, (200, classes)).astype(np.int8)

    y = probabilities(x, *softmax_multiplier(scale))

    wanted = np.clip(float_softmax(x, scale) * 256 - 128, -128, 127)
    assert np.abs(y - wanted).max() < 0.502


def test_golden_bytes_of_the_reference_kernel():
    x = np.array([[-128, 127, 0, 5], [14, 14, 13, -40], [127, 126, 125, 124]], np.int8)
    np.testing.assert_array_equal(
        probabilities(x, *softmax_multiplier(float(np.float32(0.0625)))),
        [[-128, 127, -128, -128], [-42, -42, -47, -125], [-58, -62, -66, -70]],
    )


def test_logits_too_far_below_the_largest_do_not_count():
    multiplier, shift, lowest = softmax_multiplier(0.125)
    x = np.array([[lowest, 0], [lowest - 1, 0]], np.int8)
    np.testing.assert_array_equal(probabilities(x, multiplier, shift, lowest)[:, 0], [-128, -128])
    assert lowest == -124


def test_the_largest_number_of_classes():
    x = np.full((1, MAX_CLASSES), 127, np.int8)
    assert set(probabilities(x, *softmax_multiplier(0.1)).ravel()) == {-128}
    x[0, 1:] = -128
    assert probabilities(x, *softmax_multiplier(1.0))[0, 0] == 127


@pytest.mark.parametrize("scale", [0.0, 2.0**-26, 32.0, np.inf, np.nan])
def test_a_scale_without_an_integer_form_is_refused(scale):
    with pytest.raises(ValueError, match="scale of logits"):
        softmax_multiplier(scale)
