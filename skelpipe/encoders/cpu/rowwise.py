"""Kernels for an encoder on a CPU: what stands between two matrix products, each in as few passes as can be.

Arrays are rows of channels, `(R, C)`, or joints of channels, `(N, V, C)`, C-contiguous; values and their gradients are
float32, or bfloat16 as the uint16 that it is to NumPy, and all else is float32. What is computed of them is float32 in
both. Sums are taken over chunks of `CHUNK` rows and the chunks are added in their order, so no result depends on how
many threads there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from skelpipe.kernels import compiled

CHUNK = 256
COLUMNS = 256  # of a transform at a time: what stays in a core's nearest cache
SUM = {"reassoc", "contract"}  # lets the compiler add a chunk's rows in the order that suits the machine


def chunks(rows: int) -> int:
    """How many chunks there are."""
    return -(-rows // CHUNK)


def value(number: Any) -> Any:
    """What a number of an array stands for, float32: that number, or as bfloat16 the upper half of it."""
    raise NotImplementedError("in kernels alone")


def stored(value: Any, dtype: Any) -> Any:
    """A float32 as an array of that dtype holds it: as bfloat16 the nearest, of two that are as near the even one."""
    raise NotImplementedError("in kernels alone")


@overload(value, inline="always")
def value_for(number):  # type: ignore[no-untyped-def]
    """The same for a type of numbers."""
    if isinstance(number, types.Float):
        return lambda number: number
    return lambda number: np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)


@overload(stored, inline="always")
def stored_for(value, dtype):  # type: ignore[no-untyped-def]
    """The same for a type of numbers."""
    if isinstance(dtype.dtype, types.Float):
        return lambda value, dtype: value

    def rounded(value, dtype):  # type: ignore[no-untyped-def]
        bits = np.float32(value).view(np.uint32)
        even = (bits >> np.uint32(16)) & np.uint32(1)
        return np.uint16((bits + np.uint32(0x7FFF) + even) >> np.uint32(16))

    return rounded


# x (R, C); mean, square (chunks, C)
@compiled(fastmath=SUM)
def chunk_moments(x, first, last, mean, square):  # type: ignore[no-untyped-def]
    """Mean and sum of squared deviations of every chunk from `first` to `last`."""
    rows, channels = x.shape
    for k in range(first, last):
        start, stop = k * CHUNK, min((k + 1) * CHUNK, rows)
        mean[k] = 0
        square[k] = 0
        for r in range(start, stop):
            for c in range(channels):
                mean[k, c] += value(x[r, c])
        for c in range(channels):
            mean[k, c] /= np.float32(stop - start)
        for r in range(start, stop):
            for c in range(channels):
                away = value(x[r, c]) - mean[k, c]
                square[k, c] += away * away


# mean, square (chunks, C)
@compiled
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
@compiled
def scale_rows(x, scale, shift, first, last):  # type: ignore[no-untyped-def]
    """Turn x into scale · x + shift, in place."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            x[r, c] = stored(scale[c] * value(x[r, c]) + shift[c], x.dtype)


# x, out (R, C); scale, shift (C,)
@compiled
def scale_relu(x, scale, shift, out, first, last):  # type: ignore[no-untyped-def]
    """Write max(0, scale · x + shift)."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            out[r, c] = stored(max(scale[c] * value(x[r, c]) + shift[c], np.float32(0)), out.dtype)


# x, residual, out (R, C); scale, shift (C,)
@compiled
def scale_add_relu(x, scale, shift, residual, out, first, last):  # type: ignore[no-untyped-def]
    """Write max(0, scale · x + shift + residual)."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            y = scale[c] * value(x[r, c]) + shift[c] + value(residual[r, c])
            out[r, c] = stored(max(y, np.float32(0)), out.dtype)


