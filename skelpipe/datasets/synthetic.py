"""Licence-free raw recordings in the formats of NTU RGB+D and PKU-MMD.

A jointed body of 25 joints moves by joint angles, stands on a floor, and is seen by three turned cameras with a noisy
sensor. What a class does follows from its number alone; how a clip does it follows from the seed and the clip's name.
So a clip is the same whatever else is written, and the three cameras see one motion.

World and camera space are right-handed and in metres: y is up, z leads away from camera 1. A person who faces camera 1
has the left hand at negative x and the front at negative z, as in the publishers' files.
"""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe import __version__
from skelpipe.datasets import DATASETS, find_dataset, split_masks
from skelpipe.datasets.ntu import LAST_SETUP_60
from skelpipe.datasets.pku import VIEWS
from skelpipe.errors import BadInput
from skelpipe.outputs import new_folder

Array = npt.NDArray[np.float64]
Generator = np.random.Generator

log = logging.getLogger(__name__)

MARKER = "SYNTHETIC.md"
FRAMES_PER_SECOND = 30
FIRST_BODY_ID = 2**56  # the sensor counts its 17-digit body ids from here; a double cannot hold them


# ---------------------------------------------------------------------------------------------------- motion of a class

# What a pose is made of. Arms: `elev` lifts the hanging arm forward, `azim` turns it outward about the upright,
# `roll` turns it about itself. Degrees; ahead, aside and hop in centimetres.
_LIMB = ("elev", "azim", "roll", "elbow", "hip", "abd", "knee")
_WHOLE = ("pitch", "lean", "twist", "nod", "look", "yaw", "ahead", "aside", "hop")
_CHANNEL = {name: i for i, name in enumerate((*(f"{s}.{n}" for s in "LR" for n in _LIMB), *_WHOLE))}
_UNIT = np.array([0.01 if n in ("ahead", "aside", "hop") else np.pi / 180 for n in _CHANNEL])
_SIDED = ("lean", "twist", "look", "yaw", "aside")  # turn round when the other hand is the acting one

# One term is (who.channel, hold, swing, phase in quarter turns). `a` is the acting side, `b` the other one, `2` both
# in step, `x` both in turns. While the gesture lasts a channel is hold + swing * sin(phase of the motion).
Term = tuple[Any, ...]
_MARCH: tuple[Term, ...] = (("x.hip", 24, 24), ("x.knee", 34, 34), ("x.elev", 0, 22, 2))
_MOVES: tuple[tuple[Term, ...], ...] = (
    (("a.elev", 95, 6), ("a.azim", 50, 28), ("a.elbow", 60, 22)),  # wave
    (("a.elev", 48, 6), ("a.azim", -18, 0), ("a.elbow", 125, 10)),  # hand to the mouth
    (("a.elev", 165, 0), ("a.elbow", 8, 0)),  # raise one arm in front
    (("2.elev", 85, 60), ("2.azim", 80, 0)),  # flap both arms at the sides
    (("2.elev", 62, 0), ("2.azim", 5, 32), ("2.elbow", 35, 0)),  # clap
    (("a.elev", 75, 14), ("a.elbow", 55, 55, 2), ("twist", 0, 12), ("b.elbow", 60, 0)),  # punch
    (("a.hip", 38, 40), ("a.knee", 30, 28, 2), ("b.elev", 20, 15)),  # kick
    (("a.abd", 28, 24), ("lean", -8, 6), ("2.azim", 40, 0), ("2.elev", 25, 0)),  # kick aside
    _MARCH,
    (("2.hip", 78, 8), ("2.knee", 92, 8), ("pitch", 28, 0), ("2.elev", 60, 0)),  # squat
    (("pitch", 62, 5), ("nod", 18, 0)),  # bow
    (("lean", 0, 28), ("a.elev", 30, 25), ("a.azim", 80, 0)),  # bend to the sides
    (("twist", 0, 42), ("2.elev", 42, 0), ("2.azim", 45, 0), ("2.elbow", 90, 0)),  # twist
    (("nod", 12, 24), ("pitch", 4, 4)),  # nod
    (("look", 0, 48), ("twist", 0, 6)),  # shake the head
    (("hop", 12, 12), ("2.hip", 20, 18, 2), ("2.knee", 36, 32, 2), ("2.elev", 40, 35)),  # jump
    (("a.elev", 88, 55), ("a.azim", 45, 45, 1)),  # circle with one arm
    (("2.elev", 80, 45), ("2.azim", 25, 25, 1), ("2.elbow", 35, 25, 1)),  # swim
    (("2.elev", 38, 0), ("x.elbow", 85, 16), ("2.azim", -22, 0), ("x.elev", 0, 9)),  # rub the hands
    (("2.hip", 88, 0), ("2.knee", 90, 0), ("pitch", 12, 4), ("ahead", -30, 0), ("2.elev", 25, 0)),  # sit down
    (("a.elev", 105, 50), ("a.elbow", 70, 45, 2), ("twist", 0, 22), ("a.azim", 20, 0)),  # throw
    (("a.elev", 42, 4), ("a.azim", 42, 0), ("a.elbow", 142, 4), ("look", 12, 0)),  # telephone
    (("yaw", 150, 15), *_MARCH),  # turn round
    (("ahead", 55, 6), *_MARCH),  # walk up
    (("2.elev", 105, 6), ("2.azim", 75, 0), ("2.elbow", 128, 8)),  # both hands to the head
    (("a.elev", 82, 0), ("a.azim", 68, 0), ("a.elbow", 128, 0), ("a.roll", 20, 0)),  # salute
    (("2.elev", 52, 8), ("2.azim", -38, 8), ("2.elbow", 62, 0)),  # cross the arms
    (("pitch", 70, 0), ("2.hip", 45, 0), ("2.knee", 60, 0), ("a.elev", 80, 10)),  # pick up
    (("b.hip", 15, 0), ("b.knee", 80, 6), ("hop", 8, 8), ("2.azim", 50, 0), ("2.elev", 35, 0)),  # hop on one leg
    (("aside", 35, 0), ("a.abd", 32, 0), ("a.knee", 45, 8), ("a.hip", 35, 0), ("2.elev", 80, 0)),  # lunge aside
)
_Pair = tuple[tuple[Term, ...], tuple[Term, ...], float]  # who acts, who answers, metres between them
_PAIRS: tuple[_Pair, ...] = (
    ((("a.elev", 55, 8), ("a.elbow", 35, 8)), (("a.elev", 55, 8), ("a.elbow", 35, 8)), 0.85),  # shake hands
    ((("2.elev", 78, 6), ("2.elbow", 50, 45, 2)), (("ahead", -30, 10), ("pitch", -14, 0)), 0.75),  # push
    ((("2.elev", 80, 0), ("2.azim", 25, 6), ("ahead", 15, 0)), (("2.elev", 75, 0), ("2.azim", 25, 6)), 0.7),  # hug
    ((("a.hip", 40, 38), ("a.knee", 30, 28, 2)), (("ahead", -20, 8), ("pitch", 15, 0)), 0.95),  # kick
    ((("a.elev", 85, 4),), (("nod", 10, 20),), 1.2),  # point at
    ((("a.elev", 95, 12), ("a.elbow", 20, 10)), (("yaw", 160, 0),), 0.7),  # pat on the back
    ((("a.elev", 62, 0), ("a.elbow", 15, 0)), (("a.elev", 60, 0), ("2.elbow", 60, 20)), 0.95),  # hand over
    ((("ahead", 45, 0), *_MARCH), (("ahead", 45, 0), *_MARCH), 1.7),  # walk towards each other
    ((("yaw", 170, 0), ("ahead", 30, 0), *_MARCH), (("yaw", 170, 0), ("ahead", 30, 0), *_MARCH), 1.0),  # walk apart
    (
        (("a.elev", 78, 12), ("a.elbow", 55, 55, 2), ("twist", 0, 14)),
        (("pitch", -18, 8), ("2.elev", 50, 0)),
        0.8,
    ),  # hit
    ((("2.elev", 140, 15),), (("2.elev", 140, 15),), 0.8),  # cheer
    ((("pitch", 25, 0), ("a.elev", 60, 0), ("a.elbow", 120, 0)), (("lean", 12, 4),), 0.6),  # whisper
)
# The same move at another tempo, with something else going on: what makes 30 moves into 120 classes.
_VARIANTS: tuple[tuple[float, float, tuple[Term, ...]], ...] = (  # cycles a second, vigour, added terms
    (0.9, 1.0, ()),
    (1.7, 0.7, (("twist", 0, 16),)),
    (0.9, 0.85, _MARCH),
    (1.3, 1.0, (("pitch", 24, 0), ("2.hip", 25, 0), ("2.knee", 45, 10))),
)


