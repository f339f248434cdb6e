"""What a class does, and how one clip does it: joint angles over time, in the channels of `body`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from skelpipe.recordings.synthetic.body import CHANNEL, LIMB, WHOLE, Person
from skelpipe.recordings.synthetic.chance import Array, smooth

FRAMES_PER_SECOND = 30
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
class Motion:
    """What a class does: cycles a second and metres between the two; `partner` is None for one person."""

    terms: tuple[Term, ...]
    rate: float
    vigour: float
    partner: tuple[Term, ...] | None = None
    distance: float = 0.0


@cache
def motion_of(action: int, pairs: frozenset[int]) -> Motion:
    """The motion of a class; `pairs` are the data set's two-person classes."""
    rank = sum((a in pairs) == (action in pairs) for a in range(1, action))
    table = len(_PAIRS) if action in pairs else len(_MOVES)
    rate, vigour, extra = _VARIANTS[rank // table % len(_VARIANTS)]
    if action in pairs:
        terms, partner, distance = _PAIRS[rank % table]
        return Motion(terms + extra, rate, vigour, partner + extra, distance)
    return Motion(_MOVES[rank % table] + extra, rate, vigour)


def ramp(x: Array) -> Array:
    """A smooth rise from 0 at x <= 0 to 1 at x >= 1, of any shape."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


class Timing(NamedTuple):
    """When and how a clip's gesture runs; two people in one clip share it."""

    envelope: Array  # (T,) 0 at rest, 1 in the gesture
    phase: Array  # (T,) radians
    vigour: float


def draw_timing(rng: Generator, frames: int, motion: Motion, person: Person) -> Timing:
    """When a clip of `frames` frames begins, ends and hesitates, at the class's tempo and the person's."""
    u = np.linspace(0, 1, frames)
    begin, end, rise = rng.uniform(0, 0.25), rng.uniform(0.78, 1.0), rng.uniform(0.12, 0.3)
    envelope = ramp((u - begin) / rise) * ramp((end - u) / rise)
    pace = np.maximum(0.3, 1 + 0.3 * smooth(rng, frames, 15, ()))
    if rng.random() < 0.3:  # a moment of hesitation
        at = int(rng.integers(frames))
        pace[at : at + int(rng.integers(4, 12))] = 0.05
    rate = motion.rate * person.tempo * np.exp(rng.normal(0, 0.12))
    phase = rng.uniform(0, 2 * np.pi) + np.cumsum(pace) * (2 * np.pi * rate / FRAMES_PER_SECOND)
    return Timing(envelope, phase, motion.vigour * person.vigour * float(rng.uniform(0.6, 1.2)))


def gesture(terms: tuple[Term, ...], timing: Timing, side: int) -> Array:
    """Terms -> (T, channels) in degrees and centimetres, on top of the rest pose; `side` acts (1 left, -1 right)."""
    out = np.zeros((len(timing.phase), len(CHANNEL)))
    for where, hold, swing, *quarter in terms:
        who, _, name = where.rpartition(".")
        turns = {"": (0,), "a": (side,), "b": (-side,), "2": (1, -1), "x": (1, -1)}[who]
        for s in turns:
            late = np.pi if who == "x" and s != side else 0.0
            wave = np.sin(timing.phase + (quarter[0] * np.pi / 2 if quarter else 0.0) + late)
            curve = timing.envelope * timing.vigour * (hold + swing * wave)
            channel = CHANNEL[f"{'L' if s > 0 else 'R'}.{name}" if s else name]
            out[:, channel] += curve * (side if name in _SIDED else 1)
    return out


_FIDGET = np.array([0.0 if n in WHOLE[-3:] else 3.0 if n in WHOLE else 5.0 for n in CHANNEL])


def restless(rng: Generator, frames: int) -> Array:
    """What nobody meant: slow drift of every joint, now and then an arm that wanders off: as of `gesture`."""
    out = _FIDGET * smooth(rng, frames, 20, (len(CHANNEL),))
    if rng.random() < 0.35:
        limb, at, width = int(rng.integers(2)) * len(LIMB), rng.uniform(0, frames), rng.uniform(6, 15)
        bump = np.exp(-(((np.arange(frames) - at) / width) ** 2))
        out[:, limb : limb + 4] += bump[:, None] * rng.uniform((10, -20, -20, 10), (50, 40, 20, 80))
    return out
