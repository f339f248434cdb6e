"""Where a clip's bodies stand and which way they face."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


# selected (L, 2, V, 3): every body relative to its own joint, frame by frame; bodies that are all zero stay so
@njit(cache=True, nogil=True)
def centre_bodies(selected, joint):  # type: ignore[no-untyped-def]
    frames, bodies, joints, _ = selected.shape
    for t in range(frames):
        for m in range(bodies):
            x, y, z = selected[t, m, joint, 0], selected[t, m, joint, 1], selected[t, m, joint, 2]
            for v in range(joints):
                selected[t, m, v, 0] -= x
                selected[t, m, v, 1] -= y
                selected[t, m, v, 2] -= z


# out (3, T, V, 2). With v the shoulder line seen from above, the angle is phi = -+arccos(v_x / (|v| + 1e-4)), negative
# if the line points away from the camera on the whole; its cosine and sine need no arccos
@njit(cache=True, nogil=True, error_model="numpy")
def turn_bodies(out, right, left):  # type: ignore[no-untyped-def]
    _, frames, joints, bodies = out.shape
    for m in range(bodies):
        depth = 0.0
        for t in range(frames):
            depth += out[2, t, right, m] - out[2, t, left, m]
        sign = -1.0 if depth >= 0 else 1.0
        for t in range(frames):
            vx, vz = out[0, t, right, m] - out[0, t, left, m], out[2, t, right, m] - out[2, t, left, m]
            cos = vx / (math.sqrt(np.float64(vx) ** 2 + np.float64(vz) ** 2) + 1e-4)
            sin = sign * math.sqrt(1 - cos**2)
            for v in range(joints):
                x, z = out[0, t, v, m], out[2, t, v, m]
                out[0, t, v, m] = cos * x - sin * z
                out[2, t, v, m] = sin * x + cos * z
