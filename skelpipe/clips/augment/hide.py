"""Masks that a method is to see through: tail_mask hides the last frames, joint_mask groups of joints.

What is hidden becomes 0. Both bring the clip as it was before as `clip`, and `mask` (B, 1, T, V, 1), true where
something was hidden of the clip's own frames. Steps behind them do not reach that clip.

tail_mask is the motion prediction of MS2L (Lin et al., MM 2020): frames from `keep` of the clip's own on. joint_mask
hides parts of the layout, single joints, or joints that follow each other: `by: run` with 4 joints, 5 groups and the
first frame spared is what the code released with P&C (Su et al., CVPR 2020) does for LongT GAN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from skelpipe.clips.augment.base import (
    Augmentation,
    Batch,
    Brought,
    Extent,
    Numbers,
    OnDevice,
    Option,
    Options,
    Shape,
    Targets,
    draw_nothing,
    draw_without_replacement,
)
from skelpipe.errors import BadInput
from skelpipe.kernels import compiled

Mask = npt.NDArray[np.bool_]


def _targets(shape: Shape, options: Options) -> Brought:
    return {"clip": (shape, "float32"), "mask": ((1, *shape[1:3], 1), "bool")}


# x (B, C, T, V, M); hidden (B, T, V)
@compiled
def _hide(x, hidden):  # type: ignore[no-untyped-def]
    batch, channels, frames, joints, bodies = x.shape
    for b in range(batch):
        for t in range(frames):
            for v in range(joints):
                if hidden[b, t, v]:
                    for c in range(channels):
                        for m in range(bodies):
                            x[b, c, t, v, m] = 0


# (B, T), those behind the clip's own too
def _late(extent: Extent, options: Options) -> Mask:
    late: Mask = np.arange(extent.frames) >= options["keep"] * extent.lengths[:, None]
    return late


def _all_joints(frames: Mask, extent: Extent) -> Mask:
    return np.repeat(frames[:, :, None], len(extent.layout.joints), axis=2)


# what stands behind the clip's own frames goes too
def _apply_tail(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    _hide(x, _all_joints(_late(extent, options), extent))


def _bring_tail(x: Batch, params: Numbers, extent: Extent, options: Options, targets: Targets) -> None:
    targets["clip"][...] = x
    targets["mask"][:, 0, :, :, 0] = _all_joints(_late(extent, options) & extent.own, extent)


# (G, V): which joints belong to each of the groups that can be drawn
def _groups(extent: Extent, options: Options) -> Mask:
    layout, by = extent.layout, options["by"]
    numbers = np.arange(len(layout.joints))
    if by == "joint":
        return np.eye(len(numbers), dtype=bool)
    if by == "run":
        size, count = options["joints"], options["groups"]
        if size * count > len(numbers):
            raise BadInput(
                "view: joint_mask", f"{count} groups of {size} are more than the {len(numbers)} joints", "use fewer"
            )
        return np.asarray(numbers // size == np.arange(count)[:, None])
    if not layout.parts:
        raise BadInput("view: joint_mask.by", f"the layout {layout.name} names no parts", "use joint or run")
    return np.array([np.isin(numbers, joints) for _, joints in layout.parts])


def _count(options: Options) -> int:
    return int(options["count"])


# parameters: the groups that are hidden
def _draw_joints(u: Numbers, extent: Extent, options: Options) -> Numbers:
    there = len(_groups(extent, options))
    if options["count"] > there:
        raise BadInput("view: joint_mask.count", f"{options['count']} is more than the {there} groups", "use fewer")
    drawn: Numbers = draw_without_replacement(u, there)
    return drawn


def _joints(params: Numbers, extent: Extent, options: Options) -> Mask:
    chosen: Mask = np.any(_groups(extent, options)[params.astype(np.int64)], axis=1)
    hidden: Mask = np.logical_and(extent.own[:, :, None], chosen[:, None])
    if options["spare_first"]:
        hidden[:, 0] = False
    return hidden


def _apply_joints(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    _hide(x, _joints(params, extent, options))


def _bring_joints(x: Batch, params: Numbers, extent: Extent, options: Options, targets: Targets) -> None:
    targets["clip"][...] = x
    targets["mask"][:, 0, :, :, 0] = _joints(params, extent, options)


# what is hidden, (B, T, V), and what of that is told
def _send_tail(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    late = _late(extent, options)
    return {"hidden": _all_joints(late, extent), "told": _all_joints(late & extent.own, extent)}


def _send_joints(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    hidden = _joints(params, extent, options)
    return {"hidden": hidden, "told": hidden}


def _on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    return x.masked_fill(sent["hidden"][:, None, :, :, None], 0)


def _bring_on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> dict[str, Tensor]:
    return {"clip": x, "mask": sent["told"][:, None, :, :, None].clone()}


TAIL_MASK = Augmentation(
    0,
    draw_nothing,
    _apply_tail,
    {"keep": Option(0.7, 0, 1)},
    targets=_targets,
    bring=_bring_tail,
    device=OnDevice(_send_tail, _on_device, _bring_on_device),
)

JOINT_MASK = Augmentation(
    _count,
    _draw_joints,
    _apply_joints,
    {
        "by": Option("part", choices=("part", "joint", "run")),
        "count": Option(1, 1, 1000),
        "joints": Option(4, 1, 1000),
        "groups": Option(5, 1, 1000),
        "spare_first": Option(False),
    },
    targets=_targets,
    bring=_bring_joints,
    device=OnDevice(_send_joints, _on_device, _bring_on_device),
)
