"""A person who stands, in any layout: where its joints are, for drawings of the layout itself."""

from __future__ import annotations

import numpy as np

from skelpipe.layouts.base import Layout
from skelpipe.layouts.mapping import PLACES
from skelpipe.plots.motion import Joints

# Metres, x to the right of a picture in which the person faces the camera, so their left; y up; z to the camera.
STANDING = {
    "hip centre": (0, 0.95, 0), "spine 1": (0, 1.05, 0), "spine": (0, 1.18, 0), "spine 3": (0, 1.3, 0),
    "shoulder centre": (0, 1.42, 0), "neck": (0, 1.5, 0.01), "head": (0, 1.62, 0.02), "head top": (0, 1.75, 0.02),
    "nose": (0, 1.6, 0.12), "left eye": (0.035, 1.64, 0.1), "left eye inner": (0.02, 1.64, 0.1),
    "left eye outer": (0.05, 1.64, 0.09), "left ear": (0.08, 1.62, 0.02), "left mouth": (0.03, 1.56, 0.1),
    "left collar": (0.07, 1.42, 0), "left shoulder": (0.19, 1.4, 0), "left elbow": (0.3, 1.15, 0),
    "left wrist": (0.34, 0.9, 0.04), "left hand": (0.35, 0.83, 0.05), "left hand tip": (0.36, 0.73, 0.06),
    "left thumb": (0.31, 0.8, 0.09), "left index": (0.34, 0.77, 0.07), "left pinky": (0.38, 0.78, 0.03),
    "left hip": (0.1, 0.92, 0), "left knee": (0.12, 0.5, 0.02), "left ankle": (0.12, 0.1, 0),
    "left foot": (0.13, 0.03, 0.12), "left big toe": (0.12, 0.02, 0.18), "left small toe": (0.18, 0.02, 0.15),
    "left heel": (0.12, 0.03, -0.05),
}  # fmt: skip


def standing(layout: Layout) -> Joints:
    """A standing person (V, 3), metres, y up, also where the layout is one of a picture.

    A joint whose place is not known hangs below the root, by its depth, and on its side.
    """
    own = PLACES.get(layout.name.partition("+")[0], {})
    made = np.zeros((len(layout.joints), 3), np.float32)
    for v, name in enumerate(layout.joints):
        place = own.get(name, name)
        made[v] = STANDING.get(place.replace("right", "left"), _hanging(layout, v))
        if place.startswith("right") or (not place.startswith("left") and layout.sides[v] == "right"):
            made[v, 0] *= -1
    return made


def _hanging(layout: Layout, v: int) -> tuple[float, float, float]:
    depth = 0
    while layout.parents[v] != v:
        v, depth = layout.parents[v], depth + 1
    return (0.08 * depth, 1.5 - 0.15 * depth, 0.01 * depth)
