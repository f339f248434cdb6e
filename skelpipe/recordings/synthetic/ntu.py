"""Clips of NTU RGB+D: who acts in one, what a camera sees of it, and the text of its `.skeleton` file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from skelpipe.recordings.synthetic.body import draw_person, pose
from skelpipe.recordings.synthetic.chance import ACT, SENSOR, SUBJECT, Array, generator
from skelpipe.recordings.synthetic.motion import draw_timing, gesture, motion_of, restless
from skelpipe.recordings.synthetic.sensor import camera_of, sense
from skelpipe.recordings.synthetic.tracks import Flaws, Track, spoil

FIRST_BODY_ID = 2**56  # the sensor counts its 17-digit body ids from here; a double cannot hold them
_PAIRS = frozenset((*range(50, 61), *range(106, 121)))  # classes of two people

# Camera -> flaws, for the first replication of action 1 by subjects 1 and 3, who are in every data set written here.
# So even the smallest one has every kind.
_SURE = {
    (1, 1): Flaws(ghosts=2, swapped=True),
    (1, 2): Flaws(blank=True, crlf=True),
    (1, 3): Flaws(renamed=True, unfinished=True),
    (3, 1): Flaws(leaves=True, ghosts=1, crlf=True),
    (3, 2): Flaws(wild=True),
    (3, 3): Flaws(),
}


class NTUClip(NamedTuple):
    """The numbers in an NTU file name."""

    setup: int
    camera: int
    subject: int
    replication: int
    action: int

    @property
    def name(self) -> str:
        """The file's name without suffix."""
        return "S{:03d}C{:03d}P{:03d}R{:03d}A{:03d}".format(*self)


def _flaws(clip: NTUClip, rng: Generator) -> Flaws:
    if clip.action == 1 and clip.replication == 1 and (clip.subject, clip.camera) in _SURE:
        return _SURE[clip.subject, clip.camera]
    draw = rng.random(8)
    ghosts = int(draw[1] < 0.06) + int(draw[1] < 0.01)
    blank, renamed, leaves, swapped = (bool(d < 0.04) for d in draw[[0, 2, 3, 4]])
    crlf, unfinished = bool(draw[6] < 0.4), bool(draw[7] < 0.04)
    return Flaws(blank, ghosts, renamed, leaves, swapped, bool(draw[5] < 0.25), crlf, unfinished)


# Bones for the orientations, which the publishers' trees hang on the hands; 0 0 0 0 where a limb ends.
_BONE = np.array([1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11])
_END = [3, 15, 19, 21, 22, 23, 24]
_JOINT_LINE = " ".join(["%.7G"] * 11 + ["%d"])


def _columns(track: Track) -> Array:
    """The twelve columns of every joint line: (T, 25, 12).

    Pixels follow a pinhole camera with the Kinect v2's usual focal lengths; orientations turn y onto the bone.
    """
    x, y, z = np.moveaxis(track.joints, -1, 0)
    bone = track.joints - track.joints[:, _BONE]
    bone /= np.linalg.norm(bone, axis=-1, keepdims=True) + 1e-9
    c, s = np.cos(0.1 * np.arange(25) + 0.3), np.sin(0.1 * np.arange(25) + 0.3)  # the bone's own roll is not modelled
    bx, by, bz = np.moveaxis(bone, -1, 0)
    turn = np.stack([(1.001 + by) * c, bz * c + bx * s, (1.001 + by) * s, bz * s - bx * c])
    turn /= np.linalg.norm(turn, axis=0)
    turn[..., _END] = 0
    near = np.maximum(z, 0.3)
    depth = (257 + 366 * x / near, 208.5 - 366 * y / near)
    colour = (960 + 1064 * (x + 0.052) / near, 567 - 1064 * y / near)
    return np.stack([x, y, z, *depth, *colour, *turn, track.states], axis=-1)


