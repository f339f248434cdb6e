"""flip: left and right joints change places; x keeps its sign unless `mirror_x`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from skelpipe.clips.augment.base import (
    Augmentation,
    Batch,
    Extent,
    Moves,
    Numbers,
    OnDevice,
    Option,
    Options,
    P,
    draw_whether,
    turned,
)
from skelpipe.kernels import compiled
from skelpipe.layouts.base import Layout, X


# x (B, C, T, K); left, right: which numbers of a frame change places
@compiled
def _flip(x, whether, left, right):  # type: ignore[no-untyped-def]
    batch, channels, frames, _ = x.shape
    for b in range(batch):
        if not whether[b]:
            continue
        for c in range(channels):
            for t in range(frames):
                row = x[b, c, t]
                for p in range(left.size):
                    i, j = left[p], right[p]
                    row[i], row[j] = row[j], row[i]


def flip_joints(x: Batch, whether: npt.NDArray[np.bool_], layout: Layout) -> None:
    """Let left and right joints of some clips change places; x (B, C, T, V, M), whether (B,)."""
    numbers = x.view(np.uint64) if x.shape[4] == 2 else x  # both bodies' numbers as one: half the exchanges
    _flip(numbers.reshape(*x.shape[:3], -1), whether, *_sides(layout, numbers.shape[4]))


@cache
def _sides(layout: Layout, bodies: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Where the left and the right number of every pair stand in a frame of V joints of M bodies."""
    pairs = np.array([(v, w) for v, w in enumerate(layout.mirror) if v < w], np.uint64).reshape(-1, 2, 1)
    numbers = (pairs * np.uint64(bodies) + np.arange(bodies, dtype=np.uint64)).astype(np.uint64)
    return numbers[:, 0].ravel(), numbers[:, 1].ravel()


def _mirrors(whether: npt.NDArray[np.bool_], coordinates: int) -> Numbers:
    matrices = np.tile(np.eye(coordinates), (len(whether), 1, 1))
    matrices[whether, X, X] = -1
    return matrices


def _move_flip(moves: Moves, params: Numbers, extent: Extent, options: Options) -> Moves:
    flips = params[:, 0] > 0
    moves = moves._replace(flips=flips if moves.flips is None else flips != moves.flips)
    return moves.turned(_mirrors(flips, extent.layout.coordinates)) if options["mirror_x"] else moves


def _apply_flip(x: Batch, params: Numbers, extent: Extent, options: Options) -> None:
    whether = params[:, 0] > 0
    flip_joints(x, whether, extent.layout)
    if options["mirror_x"]:
        x[whether, X] *= -1


def sides_changed(whether: npt.NDArray[np.bool_], layout: Layout) -> npt.NDArray[np.int64]:
    """(B, V), which joint each one is of clips whose sides change places or do not."""
    return np.where(whether[:, None], np.array(layout.mirror), np.arange(len(layout.mirror)))


def joints_taken(x: Tensor, index: Tensor) -> Tensor:
    """Of x (B, C, T, V, M) joint index[b, v] of clip b as its joint v; index (B, V) int64."""
    return x.gather(3, index[:, None, None, :, None].expand(x.shape))


def _send(params: Numbers, extent: Extent, options: Options) -> dict[str, Any]:
    whether = params[:, 0] > 0
    mirrors = _mirrors(whether, extent.layout.coordinates).astype(np.float32)
    return {"joints": sides_changed(whether, extent.layout)} | ({"matrix": mirrors} if options["mirror_x"] else {})


def _on_device(x: Tensor, sent: Mapping[str, Tensor], extent: Extent, options: Options) -> Tensor:
    x = joints_taken(x, sent["joints"])
    return turned(x, sent["matrix"]) if options["mirror_x"] else x


FLIP = Augmentation(
    1,
    draw_whether,
    _apply_flip,
    {"p": P, "mirror_x": Option(False)},
    _move_flip,
    device=OnDevice(_send, _on_device),
)