# x, residual, out (R, C); bits (R, C) uint8; scale, shift (C,)
@compiled
def scale_drop_add_relu(x, scale, shift, bits, threshold, residual, out, first, last):  # type: ignore[no-untyped-def]
    """Write max(0, residual + (scale · x + shift where the byte reaches the threshold))."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            y = scale[c] * value(x[r, c]) + shift[c] if bits[r, c] >= threshold else np.float32(0)
            out[r, c] = stored(max(y + value(residual[r, c]), np.float32(0)), out.dtype)


# x, grad (R, C); scale, shift, centre (C,); plain, moment (chunks, C)
@compiled(fastmath={"reassoc"})  # uncontracted, so that it finds what `scale_relu` let through
def relu_sums(x, grad, scale, shift, centre, plain, moment, first, last):  # type: ignore[no-untyped-def]
    """Every chunk's sums of g and g · (x - centre), where g is the gradient where scale · x + shift > 0."""
    rows, channels = x.shape
    for k in range(first, last):
        plain[k] = 0
        moment[k] = 0
        for r in range(k * CHUNK, min((k + 1) * CHUNK, rows)):
            for c in range(channels):
                g = value(grad[r, c]) if scale[c] * value(x[r, c]) + shift[c] > 0 else np.float32(0)
                plain[k, c] += g
                moment[k, c] += g * (value(x[r, c]) - centre[c])


# x, grad, out (R, C); scale, shift, by_grad, by_x, constant (C,)
@compiled
def relu_gradient(x, grad, scale, shift, by_grad, by_x, constant, out, first, last):  # type: ignore[no-untyped-def]
    """Write by_grad · g + by_x · x + constant, where g is the gradient where scale · x + shift > 0."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            g = value(grad[r, c]) if scale[c] * value(x[r, c]) + shift[c] > 0 else np.float32(0)
            out[r, c] = stored(by_grad[c] * g + by_x[c] * value(x[r, c]) + constant[c], out.dtype)


# x, grad, y, past (R, C); centre (C,); plain, moment (chunks, C)
@compiled(fastmath=SUM)
def add_sums(x, grad, y, centre, past, plain, moment, first, last):  # type: ignore[no-untyped-def]
    """As `relu_sums` behind an addition; writes the gradient where y > 0, which is the residual's, to `past`."""
    rows, channels = x.shape
    for k in range(first, last):
        plain[k] = 0
        moment[k] = 0
        for r in range(k * CHUNK, min((k + 1) * CHUNK, rows)):
            for c in range(channels):
                g = value(grad[r, c]) if value(y[r, c]) > 0 else np.float32(0)
                past[r, c] = stored(g, past.dtype)
                plain[k, c] += g
                moment[k, c] += g * (value(x[r, c]) - centre[c])


# x, past, out (R, C); by_grad, by_x, constant (C,)
@compiled
def norm_gradient(x, past, by_grad, by_x, constant, out, first, last):  # type: ignore[no-untyped-def]
    """Write by_grad · past + by_x · x + constant."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            out[r, c] = stored(by_grad[c] * value(past[r, c]) + by_x[c] * value(x[r, c]) + constant[c], out.dtype)


# x, grad, y, past (R, C); bits (R, C) uint8; centre (C,); plain, moment (chunks, C)
@compiled(fastmath=SUM)
def drop_sums(x, grad, y, bits, threshold, centre, past, plain, moment, first, last):  # type: ignore[no-untyped-def]
    """As `relu_sums` behind a dropout; writes the gradient where y > 0, which is the residual's, to `past`."""
    rows, channels = x.shape
    for k in range(first, last):
        plain[k] = 0
        moment[k] = 0
        for r in range(k * CHUNK, min((k + 1) * CHUNK, rows)):
            for c in range(channels):
                g = value(grad[r, c]) if value(y[r, c]) > 0 else np.float32(0)
                past[r, c] = stored(g, past.dtype)
                kept = g if bits[r, c] >= threshold else np.float32(0)
                plain[k, c] += kept
                moment[k, c] += kept * (value(x[r, c]) - centre[c])


