"""What one clip shows of the conventions of its file.

Bone lengths tell positions from motion and bones: they hardly change while a person moves (a coefficient of variation
of up to 0.2 in NTU RGB+D, UTD-MHAD and NW-UCLA), and between the joints' motions they do (0.43 and more).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.layouts.base import Layout
from skelpipe.layouts.landmarks import ANKLES, BASE, HIPS, MIDDLE, TOES, TOP, find_landmark

SAMPLE = 256  # clips
FRAMES = 64  # looked at of a clip, evenly chosen
FEWEST_FRAMES = 5  # of which anything about motion is told
RIGID, BONE_LIKE = 0.35, 1.15
BY_CHANCE = 0.25  # lengths of bones vary less, and of random vectors 0.42
APART = (0.65, 0.77)  # around 0.71, of vectors of which none has to do with its parent's
UPRIGHT, ACROSS = 0.75, 0.8  # cosines
SIDED = 0.75  # share of a clip's frames
NEAR = 1e-5  # of the largest coordinate
ON_AXIS = 1e-3
TURNED = 0.03  # AimCLR's 1e-4 in the cosine leaves shoulders that lay on the axis so far from it
BELOW = 0.1  # of the coordinates of a picture are below 0, of joints that were guessed outside of it
FLAT = 0.05  # of the trunk; bodies are 0.4 trunks and more deep in NTU RGB+D, PKU-MMD and UTD-MHAD
HELD = 3  # frames that are equal bit by bit
POSITIONS, MOTION, BONES, NOISE = "positions", "motion", "bones", "noise"
ZEROS, REPETITION, LAST_FRAME, NOTHING = "zeros", "repetition", "last frame", "nothing"
COPIES, POINTS = "copies", "points"
FRAME, CLIP = "frame", "clip"  # in which shoulders are turned
AXES = ("x", "y", "z")
# From the base of the spine to the shoulders, in metres; 0.24 to 0.54 in NTU RGB+D, UTD-MHAD and NW-UCLA.
TRUNK = (0.12, 0.75)
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}

Floats = npt.NDArray[Any]
Joints = tuple[int, ...]
NOWHERE: frozenset[int] = frozenset()  # a picture's corner is no joint, and one of zeros was not seen


@dataclass(frozen=True)
class Places:
    """Where a layout has what is looked at: landmarks, bones, and the points in which an origin may lie."""

    ankles: Joints
    toes: Joints
    base: Joints
    middle: Joints
    top: Joints
    right: Joints
    left: Joints
    child: Joints
    parent: Joints
    points: tuple[tuple[str, Joints], ...]

    @classmethod
    def of(cls, layout: Layout) -> Places:
        joints, (right, left) = layout.joints, layout.shoulders
        ankles, toes = find_landmark(layout, ANKLES), find_landmark(layout, TOES)
        hips = find_landmark(layout, HIPS[0]) + find_landmark(layout, HIPS[1])
        points: dict[str, Joints] = {f"joint {v} ({name})": (v,) for v, name in enumerate(joints)}
        for some in (layout.centre, hips):
            if len(some) > 1:
                points["the middle of " + " and ".join(joints[v] for v in some)] = some
        points["the middle of all joints"] = tuple(range(len(joints)))
        child, parent = zip(*layout.edges, strict=True)
        return cls(
            ankles, () if toes == ankles else toes, find_landmark(layout, BASE),
            find_landmark(layout, MIDDLE), find_landmark(layout, TOP), right, left, child, parent,
            tuple(points.items()),
        )  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What one clip shows; None is what it does not tell.

    Attributes:
        content: "positions", "motion", "bones" or "noise", which shows no body.
        up: the axis (0 to 2) along which the body stands, and its sign; None for one that lies or leans.
        sided: 1 if the left is where it is in a right-handed space, -1 if mirrored.
        trunk: from the base of the spine to the shoulders, in the units of the file.
        own, first, start: the points (`Places.points`) that are 0 in all frames of all bodies, in all frames of the
            first body, and in its first frame.
        turned: "frame" if the shoulders are parallel to the camera plane in every frame, "clip" if they lie on x in
            the first.
        absent: "zeros", "copies" or "points" (all joints of a body in one), of bodies that are not there.
        bodies: how many bodies the clip has.
        after: what stands behind its end.
        normalised: whether its coordinates fill 0 to 1 or -1 to 1 exactly, or its spine is 1 long in every frame.
        flat: the axis (0 to 2) along which the body has no depth, in three coordinates.
    """

    content: str | None
    up: tuple[int, int] | None
    sided: int | None
    trunk: float | None
    own: frozenset[int]
    first: frozenset[int]
    start: frozenset[int]
    turned: str | None
    absent: str | None
    bodies: int
    after: str | None
    normalised: bool
    flat: int | None


