"""Kernels for an encoder on a CPU: what stands between two matrix products, each in as few passes as can be.

Arrays are rows of channels, `(R, C)`, or joints of channels, `(N, V, C)`, float32 and C-contiguous. Sums are taken over
chunks of `CHUNK` rows and the chunks are added in their order, so no result depends on how many threads there are.
"""

from __future__ import annotations

import numpy as np
from numba import njit

CHUNK = 256
SUM = {"reassoc", "contract"}  # lets the compiler add a chunk's rows in the order that suits the machine


def chunks(rows: int) -> int:
    """How many chunks there are."""
    return -(-rows // CHUNK)


# x (R, C); mean, square (chunks, C)
@njit(cache=True, nogil=True, fastmath=SUM)
def chunk_moments(x, first, last, mean, square):  # type: ignore[no-untyped-def]
    """Mean and sum of squared deviations of every chunk from `first` to `last`."""
    rows, channels = x.shape
    for k in range(first, last):
        start, stop = k * CHUNK, min((k + 1) * CHUNK, rows)
        mean[k] = 0
        square[k] = 0
        for r in range(start, stop):
            for c in range(channels):
                mean[k, c] += x[r, c]
        for c in range(channels):
            mean[k, c] /= np.float32(stop - start)
        for r in range(start, stop):
            for c in range(channels):
                square[k, c] += (x[r, c] - mean[k, c]) * (x[r, c] - mean[k, c])


# mean, square (chunks, C)
@njit(cache=True, nogil=True)
def moments(mean, square, rows):  # type: ignore[no-untyped-def]
    """Mean and variance of all rows from those of the chunks, in float64: (C,) each.

    Source: Chan, Golub, LeVeque, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances (1979).
    """
    channels = mean.shape[1]
    average, deviation = np.zeros(channels), np.zeros(channels)
    seen = 0
    for k in range(len(mean)):
        here = min((k + 1) * CHUNK, rows) - k * CHUNK
        for c in range(channels):
            step = mean[k, c] - average[c]
            average[c] += step * here / (seen + here)
            deviation[c] += square[k, c] + step * step * seen * here / (seen + here)
        seen += here
    return average, deviation / rows


# x (R, C); scale, shift (C,)
@njit(cache=True, nogil=True)
def scale_rows(x, scale, shift, first, last):  # type: ignore[no-untyped-def]
    """Turn x into scale · x + shift, in place."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            x[r, c] = scale[c] * x[r, c] + shift[c]


# x, out (R, C); scale, shift (C,)
@njit(cache=True, nogil=True)
def scale_relu(x, scale, shift, out, first, last):  # type: ignore[no-untyped-def]
    """Write max(0, scale · x + shift)."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            out[r, c] = max(scale[c] * x[r, c] + shift[c], np.float32(0))


# x, residual, out (R, C); scale, shift (C,)
@njit(cache=True, nogil=True)
def scale_add_relu(x, scale, shift, residual, out, first, last):  # type: ignore[no-untyped-def]
    """Write max(0, scale · x + shift + residual)."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            out[r, c] = max(scale[c] * x[r, c] + shift[c] + residual[r, c], np.float32(0))


# x, residual, out (R, C); bits (R, C) uint8; scale, shift (C,)
@njit(cache=True, nogil=True)
def scale_drop_add_relu(x, scale, shift, bits, threshold, residual, out, first, last):  # type: ignore[no-untyped-def]
    """Write max(0, residual + (scale · x + shift where the byte reaches the threshold))."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            y = scale[c] * x[r, c] + shift[c] if bits[r, c] >= threshold else np.float32(0)
            out[r, c] = max(y + residual[r, c], np.float32(0))


# x, grad (R, C); scale, shift, centre (C,); plain, moment (chunks, C)
@njit(cache=True, nogil=True, fastmath={"reassoc"})  # uncontracted, so that it finds what `scale_relu` let through
def relu_sums(x, grad, scale, shift, centre, plain, moment, first, last):  # type: ignore[no-untyped-def]
    """Every chunk's sums of g and g · (x - centre), where g is the gradient where scale · x + shift > 0."""
    rows, channels = x.shape
    for k in range(first, last):
        plain[k] = 0
        moment[k] = 0
        for r in range(k * CHUNK, min((k + 1) * CHUNK, rows)):
            for c in range(channels):
                g = grad[r, c] if scale[c] * x[r, c] + shift[c] > 0 else np.float32(0)
                plain[k, c] += g
                moment[k, c] += g * (x[r, c] - centre[c])


# x, grad, out (R, C); scale, shift, by_grad, by_x, constant (C,)
@njit(cache=True, nogil=True)
def relu_gradient(x, grad, scale, shift, by_grad, by_x, constant, out, first, last):  # type: ignore[no-untyped-def]
    """Write by_grad · g + by_x · x + constant, where g is the gradient where scale · x + shift > 0."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            g = grad[r, c] if scale[c] * x[r, c] + shift[c] > 0 else np.float32(0)
            out[r, c] = by_grad[c] * g + by_x[c] * x[r, c] + constant[c]


# x, grad, y, past (R, C); centre (C,); plain, moment (chunks, C)
@njit(cache=True, nogil=True, fastmath=SUM)
def add_sums(x, grad, y, centre, past, plain, moment, first, last):  # type: ignore[no-untyped-def]
    """As `relu_sums` behind an addition; writes the gradient where y > 0, which is the residual's, to `past`."""
    rows, channels = x.shape
    for k in range(first, last):
        plain[k] = 0
        moment[k] = 0
        for r in range(k * CHUNK, min((k + 1) * CHUNK, rows)):
            for c in range(channels):
                g = grad[r, c] if y[r, c] > 0 else np.float32(0)
                past[r, c] = g
                plain[k, c] += g
                moment[k, c] += g * (x[r, c] - centre[c])


# x, past, out (R, C); by_grad, by_x, constant (C,)
@njit(cache=True, nogil=True)
def norm_gradient(x, past, by_grad, by_x, constant, out, first, last):  # type: ignore[no-untyped-def]
    """Write by_grad · past + by_x · x + constant."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            out[r, c] = by_grad[c] * past[r, c] + by_x[c] * x[r, c] + constant[c]


# x, grad, y, past (R, C); bits (R, C) uint8; centre (C,); plain, moment (chunks, C)
@njit(cache=True, nogil=True, fastmath=SUM)
def drop_sums(x, grad, y, bits, threshold, centre, past, plain, moment, first, last):  # type: ignore[no-untyped-def]
    """As `relu_sums` behind a dropout; writes the gradient where y > 0, which is the residual's, to `past`."""
    rows, channels = x.shape
    for k in range(first, last):
        plain[k] = 0
        moment[k] = 0
        for r in range(k * CHUNK, min((k + 1) * CHUNK, rows)):
            for c in range(channels):
                g = grad[r, c] if y[r, c] > 0 else np.float32(0)
                past[r, c] = g
                kept = g if bits[r, c] >= threshold else np.float32(0)
                plain[k, c] += kept
                moment[k, c] += kept * (x[r, c] - centre[c])


# x, past, out (R, C); bits (R, C) uint8; by_grad, by_x, constant (C,)
@njit(cache=True, nogil=True)
def drop_gradient(x, past, bits, threshold, by_grad, by_x, constant, out, first, last):  # type: ignore[no-untyped-def]
    """As `relu_gradient` behind a dropout."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            g = past[r, c] if bits[r, c] >= threshold else np.float32(0)
            out[r, c] = by_grad[c] * g + by_x[c] * x[r, c] + constant[c]


@njit(cache=True, nogil=True)
def random_words(seed, out, first, last):  # type: ignore[no-untyped-def]
    """Write 64 random bits for every place from `first` to `last`; place i depends on the seed and i alone.

    Source: Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators (OOPSLA 2014), SplitMix64.
    """
    for i in range(first, last):
        z = np.uint64(seed) + np.uint64(i + 1) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        out[i] = z ^ (z >> np.uint64(31))


# x (N, V, C); row i of out (N, rows, C) takes the entries starts[i] to starts[i + 1]
@njit(cache=True, nogil=True)
def gather_joints(x, starts, sources, weights, out, first, last):  # type: ignore[no-untyped-def]
    """Write weighted sums of joints; a joint's channels are read once and written once where up to three are added."""
    channels = x.shape[2]
    for n in range(first, last):
        for row in range(len(starts) - 1):
            start, stop = starts[row], starts[row + 1]
            to = out[n, row]
            if stop == start:
                to[:] = 0
                continue
            p, a = x[n, sources[start]], weights[start]
            if stop - start == 1:
                for c in range(channels):
                    to[c] = a * p[c]
                continue
            q, b = x[n, sources[start + 1]], weights[start + 1]
            if stop - start == 2:
                for c in range(channels):
                    to[c] = a * p[c] + b * q[c]
                continue
            r, d = x[n, sources[start + 2]], weights[start + 2]
            for c in range(channels):
                to[c] = a * p[c] + b * q[c] + d * r[c]
            for e in range(start + 3, stop):
                q, b = x[n, sources[e]], weights[e]
                for c in range(channels):
                    to[c] += b * q[c]


# x (N, V, C), grad (N, rows, C); entry e joins sources[e] and targets[e]; out (chunks, entries)
@njit(cache=True, nogil=True, fastmath=SUM)
def entry_gradients(x, grad, sources, targets, out, first, last):  # type: ignore[no-untyped-def]
    """Every chunk's sums of x[source] · grad[target] for each entry."""
    channels = x.shape[2]
    for k in range(first, last):
        out[k] = 0
        for n in range(k * CHUNK, min((k + 1) * CHUNK, len(x))):
            for e in range(len(sources)):
                p, g = x[n, sources[e]], grad[n, targets[e]]
                dot = np.float32(0)
                for c in range(channels):
                    dot += p[c] * g[c]
                out[k, e] += dot
