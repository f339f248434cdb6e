"""Joints of one layout from those of another, by what the joints mean.

A joint means a place of the body. Joints of the same name in two layouts mean the same place, except where PLACES says
otherwise. Places that a layout lacks are found halfway between two that it has (BETWEEN) or, if that is asked for,
taken from the one that is nearest to them (NEAR).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, suggest
from skelpipe.layouts.base import Layout

MISSING = ("refuse", "nearest")
SIDES = ("left", "right")

Weights = npt.NDArray[np.float32]


def _both(table: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The same with every line that has an `@` told of the left and of the right."""
    made = {}
    for key, values in table.items():
        for side in SIDES if "@" in key else ("",):
            made[key.replace("@", side)] = tuple(value.replace("@", side) for value in values)
    return made


# What joints are, where their name in that layout says something else to the others.
PLACES = {
    # In NW-UCLA it lies 0.07 m above the hip centre and 0.34 m below the shoulder centre.
    "kinect_v1": {"spine": "spine 1"},
    "kinect_v2": {"spine base": "hip centre", "spine mid": "spine", "spine shoulder": "shoulder centre"},
    "openpose18": {"neck": "shoulder centre"},  # OpenPose's neck is learnt from the mean of the shoulders
    "openpose25": {"neck": "shoulder centre"},
    "mediapipe33": {f"{side} foot index": f"{side} big toe" for side in SIDES},
    "h36m17": {"pelvis": "hip centre", "thorax": "shoulder centre"},
    "smpl24": {"pelvis": "hip centre", "spine 2": "spine"},
}
# Halfway between which two places a place lies, the best first.
BETWEEN = _both(
    {
        "hip centre": ("left hip & right hip",),
        "shoulder centre": ("left shoulder & right shoulder",),
        "spine": ("hip centre & shoulder centre",),
        "spine 1": ("hip centre & spine",),
        "spine 3": ("spine & shoulder centre",),
        "neck": ("shoulder centre & head",),
        "head": ("left ear & right ear", "nose & head top"),
        "@ collar": ("shoulder centre & @ shoulder",),
        "@ eye": ("@ eye inner & @ eye outer",),
        "@ hand": ("@ wrist & @ index", "@ wrist & @ hand tip"),
        "@ foot": ("@ big toe & @ small toe", "@ big toe & @ heel"),
    }
)
# The places that stand in for one that is neither there nor between two that are, the nearest first.
NEAR = _both(
    {
        "head": ("nose", "neck", "shoulder centre"),
        "head top": ("head", "nose", "neck"),
        "nose": ("head", "head top", "neck"),
        "neck": ("shoulder centre",),
        "@ eye": ("nose", "head"),
        "@ eye inner": ("@ eye", "nose", "head"),
        "@ eye outer": ("@ eye", "@ ear", "nose", "head"),
        "@ ear": ("head", "@ eye", "nose"),
        "@ mouth": ("nose", "head"),
        "@ hand": ("@ wrist",),
        "@ hand tip": ("@ index", "@ hand", "@ wrist"),
        "@ index": ("@ hand tip", "@ hand", "@ wrist"),
        "@ pinky": ("@ hand", "@ wrist"),
        "@ thumb": ("@ hand", "@ wrist"),
        "@ foot": ("@ big toe", "@ ankle"),
        "@ big toe": ("@ foot", "@ ankle"),
        "@ small toe": ("@ foot", "@ ankle"),
        "@ heel": ("@ ankle",),
    }
)


@dataclass(frozen=True)
class Mapping:
    """How the joints of a layout come from those of another.

    Attributes:
        weights: (V', V) float32, rows that sum to 1: target = weights @ source.
        interpolated: the target's joints that are means of others, in order.
        stand_ins: those that are only near to what they should be, in order; empty unless this was asked for.
    """

    weights: Weights
    interpolated: tuple[str, ...]
    stand_ins: tuple[str, ...]


