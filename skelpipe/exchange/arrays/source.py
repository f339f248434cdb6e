"""What is exported: a split of a store or of clips, as blocks in the shapes that other projects write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.clips.bodies import BODIES, BODY_POLICIES
from skelpipe.clips.chain import Chain, Prepared
from skelpipe.clips.prepare import CLIPS_PER_BLOCK
from skelpipe.clips.presets import find_preparation
from skelpipe.clips.ragged import Ragged, read_block
from skelpipe.exchange.arrays.base import JOINTS, LAYOUT, SUFFIX, UNKNOWN, Floats, Progress, check_layout
from skelpipe.exchange.arrays.labels import Whole
from skelpipe.layouts import layout_of
from skelpipe.recordings import store
from skelpipe.recordings.conventions.folders import is_relative
from skelpipe.recordings.datasets import Dataset, dataset_of, find_split, split_masks
from skelpipe.recordings.pickles import write_pickle

if TYPE_CHECKING:
    from pathlib import Path

    import zarr


@dataclass(frozen=True)
class Exported:
    """What `export_arrays` did: how many training and test clips, and the files' names."""

    train: int
    test: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A store or clips, and which of its clips go where.

    Attributes:
        rows: of "train" and "val", or what a writer divides them into.
        bodies: key of `BODY_POLICIES`; of clips what these say.
    """

    group: zarr.Group
    attributes: Mapping[str, Any]
    columns: store.Columns
    rows: dict[str, Whole]
    classes: int
    split: str
    dataset: str
    bodies: str
    offset: Whole
    clip_frames: Whole

    def ragged(self, part: str) -> Iterator[Ragged]:
        """All that was seen, in blocks of at most `store.CLIPS_PER_CHUNK` clips."""
        for rows in self._blocks(part):
            start, stop = int(rows[0]), int(rows[-1]) + 1
            block = read_block(self.group, self.offset, self.clip_frames, start, stop)
            for first in range(0, len(rows), store.CLIPS_PER_CHUNK):
                yield taken(block, rows[first : first + store.CLIPS_PER_CHUNK] - start)

    def recordings(self, part: str) -> Iterator[Floats]:
        """One (F, 2, V, 3) after the other, metres: the bodies, in as many frames as their rule leaves."""
        policy = BODY_POLICIES[self.bodies]
        for block in self.ragged(part):
            for n, frames in enumerate(block.clip_frames.tolist()):
                own = block.rows(n)
                selected = np.zeros((frames, BODIES, JOINTS, 3), np.float32)
                kept = policy(block.joints[own], block.row_frame[own], block.row_body[own], (0, 1, 2), selected)
                yield selected[:kept]

    def prepared(self, part: str, preset: str, *steps: str) -> Iterator[tuple[Ragged, Prepared]]:
        """Blocks and their clips of 300 frames, prepared as the project of a preset does it."""
        how = find_preparation(preset, {"bodies": self.bodies}, steps)
        chain = Chain(how, LAYOUT, relative=is_relative(self.attributes))
        for block in self.ragged(part):
            yield block, chain.run(block)

    def clips(self, part: str) -> Iterator[Floats]:
        """Blocks (b, 3, T, V, 2) as they are."""
        for rows in self._blocks(part):
            start, stop = int(rows[0]), int(rows[-1]) + 1
            yield store.read_array(self.group, "clips", slice(start, stop))[rows - start]

    def _blocks(self, part: str) -> Iterator[Whole]:
        for start in range(0, len(self.columns["name"]), CLIPS_PER_BLOCK):
            first, last = np.searchsorted(self.rows[part], [start, start + CLIPS_PER_BLOCK])
            if first < last:
                yield self.rows[part][first:last]

    def labels(self, part: str) -> Whole:
        return self.columns["label"][self.rows[part]].astype(np.int64)

    def names(self, part: str) -> list[str]:
        return [str(name) for name in self.columns["name"][self.rows[part]]]

    def one_hot(self, part: str) -> npt.NDArray[np.float64]:
        return np.eye(self.classes)[self.labels(part)]

    def write_labels(self, to: Path, part: str) -> None:
        names = [name + SUFFIX for name in self.names(part)]
        write_pickle(to / f"{part}_label.pkl", (names, self.labels(part).tolist()))


def taken(block: Ragged, index: Whole) -> Ragged:
    """Some recordings of a block, in the order of the index."""
    owned = [np.arange(block.clip_offset[n], block.clip_offset[n + 1]) for n in index.tolist()]
    rows = np.concatenate([np.zeros(0, np.int64), *owned])
    offset = np.cumsum([0, *map(len, owned)]).astype(np.int64)
    frames = block.clip_frames[index]
    return Ragged(block.joints[rows], block.row_frame[rows], block.row_body[rows], offset, frames)


def counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    return tell


def open_source(
    path: str | os.PathLike[str], kind: str, split: str, bodies: str | None, rule: Callable[[Dataset], str]
) -> Source:
    """A store or clips for export.

    Args:
        bodies: key of `BODY_POLICIES`; None is the `rule` of the split's data set, or what clips say of themselves.
    """
    group, attributes = store.open_group(os.fspath(path), kind)
    columns = {name: store.read_array(group, name) for name in attributes["columns"]}
    own = dataset_of(attributes)
    divides = find_split(split, own)
    train, test = split_masks(divides, own, columns, attributes.get("split_files"))
    rows = {"train": np.flatnonzero(train), "val": np.flatnonzero(test)}
    check_layout(path, layout_of(attributes))
    if kind == "clips":
        store.check_fixed(attributes, path, BODIES)
    ragged = [
        store.read_array(group, name).astype(np.int64) if kind == "store" else np.zeros(0, np.int64)
        for name in ("clip_offset", "clip_frames")
    ]
    if bodies is None:
        bodies = str(attributes.get("bodies", UNKNOWN)) if kind == "clips" else rule(divides.datasets[0])
    whose = divides.datasets[0].name
    return Source(group, attributes, columns, rows, divides.classes, divides.name, whose, bodies, *ragged)
