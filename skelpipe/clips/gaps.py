"""Frames in which somebody is missing."""

from __future__ import annotations

from skelpipe.clips.bodies import is_shown, put
from skelpipe.kernels import compiled


# x (F, M, V, C) -> how many frames it has afterwards
@compiled
def squeeze(x):  # type: ignore[no-untyped-def]
    """2s-AGCN, ISC: of a body that is not there in the first frame, all frames that show it move to the front.

    A body that is there from the start keeps its gaps.
    """
    frames, bodies = x.shape[:2]
    for m in range(bodies):
        if frames == 0 or is_shown(x[0, m]):
            continue
        kept = 0
        for t in range(frames):
            if is_shown(x[t, m]):
                put(x[t, m], x[kept, m])
                x[t, m] = 0  # kept < t: the first frame does not show it
                kept += 1
    return frames


# x (F, M, V, C) -> how many frames it has afterwards
@compiled
def complete(x, axes):  # type: ignore[no-untyped-def]
    """P&C: only frames in which no coordinate of any joint of the first body is exactly 0."""
    frames, bodies, joints, _ = x.shape
    kept = 0
    for t in range(frames):
        whole = True
        for v in range(joints):
            for c in range(len(axes)):
                whole = whole and x[t, 0, v, c] != 0
        if whole:
            for m in range(bodies):
                put(x[t, m], x[kept, m])
            kept += 1
    return kept


# x (F, M, V, C) -> how many frames it has afterwards
@compiled
def shown(x, axes):  # type: ignore[no-untyped-def]
    """As `complete`, for bodies one of whose joints lies in the origin: only frames that show the first body."""
    frames, bodies = x.shape[:2]
    kept = 0
    for t in range(frames):
        if is_shown(x[t, 0]):
            for m in range(bodies):
                put(x[t, m], x[kept, m])
            kept += 1
    return kept
