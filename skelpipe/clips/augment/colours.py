"""colours: brings red, green and blue of every joint by its place in time, in the body, or by the person.

Source: Yang et al., Skeleton Cloud Colorization (ICCV 2021); no code of theirs is public. With u = t / T (temporal, t
from 1) or j / J (spatial, j from 1) the colour is (1 - 2u, 2u, 0) up to u = 1/2 and (0, 2 - 2u, 2u - 1) above. By the
person it goes from red, the first body, to blue, the last. Brought as `temporal_colours`, `spatial_colours` or
`person_colours` (B, 3, T, V, M), so that a view may bring several; the clip stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
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
    leave,
)


# u (...) -> (..., 3)
def _ramp(u: Numbers) -> Numbers:
    return np.stack([np.maximum(1 - 2 * u, 0), np.minimum(2 * u, 2 - 2 * u), np.maximum(2 * u - 1, 0)], axis=-1)


def _targets(shape: Shape, options: Options) -> Brought:
    return {f"{options['by']}_colours": ((3, *shape[1:]), "float32")}


def _bring_colours(x: Batch, params: Numbers, extent: Extent, options: Options, targets: Targets) -> None:
    targets[f"{options['by']}_colours"][...] = _colours(extent, options)


# (B, 3, T, V or 1, M or 1)
def _colours(extent: Extent, options: Options) -> Numbers:
    t, (_, _, joints, bodies) = np.arange(extent.frames), extent.shape
    if options["by"] == "temporal":
        u = np.minimum((t + 1) / np.maximum(extent.lengths[:, None], 1), 1)[:, :, None, None]
    elif options["by"] == "spatial":
        u = ((np.arange(joints) + 1) / joints)[None, None, :, None]
    else:
        u = (np.arange(bodies) / max(bodies - 1, 1))[None, None, None, :]
    return np.moveaxis(_ramp(u) * extent.own[:, :, None, None, None], -1, 1)


def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    return {"colours": _colours(extent, options).astype(np.float32)}


def _stay(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    return x


def _bring_on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> dict[str, Tensor]:
    return {f"{options['by']}_colours": sent["colours"].expand(len(x), 3, *x.shape[2:]).contiguous()}


COLOURS = Augmentation(
    0,
    draw_nothing,
    leave,
    {"by": Option("temporal", choices=("temporal", "spatial", "person"))},
    targets=_targets,
    bring=_bring_colours,
    device=OnDevice(_send, _stay, _bring_on_device),
)
