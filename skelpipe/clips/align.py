"""Which way a clip's bodies face."""

from __future__ import annotations

import math

import numpy as np

from skelpipe.clips.bodies import is_shown
from skelpipe.clips.centre import first_shown, mean
from skelpipe.kernels import compiled

SHORT = 1e-6  # metres, the sum of a vector's coordinates: it has no direction


# out (3, T, V, M). With v the shoulder line seen from above, the angle is phi = -+arccos(v_x / (|v| + 1e-4)), negative
# if the line points away from the camera on the whole; its cosine and sine need no arccos
@compiled(error_model="numpy")
def turn_bodies(out, right, left):  # type: ignore[no-untyped-def]
    _, frames, joints, bodies = out.shape
    line = np.empty((frames, 2), np.float32)
    single, one, other = len(right) == len(left) == 1, right[0], left[0]
    for m in range(bodies):
        depth = 0.0
        for t in range(frames):
            if single:
                line[t, 0], line[t, 1] = (
                    out[0, t, one, m] - out[0, t, other, m],
                    out[2, t, one, m] - out[2, t, other, m],
                )
            else:
                line[t, 0] = mean_of(out, 0, t, right, m) - mean_of(out, 0, t, left, m)
                line[t, 1] = mean_of(out, 2, t, right, m) - mean_of(out, 2, t, left, m)
            depth += line[t, 1]
        sign = -1.0 if depth >= 0 else 1.0
        for t in range(frames):
            vx, vz = line[t, 0], line[t, 1]
            cos = vx / (math.sqrt(np.float64(vx) ** 2 + np.float64(vz) ** 2) + 1e-4)
            sin = sign * math.sqrt(1 - cos**2)
            for v in range(joints):
                x, z = out[0, t, v, m], out[2, t, v, m]
                out[0, t, v, m] = cos * x - sin * z
                out[2, t, v, m] = sin * x + cos * z


# out (C, T, V, M) -> one coordinate of the mean of some joints, float32: of one joint the very number
@compiled
def mean_of(out, c, t, joints, m):  # type: ignore[no-untyped-def]
    total = out[c, t, joints[0], m]
    for v in joints[1:]:
        total += out[c, t, v, m]
    return total / np.float32(len(joints))


# x (F, M, V, 3) -> F
@compiled
def align_yaw(x, right, left):  # type: ignore[no-untyped-def]
    """AimCLR: every body is turned about y until its shoulder line is parallel to the camera plane, frame by frame."""
    turn_bodies(x.transpose(3, 0, 2, 1), right, left)
    return len(x)


# x (F, M, V, 3) -> F
@compiled
def align_first_bones(x, base, middle, right, left):  # type: ignore[no-untyped-def]
    """2s-AGCN, ISC: the whole clip by two rotations, in which a bone of the first body's first frame finds its axis.

    The first brings the lower spine (base to middle) to z. The second, of what the first has made, brings the line from
    the left shoulder to the right to x, and tilts the spine again.
    """
    start = first_shown(x)
    if start < len(x):
        _rotate(x, _between(_bone(x[start, 0], base, middle), 2))
        _rotate(x, _between(_bone(x[start, 0], left, right), 0))
    return len(x)


# x (F, M, V, 3) -> F
@compiled
def align_first_basis(x, base, middle, right, left):  # type: ignore[no-untyped-def]
    """P&C: the clip in axes of the first body's first frame; its base becomes the origin.

    Upwards (the last axis) is the lower spine, the first axis the line from the right hip to the left, made orthogonal
    to it, and the second is first x last. These axes are left-handed, so every clip is mirrored, as there.
    """
    start = first_shown(x)
    if start == len(x):
        return len(x)
    pose = x[start, 0]
    up, side = _bone(pose, base, middle), _bone(pose, right, left)
    basis = np.empty((3, 3))
    if _unit(up) and _orthogonal(side, up):
        basis[0], basis[1], basis[2] = side, _cross(side, up), up
        origin = np.array([mean(pose, base, 0), mean(pose, base, 1), mean(pose, base, 2)])
        _move_all(x, origin)
        _rotate(x, basis)
    return len(x)


