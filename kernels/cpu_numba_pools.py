# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""Pools of the backend "numba" and their gradients; arrays are flat, sizes are GEOMETRY."""

import numpy as np

from edgetrain.kernels.cpu_numba_elements import I32, I64, rescale
from edgetrain.kernels.cpu_numba_gemm import KH, KW, LEFT, OH, OW, SH, SW, TOP, C, H, W
from edgetrain.kernels.cpu_numba_jit import part


@part
def inside(g, i, j):
    """Return the pixels of the image under one position of a window: rows and columns."""
    top, left = i * g[SH] - g[TOP], j * g[SW] - g[LEFT]
    return max(top, 0), min(top + g[KH], g[H]), max(left, 0), min(left + g[KW], g[W])


@part
def average(x, samples, g, y):
    """Average what lies inside the image, ties away from zero."""
    channels = g[C]
    total = np.empty(channels, I32)
    for n in range(samples):
        for i in range(g[OH]):
            for j in range(g[OW]):
                total[:] = 0
                top, bottom, left, right = inside(g, i, j)
                for p in range(top, bottom):
                    for q in range(left, right):
                        pixel = x[((n * g[H] + p) * g[W] + q) * channels :]
                        for c in range(channels):
                            total[c] = I32(total[c] + I32(pixel[c]))
                count = I32((bottom - top) * (right - left))
                half, target = I32(count // 2), y[((n * g[OH] + i) * g[OW] + j) * channels :]
                for c in range(channels):
                    size = I32(I32(I32(abs(total[c])) + half) // count)
                    target[c] = np.int8(size if total[c] > 0 else -size)


@part
def average_grad(e, samples, g, grad):
    """Add each window's error times 256, divided by its pixels, to its pixels."""
    channels = g[C]
    for n in range(samples):
        for i in range(g[OH]):
            for j in range(g[OW]):
                error = e[((n * g[OH] + i) * g[OW] + j) * channels :]
                top, bottom, left, right = inside(g, i, j)
                count = I64((bottom - top) * (right - left))
                for p in range(top, bottom):
                    for q in range(left, right):
                        pixel = grad[((n * g[H] + p) * g[W] + q) * channels :]
                        for c in range(channels):
                            share = (I64(error[c]) * 256 + count // 2) // count
                            pixel[c] = I32(pixel[c] + I32(share))


@part
def maximum(x, samples, g, y):
    """Take the largest of what lies inside the image."""
    channels = g[C]
    for n in range(samples):
        for i in range(g[OH]):
            for j in range(g[OW]):
                target = y[((n * g[OH] + i) * g[OW] + j) * channels :]
                for c in range(channels):
                    target[c] = np.int8(-128)
                top, bottom, left, right = inside(g, i, j)
                for p in range(top, bottom):
                    for q in range(left, right):
                        pixel = x[((n * g[H] + p) * g[W] + q) * channels :]
                        for c in range(channels):
                            target[c] = max(target[c], pixel[c])


@part
def winners(x, samples, g, index):
    """Say which position of each window won, the first of equals."""
    channels = g[C]
    best = np.empty(channels, I32)
    for n in range(samples):
        for i in range(g[OH]):
            for j in range(g[OW]):
                target = index[((n * g[OH] + i) * g[OW] + j) * channels :]
                best[:] = -129
                top, bottom, left, right = inside(g, i, j)
                for p in range(top, bottom):
                    for q in range(left, right):
                        pixel = x[((n * g[H] + p) * g[W] + q) * channels :]
                        tap = (p - i * g[SH] + g[TOP]) * g[KW] + q - j * g[SW] + g[LEFT]
                        for c in range(channels):
                            if I32(pixel[c]) > best[c]:
                                best[c] = I32(pixel[c])
                                target[c] = np.uint8(tap)


@part
def maximum_grad(e, index, samples, g, bits, grad):
    """Add each window's error, shifted left, to its winner."""
    channels = g[C]
    for n in range(samples):
        for i in range(g[OH]):
            for j in range(g[OW]):
                at = ((n * g[OH] + i) * g[OW] + j) * channels
                for c in range(channels):
                    tap = I64(index[at + c])
                    p = i * g[SH] - g[TOP] + tap // g[KW]
                    q = j * g[SW] - g[LEFT] + tap % g[KW]
                    if 0 <= p < g[H] and 0 <= q < g[W]:
                        place = ((n * g[H] + p) * g[W] + q) * channels + c
                        grad[place] = I32(grad[place] + I32(I32(e[at + c]) << I32(bits)))


@part
def global_average(x, samples, pixels, width, zero, multiplier, shift, y_zero, y):
    """Average each channel over the image; the scale has ``1 / pixels`` in it."""
    total = np.empty(width, I32)
    for n in range(samples):
        total[:] = 0
        for p in range(pixels):
            pixel = x[(n * pixels + p) * width : (n * pixels + p + 1) * width]
            for c in range(width):
                total[c] = I32(total[c] + I32(pixel[c]))
        for c in range(width):
            scaled = rescale(I64(total[c]) - pixels * zero, multiplier, shift) + y_zero
            y[n * width + c] = np.int8(min(max(scaled, I64(-128)), I64(127)))
