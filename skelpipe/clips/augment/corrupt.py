"""corrupt: some joints, in all frames and bodies, become 0 or are multiplied by a random matrix.

The joint corruption of ISC (Thoker et al., MM 2021): 15 of 25 joints without replacement; with probability 1/2 they
become 0, else p' = C^T p with numbers of C from -1 to 1, which are the same for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from skelpipe.clips.augment.base import (
    ALWAYS,
    Augmentation,
    Batch,
    Extent,
    Numbers,
    OnDevice,
    Option,
    Options,
    coordinates,
    draw_whether,
    draw_without_replacement,
    turned,
)
from skelpipe.errors import BadInput
from skelpipe.kernels import compiled


def _uniforms(options: Options) -> int:
    return 2 + 9 + int(options["joints"])


# parameters: whether, whether by the matrix, C by rows (in a picture the first four of nine), the joints
def _draw_corrupt(u: Numbers, extent: Extent, options: Options) -> Numbers:
    joints, there = options["joints"], len(extent.layout.joints)
    if joints > there:
        raise BadInput("view: corrupt.joints", f"{joints} is more than the {there} joints there are", "use fewer")
    whether = draw_whether(u[:, :1], extent, options)
    return np.hstack([whether, u[:, 1:2] >= 0.5, 2 * u[:, 2:11] - 1, draw_without_replacement(u[:, 11:], there)])


# x (B, D, T, V, M); turned (B,) whether by the matrices (B, D, D); joints (B, k)
@compiled
def _corrupt(x, whether, turned, matrices, joints):  # type: ignore[no-untyped-def]
    batch, size, frames, _, bodies = x.shape
    point = np.empty(size, np.float32)
    for b in range(batch):
        if not whether[b]:
            continue
        for t in range(frames):
            for v in joints[b]:
                for m in range(bodies):
                    for c in range(size):
                        point[c] = x[b, c, t, v, m]
                    for c in range(size):
                        x[b, c, t, v, m] = 0
                        if turned[b]:
                            for i in range(size):
                                x[b, c, t, v, m] += matrices[b, i, c] * point[i]


def _apply_corrupt(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    size = extent.layout.coordinates
    matrices = params[:, 2 : 2 + size * size].reshape(-1, size, size).astype(np.float32)
    joints = params[:, 11:].astype(np.int64)
    _corrupt(coordinates(x, extent.layout), params[:, 0] > 0, params[:, 1] > 0, matrices, joints)


# which joints, (B, V), and the transposed matrices, which are 0 where the joints become 0
def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    size, joints = extent.layout.coordinates, params[:, 11:].astype(np.int64)
    hidden = np.zeros((len(params), len(extent.layout.joints)), np.bool_)
    np.put_along_axis(hidden, joints, params[:, :1] > 0, axis=1)
    matrices = params[:, 2 : 2 + size * size].reshape(-1, size, size) * (params[:, 1] > 0)[:, None, None]
    return {"hidden": hidden, "matrix": np.swapaxes(matrices, 1, 2).astype(np.float32)}


def _on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    return turned(x, sent["matrix"]).where(sent["hidden"][:, None, None, :, None], x)


CORRUPT = Augmentation(
    _uniforms,
    _draw_corrupt,
    _apply_corrupt,
    {"p": ALWAYS, "joints": Option(15, 1, 1000)},
    device=OnDevice(_send, _on_device),
)