def ntu_text(tracks: Sequence[Track], order: Callable[[int], Sequence[int]], flaws: Flaws) -> bytes:
    """The bytes of one `.skeleton` file; `order(frame)` says in which order the bodies are listed."""
    end = "\r\n" if flaws.crlf else "\n"
    rows = end.join([_JOINT_LINE] * 25)
    values = [_columns(track).reshape(len(track.present), 300) + 0.0 for track in tracks]  # + 0.0: no -0
    lists = [v.tolist() for v in values]
    lean = [(t.joints[:, 20, [0, 2]] - t.joints[:, 0, [0, 2]]).tolist() for t in tracks]
    text = [str(len(tracks[0].present))]
    for frame in range(len(tracks[0].present)):
        here = [i for i in order(frame) if tracks[i].present[frame]]
        text.append(str(len(here)))
        for i in here:
            hands = "1 1 1 1" if tracks[i].states[frame, 7] == 2 else "0 0 1 0"
            text.append(f"{tracks[i].ids[frame]} 0 {hands} 0 {lean[i][frame][0]:.7G} {lean[i][frame][1]:.7G} 2")
            text.append("25")
            text.append(rows % tuple(lists[i][frame]))
    return (end.join(text) + ("" if flaws.unfinished else end)).encode("ascii")


def ntu_people(seed: int, clip: NTUClip, frames: tuple[int, int]) -> list[Array]:
    """The joints in the world of the one or two people of a clip: the same for all three cameras.

    (T, 25, 3) each, in metres, T from `frames` (fewest, most).
    """
    setup, _, subject, replication, action = clip
    rng = generator(seed, ACT, setup, subject, replication, action)
    motion = motion_of(action, _PAIRS)
    actor = draw_person(generator(seed, SUBJECT, subject))
    length = int(rng.integers(frames[0], frames[1] + 1))
    timing = draw_timing(rng, length, motion, actor)
    side = actor.hand if rng.random() < 0.85 else -actor.hand
    # As in the real set, people turn to the one outer camera first and to the other one in the second replication.
    facing = np.deg2rad((-45 if replication == 1 else 45) + rng.normal(0, 12))
    spot = rng.normal(0, 0.15, 2)
    move = gesture(motion.terms, timing, side) + restless(rng, length)
    if motion.partner is None:
        return [pose(move, actor, spot, facing)]
    partner = draw_person(generator(seed, SUBJECT, 1000 + subject))
    answer = gesture(motion.partner, timing, partner.hand) + restless(rng, length)
    facing += np.pi / 4 if replication == 1 else -np.pi / 4
    half = motion.distance * rng.uniform(0.9, 1.15) / 2 * np.array([np.cos(facing), -np.sin(facing)])
    return [
        pose(move, actor, spot + half, facing + np.pi / 2),
        pose(answer, partner, spot - half, facing - np.pi / 2),
    ]


def ntu_clip(seed: int, clip: NTUClip, frames: tuple[int, int], people: Sequence[Array] | None = None) -> bytes:
    """The `.skeleton` file of one clip; `people` (of `ntu_people`) spares the work that its cameras share."""
    people = ntu_people(seed, clip, frames) if people is None else people
    rng = generator(seed, SENSOR, *clip)
    flaws = _flaws(clip, rng)
    camera = camera_of(clip.setup, clip.camera - 1)
    first, length = FIRST_BODY_ID + int(rng.integers(1000, 30000)), len(people[0])
    tracks = []
    for i, person in enumerate(people):
        joints, states = sense(camera.see(person), rng, flaws.wild and i == 0)
        tracks.append(Track(joints, states, np.ones(length, dtype=np.bool_), [first + 31 * i] * length))
    if (clip.subject, clip.camera) in _SURE:  # a number so small that only an exponent can write it
        x = tracks[0].joints[..., 0]
        x.flat[np.abs(x).argmin()] = -9.5e-5 * rng.uniform(0.1, 1)
    spoil(tracks, flaws, rng)
    listed, change = list(range(len(tracks))), int(rng.integers(length // 3, length // 2 + 1))
    return ntu_text(tracks, lambda t: listed[::-1] if flaws.swapped and t >= change else listed, flaws)
