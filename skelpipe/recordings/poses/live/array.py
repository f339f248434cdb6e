"""A long recording in a .npy, read some frames at a time."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.recordings.poses.base import from_bodies
from skelpipe.recordings.poses.formats.arrays import MAGIC, read_header
from skelpipe.recordings.poses.live.base import READABLE, Frame
from skelpipe.recordings.poses.live.fitter import Fitter
from skelpipe.recordings.poses.shapes import bodies_of

AT_ONCE = 256  # frames


def is_array(path: Path) -> bool:
    """Whether a file is a .npy."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def frames_in(path: Path, fitter: Fitter) -> Iterator[Frame]:
    """The frames of an array (F, V, C) or (F, M, V, C), or in another order that the layout tells.

    Raises:
        BadInput: it is damaged, or does not fit the layout.
    """
    where, layout = str(path), fitter.layout
    with open(path, "rb") as file:
        header = read_header(file, where)
        if header.dtype.kind == "O":
            raise BadInput(where, "holds objects, which cannot be read a frame at a time", READABLE)
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        x = header.array(memoryview(pages)[file.tell() :], where)
    one = x.ndim == 2 and x.shape[0] == len(layout.joints)
    flat = x.ndim == 2 and not (one and x.shape[1] <= layout.coordinates + 1)
    whole, told = bodies_of(x[:1] if flat else x, layout, where)  # of a row alone: some orders would copy all
    for start in range(0, len(x) if flat else len(whole), AT_ONCE):
        part = x[start : start + AT_ONCE]
        some = bodies_of(part, layout, where)[0] if flat else whole[start : start + AT_ONCE]
        yield from fitter.of(replace(from_bodies(some.astype(np.float64)), told=told))
        if hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)  # what was read need not stay
