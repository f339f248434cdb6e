"""What every array format has: clips in parts, and checks of shapes, numbers and labels."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.clips.bodies import BODIES, BODY_POLICIES
from skelpipe.clips.prepare import CLIPS_PER_BLOCK
from skelpipe.clips.presets import LONGEST
from skelpipe.clips.ragged import read_block
from skelpipe.errors import BadInput
from skelpipe.exchange.pickles import write_pickle
from skelpipe.layouts import layout_of
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.recordings import store
from skelpipe.recordings.datasets import find_split, split_masks
from skelpipe.recordings.datasets.stated import folder_word

if TYPE_CHECKING:
    import zarr


LAYOUT = KINECT_V2
JOINTS = len(LAYOUT.joints)
FLAT = BODIES * JOINTS * 3
SUFFIX = ".skeleton"  # label pickles call a clip by its file
# What the files of one benchmark are called; (ctrgcn-npz, sgn-h5), and the benchmark's key in pyskl-pkl.
STEMS = {
    "xsub60": ("NTU60_CS", "NTU_CS", "xsub"), "xview60": ("NTU60_CV", "NTU_CV", "xview"),
    "xsub120": ("NTU120_CSub", "NTU120_CSub", "xsub"), "xset120": ("NTU120_CSet", "NTU120_CSet", "xset"),
    "pku1-xsub": ("PKUv1_XSub", "PKUv1_XSub", "xsub"), "pku1-xview": ("PKUv1_XView", "PKUv1_XView", "xview"),
    "pku2-xsub": ("PKUv2_XSub", "PKUv2_XSub", "xsub"), "pku2-xview": ("PKUv2_XView", "PKUv2_XView", "xview"),
}  # fmt: skip


def stems(split: str) -> tuple[str, str, str]:
    """What the files of a split are called, as in STEMS; those of a stated one by what it says."""
    return STEMS.get(split) or (folder_word(split),) * 3


# A clip of more frames than an hour has is none, and a block of clips is not to take more memory than this.
MAX_FRAMES, BLOCK_BYTES = 100_000, 1 << 28
MAX_CLASS = 1 << 31

Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Part:
    """The clips of one array.

    Attributes:
        where: the file, for messages.
        labels: (n,) classes, from 0.
        names: what the clips are called, or None.
        train: whether the file says these are for training; asked for where there are no names.
        blocks: step -> blocks of at most so many clips: clips (b, 3, T, V, 2) from aimclr-npy, else (b, T, M, V, 3)
            float32, metres, or from pyskl-pkl a list of (T, M, V, 3).
        frames: T.
        looped: whether a clip may be filled up by its own repetition.
        prepared: whether the blocks are clips already.
    """

    where: Path
    labels: Whole
    names: list[str] | None
    train: bool
    blocks: Callable[[int], Iterator[Any]]
    frames: int
    looped: bool = False
    prepared: bool = False


# Reading -----------------------------------------------------------------------------------------------------------
def as_floats(where: Path, block: npt.NDArray[Any], first: int) -> Floats:
    """The block as float32; BadInput where a coordinate is not finite."""
    values = np.ascontiguousarray(block, np.float32)
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        raise BadInput(where, f"clip {first + int(np.argmin(finite))} has coordinates that are not numbers", "mend it")
    return values


def check_shape(where: Path, dtype: np.dtype[Any], shape: Sequence[int], wanted: Sequence[int | None]) -> None:
    fits = len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))
    if not fits or 0 in shape[1:] or dtype.kind != "f" or max(shape[1:]) > MAX_FRAMES:
        asked = " x ".join("any" if w is None else str(w) for w in wanted)
        what = f"holds {' x '.join(map(str, shape))} {dtype}, not floats of {asked}"
        raise BadInput(where, what, "give the array that this format has, and its name")


def read_names(where: Path, names: Sequence[Any]) -> list[str]:
    for name in names:
        if not isinstance(name, str):
            raise BadInput(where, "has a name that is no text", "give the labels of the array")
    return [str(name) for name in names]


def fitting_step(step: int, array: Any) -> int:
    """How many clips of an array are read at once."""
    size = int(math.prod(array.shape[1:]) * array.dtype.itemsize)
    return max(1, min(step, BLOCK_BYTES // max(1, size)))


def whole(where: Path, values: Sequence[Any]) -> Whole:
    fits = [isinstance(v, (int, np.integer)) and 0 <= v < MAX_CLASS for v in values]
    labels = np.array([v if fit else -1 for v, fit in zip(values, fits, strict=True)], np.int64).reshape(-1)
    if (labels < 0).any():
        raise BadInput(where, f"label {int(np.argmin(labels))} is not a class number", "give the labels of the array")
    return labels


def one_file(files: Sequence[Path], suffixes: tuple[str, ...]) -> Path:
    if len(files) != 1 or files[0].suffix not in suffixes:
        raise BadInput("files", f"{len(files)} given", f"this format is one file, {' or '.join(suffixes)}")
    return files[0]


def check_rows(where: Path, key: str, shape: tuple[int, ...], clips: int) -> None:
    """Raise BadInput unless an array has a row for each clip, and not absurdly long ones."""
    rows = shape[0] if shape else 0
    if rows != clips or math.prod(shape[1:]) > MAX_FRAMES:
        raise BadInput(where, f"{key} has {rows:,} rows for {clips:,} clips", "give a whole file")


def one_hot(where: Path, key: str, values: npt.NDArray[Any], clips: int) -> Whole:
    """(n, classes) of 0 and 1, or (n,) class numbers -> (n,) class numbers."""
    check_rows(where, key, values.shape, clips)
    if values.ndim == 1 and values.dtype.kind in "iu" and (values < MAX_CLASS).all():
        return values.astype(np.int64)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or (np.count_nonzero(values, axis=1) != 1).any():
        raise BadInput(where, f"{key} is neither class numbers nor one 1 per row", "give a file of this format")
    places: Whole = np.argmax(values, axis=1).astype(np.int64)
    return places


def unflat(where: Path, flat: npt.NDArray[Any], first: int) -> Floats:
    return as_floats(where, flat, first).reshape(len(flat), -1, BODIES, JOINTS, 3)


# Export ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Exported:
    """What `export_arrays` did: how many training and test clips, and the files' names."""

    train: int
    test: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A store or clips, and which of its clips go where."""

    group: zarr.Group
    attributes: Mapping[str, Any]
    columns: store.Columns
    rows: dict[str, Whole]  # "train", "val"
    classes: int
    split: str
    offset: Whole
    clip_frames: Whole

    def recordings(self, part: str) -> Iterator[Floats]:
        """One (F, 2, V, 3) after the other, metres: the first two bodies of every frame, nothing else changed."""
        policy = BODY_POLICIES["first"]
        for rows in self._blocks(part):
            start, stop = int(rows[0]), int(rows[-1]) + 1
            ragged = read_block(self.group, self.offset, self.clip_frames, start, stop)
            for n in (rows - start).tolist():
                own = slice(int(ragged.clip_offset[n]), int(ragged.clip_offset[n + 1]))
                selected = np.zeros((int(ragged.clip_frames[n]), BODIES, JOINTS, 3), np.float32)
                policy(ragged.joints[own], ragged.row_frame[own], ragged.row_body[own], (0, 1, 2), selected)
                yield selected

    def padded(self, part: str) -> Iterator[Floats]:
        """Blocks (b, 300, 2, V, 3): longer recordings keep their middle part, shorter ones are followed by zeros."""
        block: list[Floats] = []
        for selected in self.recordings(part):
            cut = max(0, (len(selected) - LONGEST) // 2)
            padded = np.zeros((LONGEST, *selected.shape[1:]), np.float32)
            padded[: min(len(selected), LONGEST)] = selected[cut : cut + LONGEST]
            block.append(padded)
            if len(block) == store.CLIPS_PER_CHUNK:
                yield np.stack(block)
                block = []
        if block:
            yield np.stack(block)

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


def counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    return tell


def open_source(path: str | os.PathLike[str], kind: str, split: str) -> Source:
    group, attributes = store.open_group(os.fspath(path), kind)
    columns = {name: store.read_array(group, name) for name in attributes["columns"]}
    rule = find_split(split, attributes["dataset"])
    train, test = split_masks(rule.name, attributes["dataset"], columns, attributes.get("split_files"))
    rows = {"train": np.flatnonzero(train), "val": np.flatnonzero(test)}
    if layout_of(attributes) is not LAYOUT:
        raise BadInput(path, f"has joints in layout {attributes['layout']!r}", f"these formats have {LAYOUT.name!r}")
    if kind == "clips":
        store.check_fixed(attributes, path, BODIES)
    ragged = [
        store.read_array(group, name).astype(np.int64) if kind == "store" else np.zeros(0, np.int64)
        for name in ("clip_offset", "clip_frames")
    ]
    return Source(group, attributes, columns, rows, rule.classes, rule.name, *ragged)


@dataclass(frozen=True)
class Format:
    """A convention of another project.

    Attributes:
        read: its files -> their parts.
        write: (folder, what is exported, tell how many clips are done) -> None.
        named: whether clips have names there.
        prepared: whether it holds clips of final length, which are exported from clips; the others from a store.
    """

    read: Callable[[Sequence[Path]], list[Part]]
    write: Callable[[Path, Source, Callable[[int], None]], None]
    named: bool = False
    prepared: bool = False


def write_labels(to: Path, source: Source, part: str) -> None:
    names = [name + SUFFIX for name in source.names(part)]
    write_pickle(to / f"{part}_label.pkl", (names, source.labels(part).tolist()))


def write_npy(file: Any, shape: tuple[int, ...], blocks: Iterable[Floats], tell: Callable[[int], None]) -> None:
    """One float32 array of that shape, block by block."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for block in blocks:
        file.write(np.ascontiguousarray(block, "<f4").data)
        tell(len(block))
