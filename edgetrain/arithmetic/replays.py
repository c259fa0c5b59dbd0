"""The steps of forward gradients in weight space again, from their slopes alone."""

import numpy as np

from edgetrain.arithmetic.randomness import PERTURB, ROUND, UInt32, random_signs, stream_key
from edgetrain.arithmetic.rounding import Int8, Int32
from edgetrain.arithmetic.updates import update_bias, update_int8


def replay_int8(
    w: Int8, b: Int32, slopes: Int32, seeds: UInt32, tensor: int, first: int, rates_w: Int32,
    rates_b: Int32, limit: int,
) -> tuple[Int8, Int32]:  # fmt: skip
    """Take steps with the weights and biases of one layer, of many devices at once.

    A step adds up ``slope * signs`` over its queries and updates with the sum; the sign of a bias
    lies behind those of its channel's weights.

    Args:
        w: int8 (devices, channels, n), in [-127, 127].
        b: int32 (devices, channels).
        slopes: int32 (devices, steps, queries), their sum over queries below 2**31.
        seeds: uint32 (devices,), of the runs.
        tensor: number of the layer in `edgetrain.arithmetic.randomness.stream_key`.
        first: number of the first step; query q of step s draws its signs in the stream of the
            number ``s * queries + q``, and the updates of step s round in that of ``s``.
        rates_w: int32 (steps, channels), not negative: multipliers of `update_int8`.
        rates_b: int32 (steps, channels), not negative: multipliers of `update_bias`.
        limit: largest bias.

    Returns:
        The new w and b.

    Raises:
        ValueError: if shapes do not fit together.

    Example:
        >>> w, b = np.zeros((1, 1, 3), np.int8), np.zeros((1, 1), np.int32)
        >>> slopes, rates = np.full((1, 1, 1), 64), np.full((1, 1), 2**30, np.int32)
        >>> replay_int8(w, b, slopes, np.ones(1, np.uint32), 5, 0, rates, rates >> 15, 99)
        (array([[[ 16,  16, -16]]], dtype=int8), array([[-32]], dtype=int32))
    """
    check_shapes(w, b, slopes, seeds, rates_w, rates_b)
    w, b = w.copy(), b.copy()
    _, channels, n = w.shape
    for device, seed in enumerate(seeds.tolist()):
        for step, own in enumerate(slopes[device]):
            acc = np.zeros((channels, n + 1), np.int32)
            for query, slope in enumerate(own):
                number = (first + step) * len(own) + query
                key = stream_key(seed, number, tensor, PERTURB)
                acc += np.int32(slope) * random_signs(key, channels, n + 1).astype(np.int32)
            key = stream_key(seed, first + step, tensor, ROUND)
            w[device], _ = update_int8(w[device], acc[:, :-1], rates_w[step], key)
            b[device] = update_bias(b[device], acc[:, -1], rates_b[step], limit)
    return w, b


def check_shapes(
    w: Int8, b: Int32, slopes: Int32, seeds: UInt32, rates_w: Int32, rates_b: Int32
) -> None:
    """Raise ValueError unless the arguments of `replay_int8` fit together."""
    (devices, channels, _), (steps, queries) = w.shape, slopes.shape[1:]
    for name, array, shape in (
        ("b", b, (devices, channels)), ("slopes", slopes, (devices, steps, queries)),
        ("seeds", seeds, (devices,)), ("rates_w", rates_w, (steps, channels)),
        ("rates_b", rates_b, (steps, channels)),
    ):  # fmt: skip
        if array.shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
