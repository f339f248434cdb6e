"""Which of the bodies that the sensor saw are the clip's: published rules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from skelpipe.kernels import compiled
from skelpipe.layouts.base import X, Y

BODIES = 2

# CTR-GCN's thresholds (Chen et al., ICCV 2021), first used by SGN and VA-CNN's NTU scripts.
SHORTEST_BODY = 11  # bodies seen in no more frames than this are noise
WIDEST_FRAME = 0.8  # a frame whose x extent exceeds this many y extents is noise
NOISY_BODY = 0.69754  # a body with this share of noise frames is noise
ENERGY_SLOTS = 4


# Loops instead of NumPy calls: the same speed, and a tenth of the time to compile.
# from, to (V, C), both contiguous
@compiled
def put(source, to):  # type: ignore[no-untyped-def]
    if to.shape[1] == 3:  # a number of turns that the compiler knows
        for v in range(len(to)):
            for c in range(3):
                to[v, c] = source[v, c]
    else:
        for v in range(len(to)):
            for c in range(to.shape[1]):
                to[v, c] = source[v, c]


# pose (V, C): whether any number is not 0
@compiled
def is_shown(pose):  # type: ignore[no-untyped-def]
    for v in range(len(pose)):
        for c in range(pose.shape[1]):
            if pose[v, c] != 0:
                return True
    return False


# pose (V, C): largest minus smallest coordinate of one axis, float64
@compiled
def _extent(pose, axis):  # type: ignore[no-untyped-def]
    low = high = pose[0, axis]
    for v in range(len(pose)):
        low, high = min(low, pose[v, axis]), max(high, pose[v, axis])
    return np.float64(high - low)


@compiled
def _count(flags):  # type: ignore[no-untyped-def]
    count = 0
    for flag in flags:
        count += flag
    return count


# the places of the values from the largest to the smallest; equal ones stay in order
@compiled
def _descending(values):  # type: ignore[no-untyped-def]
    order = np.arange(len(values))
    for i in range(1, len(values)):
        j = i
        while j > 0 and values[order[j]] > values[order[j - 1]]:
            order[j], order[j - 1] = order[j - 1], order[j]
            j -= 1
    return order


# A policy fills selected (F, M, V, C), zeros on entry, with a clip's bodies and returns how many frames it kept.
# joints (rows, V, C), frame (rows,) and body (rows,) are the clip's own rows. `axes` are the channels that are
# coordinates, (0, 1, 2) or (0, 1): a tuple, whose length the compiler knows.
@compiled
def _first(joints, frame, body, axes, selected):  # type: ignore[no-untyped-def]
    """AimCLR, CrosSCLR, ST-GCN: the first two rows of every frame; who they belong to is not asked."""
    slot = 0
    for row in range(len(joints)):
        slot = slot + 1 if row > 0 and frame[row] == frame[row - 1] else 0
        if slot < BODIES:
            put(joints[row], selected[frame[row], slot])
    return len(selected)


@compiled
def _energy(joints, frame, body, axes, selected):  # type: ignore[no-untyped-def]
    """2s-AGCN, CMD: of the first four rows of every frame, the two slots that vary most; the livelier one first."""
    slots = np.full(len(joints), -1)
    for row in range(len(joints)):
        slots[row] = slots[row - 1] + 1 if row > 0 and frame[row] == frame[row - 1] else 0
    energy = np.zeros(ENERGY_SLOTS)
    for slot in range(ENERGY_SLOTS):
        used = slots == slot
        for row in range(len(joints)):
            used[row] = used[row] and is_shown(joints[row])
        for variance in _variances(joints, used, axes):
            energy[slot] += math.sqrt(variance)
    order = _descending(energy)
    for row in range(len(joints)):
        for place in range(BODIES):
            if slots[row] == order[place]:
                put(joints[row], selected[frame[row], place])
    return len(selected)


@compiled
def _motion(joints, used, axes):  # type: ignore[no-untyped-def]
    motion = 0.0
    for variance in _variances(joints, used, axes):
        motion += variance
    return motion


# joints (rows, V, C); used (rows,) bool -> the variance of every coordinate over all joints of the rows used
@compiled
def _variances(joints, used, axes):  # type: ignore[no-untyped-def]
    count = 0
    mean, square = np.zeros(len(axes)), np.zeros(len(axes))
    for row in range(len(joints)):
        if used[row]:
            count += joints.shape[1]
            for v in range(joints.shape[1]):
                for c in range(len(axes)):
                    mean[c] += joints[row, v, c]
    for c in range(len(axes)):
        mean[c] /= max(count, 1)
    for row in range(len(joints)):
        if used[row]:
            for v in range(joints.shape[1]):
                for c in range(len(axes)):
                    square[c] += (joints[row, v, c] - mean[c]) ** 2 / count
    return square


@compiled
def _denoise(joints, frame, body, axes, selected):  # type: ignore[no-untyped-def]
    """CTR-GCN: drop short and sprawling bodies, then give the others, liveliest first, to two actors by their time.

    Frames without a body are removed first. A body's rows are taken to follow each other without a gap from the frame
    it is first seen in, as there. If every body is short, all stay (there the script would stop).
    There, the sequence is then moved so that joint 2 of the first actor starts in the origin; here `centre` does that
    work, body by body. A clip of one actor leaves the second body zero (its NTU-120 script repeats the first, and so
    does an export for that).
    """
    rank, first, length, kept = _tracks(frame, body)
    order = _by_motion(joints, rank, length, axes)
    _cast(joints, rank, first, length, order, selected[:kept])
    return _squeeze(selected, kept) if len(first) > 1 else kept


@compiled
def main_actor(joints, frame, body, axes, selected):  # type: ignore[no-untyped-def]
    """P&C: the liveliest body that `denoise` leaves, alone, and not joined with later tracks of the same person.

    Where there were several bodies, the frames without it are removed.
    """
    rank, first, length, kept = _tracks(frame, body)
    order = _by_motion(joints, rank, length, axes)
    _cast(joints, rank, first, length, order[:1], selected[:kept])
    return _squeeze(selected, kept) if len(first) > 1 else kept


@compiled
def tracks_left(joints, frame, body, axes):  # type: ignore[no-untyped-def]
    """How many bodies `denoise` leaves before it makes two actors of them."""
    rank, _, length, _ = _tracks(frame, body)
    return len(_by_motion(joints, rank, length, axes))


# the bodies that are no noise, from the liveliest to the quietest
@compiled
def _by_motion(joints, rank, length, axes):  # type: ignore[no-untyped-def]
    motion = np.zeros(len(length))
    alive = np.ones(len(length), np.bool_)
    if len(length) > 1:
        long = length > SHORTEST_BODY
        if _count(long) > 0:
            alive = long
        for b in range(len(length)):
            motion[b] = _motion(joints, rank == b, axes)
        _drop_sprawling(joints, rank, length, motion, alive, axes)
    for b in range(len(length)):
        if not alive[b]:
            motion[b] = -1
    return _descending(motion)[: _count(alive)]


# -> rank (rows,) which body a row belongs to, in order of appearance, -1 for a second row of a body in one frame;
#    per body the first frame (frames without a body not counted) and how many rows; the number of frames with a body
@compiled
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
@compiled
def _drop_sprawling(joints, rank, length, motion, alive, axes):  # type: ignore[no-untyped-def]
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
            motion[b] = min(motion[b], _motion(joints, clean, axes))


# order: the bodies, liveliest first; selected (F, M, V, C). One shared frame does not count as an overlap, and the
# second actor's time begins as [0, 0] and only grows
@compiled
def _cast(joints, rank, first, length, order, selected):  # type: ignore[no-untyped-def]
    start, end = np.zeros(BODIES, np.int64), np.zeros(BODIES, np.int64)
    for place in range(len(order)):
        b = order[place]
        b_start, b_end = first[b], first[b] + length[b] - 1
        if place == 0:
            start[0], end[0] = b_start, b_end
        for actor in range(selected.shape[1]):
            if place == 0 or min(end[actor], b_end) - max(start[actor], b_start) <= 0:
                t = b_start
                for row in range(len(joints)):
                    if rank[row] == b:
                        put(joints[row], selected[t, actor])
                        t += 1
                start[actor], end[actor] = min(start[actor], b_start), max(end[actor], b_end)
                break


# moves the frames that show somebody to the front; returns how many
@compiled
def _squeeze(selected, frames):  # type: ignore[no-untyped-def]
    kept, bodies = 0, selected.shape[1]
    for t in range(frames):
        shown = False
        for m in range(bodies):
            shown = shown or is_shown(selected[t, m])
        if shown:
            for m in range(bodies):
                put(selected[t, m], selected[kept, m])
            kept += 1
    return kept


BODY_POLICIES: dict[str, Callable[[Any, Any, Any, tuple[int, ...], Any], int]] = {
    "first": _first,
    "energy": _energy,
    "denoise": _denoise,
}
