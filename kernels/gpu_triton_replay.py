# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The replay of the backend "triton": all steps of a layer of many devices in one launch.

A program keeps its weights in registers over all steps and derives the keys of every step itself;
it reads nothing but slopes and rates. Four weights share a word of the rounding, and where the
columns are a multiple of four, a word of signs.
"""

import numpy as np
import torch
import triton
import triton.language as tl

from edgetrain.arithmetic.randomness import PERTURB, ROUND, UInt32
from edgetrain.arithmetic.replays import check_shapes
from edgetrain.arithmetic.rounding import INT8_MAX, WEIGHT_MAX, Int8, Int32
from edgetrain.arithmetic.updates import BIAS_SHIFT, UPDATE_SHIFT
from edgetrain.kernels.gpu_triton_elements import (
    clip,
    core,
    divide_by_power,
    fold,
    random_word,
    stochastic_step,
)
from edgetrain.kernels.gpu_triton_launch import BLOCK, empty, launch, over, to_device, to_host


@triton.jit
def stream_key(seed, step, tensor, purpose):
    """`edgetrain.fixed.stream_key`, all uint32."""
    a = fold(core(core(fold(seed + 0x9E3779B9)) ^ fold(step)))
    k0 = core(fold(a + (tensor * 0x85EBCA6B + purpose)))
    return fold(k0), fold(core(k0 ^ (0xC2B2AE35 ^ 0xC2B2AE35 >> 16)))


@triton.jit
def slope_sum(slopes, seed, tensor, number, counter, bit, queries, PURPOSE: tl.constexpr):
    """Sum up ``slope * sign`` over the queries of a step, whose slopes are given."""
    acc = tl.zeros(bit.shape, tl.int32)
    for query in range(queries):
        k0, k1 = stream_key(seed, number * queries + query, tensor, PURPOSE)
        slope = tl.load(slopes + query)
        acc += tl.where(((random_word(k0, k1, counter) >> bit) & 1) == 0, slope, -slope)
    return acc


@triton.jit
def replay_weights(
    w, out, slopes, seeds, place, rates, count, n, channels, words, steps, queries,
    ALIGNED: tl.constexpr, PERTURB: tl.constexpr, ROUND: tl.constexpr, SHIFT: tl.constexpr,
    STEP_MAX: tl.constexpr, HIGH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take all steps with BLOCK weights of one device; place holds tensor and first step."""
    device = tl.program_id(1)
    quad = tl.program_id(0) * (BLOCK // 4) + tl.arange(0, BLOCK // 4)[:, None]
    octet = tl.arange(0, 4)[None, :]
    at = quad * 4 + octet
    inside = at < count
    drawn = quad * 4 if ALIGNED else at
    channel = tl.minimum(drawn // n, channels - 1)
    counter = (drawn // n * words + drawn % n // 32).to(tl.uint32)
    bit = (at % n % 32).to(tl.uint32)
    value = tl.load(w + device * count + at, inside, 0).to(tl.int32)
    own = slopes + device * steps * queries
    seed, tensor, first = tl.load(seeds + device), tl.load(place), tl.load(place + 1)
    for step in range(steps):
        number = first + step
        acc = slope_sum(own + step * queries, seed, tensor, number, counter, bit, queries, PERTURB)
        rate = tl.load(rates + step * channels + channel).to(tl.int64)
        k0, k1 = stream_key(seed, number, tensor, ROUND)
        word = random_word(k0, k1, quad.to(tl.uint32))
        moved = stochastic_step(acc.to(tl.int64), rate, word, octet, SHIFT).to(tl.int32)
        value = clip(value - clip(moved, -STEP_MAX - 1, STEP_MAX), -HIGH, HIGH)
    tl.store(out + device * count + at, value.to(tl.int8), inside)


@triton.jit
def replay_biases(
    b, out, slopes, seeds, place, rates, limit, channels, n, words, steps, queries,
    PERTURB: tl.constexpr, SHIFT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Take all steps with BLOCK biases of one device; limit is an int64 tensor of one number."""
    device = tl.program_id(1)
    channel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = channel < channels
    counter = (channel * words + n // 32).to(tl.uint32)
    bit = (channel * 0 + n % 32).to(tl.uint32)
    value = tl.load(b + device * channels + channel, inside, 0).to(tl.int64)
    own = slopes + device * steps * queries
    seed, tensor, first = tl.load(seeds + device), tl.load(place), tl.load(place + 1)
    most = tl.load(limit)
    for step in range(steps):
        acc = slope_sum(
            own + step * queries, seed, tensor, first + step, counter, bit, queries, PERTURB
        )
        rate = tl.load(rates + step * channels + channel, inside, 0).to(tl.int64)
        value = clip(value - divide_by_power(acc.to(tl.int64) * rate, SHIFT), -most, most)
    tl.store(out + device * channels + channel, value.to(tl.int32), inside)


def replay_int8(
    w: Int8, b: Int32, slopes: Int32, seeds: UInt32, tensor: int, first: int, rates_w: Int32,
    rates_b: Int32, limit: int,
) -> tuple[Int8, Int32]:  # fmt: skip
    """See `edgetrain.fixed.replay_int8`."""
    check_shapes(w, b, slopes, seeds, rates_w, rates_b)
    (devices, channels, n), (steps, queries) = w.shape, slopes.shape[1:]
    old_w, old_b = to_device(w, np.int8), to_device(b, np.int32)
    new_w, new_b = empty(w.shape, torch.int8), empty(b.shape, torch.int32)
    place = np.array([tensor % 2**32, first % 2**32])
    given = to_device(slopes, np.int32), to_device(seeds, np.uint32), to_device(place, np.uint32)
    words, size = (n + 32) // 32, channels * n
    launch(replay_weights, (*over(size), devices), old_w, new_w, *given,
           to_device(rates_w, np.int32), size, n, channels, words, steps, queries,
           ALIGNED=n % 4 == 0, PERTURB=PERTURB, ROUND=ROUND, SHIFT=UPDATE_SHIFT,
           STEP_MAX=INT8_MAX, HIGH=WEIGHT_MAX, BLOCK=BLOCK)  # fmt: skip
    launch(replay_biases, (*over(channels), devices), old_b, new_b, *given,
           to_device(rates_b, np.int32), to_device(np.array([limit]), np.int64), channels, n,
           words, steps, queries, PERTURB=PERTURB, SHIFT=BIAS_SHIFT, BLOCK=BLOCK)  # fmt: skip
    return to_host(new_w), to_host(new_b)
