"""Which of the bodies that the sensor saw are the clip's: three published rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from skelpipe.layouts.base import X, Y, Z

BODIES = 2

# CTR-GCN's thresholds (Chen et al., ICCV 2021), first used by SGN and VA-CNN's NTU scripts.
SHORTEST_BODY = 11  # bodies seen in no more frames than this are noise
WIDEST_FRAME = 0.8  # a frame whose x extent exceeds this many y extents is noise
NOISY_BODY = 0.69754  # a body with this share of noise frames is noise
ENERGY_SLOTS = 4


# Loops instead of NumPy calls: the same speed, and a tenth of the time to compile.
# from, to (V, 3)
@njit(cache=True, nogil=True)
def _put(source, to):  # type: ignore[no-untyped-def]
    for v in range(len(to)):
        for c in range(3):
            to[v, c] = source[v, c]


# pose (V, 3): whether any coordinate is not 0
@njit(cache=True, nogil=True)
def is_shown(pose):  # type: ignore[no-untyped-def]
    shown = False
    for v in range(len(pose)):
        shown = shown or pose[v, X] != 0 or pose[v, Y] != 0 or pose[v, Z] != 0
    return shown


# pose (V, 3): largest minus smallest coordinate of one axis, float64
@njit(cache=True, nogil=True)
def _extent(pose, axis):  # type: ignore[no-untyped-def]
    low = high = pose[0, axis]
    for v in range(len(pose)):
        low, high = min(low, pose[v, axis]), max(high, pose[v, axis])
    return np.float64(high - low)


@njit(cache=True, nogil=True)
def _count(flags):  # type: ignore[no-untyped-def]
    count = 0
    for flag in flags:
        count += flag
    return count


# the places of the values from the largest to the smallest; equal ones stay in order
@njit(cache=True, nogil=True)
def _descending(values):  # type: ignore[no-untyped-def]
    order = np.arange(len(values))
    for i in range(1, len(values)):
        j = i
        while j > 0 and values[order[j]] > values[order[j - 1]]:
            order[j], order[j - 1] = order[j - 1], order[j]
            j -= 1
    return order


# A policy fills selected (F, 2, V, 3), zeros on entry, with a clip's two bodies and returns how many frames it kept.
# joints (rows, V, 3), frame (rows,) and body (rows,) are the clip's own rows.
@njit(cache=True, nogil=True)
def _first(joints, frame, body, selected):  # type: ignore[no-untyped-def]
    """AimCLR, CrosSCLR, ST-GCN: the first two rows of every frame; who they belong to is not asked."""
    slot = 0
    for row in range(len(joints)):
        slot = slot + 1 if row > 0 and frame[row] == frame[row - 1] else 0
        if slot < BODIES:
            _put(joints[row], selected[frame[row], slot])
    return len(selected)


@njit(cache=True, nogil=True)
def _energy(joints, frame, body, selected):  # type: ignore[no-untyped-def]
    """2s-AGCN, CMD: of the first four rows of every frame, the two slots that vary most; the livelier one first."""
    slots = np.full(len(joints), -1)
    for row in range(len(joints)):
        slots[row] = slots[row - 1] + 1 if row > 0 and frame[row] == frame[row - 1] else 0
    energy = np.zeros(ENERGY_SLOTS)
    for slot in range(ENERGY_SLOTS):
        used = slots == slot
        for row in range(len(joints)):
            used[row] = used[row] and is_shown(joints[row])
        for variance in _variances(joints, used):
            energy[slot] += math.sqrt(variance)
    order = _descending(energy)
    for row in range(len(joints)):
        for place in range(BODIES):
            if slots[row] == order[place]:
                _put(joints[row], selected[frame[row], place])
    return len(selected)


@njit(cache=True, nogil=True)
def _motion(joints, used):  # type: ignore[no-untyped-def]
    variances = _variances(joints, used)
    return variances[X] + variances[Y] + variances[Z]


# joints (rows, V, 3); used (rows,) bool -> the variance of x, y and z over all joints of the rows used
@njit(cache=True, nogil=True)
def _variances(joints, used):  # type: ignore[no-untyped-def]
    count = 0
    mean, square = np.zeros(3), np.zeros(3)
    for row in range(len(joints)):
        if used[row]:
            count += joints.shape[1]
            for v in range(joints.shape[1]):
                for c in range(3):
                    mean[c] += joints[row, v, c]
    for c in range(3):
        mean[c] /= max(count, 1)
    for row in range(len(joints)):
        if used[row]:
            for v in range(joints.shape[1]):
                for c in range(3):
                    square[c] += (joints[row, v, c] - mean[c]) ** 2 / count
    return square


@njit(cache=True, nogil=True)
def _denoise(joints, frame, body, selected):  # type: ignore[no-untyped-def]
    """CTR-GCN: drop short and sprawling bodies, then give the others, liveliest first, to two actors by their time.

    Frames without a body are removed first. A body's rows are taken to follow each other without a gap from the frame
    it is first seen in, as there. If every body is short, all stay (there the script would stop).
    There, the sequence is then moved so that joint 2 of the first actor starts in the origin; here `centre` does that
    work, body by body. A clip of one actor leaves the second body zero (its NTU-120 script repeats the first).
    """
    rank, first, length, kept = _tracks(frame, body)
    several = len(first) > 1
    motion = np.zeros(len(first))
    alive = np.ones(len(first), np.bool_)
    if several:
        long = length > SHORTEST_BODY
        if _count(long) > 0:
            alive = long
        for b in range(len(first)):
            motion[b] = _motion(joints, rank == b)
        _drop_sprawling(joints, rank, length, motion, alive)
    for b in range(len(first)):
        if not alive[b]:
            motion[b] = -1
    order = _descending(motion)[: _count(alive)]
    _cast(joints, rank, first, length, order, selected[:kept])
    return _squeeze(selected, kept) if several else kept


# -> rank (rows,) which body a row belongs to, in order of appearance, -1 for a second row of a body in one frame;
#    per body the first frame (frames without a body not counted) and how many rows; the number of frames with a body
@njit(cache=True, nogil=True)
def _tracks(frame, body):  # type: ignore[no-untyped-def]
    rank = np.full(len(frame), -1)
    ids, latest = np.empty(len(frame), np.int64), np.empty(len(frame), np.int64)
    first, length = np.empty(len(frame), np.int64), np.empty(len(frame), np.int64)
    bodies, frames = 0, 0
    for row in range(len(frame)):
        if row == 0 or frame[row] != frame[row - 1]:
            frames += 1
        b = 0
        while b < bodies and ids[b] != body[row]:
            b += 1
        if b == bodies:
            ids[b], first[b], length[b], latest[b] = body[row], frames - 1, 0, -1
            bodies += 1
        if latest[b] != frames:
            rank[row], latest[b] = b, frames
            length[b] += 1
    return rank, first[:bodies], length[:bodies], frames


# changes motion and alive (bodies,): never the last body; one that stays counts its quieter motion without noise frames
@njit(cache=True, nogil=True)
def _drop_sprawling(joints, rank, length, motion, alive):  # type: ignore[no-untyped-def]
    for b in range(len(length)):
        if not alive[b] or _count(alive) == 1:
            continue
        clean = rank == b
        for row in range(len(joints)):
            clean[row] = clean[row] and _extent(joints[row], X) <= WIDEST_FRAME * _extent(joints[row], Y)
        noisy = length[b] - _count(clean)
        if noisy / length[b] >= NOISY_BODY:
            alive[b] = False
        elif noisy > 0:
            motion[b] = min(motion[b], _motion(joints, clean))


# order: the bodies, liveliest first; selected (F, 2, V, 3). One shared frame does not count as an overlap, and the
# second actor's time begins as [0, 0] and only grows
@njit(cache=True, nogil=True)
def _cast(joints, rank, first, length, order, selected):  # type: ignore[no-untyped-def]
    start, end = np.zeros(BODIES, np.int64), np.zeros(BODIES, np.int64)
    for place in range(len(order)):
        b = order[place]
        b_start, b_end = first[b], first[b] + length[b] - 1
        if place == 0:
            start[0], end[0] = b_start, b_end
        for actor in range(BODIES):
            if place == 0 or min(end[actor], b_end) - max(start[actor], b_start) <= 0:
                t = b_start
                for row in range(len(joints)):
                    if rank[row] == b:
                        _put(joints[row], selected[t, actor])
                        t += 1
                start[actor], end[actor] = min(start[actor], b_start), max(end[actor], b_end)
                break


# moves the frames that show somebody to the front; returns how many
@njit(cache=True, nogil=True)
def _squeeze(selected, frames):  # type: ignore[no-untyped-def]
    kept = 0
    for t in range(frames):
        if is_shown(selected[t, 0]) or is_shown(selected[t, 1]):
            for m in range(BODIES):
                _put(selected[t, m], selected[kept, m])
            kept += 1
    return kept


BODY_POLICIES: dict[str, Callable[[Any, Any, Any, Any], int]] = {
    "first": _first,
    "energy": _energy,
    "denoise": _denoise,
}
