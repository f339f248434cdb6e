"""Clips of other conventions brought to ours: y up, metres, right-handed, zeros where nobody is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.recordings.conventions.facts import AXES, LAST_FRAME, REPETITION, UNITS, held, period
from skelpipe.recordings.conventions.findings import Findings

Floats = npt.NDArray[np.float32]
Axes = tuple[tuple[int, int], ...]

REPLAYED = 1e-5  # of the largest coordinate

KEPT: Axes = ((0, 1), (1, 1), (2, 1))
# Ours (x, y, z), each an axis of the source and its sign, by the axis that is up there: rotations.
TURNED: dict[str, Axes] = {
    "x": ((1, -1), (0, 1), (2, 1)), "-x": ((1, 1), (0, -1), (2, 1)), "y": KEPT, "-y": ((0, -1), (1, -1), (2, 1)),
    "z": ((0, 1), (2, 1), (1, -1)), "-z": ((0, 1), (2, -1), (1, 1)),
}  # fmt: skip


@dataclass(frozen=True)
class Conversion:
    """What is done to the coordinates of clips.

    Attributes:
        up: the axis that is up in the source.
        mirrored: whether left and right are exchanged there; then x is turned round.
        unit: key of `UNITS`.
    """

    up: str = "y"
    mirrored: bool = False
    unit: str = "m"

    @classmethod
    def of(cls, noted: Findings | Mapping[str, Any] | None) -> Conversion:
        """What findings, or what a store notes of them, ask for; nothing where they cannot tell."""
        about = noted.as_json() if isinstance(noted, Findings) else noted or {}
        unit = about.get("unit")
        return cls(about.get("up") or "y", bool(about.get("mirrored")), unit if unit in UNITS else "m")

    @property
    def axes(self) -> Axes:
        """For each of our axes one of the source's, and its sign."""
        (axis, sign), *others = TURNED[self.up]
        return (axis, -sign if self.mirrored else sign), *others

    def __bool__(self) -> bool:
        return self.axes != KEPT or self.unit != "m"

    @property
    def said(self) -> list[str]:
        """What is done, in words."""
        named = ", ".join(("" if sign > 0 else "-") + AXES[axis] for axis, sign in self.axes)
        done = [f"{self.up} up to y up ({named})"] if self.up != "y" else []
        done += ["mirrored back" if done else f"mirrored back ({named})"] if self.mirrored else []
        return [*done, f"{self.unit} to m"] if self.unit != "m" else done

    def apply(self, values: Floats) -> Floats:
        """Values (..., C) in our conventions; the same array if there is nothing to do."""
        if not self:
            return values
        made = values.copy()  # a confidence behind the coordinates stays
        size = np.float32(UNITS[self.unit])
        for to, (axis, sign) in enumerate(self.axes):
            np.multiply(values[..., axis], np.float32(sign) * size, out=made[..., to])
        return made


def without_points(block: Floats) -> Floats:
    """(n, T, M, V, C) with zeros for bodies whose joints lie all in one point."""
    points = (block == block[..., :1, :]).all(axis=(3, 4))
    return np.where(points[..., None, None], np.float32(0), block) if points.any() else block


def without_copies(block: Floats) -> tuple[Floats, int]:
    """(n, T, M, V, C) with zeros for second bodies that equal the first over the whole clip, and how many those are."""
    if block.shape[2] < 2:
        return block, 0
    same = (block[:, :, 0] == block[:, :, 1]).all(axis=(1, 2, 3)) & block[:, :, 0].any(axis=(1, 2, 3))
    if not same.any():
        return block, 0
    block = block.copy()
    block[same, :, 1] = 0
    return block, int(same.sum())


def own_frames(clip: Floats, after: str | None) -> npt.NDArray[np.int64]:
    """How many frames of a clip (T, M, V, C) are each body's own, where shorter clips are filled up in that way."""
    bodies = clip.shape[1]
    if after == LAST_FRAME:
        return np.full(bodies, held(clip))
    own = np.full(bodies, len(clip))
    if after == REPETITION:
        main = int(np.argmax(clip.any(axis=(0, 2, 3))))  # the first body that is there
        own[:] = period(clip[:, main])
        for m in range(main + 1, bodies):
            own[m] = replayed(clip[:, m], int(own[main]))
    return own


def replayed(body: Floats, otherwise: int) -> int:
    """After how many frames a body (T, V, C) repeats its poses to the end; `otherwise` if it does not.

    2s-AGCN fills up every body by itself and tells all from the first: a second one repeats its own joints, to
    rounding, and not where they are.
    """
    poses = body - body[:, :1]
    if not poses.any():
        return otherwise
    near = REPLAYED * float(np.abs(body).max())
    for count in np.flatnonzero(np.abs(poses[1:] - poses[0]).max(axis=(1, 2)) < near) + 1:
        if np.abs(poses[count:] - poses[:-count]).max() < near:
            return int(count)
    return otherwise
