"""What a model is given: clips, recordings, or rows of a folder of clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.api.arrays import numbers_of
from skelpipe.api.folders import Clips
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.predict.pieces import Piece
from skelpipe.predict.predictor import Scored
from skelpipe.recordings.store import CLIPS_PER_CHUNK

BLOCK = 8 * CLIPS_PER_CHUNK  # clips that are in memory at a time
ALONE, PEOPLE = 3, 4  # axes of a recording of one person, and of several
SHAPES = "give clips (N, C, T, V, M), or a recording (T, V, C) or (T, M, V, C), or a list of recordings"


def recordings_in(given: Any) -> list[Any]:
    """The recordings that were given, one or a list; none where it is clips."""
    if isinstance(given, list | tuple):
        return list(given)
    return [given] if getattr(given, "ndim", 0) in (1, 2, ALONE, PEOPLE) else []


def piece_of(given: Any, layout: Layout, name: str) -> Piece:
    """A recording (T, V, C) or (T, M, V, C) as recordings are prepared; a body without numbers in a frame is absent.

    Raises:
        BadInput: it has another shape, or what is no number.
    """
    array = np.asarray(numbers_of(given) if isinstance(given, Tensor) else given)
    wanted = (len(layout.joints), layout.channels)
    if array.ndim not in (ALONE, PEOPLE) or array.shape[-2:] != wanted or array.dtype.kind != "f":
        what = f"has shape {array.shape} of {array.dtype}, and {layout.name} has V = {wanted[0]} and C = {wanted[1]}"
        raise BadInput(f"recording {name}", what, SHAPES)
    if not np.isfinite(array).all():
        raise BadInput(f"recording {name}", "holds what is no number", "put zeros where a joint was not seen")
    people = array if array.ndim == PEOPLE else array[:, None]
    frame, body = np.nonzero(people.any(axis=(2, 3)))
    joints = np.ascontiguousarray(people[frame, body], np.float32)
    return Piece(name, joints, frame.astype(np.int64), body.astype(np.int64), len(people))


def rows_of(clips: Clips, rows: Any) -> npt.NDArray[np.int64]:
    """The rows that are meant: all, or those of an index, a slice or a mask."""
    every = np.arange(len(clips))
    found: npt.NDArray[np.int64] = np.atleast_1d(every if rows is None else every[rows])
    return found


def in_blocks(rows: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    """Rows, as many at a time as are read together; one block of none where there are none."""
    return [rows[start : start + BLOCK] for start in range(0, max(1, len(rows)), BLOCK)]


def joined(parts: Sequence[Scored]) -> Scored:
    """What was said of several blocks, one behind the other."""
    refused = None if parts[0].refused is None else np.concatenate([each.refused for each in parts])
    return Scored(np.concatenate([p.probability for p in parts]), np.concatenate([p.seen for p in parts]), refused)


def as_given(made: npt.NDArray[Any], given: Any) -> Any:
    """An array as what was given is: torch on its device, or NumPy."""
    first = given[0] if isinstance(given, list | tuple) and len(given) else given
    return torch.from_numpy(made).to(first.device) if isinstance(first, Tensor) else made