def find_mapping(source: Layout, target: Layout, missing: str = "refuse") -> Mapping:
    """Work out where each joint of `target` comes from.

    Args:
        source, target: the layouts.
        missing: what becomes of joints that are neither there nor halfway between two that are: "refuse", or "nearest",
            where the place nearest to each stands in.

    Raises:
        BadInput: some joints cannot be had, `missing` is neither, or 2D joints are to become 3D.
    """
    where = f"{source.name} to {target.name}"
    if missing not in MISSING:
        raise BadInput("missing", f"{missing!r} is not known", suggest(missing, MISSING))
    if source.coordinates < target.coordinates:
        raise BadInput(where, "a picture has no depth", "choose a layout of two coordinates")
    known: dict[str, Weights] = dict(zip(_places(source), np.eye(len(source.joints), dtype=np.float32), strict=True))
    rows, interpolated, stand_ins, lacking = [], [], [], []
    for name, place in zip(target.joints, _places(target), strict=True):
        row = _find(place, known)
        if row is None and missing == "nearest":
            row = next((found for near in NEAR.get(place, ()) if (found := _find(near, known)) is not None), None)
            stand_ins += [name] if row is not None else []
        elif row is not None and np.count_nonzero(row) > 1:
            interpolated.append(name)
        lacking += [name] if row is None else []
        rows.append(row)
    if lacking:
        remedy = "choose another layout" + (", or let the nearest joints stand in" if missing == "refuse" else "")
        raise BadInput(where, f"there is nothing to make {', '.join(lacking)} of", remedy)
    return Mapping(np.array(rows, np.float32), tuple(interpolated), tuple(stand_ins))


def map_joints(
    x: npt.NDArray[np.float32], source: Layout, target: Layout, missing: str = "refuse"
) -> tuple[npt.NDArray[np.float32], Mapping]:
    """Turn poses of one layout into those of another; the new array, and how its joints were come by.

    A joint that is a mean of others is as sure as the least sure of them, and all zeros if one of them was not found
    (confidence 0). A body that is absent, all zeros, stays absent. From three coordinates to two, z is left out and y
    turned, because it goes up there and down in a picture; the units stay.

    Args:
        x: (..., V, C).
        source, target, missing: as in `find_mapping`.

    Returns:
        (..., V', C') float32, and the mapping. Where the target has a confidence and the source none, that of a body
        that is there is 1.

    Raises:
        BadInput: as `find_mapping`.
        ValueError: x has not the joints and channels of `source`.
    """
    if x.shape[-2:] != (len(source.joints), source.channels):
        wanted = f"{len(source.joints)} joints of {source.channels} channels"
        raise ValueError(f"x has shape {x.shape}, but {source.name} has {wanted}")
    mapping = find_mapping(source, target, missing)
    out = np.zeros((*x.shape[:-2], len(target.joints), target.channels), np.float32)
    made = np.einsum("wv,...vc->...wc", mapping.weights, x[..., : target.coordinates])
    if source.coordinates > target.coordinates:
        made[..., 1] = -made[..., 1]
    out[..., : target.coordinates] = made
    if source.confidence:
        sure = np.stack([x[..., row > 0, -1].min(axis=-1) for row in mapping.weights], axis=-1)
        out[sure == 0] = 0
    else:
        sure = np.asarray(x.any(axis=(-2, -1)))[..., None]
    if target.confidence:
        out[..., -1] = sure
    return out, mapping


def _places(layout: Layout) -> list[str]:
    """What the joints of a layout mean, in order."""
    own = PLACES.get(layout.name.partition("+")[0], {})
    return [own.get(name, name) for name in layout.joints]


def _find(place: str, known: dict[str, Weights]) -> Weights | None:
    """The weights of the joints of which a place is made, or None; a joint that is there is better than any mean."""
    if place in known:
        return known[place]
    for pair in BETWEEN.get(place, ()):  # which leads in no circle
        first, second = (_find(end, known) for end in pair.split(" & "))
        if first is not None and second is not None:
            return np.float32(0.5) * (first + second)
    return None