def chosen(count: int, most: int = SAMPLE) -> npt.NDArray[np.int64]:
    """The places of at most so many of `count` clips or frames, evenly chosen."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64)) if count else np.zeros(0, np.int64)


def read_clip(clip: Floats, layout: Layout, places: Places, fixed: bool) -> Facts | None:
    """The facts of a clip (F, M, V, C), or None if it shows nobody or has coordinates that are no numbers.

    Args:
        fixed: whether all clips have as many frames, so that something stands behind the shorter ones.
    """
    x = np.asarray(clip[..., : layout.coordinates], np.float32)
    if not np.isfinite(x).all():
        return None
    shown = x.any(axis=(2, 3))
    points = shown & (x == x[:, :, :1]).all(axis=(2, 3))
    seen = shown & ~points
    if not seen.any():
        return None
    body = int(np.argmax(seen.any(axis=0)))  # the first that is there
    rows = _complete(x[:, body], np.flatnonzero(seen[:, body]))
    pose = x[rows[chosen(len(rows), FRAMES)], body]
    twin = x.shape[1] > 1 and seen[:, :2].any(axis=0).all() and np.array_equal(x[:, 0], x[:, 1])
    in_picture = layout.coordinates == 2 and _in_picture(pose)
    content = POSITIONS if in_picture else _content(pose, places)
    whole = content == POSITIONS and layout.coordinates == 3
    absent = COPIES if twin else POINTS if points.any() else None if seen.all() else ZEROS
    low, high = float(x.min()), float(x.max())
    flat = _flat(pose, places) if layout.coordinates == 3 else None
    return Facts(
        content,
        _up(pose, places) if whole else None,
        _sided(pose, places) if whole and flat is None else None,
        _trunk(pose, places) if whole else None,
        *((NOWHERE,) * 3 if in_picture else _origins(x, seen, body, places)),
        _turned(pose, places) if whole else None,
        absent,
        int(seen.any(axis=0).sum()) - int(twin),
        _after(x, seen) if fixed else None,
        (high == 1 and low in (0, -1)) or _one_long(pose, places),
        flat,
    )


def _complete(body: Floats, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The rows of (F, V, C) in which every joint is seen, if these are enough: the bones of others have no length."""
    whole: npt.NDArray[np.int64] = rows[np.all(body[rows].any(axis=2), axis=1)]
    return whole if len(whole) >= FEWEST_FRAMES else rows


def _in_picture(pose: Floats) -> bool:
    """Whether nearly all coordinates are those of a picture, which begin at 0: of motion and of bones half are below.

    Bones tell nothing here, whose lengths in a picture change as people turn.
    """
    there = pose[pose != 0]
    return bool((there < 0).mean() <= BELOW) if there.size else False


def _mean(pose: Floats, joints: Joints) -> Floats:
    if len(joints) == 1:
        return pose[..., joints[0], :]
    mean: Floats = pose[..., list(joints), :].sum(axis=-2) / len(joints)  # the same as mean(), which takes longer
    return mean


def _content(pose: Floats, places: Places) -> str | None:
    vectors = np.linalg.norm(pose, axis=2)
    bones = np.linalg.norm(pose[:, list(places.child)] - pose[:, list(places.parent)], axis=2)
    ratio = float(np.median(vectors) / max(float(np.median(bones)), 1e-12))  # bones are shorter than positions
    if len(pose) < FEWEST_FRAMES:
        return POSITIONS if ratio >= BONE_LIKE and _bodily(pose, places) else None
    varies = _varies(vectors)
    if APART[0] <= ratio <= APART[1] and varies > BY_CHANCE:
        return NOISE
    if _varies(bones) > RIGID and varies > RIGID / 2:
        return MOTION
    if ratio < BONE_LIKE:
        return BONES
    return POSITIONS if _bodily(pose, places) else None


def _bodily(pose: Floats, places: Places) -> bool:
    """Whether the shoulder line crosses the line from the ankles to the shoulders, as it does in people."""
    if not places.ankles:
        return True
    up = _unit(_mean(pose, places.right + places.left) - _mean(pose, places.ankles))
    across = _unit(_mean(pose, places.right) - _mean(pose, places.left))
    return float(np.median(np.abs((up * across).sum(axis=1)))) <= ACROSS


