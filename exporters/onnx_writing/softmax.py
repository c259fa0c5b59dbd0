"""The softmax of inference in integer nodes: `edgetrain.arithmetic.probabilities`, bit for bit.

The exponentials depend on the difference of two codes only, so they are a table of 256; what is
left is their sum, its reciprocal and one product. All numbers are int64.
"""

import numpy as np

from edgetrain.arithmetic.probabilities import SUM_BITS, exp_q31
from edgetrain.arithmetic.rounding import INT32_MAX, Int64, divide_by_power, rescale
from edgetrain.exporters.onnx_writing.write import Writer

_POSITIVE = 1 << 62
"""Added before a division, and taken off after it, where a product may be negative: Div rounds
towards zero, we round down."""
_AXIS = np.array([1], np.int64)


def softmax(write: Writer, logits: str, multiplier: int, shift: int, lowest: int) -> str:
    """Append the softmax of every row.

    Args:
        write: where to.
        logits: name of uint8 (batch, classes).
        multiplier: see `edgetrain.arithmetic.probabilities.softmax_multiplier`.
        shift: likewise.
        lowest: likewise.

    Returns:
        The name of the result, uint8 (batch, classes) in units of 1/256.
    """
    exponentials, addends = tables(multiplier, shift, lowest)
    codes = write.cast(logits, np.int32)
    difference = write.op("Sub", write.op("ReduceMax", codes, _AXIS), codes)
    total = write.op("ReduceSum", write.op("Gather", addends, difference), _AXIS)
    powers = np.int64(1) << np.arange(31, dtype=np.int64)
    below = write.op("GreaterOrEqual", total, powers)
    power = write.op("ReduceMax", write.op("Where", below, 2 * powers, np.int64(0)), _AXIS)
    half = write.op("Div", write.op("Mul", total, np.int64(1 << 31)), power)
    product = write.op("Mul", reciprocal(write, half), write.op("Gather", exponentials, difference))
    share = _divided(write, product)
    nearest = write.op("Add", share, write.op("Mul", power, np.int64(4)))
    share = write.op("Div", nearest, write.op("Mul", power, np.int64(8)))
    return write.cast(write.op("Min", share, np.int64(255)), np.uint8)


def tables(multiplier: int, shift: int, lowest: int) -> tuple[Int64, Int64]:
    """Return the exponentials and what they add to the sum, by the distance from the largest.

    Example:
        >>> tables(2**30, 24, -124)[0][[0, 8, 255]]
        array([2147483647,  790015308,          0])
    """
    distance = np.arange(256, dtype=np.int64)
    counts = -distance >= lowest
    exponentials = exp_q31(rescale(np.where(counts, -distance, 0), multiplier, shift))
    addends = divide_by_power(exponentials, SUM_BITS)
    return np.where(counts, exponentials, 0), np.where(counts, addends, 0)


def _divided(write: Writer, product: str, positive: int = 0) -> str:
    """Append the division of a product by 2**31, to nearest, ties up."""
    nearest = write.op("Add", product, np.int64((1 << 30) + positive))
    return write.op("Div", nearest, np.int64(1 << 31))


def reciprocal(write: Writer, half: str) -> str:
    """Append three steps of Newton's method: from x / 2 to 1 / x, both Q31, 1 <= x < 2."""
    origin = _POSITIVE >> 31
    start = _divided(write, write.op("Mul", half, np.int64(-1010580540)), _POSITIVE)
    y = write.op("Add", start, np.int64(1515870810 - origin))
    for _ in range(3):
        error = write.op("Sub", np.int64(1 << 29), _divided(write, write.op("Mul", half, y)))
        step = _divided(write, write.op("Mul", y, error), _POSITIVE)
        fourfold = write.op("Mul", write.op("Sub", step, np.int64(origin)), np.int64(4))
        y = write.op("Add", y, fourfold)
    return write.op("Min", write.op("Mul", y, np.int64(2)), np.int64(INT32_MAX))
