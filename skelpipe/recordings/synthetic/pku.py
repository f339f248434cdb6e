"""Recordings of PKU-MMD: untrimmed sequences of actions, seen from three views, with their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from skelpipe.recordings.synthetic.body import CHANNEL, Person, draw_person, pose
from skelpipe.recordings.synthetic.chance import SENSOR, SUBJECT, VIDEO, Array, generator
from skelpipe.recordings.synthetic.motion import Motion, draw_timing, gesture, motion_of, ramp, restless
from skelpipe.recordings.synthetic.sensor import camera_of, sense

_OF_VIEW = {"L": 1, "M": 0, "R": 2}  # PKU-MMD's views stand at the same three azimuths
_PAIRS = frozenset((12, 14, 16, 18, 21, 24, 26, 27))  # classes of two people


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


def _sequence(seed: int, video: PKUVideo, frames: tuple[int, int]) -> _Sequence:
    """All actions of the video in some order, with idle time between them."""
    rng = generator(seed, VIDEO, video.part, video.performer, video.recording)
    actor, partner = (draw_person(generator(seed, SUBJECT, 1000 * (video.part + k) + video.performer)) for k in (2, 4))
    facing, spot = np.deg2rad(rng.normal(0, 15)), rng.normal(0, 0.15, 2)
    pieces: list[tuple[Array, Array, Array]] = []
    labels: list[list[int]] = []
    now = 0
    for i, action in enumerate(rng.permutation(np.array(video.actions)).tolist()):
        idle = 0 if video.first and i == 0 else int(rng.integers(12, 40))
        clip = generator(seed, VIDEO, video.part, video.performer, video.recording, action)
        length = int(clip.integers(frames[0], frames[1] + 1))
        pieces += [_still(idle), _action(clip, motion_of(action, _PAIRS), length, actor, partner)]
        labels.append([action, now + idle + 1, now + idle + length, 1 + int(clip.random() < 0.8)])
        now += idle + length
    pieces.append(_still(0 if video.first else 15))
    move, answer, distance = (np.concatenate(column) for column in zip(*pieces, strict=True))
    one = pose(move + restless(rng, len(move)), actor, spot, facing)
    two = pose(answer + restless(rng, len(move)), partner, (0, 0), facing - np.pi / 2)
    across = np.array([-np.cos(facing), np.sin(facing)])
    two[..., 0::2] += (spot + distance[:, None] * across)[:, None]
    return _Sequence([one, two], distance, labels)


def _still(frames: int) -> tuple[Array, Array, Array]:
    return np.zeros((frames, len(CHANNEL))), np.zeros((frames, len(CHANNEL))), np.zeros(frames)


def _action(rng: Generator, motion: Motion, frames: int, actor: Person, partner: Person) -> tuple[Array, Array, Array]:
    """What both people do in one action, and how far apart they stand: 0 if there is no second one."""
    timing = draw_timing(rng, frames, motion, actor)
    move = gesture(motion.terms, timing, actor.hand if rng.random() < 0.85 else -actor.hand)
    if motion.partner is not None:  # the two stand across the view
        ends = np.minimum(np.arange(frames), np.arange(frames)[::-1])
        move[:, CHANNEL["yaw"]] += 90 * ramp(ends / 10)
    return move, gesture(motion.partner or (), timing, partner.hand), np.full(frames, motion.distance)


_LINE = " ".join(["%.6f"] * 150)


def pku_video(seed: int, video: PKUVideo, frames: tuple[int, int]) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield (name with view, skeleton file, label file) for the views L, M and R."""
    people, distance, labels = _sequence(seed, video, frames)
    if video.first and video.part == 2:
        labels[0][1] = 0  # occurs in the real part II
    label_file = "".join(",".join(map(str, row)) + "\n" for row in labels).encode("ascii")
    for view, number in _OF_VIEW.items():
        rng = generator(seed, SENSOR, video.part, video.performer, video.recording, number)
        camera = camera_of(3 * video.part + video.recording, number)
        seen = [sense(camera.see(person), rng, wild=True)[0] for person in people]
        seen[1][distance == 0] = 0
        both = np.concatenate(seen, axis=1).reshape(len(distance), 150)
        lost = int(rng.integers(len(both) // 2))
        both[lost : lost + 4] = 0  # frames in which the sensor found nobody
        if video.first and view == "R":
            both = both[:-3]  # this camera stopped early: the last label passes the end
        lines = [_LINE % tuple(row) for row in (both + 0.0).tolist()]
        yield f"{video.name}-{view}", ("\n ".join(lines) + "\n").encode("ascii"), label_file
