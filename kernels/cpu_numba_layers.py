# mypy: disallow-untyped-defs=False, disallow-incomplete-defs=False
"""The loops of the backend "numba" over layers: convolution, its gradients, pools.

Numba computes ``int32 + int32`` in 64 bits, so every operation is cast back at once; that is also
what makes LLVM use the narrow vector instructions. Numba also wraps negative indices, which no
vector loop survives, so inner loops run from 0 over a slice. Sums of int32 may be taken in any
order. A window travels as 8 numbers: kernel height and width, vertical and horizontal stride,
rows above and below, columns left and right.
"""

import numpy as np

from edgetrain.kernels.cpu_numba_jit import jit

I16, I32 = np.int16, np.int32


@jit
def products(a, b, bias, out):
    """``out = a @ b.T + bias``: one dot product of rows at a time, which LLVM turns into pmaddwd.

    A register tile was slower: LLVM then multiplies in 32 bits.
    """
    for i in range(a.shape[0]):
        for j in range(b.shape[0]):
            total = I32(0)
            for k in range(a.shape[1]):
                total = I32(total + I32(I32(a[i, k]) * I32(b[j, k])))
            out[i, j] = I32(total + bias[j])


@jit
def accumulate(a, b, out):
    """``out += a @ b``: rows of b, four at a time, onto a row of out."""
    n_inner, n_columns = b.shape
    fours = n_inner - n_inner % 4
    for i in range(a.shape[0]):
        row = out[i]
        for k in range(0, fours, 4):
            a0, a1, a2, a3 = I32(a[i, k]), I32(a[i, k + 1]), I32(a[i, k + 2]), I32(a[i, k + 3])
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            for j in range(n_columns):
                first = I32(I32(a0 * b0[j]) + I32(a1 * b1[j]))
                second = I32(I32(a2 * b2[j]) + I32(a3 * b3[j]))
                row[j] = I32(row[j] + I32(first + second))
        for k in range(fours, n_inner):
            a0, b0 = I32(a[i, k]), b[k]
            for j in range(n_columns):
                row[j] = I32(row[j] + I32(a0 * b0[j]))


@jit
def shifted(x, zero_point, window):
    """Take off the zero point and pad: int16 (batch, padded height, padded width * channels)."""
    batch, height, width, channels = x.shape
    top, bottom, left, right = window[4:]
    out = np.zeros((batch, top + height + bottom, (left + width + right) * channels), I16)
    lines = x.reshape((batch, height, width * channels))
    for n in range(batch):
        for y in range(height):
            source, target = lines[n, y], out[n, top + y, left * channels :]
            for t in range(source.size):
                target[t] = I16(I16(source[t]) - I16(zero_point))
    return out


