"""Recordings as the store keeps them, on the way to clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings import store
from skelpipe.recordings.conventions import Conversion
from skelpipe.recordings.conventions.folders import NOTED

if TYPE_CHECKING:
    import zarr

Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ragged:
    """A run of recordings as the store keeps them: one row per body per frame, in file order.

    Attributes:
        joints: (rows, V, C) float32, metres.
        row_frame: (rows,) int64, the row's frame in its clip, from 0, never falling.
        row_body: (rows,) int64, the sensor's id of the body.
        clip_offset: (N + 1,) int64, clip n owns rows clip_offset[n] to clip_offset[n + 1].
        clip_frames: (N,) int64, frames in the clip.
    """

    joints: Floats
    row_frame: Whole
    row_body: Whole
    clip_offset: Whole
    clip_frames: Whole

    def rows(self, n: int) -> slice:
        """The rows of the n-th recording."""
        return slice(int(self.clip_offset[n]), int(self.clip_offset[n + 1]))


def read_block(group: zarr.Group, offset: Whole, clip_frames: Whole, start: int, stop: int) -> Ragged:
    """Clips `start` to `stop` of a store, whose `clip_offset` and `clip_frames` are read already.

    Where the store notes other conventions than ours, coordinates are converted: y up, metres.
    """
    noted: Any = group.attrs["skelpipe"]
    rows = slice(int(offset[start]), int(offset[stop]))
    parts = {name: store.read_array(group, name, rows) for name in ("joints", "row_frame", "row_body")}
    return Ragged(
        Conversion.of(noted.get(NOTED)).apply(np.ascontiguousarray(parts["joints"], np.float32)),
        parts["row_frame"].astype(np.int64),
        parts["row_body"].astype(np.int64),
        offset[start : stop + 1] - offset[start],
        clip_frames[start:stop],
    )


def check_rows(ragged: Ragged, layout: Layout) -> None:
    """Raise BadInput if the rows contradict each other, or are not the layout's."""
    # The kernels do not check bounds, so nothing wrong may reach them.
    rows, offset = len(ragged.joints), ragged.clip_offset
    whole = len(ragged.row_frame) == len(ragged.row_body) == rows and ragged.joints.shape[1:] == (
        len(layout.joints),
        layout.channels,
    )
    whole = whole and len(offset) == len(ragged.clip_frames) + 1 and offset[0] == 0 and offset[-1] == rows
    if whole and (np.diff(offset) >= 0).all():
        limit = np.repeat(ragged.clip_frames, np.diff(offset))
        if ((ragged.row_frame >= 0) & (ragged.row_frame < limit)).all():
            return
    raise BadInput(
        "store", "its rows, frames and clip offsets contradict each other", "remake it with 'skelpipe ingest'"
    )


def bodies_seen(policy: str, bodies: int) -> int:
    """How many of the bodies, from the first, are looked at to tell whether a frame shows somebody.

    AimCLR looks at the first, which of the first two seen is there wherever one is. The liveliest body may come late,
    so with the other rules any body counts, as in CTR-GCN's feeder.

    Args:
        policy: which bodies were chosen, key of `BODY_POLICIES` or another choice of the step `bodies`.
        bodies: M.
    """
    return 1 if policy == "first" else bodies
