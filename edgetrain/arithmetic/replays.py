"""The steps of forward gradients in weight space again, from their slopes alone."""

import numpy as np

from edgetrain.arithmetic.randomness import Key, UInt32, random_signs
from edgetrain.arithmetic.rounding import Int8, Int32
from edgetrain.arithmetic.updates import update_bias, update_int8


def replay_int8(
    w: Int8, b: Int32, slopes: Int32, sign_keys: UInt32, round_keys: UInt32, rates_w: Int32,
    rates_b: Int32, limit: int,
) -> tuple[Int8, Int32]:  # fmt: skip
    """Take steps with the weights and biases of one layer, of many devices at once.

    A step adds up ``slope * signs`` over its queries and updates with the sum; the sign of a bias
    lies behind those of its channel's weights.

    Args:
        w: int8 (devices, channels, n), in [-127, 127].
        b: int32 (devices, channels).
        slopes: int32 (devices, steps, queries), their sum over queries below 2**31.
        sign_keys: uint32 (devices, steps, queries, 2), streams of the signs.
        round_keys: uint32 (devices, steps, 2), streams of the rounding.
        rates_w: int32 (steps, channels), not negative: multipliers of `update_int8`.
        rates_b: int32 (steps, channels), not negative: multipliers of `update_bias`.
        limit: largest bias.

    Returns:
        The new w and b.

    Example:
        >>> w, b = np.zeros((1, 1, 3), np.int8), np.zeros((1, 1), np.int32)
        >>> keys, rates = np.ones((1, 1, 1, 2), np.uint32), np.full((1, 1), 2**30, np.int32)
        >>> replay_int8(w, b, np.full((1, 1, 1), 64), keys, keys[0], rates, rates >> 15, 99)
        (array([[[-16,  16,  16]]], dtype=int8), array([[-32]], dtype=int32))
    """
    w, b = w.copy(), b.copy()
    _, channels, n = w.shape
    for device in range(len(w)):
        for step, own in enumerate(slopes[device]):
            acc = np.zeros((channels, n + 1), np.int32)
            for slope, key in zip(own, sign_keys[device, step], strict=True):
                signs = random_signs(Key(*map(int, key)), channels, n + 1)
                acc += np.int32(slope) * signs.astype(np.int32)
            acc_w, acc_b = acc[:, :-1], acc[:, -1]
            key = Key(*map(int, round_keys[device, step]))
            w[device], _ = update_int8(w[device], acc_w, rates_w[step], key)
            b[device] = update_bias(b[device], acc_b, rates_b[step], limit)
    return w, b
