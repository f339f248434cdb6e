"""bone_length: every bone by a factor of its own, e^n with n ~ N(0, std^2), the same in all frames: another body moves.

The root stays where it is, and what hangs on a bone moves along with its end. Contrast of clips can tell them by who is
seen, and few clips show few bodies; behind this step it has to look at the motion.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.clips.augment.base import (
    Augmentation,
    Batch,
    Extent,
    Numbers,
    OnDevice,
    Option,
    Options,
    coordinates,
    whole,
    with_confidence,
)
from skelpipe.clips.augment.noise import add_normals
from skelpipe.clips.philox import WORD
from skelpipe.kernels import compiled
from skelpipe.layouts.base import Layout


# parameters: the two words of the key that the normal numbers grow from
def _draw_bone_length(u: Numbers, extent: Extent, options: Options) -> Numbers:
    return whole(u, WORD)


# x (B, C, T, V, M); factors (B, V); order: the joints but the root, each behind its parent
@compiled
def _stretch(x, factors, order, parents):  # type: ignore[no-untyped-def]
    batch, channels, frames, joints, bodies = x.shape
    before = np.empty((joints, bodies), x.dtype)
    for b in range(batch):
        for c in range(channels):
            for t in range(frames):
                frame = x[b, c, t]
                before[:] = frame
                for v in order:
                    p = parents[v]
                    for m in range(bodies):
                        frame[v, m] = frame[p, m] + factors[b, v] * (before[v, m] - before[p, m])


@cache
def _order(layout: Layout) -> npt.NDArray[np.int64]:
    return np.array(_joints(layout), np.int64)


def _joints(layout: Layout) -> list[int]:
    """The joints but the root, each behind its parent."""
    parents, found = layout.parents, [v for v, parent in enumerate(layout.parents) if v == parent]
    for joint in found:
        found += [v for v, parent in enumerate(parents) if parent == joint != v]
    return found[1:]


def _apply_bone_length(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    layout = extent.layout
    _stretch(coordinates(x, layout), _factors(params, extent, options), _order(layout), layout.parent_index)


# (B, V)
def _factors(params: Numbers, extent: Extent, options: Options) -> Batch:
    logarithms = np.zeros((len(params), len(extent.layout.joints)), np.float32)
    add_normals(logarithms, np.ones(len(params), np.bool_), params.astype(np.uint32), np.float32(options["std"]))
    return np.exp(logarithms)


def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    return {"factors": _factors(params, extent, options)}


def _on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    layout, factors = extent.layout, sent["factors"][:, :, None, None, None]
    before = x[:, : layout.coordinates].unbind(3)
    moved = [*before]
    for v in _joints(layout):
        p = layout.parents[v]
        moved[v] = moved[p] + factors[:, v] * (before[v] - before[p])
    return with_confidence(torch.stack(moved, 3), x)


BONE_LENGTH = Augmentation(
    2, _draw_bone_length, _apply_bone_length, {"std": Option(0.1, 0, 1)}, device=OnDevice(_send, _on_device)
)