@jit
def gather(image, y, window, channels, first, count, columns):
    """Lay out what row y of the output sees: columns (out width, taps * count).

    The channels first .. first + count of each tap; neighbours of a row lie side by side if that
    is all channels.
    """
    kernel_height, kernel_width, stride_y, stride_x = window[:4]
    span = kernel_width * count if count == channels else count
    for x in range(columns.shape[0]):
        row = columns[x]
        at = 0
        for i in range(kernel_height):
            line = image[y * stride_y + i]
            for j in range(kernel_width * count // span):
                start = (x * stride_x + j) * channels + first
                source, target = line[start : start + span], row[at : at + span]
                for t in range(span):
                    target[t] = source[t]
                at += span


@jit
def scatter(columns, y, window, channels, first, count, image):
    """Add columns back to where `gather` reads them."""
    kernel_height, kernel_width, stride_y, stride_x = window[:4]
    span = kernel_width * count if count == channels else count
    for x in range(columns.shape[0]):
        row = columns[x]
        at = 0
        for i in range(kernel_height):
            line = image[y * stride_y + i]
            for j in range(kernel_width * count // span):
                start = (x * stride_x + j) * channels + first
                target, source = line[start : start + span], row[at : at + span]
                for t in range(span):
                    target[t] = I32(target[t] + source[t])
                at += span


@jit
def conv2d_acc(x, w, b, zero_point, window, out):
    """Accumulate into out, w as (n_out, taps * n_in / groups)."""
    batch, height, width, n_out = out.shape
    channels = x.shape[3]
    n_in = w.shape[1] // (window[0] * window[1])
    part = n_out // (channels // n_in)
    padded = shifted(x, zero_point, window)
    columns = np.empty((width, w.shape[1]), I16)
    for n in range(batch):
        for y in range(height):
            for g in range(channels // n_in):
                gather(padded[n], y, window, channels, g * n_in, n_in, columns)
                own = slice(g * part, g * part + part)
                products(columns, w[own], b[own], out[n, y, :, own])


@jit
def conv2d_grad_w(x, e, zero_point, window, out):
    """Add to out (n_out, taps * n_in / groups)."""
    batch, height, width, n_out = e.shape
    channels = x.shape[3]
    n_in = out.shape[1] // (window[0] * window[1])
    part = n_out // (channels // n_in)
    padded = shifted(x, zero_point, window)
    columns = np.empty((width, out.shape[1]), I16)
    for n in range(batch):
        for y in range(height):
            for g in range(channels // n_in):
                gather(padded[n], y, window, channels, g * n_in, n_in, columns)
                own = slice(g * part, g * part + part)
                accumulate(e[n, y, :, own].T, columns, out[own])


@jit
def conv2d_grad_x(e, w, ratio, window, channels, out):
    """Add to padded out (batch, padded height, padded width * channels)."""
    batch, height, width, n_out = e.shape
    n_in = w.shape[1] // (window[0] * window[1])
    part = n_out // (channels // n_in)
    scaled = np.empty((width, n_out), I16)
    columns = np.empty((width, w.shape[1]), I32)
    for n in range(batch):
        for y in range(height):
            for i in range(width):
                for o in range(n_out):
                    scaled[i, o] = I16(I16(e[n, y, i, o]) * ratio[o])
            for g in range(channels // n_in):
                own = slice(g * part, g * part + part)
                columns[:] = 0
                accumulate(scaled[:, own], w[own], columns)
                scatter(columns, y, window, channels, g * n_in, n_in, out[n])


@jit
def depthwise_acc(x, w, zero_point, window, out):
    """Add to out, which starts as the bias; w as (taps, channels)."""
    batch, height, width, channels = out.shape
    padded = shifted(x, zero_point, window)
    for n in range(batch):
        for y in range(height):
            for t in range(w.shape[0]):
                line, tap = padded[n, y * window[2] + t // window[1]], w[t]
                for i in range(width):
                    start = (i * window[3] + t % window[1]) * channels
                    pixel, acc = line[start : start + channels], out[n, y, i]
                    for c in range(channels):
                        acc[c] = I32(acc[c] + I32(I32(pixel[c]) * I32(tap[c])))


@jit
def depthwise_grad_w(x, e, zero_point, window, out):
    """Add to out (taps, channels)."""
    batch, height, width, channels = e.shape
    padded = shifted(x, zero_point, window)
    for n in range(batch):
        for y in range(height):
            for t in range(out.shape[0]):
                line, acc = padded[n, y * window[2] + t // window[1]], out[t]
                for i in range(width):
                    start = (i * window[3] + t % window[1]) * channels
                    pixel, error = line[start : start + channels], e[n, y, i]
                    for c in range(channels):
                        acc[c] = I32(acc[c] + I32(I32(pixel[c]) * I32(error[c])))


@jit
def depthwise_grad_x(e, w, ratio, window, out):
    """Add to padded out (batch, padded height, padded width * channels), w as (taps, channels)."""
    batch, height, width, channels = e.shape
    for n in range(batch):
        for y in range(height):
            for t in range(w.shape[0]):
                line, tap = out[n, y * window[2] + t // window[1]], w[t]
                for i in range(width):
                    start = (i * window[3] + t % window[1]) * channels
                    pixel, error = line[start : start + channels], e[n, y, i]
                    for c in range(channels):
                        scaled = I32(I32(error[c]) * I32(ratio[c]))
                        pixel[c] = I32(pixel[c] + I32(scaled * I32(tap[c])))


@jit
def average_pool(x, window, out):
    """Average what lies inside the image, ties away from zero."""
    batch, height, width, channels = out.shape
    total = np.empty(channels, I32)
    for n in range(batch):
        for y in range(height):
            for i in range(width):
                total[:] = 0
                top, left = y * window[2] - window[4], i * window[3] - window[6]
                count = I32(0)
                for p in range(max(top, 0), min(top + window[0], x.shape[1])):
                    for q in range(max(left, 0), min(left + window[1], x.shape[2])):
                        count = I32(count + 1)
                        for c in range(channels):
                            total[c] = I32(total[c] + I32(x[n, p, q, c]))
                half = I32(count // 2)
                for c in range(channels):
                    size = I32(I32(I32(abs(total[c])) + half) // count)
                    out[n, y, i, c] = np.int8(size if total[c] > 0 else -size)


@jit
def max_pool(x, window, out):
    """Take the largest of what lies inside the image; out starts at its lowest."""
    batch, height, width, channels = out.shape
    for n in range(batch):
        for y in range(height):
            for i in range(width):
                top, left = y * window[2] - window[4], i * window[3] - window[6]
                for p in range(max(top, 0), min(top + window[0], x.shape[1])):
                    for q in range(max(left, 0), min(left + window[1], x.shape[2])):
                        for c in range(channels):
                            out[n, y, i, c] = max(out[n, y, i, c], x[n, p, q, c])
