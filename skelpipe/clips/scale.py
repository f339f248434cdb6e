"""How large a clip's bodies are."""

from __future__ import annotations

import math

import numpy as np

from skelpipe.clips.bodies import is_shown
from skelpipe.clips.centre import mean
from skelpipe.kernels import compiled


# x (F, M, V, C) -> F
@compiled
def scale_spine(x, base, top, axes):  # type: ignore[no-untyped-def]
    """P-LSTM: all is divided by the first body's distance from the base to the top of its spine, frame by frame.

    Frames in which it has none stay as they are.
    """
    frames, bodies, joints, _ = x.shape
    for t in range(frames):
        square = 0.0
        for c in range(len(axes)):
            square += (mean(x[t, 0], top, c) - mean(x[t, 0], base, c)) ** 2
        length = math.sqrt(square)
        if length > 0:
            for m in range(bodies):
                for v in range(joints):
                    for c in range(len(axes)):
                        x[t, m, v, c] /= length
    return frames


# x (F, M, V, C) -> F
@compiled
def scale_minmax(x, axes):  # type: ignore[no-untyped-def]
    """P&C: every axis to [-1, 1] over all frames, bodies and joints; an axis without extent becomes 0.

    Bodies that are absent from a frame do not count, and stay zero.
    """
    frames, bodies, joints, _ = x.shape
    shown = np.empty((frames, bodies), np.bool_)
    for t in range(frames):
        for m in range(bodies):
            shown[t, m] = is_shown(x[t, m])
    for c in range(len(axes)):
        low, high = np.inf, -np.inf
        for t in range(frames):
            for m in range(bodies):
                if shown[t, m]:
                    for v in range(joints):
                        low, high = min(low, x[t, m, v, c]), max(high, x[t, m, v, c])
        for t in range(frames):
            for m in range(bodies):
                if shown[t, m]:
                    for v in range(joints):
                        x[t, m, v, c] = 2 * (x[t, m, v, c] - low) / (high - low) - 1 if high > low else 0
    return frames
