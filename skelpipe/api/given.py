"""What a model is given: clips, recordings, or rows of a folder of clips."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from skelpipe.api.arrays import numbers_of
from skelpipe.api.folders import Clips, Recording, Store
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.outputs.digests import read_kind
from skelpipe.predict.inputs import ingested, open_store
from skelpipe.predict.pieces import Piece
from skelpipe.predict.predictor import Scored
from skelpipe.recordings.store import CLIPS_PER_CHUNK

BLOCK = 8 * CLIPS_PER_CHUNK  # clips that are in memory at a time
ALONE, PEOPLE = 3, 4  # axes of a recording of one person, and of several
Some = tuple[list[Piece], Layout, bool]  # recordings, their layout, and whether joints are told from one of them
SHAPES = "give clips (N, C, T, V, M), or a recording (T, V, C) or (T, M, V, C), or a list of recordings"


def recordings_in(given: Any) -> list[Any]:
    """The recordings that were given, one or a list; none where it is clips."""
    if isinstance(given, list | tuple):
        return list(given)
    if isinstance(given, Recording):
        return [given]
    return [given] if getattr(given, "ndim", 0) in (1, 2, ALONE, PEOPLE) else []


def is_recorded(given: Any) -> bool:
    """Whether it is recordings and not clips."""
    return isinstance(given, Store | Path) or bool(recordings_in(given))


def opened(given: Any) -> Any:
    """What was given; a path of clips or of a store is opened."""
    if not isinstance(given, str | os.PathLike) or isinstance(given, Clips | Store):
        return given
    path = Path(given)
    if not path.exists():
        raise BadInput(path, "does not exist", "name recordings, a store or clips")
    kind = read_kind(path)
    if kind not in (None, "raw", "store", "clips"):
        raise BadInput(path, f"is a folder of kind {kind!r}", "give recordings, a store or clips")
    return Clips(path) if kind == "clips" else Store(path) if kind == "store" else path


def blocks_of(given: Any, layout: Layout | None, model: Any, rows: Any) -> Iterator[Some]:
    """Recordings, some at a time: those of a store, of a path of raw ones, or in memory, as one or in a list."""
    if not isinstance(given, Store | Path):
        recordings, found = recordings_in(given), layout or model.layout
        if rows is not None:
            raise BadInput("rows", "are of clips or of a store that is opened", "leave them out")
        yield [piece_of(each, found, str(n)) for n, each in enumerate(recordings)], found, False
        return
    if layout is not None:
        raise BadInput("layout", f"is told by {os.fspath(given)} itself", "leave it out")
    with ExitStack() as stack:
        path = given.path if isinstance(given, Store) else ingested(given, model, {}, False, stack, None)
        store = open_store(path)
        if rows is not None:
            store = replace(store, rows=np.atleast_1d(store.rows[rows]))
        pieces = store.pieces()
        while some := list(islice(pieces, BLOCK)):
            yield some, store.layout, store.relative


def piece_of(given: Any, layout: Layout, name: str) -> Piece:
    """A recording (T, V, C) or (T, M, V, C) as recordings are prepared; a body without numbers in a frame is absent.

    Raises:
        BadInput: it has another shape, or what is no number.
    """
    if isinstance(given, Recording):
        if given.joints.shape[1:] != (len(layout.joints), layout.channels):
            what = f"has V = {given.joints.shape[1]} and C = {given.joints.shape[2]}, and {layout.name} has others"
            raise BadInput(f"recording {given.name}", what, "name its layout, that of its store")
        return Piece(given.name, given.joints, given.frame, given.body, given.frames)
    array = np.asarray(numbers_of(given) if isinstance(given, Tensor) else given)
    if array.dtype.kind in "iu":
        array = array.astype(np.float32)
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