# x (F, M, V, 3) -> F
@compiled
def align_body_axes(x, base, top, right, left):  # type: ignore[no-untyped-def]
    """P-LSTM: all bodies in the axes of the first body, frame by frame; frames without it become zero.

    x is the line from the right shoulder to the left, y the spine (base to top) made orthogonal to it, z is x x y.
    """
    axes = np.empty((3, 3))
    for t in range(len(x)):
        side, up = _bone(x[t, 0], right, left), _bone(x[t, 0], base, top)
        if _unit(side) and _orthogonal(up, side):
            axes[0], axes[1], axes[2] = side, up, _cross(side, up)
        else:
            axes[:] = 0
        _rotate(x[t : t + 1], axes)
    return len(x)


# pose (V, 3) -> (3,) float64, from the mean of some joints to that of others
@compiled
def _bone(pose, start, end):  # type: ignore[no-untyped-def]
    bone = np.empty(3)
    for c in range(3):
        bone[c] = mean(pose, end, c) - mean(pose, start, c)
    return bone


@compiled
def _cross(a, b):  # type: ignore[no-untyped-def]
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


# makes vector (3,) one long; False if it has no length
@compiled
def _unit(vector):  # type: ignore[no-untyped-def]
    length = math.sqrt(vector[0] ** 2 + vector[1] ** 2 + vector[2] ** 2)
    if length == 0:
        return False
    vector /= length
    return True


# makes vector (3,) orthogonal to a unit vector, and one long; False if they are parallel
@compiled
def _orthogonal(vector, unit):  # type: ignore[no-untyped-def]
    vector -= (vector[0] * unit[0] + vector[1] * unit[1] + vector[2] * unit[2]) * unit
    return _unit(vector)


# -> (3, 3), the least rotation that brings vector (3,) to an axis (Rodrigues): R = I + K + K^2 / (1 + cos) with K the
# matrix of unit vector x axis. As in the source, what is short, parallel or opposite is left as it is
@compiled
def _between(vector, axis):  # type: ignore[no-untyped-def]
    rotation, to = np.eye(3), np.zeros(3)
    to[axis] = 1
    if np.abs(vector).sum() < SHORT or np.abs(_cross(vector, to)).sum() < SHORT:
        return rotation
    _unit(vector)
    k, cos = _cross(vector, to), vector[axis]
    matrix = np.array([[0.0, -k[2], k[1]], [k[2], 0.0, -k[0]], [-k[1], k[0], 0.0]])
    for i in range(3):
        for j in range(3):
            square = 0.0
            for n in range(3):
                square += matrix[i, n] * matrix[n, j]
            rotation[i, j] += matrix[i, j] + square / (1 + cos)
    return rotation


# x (F, M, V, 3): p becomes matrix p
@compiled
def _rotate(x, matrix):  # type: ignore[no-untyped-def]
    a, b, c = matrix[0, 0], matrix[0, 1], matrix[0, 2]
    d, e, f = matrix[1, 0], matrix[1, 1], matrix[1, 2]
    g, h, i = matrix[2, 0], matrix[2, 1], matrix[2, 2]
    frames, bodies, joints, _ = x.shape
    for t in range(frames):
        for m in range(bodies):
            for v in range(joints):
                left, up, deep = x[t, m, v, 0], x[t, m, v, 1], x[t, m, v, 2]
                x[t, m, v, 0] = a * left + b * up + c * deep
                x[t, m, v, 1] = d * left + e * up + f * deep
                x[t, m, v, 2] = g * left + h * up + i * deep


# x (F, M, V, 3): the origin (3,) is subtracted from all bodies that are there
@compiled
def _move_all(x, origin):  # type: ignore[no-untyped-def]
    frames, bodies, joints, _ = x.shape
    for t in range(frames):
        for m in range(bodies):
            if is_shown(x[t, m]):
                for v in range(joints):
                    for c in range(3):
                        x[t, m, v, c] -= origin[c]