@dataclass(frozen=True)
class _Motion:
    """What a class does; `partner` is None for one person."""

    terms: tuple[Term, ...]
    rate: float
    vigour: float
    partner: tuple[Term, ...] | None = None
    distance: float = 0.0


@cache
def _motion(action: int, pairs: frozenset[int]) -> _Motion:
    """The motion of a class; `pairs` are the data set's two-person classes."""
    rank = sum((a in pairs) == (action in pairs) for a in range(1, action))
    table = len(_PAIRS) if action in pairs else len(_MOVES)
    rate, vigour, extra = _VARIANTS[rank // table % len(_VARIANTS)]
    if action in pairs:
        terms, partner, distance = _PAIRS[rank % table]
        return _Motion(terms + extra, rate, vigour, partner + extra, distance)
    return _Motion(_MOVES[rank % table] + extra, rate, vigour)


# ----------------------------------------------------------------------------------------------------------- one person


@dataclass(frozen=True)
class _Person:
    """A body and its manners: segments in metres, rest pose, tempo, vigour, preferred hand (1 left, -1 right)."""

    length: dict[str, float]
    rest: Array
    tempo: float
    vigour: float
    hand: int


# Shares of the stature, between the points that the sensor calls joints.
_SHARE = {
    "spine": 0.158, "chest": 0.118, "throat": 0.038, "head": 0.075, "shoulder": 0.098, "drop": 0.03,
    "upper arm": 0.146, "forearm": 0.132, "hand": 0.042, "tip": 0.04, "thumb": 0.028,
    "hip": 0.043, "thigh": 0.213, "shin": 0.208, "foot": 0.066, "sole": 0.045,
}  # fmt: skip
_REST = {"elev": 3.0, "azim": 20.0, "roll": -8.0, "elbow": 14.0, "abd": 3.0, "knee": 4.0, "hip": 2.0, "pitch": 2.0}


def _person(rng: Generator) -> _Person:
    stature = float(np.clip(rng.normal(1.70, 0.09), 1.48, 1.93))
    length = {name: stature * share * float(np.exp(rng.normal(0, 0.04))) for name, share in _SHARE.items()}
    rest = np.array([_REST.get(name.split(".")[-1], 0.0) for name in _CHANNEL]) + rng.normal(0, 4, len(_CHANNEL))
    rest[-4:] = 0  # nobody is born turned, shifted or in the air
    hand = -1 if rng.random() < 0.85 else 1
    return _Person(length, rest, float(np.exp(rng.normal(0, 0.15))), float(np.exp(rng.normal(0, 0.12))), hand)


def _smooth(rng: Generator, frames: int, every: int, width: tuple[int, ...]) -> Array:
    """Unit normal numbers every `every` frames with straight lines between: (frames, *width)."""
    knots = rng.standard_normal((frames // every + 2, *width))
    at = np.arange(frames) / every
    left = at.astype(np.int64)
    share = (at - left).reshape(-1, *(1 for _ in width))
    result: Array = knots[left] * (1 - share) + knots[left + 1] * share
    return result


def _ramp(x: Array) -> Array:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


class _Timing(NamedTuple):
    """When and how a clip's gesture runs; two people in one clip share it."""

    envelope: Array  # (T,) 0 at rest, 1 in the gesture
    phase: Array  # (T,) radians
    vigour: float


def _timing(rng: Generator, frames: int, motion: _Motion, person: _Person) -> _Timing:
    u = np.linspace(0, 1, frames)
    begin, end, rise = rng.uniform(0, 0.25), rng.uniform(0.78, 1.0), rng.uniform(0.12, 0.3)
    envelope = _ramp((u - begin) / rise) * _ramp((end - u) / rise)
    pace = np.maximum(0.3, 1 + 0.3 * _smooth(rng, frames, 15, ()))
    if rng.random() < 0.3:  # a moment of hesitation
        at = int(rng.integers(frames))
        pace[at : at + int(rng.integers(4, 12))] = 0.05
    rate = motion.rate * person.tempo * np.exp(rng.normal(0, 0.12))
    phase = rng.uniform(0, 2 * np.pi) + np.cumsum(pace) * (2 * np.pi * rate / FRAMES_PER_SECOND)
    return _Timing(envelope, phase, motion.vigour * person.vigour * float(rng.uniform(0.6, 1.2)))


def _gesture(terms: tuple[Term, ...], timing: _Timing, side: int) -> Array:
    """Terms -> (T, channels) in degrees and centimetres, on top of the rest pose."""
    out = np.zeros((len(timing.phase), len(_CHANNEL)))
    for where, hold, swing, *quarter in terms:
        who, _, name = where.rpartition(".")
        turns = {"": (0,), "a": (side,), "b": (-side,), "2": (1, -1), "x": (1, -1)}[who]
        for s in turns:
            late = np.pi if who == "x" and s != side else 0.0
            wave = np.sin(timing.phase + (quarter[0] * np.pi / 2 if quarter else 0.0) + late)
            curve = timing.envelope * timing.vigour * (hold + swing * wave)
            channel = _CHANNEL[f"{'L' if s > 0 else 'R'}.{name}" if s else name]
            out[:, channel] += curve * (side if name in _SIDED else 1)
    return out


_FIDGET = np.array([0.0 if n in _WHOLE[-3:] else 3.0 if n in _WHOLE else 5.0 for n in _CHANNEL])


def _restless(rng: Generator, frames: int) -> Array:
    """What nobody meant: slow drift of every joint, now and then an arm that wanders off."""
    out = _FIDGET * _smooth(rng, frames, 20, (len(_CHANNEL),))
    if rng.random() < 0.35:
        limb, at, width = int(rng.integers(2)) * len(_LIMB), rng.uniform(0, frames), rng.uniform(6, 15)
        bump = np.exp(-(((np.arange(frames) - at) / width) ** 2))
        out[:, limb : limb + 4] += bump[:, None] * rng.uniform((10, -20, -20, 10), (50, 40, 20, 80))
    return out


def _about(axis: int, angle: Array | float) -> Array:
    """Right-handed rotation matrices (T, 3, 3) about x, y or z."""
    angle = np.atleast_1d(np.asarray(angle, dtype=np.float64))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out = np.zeros((len(angle), 3, 3))
    out[:, axis, axis] = 1
    out[:, i, i] = out[:, j, j] = np.cos(angle)
    out[:, j, i] = np.sin(angle)
    out[:, i, j] = -out[:, j, i]
    return out


def _pose(angles: Array, person: _Person, place: npt.ArrayLike, facing: float) -> Array:
    """Forward kinematics: angles (T, channels) -> joints (T, 25, 3), metres, standing on the floor y = 0.

    Args:
        place: x and z of the spot on the floor.
        facing: azimuth of the front in radians; 0 looks at camera 1, positive towards negative x (the own left).
    """
    a = (angles + person.rest) * _UNIT
    get = {name: a[:, i] for name, i in _CHANNEL.items()}
    size, out = person.length, np.zeros((len(a), 25, 3))
    pelvis = _about(1, facing + get["yaw"])
    bend = _about(0, -get["pitch"] / 2) @ _about(2, -get["lean"] / 2)
    lower = pelvis @ bend
    upper = lower @ bend @ _about(1, get["twist"])
    skull = upper @ _about(1, get["look"]) @ _about(0, -get["nod"])
    out[:, 1] = lower[..., 1] * size["spine"]
    out[:, 20] = out[:, 1] + upper[..., 1] * size["chest"]
    out[:, 2] = out[:, 20] + upper[..., 1] * size["throat"]
    out[:, 3] = out[:, 2] + skull @ np.array([0, size["head"], -0.25 * size["head"]])
    for s, first_arm, first_leg, tip in ((1, 4, 12, 21), (-1, 8, 16, 23)):
        here = {n: get[f"{'L' if s > 0 else 'R'}.{n}"] for n in _LIMB}
        _arm(out, first_arm, tip, s, here, upper, size)
        _leg(out, first_leg, s, here, pelvis, size)
    _stand(out, get, place, facing, size["sole"])
    return out


def _arm(out: Array, first: int, tip: int, s: int, a: dict[str, Array], trunk: Array, size: dict[str, float]) -> None:
    """Fill shoulder, elbow, wrist, hand, hand tip and thumb of one side (s = 1 left, -1 right)."""
    arm = trunk @ _about(1, s * a["azim"]) @ _about(0, a["elev"]) @ _about(1, s * a["roll"])
    fore = arm @ _about(0, np.clip(a["elbow"], 0, 2.6))
    out[:, first] = out[:, 20] + trunk @ np.array([-s * size["shoulder"], -size["drop"], 0])
    out[:, first + 1] = out[:, first] - arm[..., 1] * size["upper arm"]
    out[:, first + 2] = out[:, first + 1] - fore[..., 1] * size["forearm"]
    out[:, first + 3] = out[:, first + 2] - fore[..., 1] * size["hand"]
    out[:, tip] = out[:, first + 3] - fore[..., 1] * size["tip"]
    out[:, tip + 1] = out[:, first + 3] + fore @ (size["thumb"] * np.array([0.6 * s, -0.5, -0.6]))


def _leg(out: Array, first: int, s: int, a: dict[str, Array], pelvis: Array, size: dict[str, float]) -> None:
    """Fill hip, knee, ankle and foot of one side."""
    thigh = pelvis @ _about(2, -s * a["abd"]) @ _about(0, a["hip"])
    shin = thigh @ _about(0, -np.clip(a["knee"], 0, 2.4))
    out[:, first] = pelvis @ np.array([-s * size["hip"], -0.25 * size["hip"], 0])
    out[:, first + 1] = out[:, first] - thigh[..., 1] * size["thigh"]
    out[:, first + 2] = out[:, first + 1] - shin[..., 1] * size["shin"]
    out[:, first + 3] = out[:, first + 2] + shin @ (size["foot"] * np.array([0, -0.45, -0.9]))


def _stand(out: Array, get: dict[str, Array], place: npt.ArrayLike, facing: float, sole: float) -> None:
    """Put the lower ankle on the floor, so that bent knees lower the body, then walk and hop."""
    floor = np.minimum(out[:, 14, 1], out[:, 18, 1])
    front, left = (np.array([-np.sin(facing), -np.cos(facing)]), np.array([-np.cos(facing), np.sin(facing)]))
    out[..., 1] += (sole + np.maximum(0, get["hop"]) - floor)[:, None]
    walk = np.asarray(place) + get["ahead"][:, None] * front + get["aside"][:, None] * left
    out[..., 0] += walk[:, :1]
    out[..., 2] += walk[:, 1:]


# --------------------------------------------------------------------------------------------------- cameras and sensor


@dataclass(frozen=True)
class _Camera:
    """Where a camera stands: azimuth about the scene (radians, positive towards x), metres away and above the floor."""

    azimuth: float
    distance: float
    height: float

    def see(self, points: Array) -> Array:
        """World points (..., 3) -> camera space: x to the sensor's left, y up, z away from it."""
        level = np.array([np.sin(self.azimuth), 0, -np.cos(self.azimuth)])
        spot = self.distance * level + np.array([0, self.height, 0])
        ahead = np.array([0, 0.95, 0]) - spot
        ahead /= np.linalg.norm(ahead)
        left = np.cross([0, 1, 0], ahead)
        left /= np.linalg.norm(left)
        result: Array = (points - spot) @ np.stack([left, np.cross(ahead, left), ahead], axis=1)
        return result


_AZIMUTH = np.deg2rad((0.0, -45.0, 45.0))  # NTU's cameras 1, 2, 3
_OF_VIEW = {"L": 1, "M": 0, "R": 2}  # PKU-MMD's views stand at the same three azimuths


@cache
def _camera(setup: int, number: int) -> _Camera:
    """Camera 0..2 of a setup; a setup is a distance and a height for the three."""
    distance = 2.7 + 0.11 * (setup * 7 % 11) + 0.1 * number
    return _Camera(float(_AZIMUTH[number]), distance, 0.9 + 0.08 * (setup * 5 % 13))


# Standard deviation in metres, from the steady trunk to the wild fingers.
_NOISE = np.full(25, 0.004)
_NOISE[[0, 1, 2, 3, 20]] = 0.0015
_NOISE[[6, 7, 10, 11]] = 0.009
_NOISE[[14, 15, 18, 19]] = 0.007
_NOISE[21:] = 0.014


def _sense(joints: Array, rng: Generator, wild: bool) -> tuple[Array, npt.NDArray[np.int64]]:
    """Camera-space joints (T, 25, 3) -> (measured joints, tracking states (T, 25): 2 tracked, 1 inferred, 0 lost)."""
    frames = len(joints)
    hidden = joints[..., 2] > joints[:, :1, 2] + 0.12  # the far side of a turned body
    fast = rng.standard_normal((frames + 2, 25, 3))
    fast = 0.25 * fast[:-2] + 0.5 * fast[1:-1] + 0.25 * fast[2:]
    error = (fast + _smooth(rng, frames, 12, (25, 3))) * _NOISE[:, None]
    seen = joints + error * np.where(hidden, 3.0, 1.0)[..., None]
    states = np.where(hidden, 1, 2)
    for _ in range(int(rng.integers(2, 5)) if wild else 0):  # a joint jumps somewhere else for some frames
        joint, at = int(rng.integers(4, 25)), int(rng.integers(frames))
        span = slice(at, at + int(rng.integers(2, 9)))
        seen[span, joint] += rng.normal(0, 0.2, 3)
        states[span, joint] = rng.integers(0, 2)
    return seen, states


# ---------------------------------------------------------------------------------------------------- NTU's text format


@dataclass
class _Track:
    """One body as the sensor reports it over T frames."""

    joints: Array  # (T, 25, 3)
    states: npt.NDArray[np.int64]  # (T, 25)
    present: npt.NDArray[np.bool_]  # (T,)
    ids: list[int]  # T body ids


@dataclass(frozen=True)
class _Flaws:
    """What is ugly about a file; every kind occurs in real ones."""

    blank: bool = False  # frames without a body
    ghosts: int = 0  # bodies that are none
    renamed: bool = False  # a body gets a new id in mid-clip
    leaves: bool = False  # a body comes late and goes early
    swapped: bool = False  # bodies change their order in the file
    wild: bool = False  # joints jump
    crlf: bool = False
    unfinished: bool = False  # no line end after the last line


# Camera -> flaws, for the first replication of action 1 by subjects 1 and 3, who are in every data set written here.
# So even the smallest one has every kind.
_SURE = {
    (1, 1): _Flaws(ghosts=2, swapped=True),
    (1, 2): _Flaws(blank=True, crlf=True),
    (1, 3): _Flaws(renamed=True, unfinished=True),
    (3, 1): _Flaws(leaves=True, ghosts=1, crlf=True),
    (3, 2): _Flaws(wild=True),
    (3, 3): _Flaws(),
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


def _flaws(clip: NTUClip, rng: Generator) -> _Flaws:
    if clip.action == 1 and clip.replication == 1 and (clip.subject, clip.camera) in _SURE:
        return _SURE[clip.subject, clip.camera]
    draw = rng.random(8)
    ghosts = int(draw[1] < 0.06) + int(draw[1] < 0.01)
    blank, renamed, leaves, swapped = (bool(d < 0.04) for d in draw[[0, 2, 3, 4]])
    crlf, unfinished = bool(draw[6] < 0.4), bool(draw[7] < 0.04)
    return _Flaws(blank, ghosts, renamed, leaves, swapped, bool(draw[5] < 0.25), crlf, unfinished)


def _spoil(tracks: list[_Track], flaws: _Flaws, rng: Generator) -> None:
    """Add ghosts, gaps and new ids to what the sensor saw of the people."""
    frames = len(tracks[0].present)
    third = max(2, frames // 3)
    for _ in range(flaws.ghosts):
        tracks.append(_ghost(tracks[0], rng, third))
    if flaws.blank:
        at = int(rng.integers(frames - third))
        for track in tracks:
            track.present[at : at + third // 2] = False
    if flaws.leaves:
        tracks[-1 if len(tracks) > 1 else 0].present[: third // 2] = False
        tracks[-1 if len(tracks) > 1 else 0].present[frames - third // 2 :] = False
    if flaws.renamed:
        at = int(rng.integers(third, 2 * third))
        tracks[0].ids[at:] = [tracks[0].ids[0] + int(rng.integers(1, 99))] * (frames - at)


def _ghost(like: _Track, rng: Generator, least: int) -> _Track:
    """A heap of joints wider than high, such as the sensor sees in a chair or a curtain."""
    frames = len(like.present)
    heap = rng.uniform((-0.5, -0.25, -0.2), (0.5, 0.25, 0.2), (25, 3)) + rng.uniform((-0.8, -0.4, 2.2), (0.8, 0.2, 4.0))
    joints = heap + rng.normal(0, 0.03, (frames, 25, 3))
    begin = int(rng.integers(frames - least))
    present = np.zeros(frames, dtype=np.bool_)
    present[begin : begin + int(rng.integers(least, frames))] = True
    return _Track(
        joints, rng.integers(0, 2, (frames, 25)), present, [like.ids[0] + int(rng.integers(100, 999))] * frames
    )


# Bones for the orientations, which the publishers' trees hang on the hands; 0 0 0 0 where a limb ends.
_BONE = np.array([1, 20, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11])
_END = [3, 15, 19, 21, 22, 23, 24]
_JOINT_LINE = " ".join(["%.7G"] * 11 + ["%d"])


def _columns(track: _Track) -> Array:
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


def ntu_text(tracks: Sequence[_Track], order: Callable[[int], Sequence[int]], flaws: _Flaws) -> bytes:
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


# ------------------------------------------------------------------------------------------------------------ NTU clips

_NTU_PAIRS = frozenset((*range(50, 61), *range(106, 121)))
# Streams of randomness; they keep, say, subject 3 apart from clip 3.
_SUBJECT, _ACT, _SENSOR, _VIDEO = range(4)


def _random(seed: int, *identity: int) -> Generator:
    return np.random.Generator(np.random.PCG64([seed, *identity]))


def _act(seed: int, clip: NTUClip, frames: tuple[int, int]) -> list[Array]:
    """The joints in the world of the one or two people of a clip: the same for all three cameras."""
    setup, _, subject, replication, action = clip
    rng = _random(seed, _ACT, setup, subject, replication, action)
    motion = _motion(action, _NTU_PAIRS)
    actor = _person(_random(seed, _SUBJECT, subject))
    length = int(rng.integers(frames[0], frames[1] + 1))
    timing = _timing(rng, length, motion, actor)
    side = actor.hand if rng.random() < 0.85 else -actor.hand
    # As in the real set, people turn to the one outer camera first and to the other one in the second replication.
    facing = np.deg2rad((-45 if replication == 1 else 45) + rng.normal(0, 12))
    spot = rng.normal(0, 0.15, 2)
    move = _gesture(motion.terms, timing, side) + _restless(rng, length)
    if motion.partner is None:
        return [_pose(move, actor, spot, facing)]
    partner = _person(_random(seed, _SUBJECT, 1000 + subject))
    answer = _gesture(motion.partner, timing, partner.hand) + _restless(rng, length)
    facing += np.pi / 4 if replication == 1 else -np.pi / 4
    half = motion.distance * rng.uniform(0.9, 1.15) / 2 * np.array([np.cos(facing), -np.sin(facing)])
    return [
        _pose(move, actor, spot + half, facing + np.pi / 2),
        _pose(answer, partner, spot - half, facing - np.pi / 2),
    ]


def ntu_clip(seed: int, clip: NTUClip, frames: tuple[int, int], people: Sequence[Array] | None = None) -> bytes:
    """The `.skeleton` file of one clip; `people` spares the work that its cameras share."""
    people = _act(seed, clip, frames) if people is None else people
    rng = _random(seed, _SENSOR, *clip)
    flaws = _flaws(clip, rng)
    camera = _camera(clip.setup, clip.camera - 1)
    first, length = FIRST_BODY_ID + int(rng.integers(1000, 30000)), len(people[0])
    tracks = []
    for i, person in enumerate(people):
        joints, states = _sense(camera.see(person), rng, flaws.wild and i == 0)
        tracks.append(_Track(joints, states, np.ones(length, dtype=np.bool_), [first + 31 * i] * length))
    if (clip.subject, clip.camera) in _SURE:  # a number so small that only an exponent can write it
        x = tracks[0].joints[..., 0]
        x.flat[np.abs(x).argmin()] = -9.5e-5 * rng.uniform(0.1, 1)
    _spoil(tracks, flaws, rng)
    listed, change = list(range(len(tracks))), int(rng.integers(length // 3, length // 2 + 1))
    return ntu_text(tracks, lambda t: listed[::-1] if flaws.swapped and t >= change else listed, flaws)


# ---------------------------------------------------------------------------------------------------- PKU-MMD sequences

_PKU_PAIRS = frozenset((12, 14, 16, 18, 21, 24, 26, 27))


@dataclass(frozen=True)
class PKUVideo:
    """A recording of PKU-MMD: its name without the view, and the numbers that decide its content."""

    part: int
    name: str
    performer: int
    recording: int
    actions: tuple[int, ...]
    first: bool  # carries the flaws that every written set has


class _Sequence(NamedTuple):
    """One untrimmed recording before any camera sees it."""

    people: list[Array]  # joints in the world, (T, 25, 3) each
    distance: Array  # (T,) metres between the two; 0 where there is only the first
    labels: list[list[int]]  # class, first frame, last frame (1-based, both inclusive), confidence


def _pku_sequence(seed: int, video: PKUVideo, frames: tuple[int, int]) -> _Sequence:
    """All actions of the video in some order, with idle time between them."""
    rng = _random(seed, _VIDEO, video.part, video.performer, video.recording)
    actor, partner = (_person(_random(seed, _SUBJECT, 1000 * (video.part + k) + video.performer)) for k in (2, 4))
    facing, spot = np.deg2rad(rng.normal(0, 15)), rng.normal(0, 0.15, 2)
    pieces: list[tuple[Array, Array, Array]] = []
    labels: list[list[int]] = []
    now = 0
    for i, action in enumerate(rng.permutation(np.array(video.actions)).tolist()):
        idle = 0 if video.first and i == 0 else int(rng.integers(12, 40))
        clip = _random(seed, _VIDEO, video.part, video.performer, video.recording, action)
        length = int(clip.integers(frames[0], frames[1] + 1))
        pieces += [_still(idle), _pku_action(clip, _motion(action, _PKU_PAIRS), length, actor, partner)]
        labels.append([action, now + idle + 1, now + idle + length, 1 + int(clip.random() < 0.8)])
        now += idle + length
    pieces.append(_still(0 if video.first else 15))
    move, answer, distance = (np.concatenate(column) for column in zip(*pieces, strict=True))
    one = _pose(move + _restless(rng, len(move)), actor, spot, facing)
    two = _pose(answer + _restless(rng, len(move)), partner, (0, 0), facing - np.pi / 2)
    across = np.array([-np.cos(facing), np.sin(facing)])
    two[..., 0::2] += (spot + distance[:, None] * across)[:, None]
    return _Sequence([one, two], distance, labels)


def _still(frames: int) -> tuple[Array, Array, Array]:
    return np.zeros((frames, len(_CHANNEL))), np.zeros((frames, len(_CHANNEL))), np.zeros(frames)


def _pku_action(
    rng: Generator, motion: _Motion, frames: int, actor: _Person, partner: _Person
) -> tuple[Array, Array, Array]:
    """What both people do in one action, and how far apart they stand: 0 if there is no second one."""
    timing = _timing(rng, frames, motion, actor)
    move = _gesture(motion.terms, timing, actor.hand if rng.random() < 0.85 else -actor.hand)
    if motion.partner is not None:  # the two stand across the view
        ends = np.minimum(np.arange(frames), np.arange(frames)[::-1])
        move[:, _CHANNEL["yaw"]] += 90 * _ramp(ends / 10)
    return move, _gesture(motion.partner or (), timing, partner.hand), np.full(frames, motion.distance)


_PKU_LINE = " ".join(["%.6f"] * 150)


def pku_video(seed: int, video: PKUVideo, frames: tuple[int, int]) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield (name with view, skeleton file, label file) for the views L, M and R."""
    people, distance, labels = _pku_sequence(seed, video, frames)
    if video.first and video.part == 2:
        labels[0][1] = 0  # occurs in the real part II
    label_file = "".join(",".join(map(str, row)) + "\n" for row in labels).encode("ascii")
    for view, number in _OF_VIEW.items():
        rng = _random(seed, _SENSOR, video.part, video.performer, video.recording, number)
        camera = _camera(3 * video.part + video.recording, number)
        seen = [_sense(camera.see(person), rng, wild=True)[0] for person in people]
        seen[1][distance == 0] = 0
        both = np.concatenate(seen, axis=1).reshape(len(distance), 150)
        lost = int(rng.integers(len(both) // 2))
        both[lost : lost + 4] = 0  # frames in which the sensor found nobody
        if video.first and view == "R":
            both = both[:-3]  # this camera stopped early: the last label passes the end
        lines = [_PKU_LINE % tuple(row) for row in (both + 0.0).tolist()]
        yield f"{video.name}-{view}", ("\n ".join(lines) + "\n").encode("ascii"), label_file


# -------------------------------------------------------------------------------------------------------- what to write


@dataclass(frozen=True)
class Summary:
    """What was written: the raw files, the labelled clips in them, and the bytes of the raw files."""

    files: int
    clips: int
    bytes: int


class _File(NamedTuple):
    """One file: which of the publisher's archives it belongs to ("" for none), its path in there, its bytes."""

    archive: str
    path: str
    content: bytes


class _Plan(NamedTuple):
    """How many files and labelled clips there will be, and the files themselves, made as they are asked for."""

    files: int
    clips: int
    content: Iterator[_File]


# Options: smallest, default, largest. An option that is missing has no meaning in that data set.
_RANGES: dict[str, dict[str, tuple[int, int, int]]] = {
    "ntu60": {"actions": (1, 10, 60), "subjects": (2, 12, 40), "setups": (1, 3, 17), "replications": (1, 2, 2)},
    "ntu120": {"actions": (2, 16, 120), "subjects": (4, 16, 106), "setups": (4, 4, 32), "replications": (1, 2, 2)},
    "pku1": {"actions": (1, 10, 51), "subjects": (2, 12, 66), "replications": (1, 2, 4)},
    "pku2": {"actions": (1, 10, 41), "subjects": (2, 12, 13), "replications": (1, 2, 26)},
}


def write_raw(
    dataset: str,
    raw: str | os.PathLike[str],
    *,
    actions: int | None = None,
    subjects: int | None = None,
    setups: int | None = None,
    replications: int | None = None,
    frames: tuple[int, int] = (40, 80),
    seed: int = 0,
    force: bool = False,
    zip: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Write a synthetic data set as raw files, named and laid out as its publisher does.

    Every official split of the data set has clips of every action on both sides, and every ugly part of real files
    (README of the folder: `SYNTHETIC.md`) occurs. A clip's content depends on `seed`, `frames` and its name only; of
    PKU-MMD, where several actions share a file, also on `actions`.

    Args:
        dataset: ntu60, ntu120, pku1 or pku2.
        raw: the folder to make.
        actions: how many classes, spread evenly over the official numbers; in the two-person classes two people meet.
        subjects: how many people; training and test people of the cross-subject split in turns.
        setups: how many camera set-ups (NTU only); ntu120 takes half of them, and of the rest, from NTU-60's numbers.
        replications: how often each person does each action (in PKU-MMD: recordings of each person).
        frames: fewest and most frames of a clip, at 30 a second.
        force: replace `raw` if it was written by this function.
        zip: write the publisher's archives instead of folders of files.
        progress: called with (files written, files in all).

    Raises:
        BadInput: an option is out of range, or `raw` is taken or cannot be written.
    """
    find_dataset(dataset)
    asked = {"actions": actions, "subjects": subjects, "setups": setups, "replications": replications}
    options = _checked(dataset, asked, frames, seed)
    target = Path(raw)
    if target.is_dir() and any(target.iterdir()) and not (target / MARKER).is_file():
        raise BadInput(target, "holds other files than synthetic recordings", "choose another path")
    plan = (_plan_ntu if dataset.startswith("ntu") else _plan_pku)(dataset, options, frames, seed)
    settings = {"dataset": dataset, **options, "frames": list(frames), "seed": seed, "zip": zip}
    told = ", ".join(f"{count} {name}" for name, count in options.items())
    kind = "archives" if zip else "files"
    log.info("%s: %s; %d to %d frames, seed %d; %d %s", dataset, told, *frames, seed, plan.files, kind)
    size = 0
    with new_folder(target, "raw", force=force, settings=settings) as scratch, ExitStack() as archives:
        (scratch / MARKER).write_text(_statement(dataset, settings), encoding="utf-8")
        put = _zipped(scratch, archives) if zip else _plain(scratch)
        for done, file in enumerate(plan.content, 1):
            put(file)
            size += len(file.content)
            if progress:
                progress(done, plan.files)
    return Summary(plan.files, plan.clips, size)


def _checked(dataset: str, asked: dict[str, int | None], frames: tuple[int, int], seed: int) -> dict[str, int]:
    """The options with defaults filled in."""
    ranges, out = _RANGES[dataset], {}
    for name, value in asked.items():
        if name not in ranges:
            if value is not None:
                raise BadInput(f"--{name}", f"{dataset} has no {name}", "leave it out")
            continue
        least, usual, most = ranges[name]
        out[name] = usual if value is None else value
        if not least <= out[name] <= most:
            raise BadInput(f"--{name} {value}", f"is out of range for {dataset}", f"choose {least} to {most}")
    if not 10 <= frames[0] <= frames[1] <= 1000:
        raise BadInput(
            f"--frames {frames[0]} {frames[1]}", "is no range of clip lengths", "choose 10 <= MIN <= MAX <= 1000"
        )
    if seed < 0:
        raise BadInput(f"--seed {seed}", "is negative", "choose 0 or more")
    return out


def _spread(count: int, first: int, last: int) -> list[int]:
    """`count` numbers spread evenly over first..last, both ends included."""
    return sorted({round(float(x)) for x in np.linspace(first, last, count)})


def _in_turns(train: npt.NDArray[np.bool_], ids: Sequence[int]) -> list[int]:
    """Training and test ids in turns; what is left over at the end."""
    one, two = ([i for i, t in zip(ids, train.tolist(), strict=True) if t is side] for side in (True, False))
    both = min(len(one), len(two))
    return [i for pair in zip(one, two, strict=False) for i in pair] + one[both:] + two[both:]


def _trains(split: str, dataset: str, **columns: Sequence[Any]) -> npt.NDArray[np.bool_]:
    """Which of some imagined clips the official split trains on."""
    count = len(next(iter(columns.values())))
    every = {name: np.ones(count, dtype=np.int32) for name in DATASETS[dataset].columns}
    return split_masks(split, dataset, every | {k: np.asarray(v) for k, v in columns.items()}, None)[0]


def _ntu_halves(dataset: str, options: dict[str, int]) -> list[tuple[list[int], list[int], list[int]]]:
    """Actions, subjects and setups: NTU-60's numbers, and for ntu120 those that NTU-120 added."""
    people = list(range(1, 41 if dataset == "ntu60" else 107))
    train = _trains("xsub120" if dataset == "ntu120" else "xsub60", dataset, subject=people)
    subjects = _in_turns(train[:40], people[:40])
    actions, count, setups = options["actions"], options["subjects"], options["setups"]
    if dataset == "ntu60":
        return [(_spread(actions, 1, 60), subjects[:count], list(range(1, setups + 1)))]
    more, old, early = (
        _in_turns(train[40:], people[40:]),
        min(40, count // 2),
        max(setups // 2, setups - 15),
    )  # 18 to 32 are 15
    first = (_spread(actions - actions // 2, 1, 60), subjects[:old], list(range(1, early + 1)))
    second = (
        _spread(actions // 2, 61, 120),
        more[: count - old],
        list(range(LAST_SETUP_60 + 1, LAST_SETUP_60 + 1 + setups - early)),
    )
    return [first, second]


def _plan_ntu(dataset: str, options: dict[str, int], frames: tuple[int, int], seed: int) -> _Plan:
    takes = []
    for actions, subjects, setups in _ntu_halves(dataset, options):
        # Two neighbours in the list are one training and one test subject: they share a setup, the next two take the
        # next one. So neither split can be read off the other.
        meetings = max(len(subjects), 2 * len(setups))
        where = {(setups[k // 2 % len(setups)], subjects[k % len(subjects)]) for k in range(meetings)}
        times = range(1, options["replications"] + 1)
        takes += [NTUClip(s, 1, p, r, a) for s, p in where for r in times for a in actions]
    return _Plan(3 * len(takes), 3 * len(takes), _ntu_files(sorted(takes), frames, seed))


def _ntu_files(takes: list[NTUClip], frames: tuple[int, int], seed: int) -> Iterator[_File]:
    for take in takes:
        people = _act(seed, take, frames)
        old = take.setup <= LAST_SETUP_60
        archive = "nturgbd_skeletons_s001_to_s017" if old else "nturgbd_skeletons_s018_to_s032"
        folder = "nturgb+d_skeletons" if old else "nturgb+d_skeletons120"
        for camera in (1, 2, 3):
            clip = take._replace(camera=camera)
            yield _File(archive, f"{folder}/{clip.name}.skeleton", ntu_clip(seed, clip, frames, people))


# Folder of the sequences, folder of the labels, the two split files.
_PKU_LAYOUT = {
    "pku1": ("PKU_Skeleton_Renew", "Train_Label_PKU_final", "cross-subject.txt", "cross-view.txt"),
    "pku2": ("skeleton", "label", "cross_subject_v2.txt", "cross_view_v2.txt"),
}


def _plan_pku(dataset: str, options: dict[str, int], frames: tuple[int, int], seed: int) -> _Plan:
    actions = tuple(_spread(options["actions"], 1, 51 if dataset == "pku1" else 41))
    names = _pku_names(dataset, options["subjects"], options["replications"])
    first = min(name for name, _, _ in names)
    part = int(dataset[-1])
    videos = [PKUVideo(part, name, p, r, actions, name == first) for name, p, r in sorted(names)]
    clips = 3 * len(videos) * len(actions)
    return _Plan(6 * len(videos) + 2, clips, _pku_files(dataset, videos, frames, seed))


def _pku_names(dataset: str, subjects: int, recordings: int) -> list[tuple[str, int, int]]:
    """(name without view, performer, recording); training and test performers in turns."""
    if dataset == "pku2":
        train = _trains("pku2-xsub", dataset, video=[f"A01N{n:02d}-M" for n in range(1, 14)])
        people = _in_turns(train, range(1, 14))[:subjects]
        return [(f"A{a:02d}N{n:02d}", n, a) for n in people for a in range(1, recordings + 1)]
    # Nobody publishes who performs in which video of part I: here four numbers in a row belong to one person.
    train = _trains("pku1-xsub", dataset, video=[f"{i:04d}-M" for i in range(2, 365)])
    ids = np.arange(2, 365)
    begins = ids[:-3][[bool(np.all(train[k : k + 4] == train[k])) for k in range(len(ids) - 3)]]
    begins = begins[begins % 4 == 2]
    people = _in_turns(train[begins - 2], begins.tolist())[:subjects]
    return [(f"{p + r:04d}", p, r) for p in people for r in range(recordings)]


def _pku_files(dataset: str, videos: list[PKUVideo], frames: tuple[int, int], seed: int) -> Iterator[_File]:
    skeletons, labels, by_subject, by_view = _PKU_LAYOUT[dataset]
    names = []
    for video in videos:
        for name, sequence, label in pku_video(seed, video, frames):
            names.append(name)
            yield _File(skeletons, f"{skeletons}/{name}.txt", sequence)
            yield _File(labels, f"{labels}/{name}.txt", label)
    views = [VIEWS.index(name[-1]) + 1 for name in names]
    for split, path in ((f"{dataset}-xsub", by_subject), (f"{dataset}-xview", by_view)):
        train = _trains(split, dataset, video=names, view=views)
        one, two = (", ".join(n for n, t in zip(names, train, strict=True) if t == side) for side in (True, False))
        yield _File("", path, f"Training videos: \n{one}\nValidataion videos: \n{two}\n".encode("ascii"))


# -------------------------------------------------------------------------------------------------------- onto the disk


def _plain(folder: Path) -> Callable[[_File], None]:
    def put(file: _File) -> None:
        path = folder / file.path
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(file.content)

    return put


def _zipped(folder: Path, stack: ExitStack) -> Callable[[_File], None]:
    plain = _plain(folder)
    archives: dict[str, zipfile.ZipFile] = {}

    def put(file: _File) -> None:
        if not file.archive:
            return plain(file)
        if file.archive not in archives:
            archives[file.archive] = stack.enter_context(zipfile.ZipFile(folder / f"{file.archive}.zip", "w"))
        member = zipfile.ZipInfo(file.path)  # with its fixed date of 1980, so that equal content gives equal bytes
        member.external_attr = 0o644 << 16
        archives[file.archive].writestr(member, file.content, zipfile.ZIP_DEFLATED, compresslevel=1)

    return put


def _statement(dataset: str, settings: dict[str, Any]) -> str:
    rows = "\n".join(f"- {name}: {value}" for name, value in settings.items())
    return f"""# Synthetic recordings

Nobody was recorded. `skelpipe synth` (skelpipe {__version__}) computed these files in the raw format of
{DATASETS[dataset].title}: a jointed body moves by formula and is seen by three turned cameras. They hold nothing of
the published data set and are under no licence but skelpipe's own. Accuracies on them say nothing about the real one.

{rows}

Ugly on purpose, as real recordings are: frames without a body, bodies that are none, bodies that come and go, change
their id or their order in the file, joints that jump, CRLF line ends, exponents, a missing last line end; in
PKU-MMD's format frames of zeros, a label that passes the end of its sequence and (part II) one that starts at 0.
"""
