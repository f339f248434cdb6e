"""Bodies as a tracker reports them, and what is ugly about that: ghosts, gaps and new ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.random import Generator

from skelpipe.recordings.synthetic.chance import Array


@dataclass
class Track:
    """One body as the sensor reports it over T frames: metres, states as of `sensor.sense`."""

    joints: Array  # (T, 25, 3)
    states: npt.NDArray[np.int64]  # (T, 25)
    present: npt.NDArray[np.bool_]  # (T,)
    ids: list[int]  # T body ids


@dataclass(frozen=True)
class Flaws:
    """What is ugly about a file; every kind occurs in real ones."""

    blank: bool = False  # frames without a body
    ghosts: int = 0  # bodies that are none
    renamed: bool = False  # a body gets a new id in mid-clip
    leaves: bool = False  # a body comes late and goes early
    swapped: bool = False  # bodies change their order in the file
    wild: bool = False  # joints jump
    crlf: bool = False
    unfinished: bool = False  # no line end after the last line


def spoil(tracks: list[Track], flaws: Flaws, rng: Generator) -> None:
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


def _ghost(like: Track, rng: Generator, least: int) -> Track:
    """A heap of joints wider than high, such as the sensor sees in a chair or a curtain."""
    frames = len(like.present)
    heap = rng.uniform((-0.5, -0.25, -0.2), (0.5, 0.25, 0.2), (25, 3)) + rng.uniform((-0.8, -0.4, 2.2), (0.8, 0.2, 4.0))
    joints = heap + rng.normal(0, 0.03, (frames, 25, 3))
    begin = int(rng.integers(frames - least))
    present = np.zeros(frames, dtype=np.bool_)
    present[begin : begin + int(rng.integers(least, frames))] = True
    return Track(
        joints, rng.integers(0, 2, (frames, 25)), present, [like.ids[0] + int(rng.integers(100, 999))] * frames
    )
