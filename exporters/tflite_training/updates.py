"""Updates on tensors: namesakes in `edgetrain.fixed`, and `edgetrain.state.rate_multiplier`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgetrain import state
from edgetrain.arithmetic.rounding import INT32_MAX, INT32_MIN, WEIGHT_MAX
from edgetrain.arithmetic.updates import (
    BIAS_SHIFT,
    MASTER_BITS,
    MASTER_MAX,
    MASTER_MIN,
    UPDATE_SHIFT,
)
from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant, select
from edgetrain.exporters.tflite_training.words import (
    POWERS,
    divide,
    divide_by_power,
    high,
    power,
    shift_right,
)
from edgetrain.state import RATE_BITS

MOST_LEFT = 23
"""More bits to the left saturate, however small a multiplier is."""


def _products(acc: Tensor, multiplier: Operand, octets: Tensor, shift: int) -> Tensor:
    """Return ``acc * multiplier`` plus the fractions that round it, int64 (channels, n)."""
    rates = constant(acc.graph, multiplier, np.int32).cast(np.int64).reshape(-1, 1)
    wide = acc.reshape(acc.shape[0], -1).cast(np.int64) * rates
    unit = 1 << (shift - 8)
    fractions = octets.cast(np.int64) * unit + unit // 2
    return wide + fractions.reshape(*wide.shape)


def _stepped(w: Tensor, steps: Tensor, most: int, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Return ``w - steps``, both saturated, and how many steps were: int32 (1,)."""
    clipped = steps.clip(-most - 1, most)
    cut = steps.differs(clipped).cast(np.int32).sum(0, 1, keep=True).reshape(1)
    new = (w.reshape(*steps.shape).cast(np.int32) - clipped).clip(low, high)
    return new.cast(w.dtype).reshape(*w.shape), cut


def update_int8(
    w: Tensor, acc: Tensor, multiplier: Operand, octets: Tensor
) -> tuple[Tensor, Tensor]:
    """Step int8 weights; return how many steps were saturated too."""
    steps = high(_products(acc, multiplier, octets, UPDATE_SHIFT))
    return _stepped(w, steps, 127, -WEIGHT_MAX, WEIGHT_MAX)


def update_int16(
    w: Tensor, acc: Tensor, multiplier: Operand, octets: Tensor
) -> tuple[Tensor, Tensor]:
    """Step int16 masters; likewise."""
    shift = UPDATE_SHIFT - MASTER_BITS
    most = (1 << 15) << shift
    products = _products(acc, multiplier, octets, shift).clip(-2 * most, 2 * most)
    steps = shift_right(products, shift).cast(np.int32)
    return _stepped(w, steps, 2**15 - 1, MASTER_MIN, MASTER_MAX)


def visible(w: Tensor) -> Tensor:
    """What the forward pass sees of masters."""
    return (w.cast(np.int32) >> MASTER_BITS).cast(np.int8)


def update_bias(b: Tensor, acc: Tensor, multiplier: Operand, limit: int) -> Tensor:
    """Step biases to nearest."""
    rates = constant(acc.graph, multiplier, np.int32).cast(np.int64)
    step = divide_by_power(acc.cast(np.int64) * rates, BIAS_SHIFT)
    return (b.cast(np.int64) - step).clip(-limit, limit).cast(np.int32)


def momentum(velocity: Tensor, acc: Tensor, decay: int, realign: Tensor) -> Tensor:
    """Decay a velocity and add a gradient."""
    old = velocity.cast(np.int64)
    left = old * power(realign.maximum(0).minimum(31))
    right = divide_by_power(old, (0 - realign).maximum(0).minimum(62))
    old = select(realign.greater(0), left, right)
    new = old - divide_by_power(old, decay) + acc.cast(np.int64)
    return new.clip(INT32_MIN, INT32_MAX).cast(np.int32)


def rate_multiplier(
    rates: NDArray[Any], exponent: Operand, batch: int, rate: Operand, fraction: int
) -> Operand:
    """Return the multipliers of one update, int32 (n_out,)."""
    if not isinstance(exponent, Tensor) and not isinstance(rate, Tensor):
        return state.rate_multiplier(rates, int(exponent), batch, int(rate), fraction)
    graph = next(value.graph for value in (exponent, rate) if isinstance(value, Tensor))
    factor = constant(graph, rate, np.int32).cast(np.int64)
    value = constant(graph, rates[0], np.int64) * factor
    base = rates[1].astype(np.int64) - 31 + fraction - RATE_BITS
    bits = constant(graph, base, np.int32) + exponent
    left = value * power(bits.clip(0, MOST_LEFT))
    right = divide_by_power(value, (0 - bits).clip(0, len(POWERS) - 1))
    scaled = select(bits.greater(0), left, right)
    return divide(scaled.clip(0, INT32_MAX * batch), batch).cast(np.int32)
