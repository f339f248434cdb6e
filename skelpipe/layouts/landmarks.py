"""Landmarks: the joints in whose mean a place of the body lies. Layouts are asked for the names of a place in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Names = tuple[tuple[str, ...], ...]

BASE: Names = (("spine base",), ("pelvis",), ("mid hip",), ("left hip", "right hip"))
MIDDLE: Names = (("spine mid",), ("spine",), ("torso",))
TOP: Names = (("spine shoulder",), ("thorax",), ("neck",))
HIPS: tuple[Names, Names] = ((("right hip",),), (("left hip",),))
ANKLES: Names = (("left ankle", "right ankle"), ("left foot", "right foot"))
TOES: Names = (("left big toe", "right big toe"), ("left foot index", "right foot index"), ("left foot", "right foot"))


def landmark(layout: Layout, names: Names, otherwise: tuple[int, ...] = ()) -> npt.NDArray[np.int64]:
    """The joints of the first group of names that the layout has, or others.

    Raises:
        BadInput: it has none of them.
    """
    import numpy as np

    found = find_landmark(layout, names) or otherwise
    if not found:
        wanted = ", ".join(" and ".join(group) for group in names)
        raise BadInput(f"layout {layout.name}", f"has no joint called {wanted}", "leave out the step that needs it")
    return np.array(found)


def find_landmark(layout: Layout, names: Names) -> tuple[int, ...]:
    """The joints of the first group of names that the layout has; none if it has no such group."""
    for group in names:
        if set(group) <= set(layout.joints):
            return tuple(layout.joints.index(name) for name in group)
    return ()
