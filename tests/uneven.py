"""Clips of different lengths, in the two forms that a folder can have."""

from __future__ import annotations

import numpy as np
from conftest import write_clips

from skelpipe.outputs.folders import new_folder
from skelpipe.recordings import store
from skelpipe.recordings.store import Clips

FRAMES = 14
LENGTHS = 6 + np.arange(32) % 9  # up to all of them


def write(path, whole, arrays, **attributes):
    """A folder of the clips of `whole`, with other arrays."""
    with new_folder(path, "clips") as folder:
        group = store.create_group(folder, "clips", {**whole.attributes, **attributes})
        for name, values in arrays.items():
            store.write_array(group, name, values, 8)
        store.write_columns(group, whole.columns)
    return path


def write_uneven(path):
    """The same clips in a folder where they are filled up to 14 frames, in a native one, and in memory."""
    whole = Clips(write_clips(path / "whole.zarr", frames=FRAMES))
    clips, length = whole.load(), LENGTHS.astype(np.int32)
    for clip, frames in zip(clips, LENGTHS, strict=True):
        clip[:, frames:] = 0
    rows = np.concatenate([clip[:, :frames].swapaxes(0, 1) for clip, frames in zip(clips, LENGTHS, strict=True)])
    offset = np.concatenate([[0], np.cumsum(LENGTHS)]).astype(np.int64)
    filled = write(path / "filled.zarr", whole, {"clips": clips, "length": length, "valid": length})
    arrays = {"clips": rows, "clip_offset": offset, "length": length}
    return filled, write(path / "native.zarr", whole, arrays, frames="native"), clips
