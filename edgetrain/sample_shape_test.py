import re

import pytest

from edgetrain.errors import DataError
from edgetrain.sample_shape import fitted_shape, parse_shape, sample_shape


@pytest.mark.parametrize(
    ("text", "shape"),
    [("64", (64,)), ("28x28x1", (28, 28, 1)), ("1x128x6", (1, 128, 6))],
)
def test_shapes_are_read(text, shape):
    assert parse_shape(text) == shape


@pytest.mark.parametrize(
    "text",
    ["", "x", "8x8", "0", "8x0x1", "-3", "1x2x3x4", "8,8,1", "8x8x1 ", "8.0", "9" * 5000, "٣"],
)
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match=re.escape(f"got {text!r}")):
        parse_shape(text)


@pytest.mark.parametrize("stored", [(40,), (32, 32, 3)])
def test_features_and_images_keep_their_shape(stored):
    assert sample_shape(stored) == stored


def test_two_axes_need_a_word_and_the_message_gives_it():
    with pytest.raises(DataError, match=r"--input 128x6x1 .*image.*--input 1x128x6 .*signal"):
        sample_shape((128, 6))


@pytest.mark.parametrize("stored", [(), (1, 2, 3, 4), (3, 0), (0,)])
def test_other_shapes_are_refused(stored):
    with pytest.raises(DataError, match=r"samples must have the shape \(features,\)"):
        sample_shape(stored)


@pytest.mark.parametrize(
    ("stored", "said"), [((8, 8), (8, 8, 1)), ((768,), (1, 128, 6)), ((3, 4, 5, 2), (120,))]
)
def test_a_given_shape_wins(stored, said):
    assert sample_shape(stored, said) == said


def test_a_given_shape_wins_over_the_model():
    assert sample_shape((64,), (8, 8, 1), for_model=(64,)) == (8, 8, 1)


def test_a_given_shape_must_have_as_many_elements():
    with pytest.raises(DataError, match=r"the 64 elements of one sample \(8x8\), got 8x9x1 \(72\)"):
        sample_shape((8, 8), (8, 9, 1))


@pytest.mark.parametrize("said", [(8, 8), (), (-8, -8, 1), (64.0,)])
def test_a_given_shape_must_be_features_or_an_image(said):
    with pytest.raises(DataError, match="the input shape must be"):
        sample_shape((8, 8), said)


@pytest.mark.parametrize(
    ("stored", "model"),
    [
        ((8, 8), (8, 8, 1)),
        ((8, 8), (64,)),
        ((128, 6), (1, 128, 6)),
        ((8, 8, 1), (64,)),
        ((1, 1, 64), (64,)),
        ((64,), (1, 1, 64)),
        ((), (1,)),
    ],
)
def test_a_model_settles_the_meaning(stored, model):
    assert sample_shape(stored, for_model=model) == model


@pytest.mark.parametrize(
    ("sample", "model"),
    [((8, 8), (4, 16, 1)), ((64,), (8, 8, 1)), ((8, 8, 3), (8, 8, 1)), ((6, 128), (1, 128, 6))],
)
def test_samples_that_do_not_fit_a_model_are_refused_with_both_shapes(sample, model):
    both = "x".join(map(str, model)) + " .*" + "x".join(map(str, sample)) + " "

    with pytest.raises(DataError, match=both):
        fitted_shape(sample, model)
