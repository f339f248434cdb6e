"""Poses of a file fitted to a layout: its joints in order, its channels, what is stated of them; zeros where unseen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe.errors import shortened
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.base import Layout
from skelpipe.layouts.table import CONFIDENCE
from skelpipe.recordings.poses.base import Floats, Poses, misfit
from skelpipe.recordings.poses.stated import Stated
from skelpipe.recordings.poses.words import joint_places

# A detector's confidence is between these: those of SimCC heads (RTMPose) pass 1 a little.
LEAST_SCORE, MOST_SCORE = 0.0, 1.5
NO_NUMBERS = "joints whose coordinates are no numbers were taken as not seen"
NO_SCORES = "confidences that are no numbers were taken for 0"
ODD_SCORES = "confidences lie outside of 0 to 1 and are kept as they are"
WITHOUT = "confidences were left out"
LEFT_OUT = WITHOUT + ", as layout {layout} has none; {with_it} keeps them"
NONE_THERE = "there are no confidences: they are 1 where a joint was seen, and 0 where it was not"


class Fitted(NamedTuple):
    """Rows in a layout: (R, V, C) float32 joints, frames and ids of bodies; and what is told of them, in words."""

    joints: npt.NDArray[np.float32]
    row_frame: npt.NDArray[np.int32]
    row_body: npt.NDArray[np.int64]
    told: tuple[str, ...]


def fitted(poses: Poses, layout: Layout, stated: Stated, where: str, contradicted: list[str] | None = None) -> Fitted:
    """Fit what a file holds to a layout.

    Args:
        poses: as read.
        layout: whose joints they are.
        stated: of the recordings.
        where: the file, for messages.
        contradicted: takes what may contradict what is stated, in place of `Fitted.told`: a frame alone proves little.

    Raises:
        BadInput: other joints or channels than the layout's; the layouts that they may be of are named.
    """
    points, scores, told = poses.points, poses.scores, list(poses.told)
    if poses.joints is not None:
        places, extra = joint_places(poses.joints, layout, where)
        points, scores = points[:, places], None if scores is None else scores[:, places]
        if extra:
            names = shortened(", ".join(extra), 120)
            told.append(f"joints that layout {layout.name} does not have were left out: {names}")
    points, scores = _channels(points, scores, layout, where)
    with np.errstate(over="ignore", invalid="ignore"):  # too large for float32 is no number, and not seen
        points = points.astype(np.float32)
    number = _all_finite(points)
    if not number.all():
        told.append(NO_NUMBERS)
        points = np.where(number[..., None], points, np.float32(0))
    known: npt.NDArray[np.bool_] = number & (points != 0).any(axis=2)
    (told if contradicted is None else contradicted).extend(stated.contradicted(points, known, layout))
    points = stated.apply(points, known, layout)
    if layout.confidence:
        points = np.concatenate([points, _confidence(scores, known, number, told)[..., None]], axis=2)
    elif scores is not None and np.isfinite(scores).any():
        with_it = layout.name + CONFIDENCE if layout.name in LAYOUTS else "'confidence: true' in its YAML"
        told.append(LEFT_OUT.format(layout=layout.name, with_it=with_it))
    there = known.any(axis=1)
    return Fitted(
        np.ascontiguousarray(points[there], np.float32),
        poses.row_frame[there].astype(np.int32),
        poses.row_body[there].astype(np.int64),
        tuple(dict.fromkeys(told)),
    )


def _all_finite(points: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(points), axis=2)
    return found


def _channels(points: Floats, scores: Floats | None, layout: Layout, where: str) -> tuple[Floats, Floats | None]:
    """The layout's coordinates, and the confidences that stand behind them or beside."""
    channels, wanted, joints = points.shape[2], layout.coordinates, points.shape[1]
    if joints != len(layout.joints):
        raise misfit(where, f"holds {joints} joints", layout, joints)
    if channels == wanted:
        return points, scores
    if channels == wanted + 1 and scores is None:
        last = points[..., -1]
        if wanted == 2 and points.size and not last.any():  # a z of a picture
            return points[..., :-1], None
        if wanted == 3 or are_scores(last):
            return points[..., :-1], last
        low, high = (float(f(last[np.isfinite(last)])) for f in (np.min, np.max))
        what = f"holds {joints} joints with a third number from {low:.4g} to {high:.4g}, no confidence but a depth"
        raise misfit(where, what, layout, joints, channels)
    raise misfit(where, f"holds {joints} joints of {channels} coordinates", layout, joints, channels)


def are_scores(values: Floats) -> bool:
    """Whether numbers may be confidences."""
    finite = values[np.isfinite(values)]
    return not finite.size or bool(finite.min() >= LEAST_SCORE and finite.max() <= MOST_SCORE)


def _confidence(
    scores: Floats | None, known: npt.NDArray[np.bool_], number: npt.NDArray[np.bool_], told: list[str]
) -> npt.NDArray[np.float32]:
    if scores is None:
        told.append(NONE_THERE)
        return known.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        made = scores.astype(np.float32)
    finite = np.isfinite(made)
    if not finite[number].all():
        told.append(NO_SCORES)
    if not are_scores(made[number]):
        told.append(ODD_SCORES)
    return np.where(finite & number, made, np.float32(0))
