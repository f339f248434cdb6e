"""The steps of which preparations are chains. To add one: a kernel in the file of its kind, and a line in STEPS.

A kernel takes a clip x (F, M, V, C) and what `arguments` finds in the layout, changes x in place and returns how many
of its frames are left, from the start. Those of two kinds have another form: `bodies` fills x (see `bodies`), and
`time` writes a second array, of T frames, and returns how many of them are the clip's own (see `time`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.clips import align, centre, gaps, scale, time
from skelpipe.clips.bodies import BODIES, BODY_POLICIES, main_actor
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.layouts.landmarks import BASE, HIPS, MIDDLE, TOP, landmark

Joints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """One choice of one kind of step.

    Attributes:
        kernel: the compiled function; None does nothing.
        arguments: what the kernel takes besides the clip.
        spatial: whether it needs three coordinates.
        bodies: of a step `bodies`, M.
        resamples: of a step `time`, whether its frames stand for those of the whole clip, and not for as many of it.
        fills: of a step `time`, whether it adds frames to short clips.
        relative: the kernel for bodies that are told from one of their joints, where `kernel` takes a joint in the
            origin for a lost one.
    """

    kernel: Any
    arguments: Callable[[Layout], tuple[Any, ...]] = lambda layout: ()
    spatial: bool = False
    bodies: int = BODIES
    resamples: bool = False
    fills: bool = True
    relative: Any = None


def axes(layout: Layout) -> tuple[int, ...]:
    """The channels that are coordinates; a tuple, whose length the compiler knows."""
    return tuple(range(layout.coordinates))


def channels(layout: Layout) -> tuple[int, ...]:
    """All channels, in the same way."""
    return tuple(range(layout.channels))


def _base(layout: Layout) -> Joints:
    return landmark(layout, BASE)


def _middle(layout: Layout) -> Joints:
    return landmark(layout, MIDDLE, layout.centre)


def _top(layout: Layout) -> Joints:
    return landmark(layout, TOP, layout.shoulders[0] + layout.shoulders[1])


def _up(layout: Layout) -> Joints:
    """Where the lower spine ends that begins at its base: the middle, or the top if the middle lies in the base."""
    middle = _middle(layout)
    return _top(layout) if set(middle) == set(_base(layout)) else middle


def _shoulders(layout: Layout) -> tuple[Joints, Joints]:
    return np.array(layout.shoulders[0]), np.array(layout.shoulders[1])


def _hips(layout: Layout) -> tuple[Joints, Joints]:
    return landmark(layout, HIPS[0]), landmark(layout, HIPS[1])


def _middle_axes(layout: Layout) -> tuple[Any, ...]:
    return _middle(layout), axes(layout)


NOTHING = Step(None)
STEPS: dict[str, dict[str, Step]] = {
    "bodies": {
        **{name: Step(policy, lambda layout: (axes(layout),)) for name, policy in BODY_POLICIES.items()},
        "main_actor": Step(main_actor, lambda layout: (axes(layout),), bodies=1),
    },
    "gaps": {
        "keep": NOTHING,
        "squeeze": Step(gaps.squeeze),
        "complete": Step(gaps.complete, lambda layout: (axes(layout),), relative=gaps.shown),
    },
    "centre": {
        "own": Step(centre.centre_own, lambda layout: (np.array(layout.centre), axes(layout))),
        "middle": Step(centre.centre_own, _middle_axes),
        "first": Step(centre.centre_first, _middle_axes, relative=centre.centre_first_whole),
        "clip": Step(centre.centre_clip, _middle_axes),
        "none": NOTHING,
    },
    "align": {
        "yaw": Step(align.align_yaw, _shoulders, spatial=True),
        "first_bones": Step(
            align.align_first_bones, lambda layout: (_base(layout), _up(layout), *_shoulders(layout)), spatial=True
        ),
        "first_basis": Step(
            align.align_first_basis, lambda layout: (_base(layout), _up(layout), *_hips(layout)), spatial=True
        ),
        "body_axes": Step(
            align.align_body_axes, lambda layout: (_base(layout), _top(layout), *_shoulders(layout)), spatial=True
        ),
        "none": NOTHING,
    },
    "scale": {
        "none": NOTHING,
        "spine": Step(scale.scale_spine, lambda layout: (_base(layout), _top(layout), axes(layout))),
        "minmax": Step(scale.scale_minmax, lambda layout: (axes(layout),)),
    },
    "time": {
        "resize": Step(time.resize, lambda layout: (channels(layout),), resamples=True, fills=False),
        "pad": Step(time.pad),
        "first": Step(time.first),
        "repeat": Step(time.repeat),
        "stride": Step(time.stride, resamples=True),
    },
}


def check_fits(steps: tuple[tuple[str, str], ...], layout: Layout) -> None:
    """Raise BadInput unless every step can be taken with clips of that layout."""
    for kind, choice in steps:
        if STEPS[kind][choice].spatial and layout.coordinates != 3:
            what = f"turns bodies in space, and {layout.name} has {layout.coordinates} coordinates"
            raise BadInput(f"step {kind}={choice}", what, f"use --step {kind}=none")
        STEPS[kind][choice].arguments(layout)