def _varies(lengths: Floats) -> float:
    """The coefficient of variation of lengths (F, n), of the middle one of them."""
    mean = lengths.mean(axis=0)
    there = mean > NEAR * float(mean.max(initial=0))
    return float(np.median(lengths.std(axis=0)[there] / mean[there])) if there.any() else 0.0


def _unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Floats = vectors / np.maximum(lengths, 1e-12)
    return unit


def _up(pose: Floats, places: Places) -> tuple[int, int] | None:
    """From the ankles to the shoulders: who bends or sits still has those above these."""
    if not places.ankles:
        return None
    mean = _unit(_mean(pose, places.right + places.left) - _mean(pose, places.ankles)).mean(axis=0)
    axis = int(np.argmax(np.abs(mean)))
    return (axis, 1 if mean[axis] > 0 else -1) if abs(mean[axis]) >= UPRIGHT else None


def _sided(pose: Floats, places: Places) -> int | None:
    """Whether up x forward points to the left; toes tell where forward is."""
    if not places.toes or not places.ankles:
        return None
    up = _mean(pose, places.right + places.left) - _mean(pose, places.ankles)
    forward = _mean(pose, places.toes) - _mean(pose, places.ankles)
    left = _mean(pose, places.left) - _mean(pose, places.right)
    volume = np.einsum("tc,tc->t", np.cross(up, forward), left)
    share = float((volume > 0).mean())
    return 1 if share >= SIDED else -1 if share <= 1 - SIDED else None


def _trunk(pose: Floats, places: Places) -> float | None:
    if not places.base:
        return None
    return float(np.median(np.linalg.norm(_mean(pose, places.right + places.left) - _mean(pose, places.base), axis=1)))


def _flat(pose: Floats, places: Places) -> int | None:
    """The axis along which the joints of a frame lie all in one place, or nearly: pixels have none, or a confidence."""
    trunk = _trunk(pose, places) or 0.0
    deep: Floats = np.median(np.ptp(pose, axis=1), axis=0)
    axis = int(np.argmin(deep))
    return axis if deep[axis] <= FLAT * trunk else None


def _one_long(pose: Floats, places: Places) -> bool:
    """Whether a body is scaled so that its spine, or a part of it, is 1 long in every frame."""
    tops = [top for top in (places.top, places.middle, places.right + places.left) if top and places.base]
    lengths = [np.linalg.norm(_mean(pose, top) - _mean(pose, places.base), axis=1) for top in tops]
    return any(bool((np.abs(length - 1) < ON_AXIS).all()) for length in lengths)


def _origins(
    x: Floats, seen: npt.NDArray[np.bool_], body: int, places: Places
) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    near = NEAR * float(np.abs(x).max())
    first = np.flatnonzero(seen[:, body])

    def zeros(rows: Floats) -> frozenset[int]:
        rows = rows[chosen(len(rows), FRAMES)]
        return frozenset(
            n for n, (_, joints) in enumerate(places.points) if float(np.abs(_mean(rows, joints)).max()) <= near
        )

    start = zeros(x[first[:1], body])
    in_all = start and zeros(x[first, body])
    return in_all and zeros(x[seen]), in_all, start


def _turned(pose: Floats, places: Places) -> str | None:
    line = _mean(pose, places.right) - _mean(pose, places.left)
    length = np.maximum(np.linalg.norm(line, axis=1), 1e-12)
    if (np.abs(line[0, 1:]) <= ON_AXIS * length[0]).all():
        return CLIP
    return FRAME if float(np.median(np.abs(line[:, 2]) / length)) <= TURNED else None


def _after(x: Floats, seen: npt.NDArray[np.bool_]) -> str:
    if not seen[-1].any():
        return ZEROS
    if period(x[:, int(np.argmax(seen.any(axis=0)))]) < len(x):
        return REPETITION
    return LAST_FRAME if len(x) - held(x) >= HELD - 1 else NOTHING


def period(body: Floats) -> int:
    """After how many frames a body (T, V, C) repeats itself to its end, bit by bit; T if it does not."""
    for count in np.flatnonzero((body[1:] == body[0]).all(axis=(1, 2))) + 1:
        if np.array_equal(body[count:], body[:-count]):
            return int(count)
    return len(body)


def held(x: Floats) -> int:
    """How many frames (T, M, V, C) are left when those that repeat the last one, bit by bit, are taken from the end."""
    others = np.flatnonzero(np.any(x != x[-1], axis=(1, 2, 3)))
    return int(others[-1]) + 2 if len(others) else 1