# x, past, out (R, C); bits (R, C) uint8; by_grad, by_x, constant (C,)
@compiled
def drop_gradient(x, past, bits, threshold, by_grad, by_x, constant, out, first, last):  # type: ignore[no-untyped-def]
    """As `relu_gradient` behind a dropout."""
    for r in range(first, last):
        for c in range(x.shape[1]):
            g = value(past[r, c]) if bits[r, c] >= threshold else np.float32(0)
            out[r, c] = stored(by_grad[c] * g + by_x[c] * value(x[r, c]) + constant[c], out.dtype)


@compiled
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
@compiled
def gather_joints(x, starts, sources, weights, out, first, last):  # type: ignore[no-untyped-def]
    """Write weighted sums of joints; a joint's channels are read once and written once where up to three are added."""
    channels = x.shape[2]
    added = np.empty(channels, np.float32)
    for n in range(first, last):
        for row in range(len(starts) - 1):
            start, stop = starts[row], starts[row + 1]
            if stop == start:
                for c in range(channels):
                    out[n, row, c] = stored(np.float32(0), out.dtype)
                continue
            # Indices rather than views of a joint, which would be counted as references to the array.
            i, a = sources[start], weights[start]
            if stop - start == 1:
                for c in range(channels):
                    out[n, row, c] = stored(a * value(x[n, i, c]), out.dtype)
                continue
            j, b = sources[start + 1], weights[start + 1]
            if stop - start == 2:
                for c in range(channels):
                    out[n, row, c] = stored(a * value(x[n, i, c]) + b * value(x[n, j, c]), out.dtype)
                continue
            k, d = sources[start + 2], weights[start + 2]
            if stop - start == 3:
                for c in range(channels):
                    y = a * value(x[n, i, c]) + b * value(x[n, j, c]) + d * value(x[n, k, c])
                    out[n, row, c] = stored(y, out.dtype)
                continue
            for c in range(channels):
                added[c] = a * value(x[n, i, c]) + b * value(x[n, j, c]) + d * value(x[n, k, c])
            for e in range(start + 3, stop):
                j, b = sources[e], weights[e]
                for c in range(channels):
                    added[c] += b * value(x[n, j, c])
            for c in range(channels):
                out[n, row, c] = stored(added[c], out.dtype)


# x (N, V, C), grad (N, rows, C); entry e joins sources[e] and targets[e]; out (chunks, entries)
@compiled(fastmath=SUM)
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
                    dot += value(p[c]) * value(g[c])
                out[k, e] += dot


# matrix (P, T); x (T, columns), out (P, columns); `count` columns are read from `start` on and written from `to` on
@compiled(fastmath={"contract"})
def transform(matrix, x, start, out, to, count):  # type: ignore[no-untyped-def]
    """Write matrix times some columns of x."""
    rows, frames = matrix.shape
    fours = -(-frames // 4)
    weights, seen = np.zeros((rows, 4 * fours), np.float32), np.zeros((4 * fours, COLUMNS), np.float32)
    added = np.empty(COLUMNS, np.float32)
    weights[:, :frames] = matrix
    for first in range(0, count, COLUMNS):
        here = min(COLUMNS, count - first)
        for t in range(frames):
            come = x[t, start + first : start + first + here]  # so that indices are seen to be none from the end
            for c in range(here):
                seen[t, c] = value(come[c])
        for p in range(rows):
            for c in range(COLUMNS):  # beyond `here` too: a number that the compiler knows
                added[c] = 0
            for t in range(0, 4 * fours, 4):
                i, j, k, m = weights[p, t], weights[p, t + 1], weights[p, t + 2], weights[p, t + 3]
                for c in range(COLUMNS):
                    added[c] += i * seen[t, c] + j * seen[t + 1, c] + k * seen[t + 2, c] + m * seen[t + 3, c]
            go = out[p, to + first : to + first + here]
            for c in range(here):
                go[c] = stored(added[c], go.dtype)
