"""Clips of a folder in memory, as an encoder is to see them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from skelpipe.clips.gather import Source
from skelpipe.recordings import NATIVE
from skelpipe.recordings.native import Native
from skelpipe.recordings.store import Clips


def load_bodies(clips: Clips, rows: npt.NDArray[np.int64], bodies: int, dtype: str = "float32") -> Source:
    """Clips `rows` with their first bodies only: (n, C, T, V, M), C-contiguous, or clips of their own lengths."""
    data = clips.load(rows, dtype)
    return data.bodies_kept(bodies) if isinstance(data, Native) else np.ascontiguousarray(data[..., :bodies])


def own_frames(clips: Clips, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """How many frames of the clips `rows` are their own, (n,); None where all are or clips keep their lengths."""
    if clips.frames == NATIVE:
        return None
    valid = clips.valid[rows].astype(np.int64)
    return None if (valid == clips.frames).all() else valid
