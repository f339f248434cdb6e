"""Where the origin lies."""

from __future__ import annotations

import numpy as np

from skelpipe.clips.bodies import is_shown
from skelpipe.kernels import compiled


# x (F, M, V, C): every body relative to its own centre, frame by frame; bodies that are all zero stay so
@compiled(error_model="numpy")
def centre_bodies(x, joints, axes):  # type: ignore[no-untyped-def]
    frames, bodies, count, _ = x.shape
    first, more, share = joints[0], joints[1:], np.float32(1) / np.float32(len(joints))
    for t in range(frames):
        for m in range(bodies):
            if len(axes) == 3:
                left, up, deep = x[t, m, first, 0], x[t, m, first, 1], x[t, m, first, 2]
                for v in more:
                    left, up, deep = left + x[t, m, v, 0], up + x[t, m, v, 1], deep + x[t, m, v, 2]
                left, up, deep = left * share, up * share, deep * share
                for v in range(count):
                    x[t, m, v, 0] -= left
                    x[t, m, v, 1] -= up
                    x[t, m, v, 2] -= deep
            else:
                left, up = x[t, m, first, 0], x[t, m, first, 1]
                for v in more:
                    left, up = left + x[t, m, v, 0], up + x[t, m, v, 1]
                left, up = left * share, up * share
                for v in range(count):
                    x[t, m, v, 0] -= left
                    x[t, m, v, 1] -= up


# pose (V, C), joints (n,) -> one coordinate of the mean of some joints, float64
@compiled
def mean(pose, joints, c):  # type: ignore[no-untyped-def]
    total = 0.0
    for v in joints:
        total += pose[v, c]
    return total / len(joints)


# x (F, M, V, C) -> the first frame that shows the first body; F if none does
@compiled
def first_shown(x):  # type: ignore[no-untyped-def]
    t = 0
    while t < len(x) and not is_shown(x[t, 0]):
        t += 1
    return t


# pose (V, C); origin (axes,)
@compiled
def _move(pose, origin, axes, whole):  # type: ignore[no-untyped-def]
    for v in range(len(pose)):
        if whole or is_shown(pose[v : v + 1]):
            for c in range(len(axes)):
                pose[v, c] -= origin[c]


# x (F, M, V, C) -> F
@compiled
def centre_own(x, joints, axes):  # type: ignore[no-untyped-def]
    """AimCLR: every body in its own centre, frame by frame; AS-CAL: in the middle of its own spine."""
    centre_bodies(x, joints, axes)
    return len(x)


# x (F, M, V, C) -> F
@compiled
def centre_first(x, joints, axes):  # type: ignore[no-untyped-def]
    """2s-AGCN, ISC: all bodies relative to the first body's joint of the same frame; joints that are all zero stay so.

    Where the first body is missing from a frame, the others stay where they are.
    """
    return _by_first(x, joints, axes, False)


# x (F, M, V, C) -> F
@compiled
def centre_first_whole(x, joints, axes):  # type: ignore[no-untyped-def]
    """As `centre_first`, for bodies one of whose joints lay in the origin already: it moves with the others."""
    return _by_first(x, joints, axes, True)


# x (F, M, V, C) -> F
@compiled
def _by_first(x, joints, axes, whole):  # type: ignore[no-untyped-def]
    origin = np.empty(len(axes), x.dtype)
    for t in range(len(x)):
        for c in range(len(axes)):
            origin[c] = mean(x[t, 0], joints, c)
        for m in range(x.shape[1]):
            if is_shown(x[t, m]):
                _move(x[t, m], origin, axes, whole)
    return len(x)


# x (F, M, V, C) -> F
@compiled
def centre_clip(x, joints, axes):  # type: ignore[no-untyped-def]
    """CTR-GCN, VA-RNN: all relative to the first body's joint in the first frame that shows it.

    Absent bodies stay 0.
    """
    start = first_shown(x)
    if start == len(x):
        return len(x)
    origin = np.empty(len(axes), x.dtype)
    for c in range(len(axes)):
        origin[c] = mean(x[start, 0], joints, c)
    for t in range(len(x)):
        for m in range(x.shape[1]):
            if is_shown(x[t, m]):
                _move(x[t, m], origin, axes, True)
    return len(x)
