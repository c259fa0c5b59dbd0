# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The replay of the backend "triton": all steps of a layer of many devices in one launch."""

import numpy as np
import torch
import triton
import triton.language as tl

from edgetrain.arithmetic.randomness import UInt32
from edgetrain.arithmetic.rounding import INT8_MAX, WEIGHT_MAX, Int8, Int32
from edgetrain.arithmetic.updates import BIAS_SHIFT, UPDATE_SHIFT
from edgetrain.kernels.gpu_triton_elements import (
    clip,
    divide_by_power,
    random_word,
    stochastic_step,
)
from edgetrain.kernels.gpu_triton_launch import BLOCK, launch, need, over, to_device, to_host


@triton.jit
def slope_sum(slopes, keys, counter, bit, steps, queries, step, BLOCK: tl.constexpr):
    """Sum up ``slope * sign`` over the queries of a step; slopes and keys are of one device."""
    acc = tl.zeros((BLOCK,), tl.int32)
    for query in range(queries):
        at = step * queries + query
        word = random_word(tl.load(keys + 2 * at), tl.load(keys + 2 * at + 1), counter)
        slope = tl.load(slopes + at)
        acc += tl.where(((word >> bit) & 1) == 0, slope, -slope)
    return acc


@triton.jit
def replay_weights(
    w, out, slopes, sign_keys, round_keys, rates, count, n, channels, words, steps, queries,
    SHIFT: tl.constexpr, STEP_MAX: tl.constexpr, HIGH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take all steps with BLOCK weights of one device."""
    device = tl.program_id(1)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    channel, column = at // n, at % n
    counter = (channel * words + column // 32).to(tl.uint32)
    bit = (column % 32).to(tl.uint32)
    value = tl.load(w + device * count + at, inside, 0).to(tl.int64)
    own = slopes + device * steps * queries
    keys = sign_keys + device * steps * queries * 2
    for step in range(steps):
        acc = slope_sum(own, keys, counter, bit, steps, queries, step, BLOCK)
        rate = tl.load(rates + step * channels + channel, inside, 0).to(tl.int64)
        place = round_keys + (device * steps + step) * 2
        word = random_word(tl.load(place), tl.load(place + 1), (at // 4).to(tl.uint32))
        moved = stochastic_step(acc.to(tl.int64), rate, word, at % 4, SHIFT)
        value = clip(value - clip(moved, -STEP_MAX - 1, STEP_MAX), -HIGH, HIGH)
    tl.store(out + device * count + at, value.to(tl.int8), inside)


@triton.jit
def replay_biases(
    b, out, slopes, sign_keys, rates, limit, channels, n, words, steps, queries,
    SHIFT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take all steps with BLOCK biases of one device; limit is an int64 tensor of one number."""
    device = tl.program_id(1)
    channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    counter = (channel * words + n // 32).to(tl.uint32)
    bit = (channel * 0 + n % 32).to(tl.uint32)
    value = tl.load(b + device * channels + channel, inside, 0).to(tl.int64)
    own = slopes + device * steps * queries
    keys = sign_keys + device * steps * queries * 2
    most = tl.load(limit)
    for step in range(steps):
        acc = slope_sum(own, keys, counter, bit, steps, queries, step, BLOCK)
        rate = tl.load(rates + step * channels + channel, inside, 0).to(tl.int64)
        value = clip(value - divide_by_power(acc.to(tl.int64) * rate, SHIFT), -most, most)
    tl.store(out + device * channels + channel, value.to(tl.int32), inside)


def replay_int8(
    w: Int8, b: Int32, slopes: Int32, sign_keys: UInt32, round_keys: UInt32, rates_w: Int32,
    rates_b: Int32, limit: int,
) -> tuple[Int8, Int32]:  # fmt: skip
    """See `edgetrain.fixed.replay_int8`."""
    devices, channels, n = w.shape
    steps, queries = slopes.shape[1:]
    need("b", b, (devices, channels))
    need("slopes", slopes, (devices, steps, queries))
    need("sign_keys", sign_keys, (devices, steps, queries, 2))
    need("round_keys", round_keys, (devices, steps, 2))
    need("rates_w", rates_w, (steps, channels))
    need("rates_b", rates_b, (steps, channels))
    old_w, old_b = to_device(w, np.int8), to_device(b, np.int32)
    new_w, new_b = torch.empty_like(old_w), torch.empty_like(old_b)
    given = to_device(slopes, np.int32), to_device(sign_keys, np.uint32)
    words, size = (n + 32) // 32, channels * n
    launch(replay_weights, (*over(size), devices), old_w, new_w, *given,
           to_device(round_keys, np.uint32), to_device(rates_w, np.int32), size, n, channels,
           words, steps, queries, SHIFT=UPDATE_SHIFT, STEP_MAX=INT8_MAX, HIGH=WEIGHT_MAX,
           BLOCK=BLOCK)  # fmt: skip
    launch(replay_biases, (*over(channels), devices), old_b, new_b, *given,
           to_device(rates_b, np.int32), to_device(np.array([limit]), np.int64), channels, n,
           words, steps, queries, SHIFT=BIAS_SHIFT, BLOCK=BLOCK)  # fmt: skip
    return to_host(new_w), to_host(new_b)
