"""Updates on tensors: namesakes in `edgetrain.fixed`, and `edgetrain.state.rate_multiplier`."""

from collections.abc import Sequence

import numpy as np

from edgetrain import state
from edgetrain.arithmetic.rounding import INT32_MAX, INT32_MIN, WEIGHT_MAX
from edgetrain.arithmetic.updates import (
    BIAS_SHIFT,
    MASTER_BITS,
    MASTER_MAX,
    MASTER_MIN,
    UPDATE_SHIFT,
)
from edgetrain.exporters.step_writing.emitter import Rate
from edgetrain.exporters.tflite_training.operations import concatenate, joined, parted, select
from edgetrain.exporters.tflite_training.tensor import Operand, Tensor, constant
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


def update_biases(
    olds: Sequence[Operand], accs: Sequence[Tensor], multipliers: Sequence[Operand],
    limits: Sequence[int],
) -> list[Tensor]:  # fmt: skip
    """Step the biases of all layers to nearest, together; each as `edgetrain.fixed.update_bias`."""
    sizes = [acc.shape[0] for acc in accs]
    graph = accs[0].graph
    old, rates = (joined(graph, values, np.int32).cast(np.int64) for values in (olds, multipliers))
    steps = divide_by_power(concatenate(accs, 0).cast(np.int64) * rates, BIAS_SHIFT)
    most = np.repeat(np.array(limits, np.int64), sizes)
    new = (old - steps).maximum(-most).minimum(most).cast(np.int32)
    return parted(new, sizes)


def momentum(velocity: Tensor, acc: Tensor, decay: int, realign: Tensor) -> Tensor:
    """Decay a velocity and add a gradient."""
    old = velocity.cast(np.int64)
    left = old * power(realign.maximum(0).minimum(31))
    right = divide_by_power(old, (0 - realign).maximum(0).minimum(62))
    old = select(realign.greater(0), left, right)
    new = old - divide_by_power(old, decay) + acc.cast(np.int64)
    return new.clip(INT32_MIN, INT32_MAX).cast(np.int32)


def rate_multipliers(rates: Sequence[Rate]) -> list[Operand]:
    """Return the multipliers of updates, int32 (n_out,) each: constants where all is known.

    Those that are divided by the same batch are computed together.
    """
    found: dict[int, Operand] = {
        i: state.rate_multiplier(*rate)
        for i, rate in enumerate(rates)
        if not (isinstance(rate.exponent, Tensor) or isinstance(rate.rate, Tensor))
    }
    left = [i for i in range(len(rates)) if i not in found]
    for batch in {rates[i].batch for i in left}:
        those = [i for i in left if rates[i].batch == batch]
        found |= zip(those, _together([rates[i] for i in those], batch), strict=True)
    return [found[i] for i in range(len(rates))]


def _together(rates: Sequence[Rate], batch: int) -> list[Tensor]:
    """Return the multipliers of updates that are divided by one batch."""
    sizes = [rate.rates.shape[1] for rate in rates]
    numbers = [number for rate in rates for number in (rate.exponent, rate.rate)]
    graph = next(number.graph for number in numbers if isinstance(number, Tensor))
    whose = np.repeat(np.arange(len(rates)), sizes)
    exponents = joined(graph, [rate.exponent for rate in rates], np.int32).gather(whose)
    factors = joined(graph, [rate.rate for rate in rates], np.int32).gather(whose)
    multipliers = np.concatenate([rate.rates[0] for rate in rates])
    base = np.concatenate([rate.rates[1] + rate.fraction for rate in rates]) - 31 - RATE_BITS
    value = factors.cast(np.int64) * multipliers
    bits = exponents + base
    left = value * power(bits.clip(0, MOST_LEFT))
    right = divide_by_power(value, (0 - bits).clip(0, len(POWERS) - 1))
    scaled = select(bits.greater(0), left, right).clip(0, INT32_MAX * batch)
    return parted(divide(scaled, batch).cast(np.int32), sizes)
