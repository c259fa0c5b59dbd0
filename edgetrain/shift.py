"""What happens to a sensor: its picture is turned, its values get noisy.

Used by the demo and the examples to make data that a pretrained network has not seen.
"""

import math

import numpy as np

from edgetrain.model import Float


def rotate(images: Float, degrees: float) -> Float:
    """Turn images about their centre, bilinear, zeros outside.

    Args:
        images: float32 (samples, height, width, channels).
        degrees: angle; positive turns the picture clockwise.

    Returns:
        float32, the shape of images.

    Example:
        >>> image = np.zeros((1, 3, 3, 1), np.float32)
        >>> image[0, 0, 1] = 1  # top centre goes to the right
        >>> rotate(image, 90)[0, :, :, 0].round(6).tolist()
        [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    height, width = images.shape[1:3]
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    rows, columns = np.mgrid[:height, :width] - centre[:, None, None]
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    y = centre[0] + rows * cos - columns * sin
    x = centre[1] + rows * sin + columns * cos
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    turned = np.zeros(images.shape, np.float64)
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        i, j = top + dy, left + dx
        weight = (1 - np.abs(y - i)) * (1 - np.abs(x - j))
        weight *= (i >= 0) & (i < height) & (j >= 0) & (j < width)
        pixels = images[:, i.clip(0, height - 1), j.clip(0, width - 1)]
        turned += pixels * weight[:, :, None]
    return turned.astype(np.float32)


def add_noise(images: Float, deviation: float, seed: int) -> Float:
    """Add Gaussian noise and clip to [0, 1].

    Args:
        images: float32, in [0, 1].
        deviation: standard deviation of the noise.
        seed: of the noise.

    Returns:
        float32, the shape of images.

    Example:
        >>> add_noise(np.zeros((2, 2), np.float32), 0.0, seed=0).max()
        np.float32(0.0)
    """
    noise = np.random.default_rng(seed).normal(0, deviation, images.shape)
    return np.clip(images + noise, 0, 1).astype(np.float32)
