"""Convolutions and pools as one gather: which pixels each position of a window sees.

The images of a batch are rows of pixels, (batch, pixels, channels). Behind the pixels one more
stands for the padding, and a table says which pixel each tap of each window reads.
"""

import numpy as np
from numpy.typing import NDArray

from edgetrain.arithmetic.layers import Window
from edgetrain.exporters.tflite_training.tensor import Tensor

Table = NDArray[np.int64]
Mask = NDArray[np.bool_]


def seen(height: int, width: int, window: Window) -> Table:
    """Return the pixel that each tap reads: (positions, taps); height * width for padding.

    Example:
        >>> seen(1, 3, Window((1, 2), (1, 2), (0, 0, 1, 0)))
        array([[3, 0],
               [1, 2]])
    """
    (kh, kw), (sh, sw), (top, _, left, _) = window.kernel, window.stride, window.padding
    out_h, out_w = window.output_size(height, width)
    rows = (np.arange(out_h) * sh - top)[:, None] + np.arange(kh)
    columns = (np.arange(out_w) * sw - left)[:, None] + np.arange(kw)
    return _pixels(rows, columns, height, width, rows >= 0, columns >= 0)


def seeing(height: int, width: int, window: Window) -> Table:
    """Return the position that reads a pixel by each tap: (pixels, taps); positions for none.

    Example:
        >>> seeing(1, 3, Window((1, 2), (1, 2), (0, 0, 1, 0)))
        array([[2, 0],
               [1, 2],
               [2, 1]])
    """
    (kh, kw), (sh, sw), (top, _, left, _) = window.kernel, window.stride, window.padding
    out_h, out_w = window.output_size(height, width)
    rows = (np.arange(height) + top)[:, None] - np.arange(kh)
    columns = (np.arange(width) + left)[:, None] - np.arange(kw)
    hit_rows, hit_columns = (rows >= 0) & (rows % sh == 0), (columns >= 0) & (columns % sw == 0)
    return _pixels(rows // sh, columns // sw, out_h, out_w, hit_rows, hit_columns)


def _pixels(
    rows: Table, columns: Table, height: int, width: int, hit_rows: Mask, hit_columns: Mask
) -> Table:
    """Number pixels by row (out height, kh) and column (out width, kw)."""
    hit = (hit_rows & (rows < height))[:, None, :, None] & (hit_columns & (columns < width))[
        None, :, None
    ]
    numbers = rows[:, None, :, None] * width + columns[None, :, None]
    flat = np.where(hit, numbers, height * width)
    return flat.reshape(flat.shape[0] * flat.shape[1], -1)


def gathered(x: Tensor, table: Table, padding: int) -> Tensor:
    """Take the pixels of a table: (batch, *table shape, channels).

    Args:
        x: images (batch, height, width, channels).
        table: of `seen` or `seeing`.
        padding: value of the pixel that stands for none.
    """
    batch, height, width, channels = x.shape
    pixels = x.reshape(batch, height * width, channels)
    if table.max() == height * width:
        pixels = pixels.padded(((0, 0), (0, 1), (0, 0)), padding)
    return pixels.gather(table, axis=1)


def by_group(patches: Tensor, groups: int) -> Tensor:
    """Lay patches (batch, positions, taps, channels) out as a matrix a group of channels.

    Returns:
        (groups, batch * positions, taps * channels / groups).
    """
    batch, positions, taps, channels = patches.shape
    rows, size = batch * positions, channels // groups
    if groups > 1:
        patches = patches.reshape(rows, taps, groups, size).transpose(2, 0, 1, 3)
    return patches.reshape(groups, rows, taps * size)


def without_groups(sums: Tensor) -> Tensor:
    """Join the channels of all groups again: (groups, rows, n) to (rows, groups * n)."""
    groups, rows, _ = sums.shape
    return (sums.transpose(1, 0, 2) if groups > 1 else sums).reshape(rows, -1)
