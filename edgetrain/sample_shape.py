"""What the numbers of one sample mean: features, an image, or a signal."""

import math
import re

from edgetrain.errors import DataError

Shape = tuple[int, ...]


def parse_shape(text: str) -> Shape:
    """Read a shape as people write it: ``28x28x1`` or ``64``.

    Args:
        text: one positive number (features) or three (height x width x channels).

    Raises:
        ValueError: if text is anything else.

    Example:
        >>> parse_shape("28x28x1"), parse_shape("64")
        ((28, 28, 1), (64,))
    """
    shape = (
        tuple(map(int, text.split("x"))) if re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9})*", text) else ()
    )
    if not _is_input(shape):
        raise ValueError(
            "an input shape must be one positive number (64) or three (28x28x1: height, width, "
            f"channels), got {text!r}"
        )
    return shape


def sample_shape(
    stored: Shape, input_shape: Shape | None = None, for_model: Shape | None = None
) -> Shape:
    """Decide the shape of one sample: as said, else as the model needs it, else as stored.

    Args:
        stored: the shape in the file, without the axis of the samples.
        input_shape: what the user or the file says, (features,) or (height, width, channels).
        for_model: the input shape of the model that will see the data.

    Returns:
        (features,) or (height, width, channels), or the shape of the model's input.

    Raises:
        DataError: if the shape is not settled, or has another number of elements.

    Example:
        >>> sample_shape((8, 8), input_shape=(8, 8, 1)), sample_shape((128, 6), for_model=(768,))
        ((8, 8, 1), (768,))
    """
    if input_shape is not None:
        if not _is_input(input_shape):
            raise DataError(
                "the input shape must be (features,) or (height, width, channels), all positive, "
                f"got {input_shape}"
            )
        if math.prod(input_shape) != math.prod(stored):
            raise DataError(
                f"the input shape must have the {math.prod(stored)} elements of one sample "
                f"({written(stored)}), got {written(input_shape)} ({math.prod(input_shape)})"
            )
        return input_shape
    if for_model is not None:
        return fitted_shape(stored, for_model)
    if _is_input(stored):
        return stored
    if len(stored) == 2 and all(stored):
        a, b = stored
        raise DataError(
            f"samples of shape {written(stored)} can be images or signals, so the input shape must "
            f"be given: --input {a}x{b}x1 (Python: input_shape=({a}, {b}, 1)) for an image of "
            f"{a} rows and {b} columns, --input 1x{a}x{b} (input_shape=(1, {a}, {b})) for a signal "
            f"of {a} steps with {b} channels"
        )
    raise DataError(
        "samples must have the shape (features,) or (height, width, channels), all positive, "
        f"got {stored}: give --input (Python: input_shape=)"
    )


def fitted_shape(sample: Shape, model: Shape) -> Shape:
    """Return the model's input shape if samples fit in: equal but for axes of length 1, or flat.

    Args:
        sample: the shape of one sample.
        model: the shape of the model's input.

    Raises:
        DataError: if the samples do not fit.

    Example:
        >>> fitted_shape((128, 6), (1, 128, 6)), fitted_shape((8, 8, 1), (64,))
        ((1, 128, 6), (64,))
    """
    flat = len(model) == 1 and math.prod(sample) == math.prod(model)
    if flat or [n for n in sample if n != 1] == [n for n in model if n != 1]:
        return model
    raise DataError(
        f"samples must fit the model's input {written(model)} ({math.prod(model)} numbers), "
        f"got {written(sample)} ({math.prod(sample)} numbers): use data made for this model, or "
        "say what one sample is with --input (Python: input_shape=)"
    )


def is_channels_first(stored: Shape, model: Shape) -> bool:
    """Whether samples are those of a model but for their channels, which come first, as in PyTorch.

    Args:
        stored: the shape of one sample: (channels, height, width), or (channels, steps).
        model: the shape of the model's input.

    Example:
        >>> is_channels_first((3, 32, 32), (32, 32, 3)), is_channels_first((6, 128), (1, 128, 6))
        (True, True)
        >>> is_channels_first((32, 32, 3), (32, 32, 3))
        False
    """
    if len(model) != 3 or stored in (model, model[1:]):
        return False
    height, width, channels = model
    return stored == (channels, height, width) or (height == 1 and stored == (channels, width))


def written(shape: Shape) -> str:
    """Write a shape as `parse_shape` reads it.

    Example:
        >>> written((28, 28, 1))
        '28x28x1'
    """
    return "x".join(map(str, shape)) or "one number"


def _is_input(shape: Shape) -> bool:
    return len(shape) in (1, 3) and all(isinstance(n, int) and n > 0 for n in shape)
