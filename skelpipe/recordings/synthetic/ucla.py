"""Clips of NW-UCLA: who acts in one, what a camera sees of it, and the JSON of its file."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np

from skelpipe.layouts.kinect_v1 import KINECT_V1
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.layouts.mapping import map_joints
from skelpipe.recordings.datasets.ucla import ACTIONS, clip_name
from skelpipe.recordings.synthetic.body import draw_person, pose
from skelpipe.recordings.synthetic.chance import ACT, SENSOR, SUBJECT, Array, generator
from skelpipe.recordings.synthetic.motion import draw_timing, gesture, motion_of, restless
from skelpipe.recordings.synthetic.sensor import camera_of, sense

CAMERAS = (1, 2, 3)
_PEOPLE = 7000  # where their numbers begin, so that nobody is one of the other data sets' people
_SETUP = 5  # the cameras' one distance and height
# The first action of subject 1 has, before these cameras, what is ugly about genuine files.
_WILD, _SHORT, _LOST = CAMERAS


class UclaClip(NamedTuple):
    """The numbers in an NW-UCLA file name."""

    action: int
    subject: int
    episode: int
    camera: int

    @property
    def name(self) -> str:
        """The file's name without suffix."""
        return clip_name(*self)


def ucla_person(seed: int, clip: UclaClip, frames: tuple[int, int]) -> Array:
    """The joints in the world of who acts: (T, 25, 3), metres, T from `frames`; the same for all three cameras."""
    rng = generator(seed, ACT, _PEOPLE, clip.action, clip.subject, clip.episode)
    motion, actor = motion_of(clip.action, frozenset()), draw_person(generator(seed, SUBJECT, _PEOPLE + clip.subject))
    length = int(rng.integers(frames[0], frames[1] + 1))
    timing = draw_timing(rng, length, motion, actor)
    move = gesture(motion.terms, timing, actor.hand if rng.random() < 0.85 else -actor.hand) + restless(rng, length)
    return pose(move, actor, rng.normal(0, 0.15, 2), np.deg2rad(rng.normal(0, 20)))


def ucla_clip(seed: int, clip: UclaClip, frames: tuple[int, int], person: Array | None = None) -> bytes:
    """The JSON file of one clip; `person` (of `ucla_person`) spares the work that its cameras share."""
    person = ucla_person(seed, clip, frames) if person is None else person
    rng = generator(seed, SENSOR, _PEOPLE, *clip)
    sure = clip.camera if (clip.action, clip.subject, clip.episode) == (ACTIONS[0], 1, 0) else None
    wild = bool(rng.random() < 0.25) or sure == _WILD
    measured, _ = sense(camera_of(_SETUP, clip.camera - 1).see(person), rng, wild)
    joints, _ = map_joints(measured.astype(np.float32), KINECT_V2, KINECT_V1)
    if sure == _LOST:  # in one frame some joints are at the sensor itself
        joints[int(rng.integers(len(joints))), [0, 1, 2, 4, 12, 16]] = 0
    if sure == _SHORT:  # this camera stopped at once
        joints = joints[:1]
    # Six digits, as genuine files have; + 0.0: no -0.
    rounded = [[[float(f"{value:.6g}") + 0.0 for value in joint] for joint in frame] for frame in joints.tolist()]
    told = {"file_name": clip.name, "skeletons": rounded, "label": ACTIONS.index(clip.action) + 1}
    return json.dumps(told).encode("ascii")
