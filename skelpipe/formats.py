"""Arrays that other projects prepared, read as clips; and our recordings, written as those projects read them.

format      files                             one clip              ids      what is in it
aimclr-npy  *_position.npy + *_label.pkl      (3, T=50, 25, 2)      by name  prepared as `prepare` does it
agcn-npy    *_data_joint.npy + *_label.pkl    (3, T=300, 25, 2)     by name  recorded frames, filled up (also ST-GCN's)
ctrgcn-npz  one .npz: x_train, y_train, ...   (T=300, 2*25*3)       none     recorded frames, zeros after the last
pyskl-pkl   one .pkl: split, annotations      (M, frames, 25, 3)    by name  recorded frames
sgn-h5      one .h5: x, y, valid_x, ...       (T=300, 2*25*3)       none     recorded frames, zeros after the last

Where clips have names, the columns are parsed from them and every split can be computed. Where they have none, the
column `train_<split>` keeps the one division that the file knows, and ids are 0. Files are read in blocks, pyskl-pkl
alone as a whole; pickles are read without the power to run anything.
"""

from __future__ import annotations

import logging
import math
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe import store
from skelpipe.datasets import Dataset, find_dataset, find_split, split_masks
from skelpipe.datasets.base import column_array
from skelpipe.datasets.ntu import parse_name
from skelpipe.datasets.pku import VIEWS, Pku
from skelpipe.datasets.splits import RECORDED
from skelpipe.errors import BadInput, shortened, suggest
from skelpipe.outputs import new_folder
from skelpipe.parallel import tell_threads
from skelpipe.pickles import plain, read_pickle, reading, write_pickle
from skelpipe.prepare import (
    BODIES,
    BODY_POLICIES,
    CLIPS_PER_BLOCK,
    LONGEST,
    Ragged,
    Settings,
    prepare_clips,
    read_block,
)
from skelpipe.skeleton import KINECT_V2, LAYOUTS

if TYPE_CHECKING:
    import zarr

log = logging.getLogger(__name__)

LAYOUT = KINECT_V2
JOINTS = len(LAYOUT.joints)
FLAT = BODIES * JOINTS * 3
HELD_OUT = 20  # sgn-h5: one training clip in so many is written to its validation part, as many as SGN draws
SUFFIX = ".skeleton"  # label pickles call a clip by its file
# What the files of one benchmark are called; (ctrgcn-npz, sgn-h5), and the benchmark's key in pyskl-pkl.
STEMS = {
    "xsub60": ("NTU60_CS", "NTU_CS", "xsub"), "xview60": ("NTU60_CV", "NTU_CV", "xview"),
    "xsub120": ("NTU120_CSub", "NTU120_CSub", "xsub"), "xset120": ("NTU120_CSet", "NTU120_CSet", "xset"),
    "pku1-xsub": ("PKUv1_XSub", "PKUv1_XSub", "xsub"), "pku1-xview": ("PKUv1_XView", "PKUv1_XView", "xview"),
    "pku2-xsub": ("PKUv2_XSub", "PKUv2_XSub", "xsub"), "pku2-xview": ("PKUv2_XView", "PKUv2_XView", "xview"),
}  # fmt: skip
# AimCLR's names of PKU-MMD clips, which are ours too: video, view, class, line of the label file.
PKU_NAMES = {
    "pku1": re.compile(r"F(\d{3,4})V(\d{3})C(\d{3})L(\d{3,7})", re.ASCII),
    "pku2": re.compile(r"A(\d{3})N(\d{3})V(\d{3})C(\d{3})L(\d{3,7})", re.ASCII),
}

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


def _floats(where: Path, block: npt.NDArray[Any], first: int) -> Floats:
    """The block as float32; BadInput where a coordinate is not finite."""
    values = np.ascontiguousarray(block, np.float32)
    finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if not finite.all():
        raise BadInput(where, f"clip {first + int(np.argmin(finite))} has coordinates that are not numbers", "mend it")
    return values


def _check_shape(where: Path, dtype: np.dtype[Any], shape: Sequence[int], wanted: Sequence[int | None]) -> None:
    fits = len(shape) == len(wanted) and all(w in (None, s) for s, w in zip(shape, wanted, strict=True))
    if not fits or 0 in shape[1:] or dtype.kind != "f" or max(shape[1:]) > MAX_FRAMES:
        asked = " x ".join("any" if w is None else str(w) for w in wanted)
        what = f"holds {' x '.join(map(str, shape))} {dtype}, not floats of {asked}"
        raise BadInput(where, what, "give the array that this format has, and its name")


def _read_named(files: Sequence[Path], looped: bool) -> list[Part]:
    """aimclr-npy (not looped) and agcn-npy: arrays with their label pickles, in the same order."""
    arrays, labels = ([file for file in files if file.suffix == suffix] for suffix in (".npy", ".pkl"))
    if not arrays or len(arrays) != len(labels) or len(arrays) + len(labels) != len(files):
        what = f"{len(arrays)} .npy and {len(labels)} .pkl of {len(files)} files"
        raise BadInput("files", what, "give every .npy together with its label .pkl")
    return [_named(array, label, looped) for array, label in zip(arrays, labels, strict=True)]


def _named(path: Path, label_path: Path, looped: bool) -> Part:
    with reading(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    _check_shape(path, array.dtype, array.shape, (None, 3, None, JOINTS, BODIES))
    content = read_pickle(label_path)
    if not isinstance(content, (tuple, list)) or len(content) < 2:
        raise BadInput(label_path, "is not a pair of names and labels", "give the label pickle of the array")
    names, values = (plain(each) for each in content[:2])
    if not all(isinstance(each, (tuple, list, np.ndarray)) for each in (names, values)):
        raise BadInput(label_path, "is not a pair of lists, names and labels", "give the label pickle of the array")
    if not len(names) == len(values) == len(array):
        what = f"has {len(names):,} names and {len(values):,} labels for {len(array):,} clips of {path}"
        raise BadInput(label_path, what, "give every array its own labels")
    labels = _whole(label_path, values)
    called = _names(label_path, names)

    def blocks(step: int) -> Iterator[Any]:
        step = _step(step, array)
        for start in range(0, len(array), step):
            block = _floats(path, array[start : start + step], start)
            yield block.transpose(0, 2, 4, 3, 1) if looped else block

    return Part(path, labels, called, False, blocks, array.shape[2], looped, not looped)


def _names(where: Path, names: Sequence[Any]) -> list[str]:
    for name in names:
        if not isinstance(name, str):
            raise BadInput(where, "has a name that is no text", "give the labels of the array")
    return [str(name) for name in names]


def _step(step: int, array: Any) -> int:
    """How many clips of an array are read at once."""
    size = int(math.prod(array.shape[1:]) * array.dtype.itemsize)
    return max(1, min(step, BLOCK_BYTES // max(1, size)))


def _whole(where: Path, values: Sequence[Any]) -> Whole:
    fits = [isinstance(v, (int, np.integer)) and 0 <= v < MAX_CLASS for v in values]
    labels = np.array([v if fit else -1 for v, fit in zip(values, fits, strict=True)], np.int64).reshape(-1)
    if (labels < 0).any():
        raise BadInput(where, f"label {int(np.argmin(labels))} is not a class number", "give the labels of the array")
    return labels


def _one(files: Sequence[Path], suffixes: tuple[str, ...]) -> Path:
    if len(files) != 1 or files[0].suffix not in suffixes:
        raise BadInput("files", f"{len(files)} given", f"this format is one file, {' or '.join(suffixes)}")
    return files[0]


def _check_rows(where: Path, key: str, shape: tuple[int, ...], clips: int) -> None:
    """Raise BadInput unless an array has a row for each clip, and not absurdly long ones."""
    rows = shape[0] if shape else 0
    if rows != clips or math.prod(shape[1:]) > MAX_FRAMES:
        raise BadInput(where, f"{key} has {rows:,} rows for {clips:,} clips", "give a whole file")


def _one_hot(where: Path, key: str, values: npt.NDArray[Any], clips: int) -> Whole:
    """(n, classes) of 0 and 1, or (n,) class numbers -> (n,) class numbers."""
    _check_rows(where, key, values.shape, clips)
    if values.ndim == 1 and values.dtype.kind in "iu" and (values < MAX_CLASS).all():
        return values.astype(np.int64)
    if values.ndim != 2 or values.dtype.kind not in "biuf" or (np.count_nonzero(values, axis=1) != 1).any():
        raise BadInput(where, f"{key} is neither class numbers nor one 1 per row", "give a file of this format")
    places: Whole = np.argmax(values, axis=1).astype(np.int64)
    return places


def _unflat(where: Path, flat: npt.NDArray[Any], first: int) -> Floats:
    return _floats(where, flat, first).reshape(len(flat), -1, BODIES, JOINTS, 3)


def _read_npz(files: Sequence[Path]) -> list[Part]:
    path = _one(files, (".npz",))
    return [_npz_part(path, "train"), _npz_part(path, "test")]


def _npz_part(path: Path, part: str) -> Part:
    with reading(path), zipfile.ZipFile(path) as archive:
        with _npy_member(archive, f"x_{part}.npy") as (_, shape, dtype):
            pass
        _check_shape(path, dtype, shape, (None, None, FLAT))
        with _npy_member(archive, f"y_{part}.npy") as (file, label_shape, label_dtype):
            _check_rows(path, f"y_{part}", label_shape, shape[0])
            labels = np.frombuffer(file.read(), label_dtype).reshape(label_shape)

    def blocks(step: int) -> Iterator[Any]:
        step = max(1, min(step, BLOCK_BYTES // (math.prod(shape[1:]) * dtype.itemsize)))
        with reading(path), zipfile.ZipFile(path) as archive, _npy_member(archive, f"x_{part}.npy") as (file, *_):
            for start in range(0, shape[0], step):
                size = (min(step, shape[0] - start), *shape[1:])
                flat = np.frombuffer(file.read(math.prod(size) * dtype.itemsize), dtype).reshape(size)
                yield _unflat(path, flat, start)

    return Part(path, _one_hot(path, f"y_{part}", labels, shape[0]), None, part == "train", blocks, shape[1])


@contextmanager
def _npy_member(archive: zipfile.ZipFile, name: str) -> Iterator[tuple[Any, tuple[int, ...], np.dtype[Any]]]:
    """A member of an .npz, at its first value, with its shape and dtype. np.load would read it as a whole."""
    about = archive.getinfo(name)
    if about.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed by another method than deflate")
    with archive.open(about) as file:
        shape, dtype = _npy_header(file)
        room = about.file_size - file.tell()
        if dtype.hasobject or min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != room:
            raise ValueError(f"{name} says that it holds {' x '.join(map(str, shape))} {dtype}, in {room:,} bytes")
        yield _Exactly(file, room), shape, dtype


class _Exactly:
    """A member that is never unpacked beyond what it says it holds."""

    def __init__(self, file: IO[bytes], room: int) -> None:
        self.file, self.room = file, room

    def read(self, count: int | None = None) -> bytes:
        return self.file.read(self.room if count is None else count)


def _npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype; the file then stands at the first value."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if fortran:
        raise ValueError("its first axis varies fastest; save it in C order")
    return shape, dtype


def _read_h5(files: Sequence[Path]) -> list[Part]:
    """x and valid_x are both for training: SGN draws the one from the other, and joins them again."""
    import h5py

    path = _one(files, (".h5", ".hdf5"))
    with reading(path), h5py.File(path, "r") as file:
        pairs = [("x", "y", True), ("valid_x", "valid_y", True), ("test_x", "test_y", False)]
        for name in ("x", "y", "valid_x", "valid_y", "test_x", "test_y"):
            _check_own(file, name)
        return [_h5_part(path, file, *pair) for pair in pairs if pair[0] != "valid_x" or "valid_x" in file]


def _check_own(file: Any, name: str) -> None:
    """Raise ValueError if what is called so lies in another file, which an HDF5 file can name at will."""
    import h5py

    link = file.get(name, getlink=True)
    if isinstance(link, (h5py.ExternalLink, h5py.SoftLink)):
        raise ValueError(f"{name} is a link to elsewhere")
    data = file.get(name)
    if data is not None and (not isinstance(data, h5py.Dataset) or data.external or data.is_virtual):
        raise ValueError(f"{name} is not an array of this file")


def _h5_part(path: Path, file: Any, x: str, y: str, train: bool) -> Part:
    import h5py

    shape, dtype = file[x].shape, file[x].dtype
    _check_shape(path, dtype, shape, (None, None, FLAT))
    _check_rows(path, y, file[y].shape, shape[0])
    labels = _one_hot(path, y, file[y][...], shape[0])
    per_block = _step(CLIPS_PER_BLOCK, file[x])

    def blocks(step: int) -> Iterator[Any]:
        step = min(step, per_block)
        with reading(path), h5py.File(path, "r") as again:
            for start in range(0, shape[0], step):
                yield _unflat(path, again[x][start : start + step], start)

    return Part(path, labels, None, train, blocks, shape[1])


def _read_pyskl(files: Sequence[Path]) -> list[Part]:
    path = _one(files, (".pkl", ".pickle"))
    content = read_pickle(path)
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in annotations):
        raise BadInput(path, "has no list of annotations", "give a pickle with the keys 'split' and 'annotations'")
    missing = {key for each in annotations for key in ("frame_dir", "label", "keypoint") if key not in each}
    if missing:
        raise BadInput(path, f"has annotations without {', '.join(sorted(missing))}", "give a file of this format")
    names = _names(path, [each["frame_dir"] for each in annotations])
    for name, each in zip(names, annotations, strict=True):
        points = plain(each["keypoint"])
        if not isinstance(points, np.ndarray):
            raise BadInput(
                path, f"{shortened(name, 60)!r} has a keypoint that is no array", "give a file of this format"
            )
        _check_shape(path, points.dtype, points.shape, (None, None, JOINTS, 3))

    def blocks(step: int) -> Iterator[Any]:
        for start in range(0, len(annotations), step):
            some = [plain(each["keypoint"]) for each in annotations[start : start + step]]
            yield [_floats(path, points[None], start + i)[0].transpose(1, 0, 2, 3) for i, points in enumerate(some)]

    labels = _whole(path, [each["label"] for each in annotations])
    return [Part(path, labels, names, False, blocks, 0)]


@dataclass(frozen=True)
class Format:
    """A convention: how its files are read, whether clips have names there, and what is exported to it."""

    read: Callable[[Sequence[Path]], list[Part]]
    named: bool = False
    prepared: bool = False  # clips of final length, exported from clips; the others from a store


FORMATS: dict[str, Format] = {
    "aimclr-npy": Format(lambda files: _read_named(files, False), named=True, prepared=True),
    "agcn-npy": Format(lambda files: _read_named(files, True), named=True),
    "ctrgcn-npz": Format(_read_npz),
    "pyskl-pkl": Format(_read_pyskl, named=True),
    "sgn-h5": Format(_read_h5),
}


def find_format(name: str) -> Format:
    """The convention of that name; BadInput names the nearest one."""
    if name in FORMATS:
        return FORMATS[name]
    raise BadInput(f"format {name!r}", "is unknown", suggest(name, FORMATS))


# From padded frames to recordings ----------------------------------------------------------------------------------


def _as_recordings(block: Floats, looped: bool) -> Ragged:
    """(n, T, M, V, 3), zeros where nobody is -> recordings that end with the last frame that shows somebody."""
    shown = np.count_nonzero(block, axis=(3, 4)) > 0
    if looped:
        shown &= np.arange(shown.shape[1])[:, None] < np.array([_period(clip[:, 0]) for clip in block])[:, None, None]
    # A body keeps its slot where an earlier one is missing: `first` counts the rows of a frame.
    placed: npt.NDArray[np.bool_] = np.logical_or.accumulate(shown[..., ::-1], axis=2)[..., ::-1]
    seen = np.count_nonzero(placed, axis=2) > 0
    frames = np.where(np.count_nonzero(seen, axis=1) > 0, seen.shape[1] - np.argmax(seen[:, ::-1], axis=1), 0)
    clip, row_frame, row_body = np.nonzero(placed)
    return Ragged(block[placed], row_frame, row_body, np.searchsorted(clip, np.arange(len(block) + 1)), frames)


def _period(body: Floats) -> int:
    """After how many frames (T, V, 3) repeats itself to its end, bit by bit; T if it does not.

    2s-AGCN fills a clip to 300 frames by playing it again, which would be resized as if it had been seen.
    """
    for period in np.flatnonzero((body[1:] == body[0]).all(axis=(1, 2))) + 1:
        if np.array_equal(body[period:], body[:-period]):
            return int(period)
    return len(body)


def _joined(parts: Sequence[Ragged]) -> Ragged:
    starts = np.cumsum([0, *(len(part.joints) for part in parts)])
    offset = [part.clip_offset[:-1] + start for part, start in zip(parts, starts[:-1], strict=True)]
    rows = (np.concatenate([getattr(part, name) for part in parts]) for name in ("joints", "row_frame", "row_body"))
    ends = np.concatenate([*offset, starts[-1:]])
    joints, row_frame, row_body = rows
    return Ragged(joints, row_frame, row_body, ends, np.concatenate([part.clip_frames for part in parts]))


# Import ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Imported:
    """What `import_arrays` did: how many clips, how many of them show nobody, and the only split, if there is one."""

    clips: int
    empty: int
    split: str | None


def import_arrays(
    format: str,
    files: Iterable[str | os.PathLike[str]],
    clips: str | os.PathLike[str],
    *,
    dataset: str,
    split: str | None = None,
    frames: int | None = None,
    centre: bool = True,
    turn: bool = True,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Make a clips folder of arrays that another project prepared; see the table at the top.

    Args:
        format: key of `FORMATS`.
        files: its files; of aimclr-npy and agcn-npy every .npy and as many .pkl in the same order.
        clips: the clips folder to make.
        dataset: whose clips they are, key of `DATASETS`.
        split: which benchmark the file divides; for formats without names, and only for these.
        frames: T, 50 if None; aimclr-npy keeps its own.
        centre, turn: as in `prepare.Settings`; aimclr-npy has both done.
        progress: called with (clips done, clips in all) now and then.

    Raises:
        BadInput: a file is not of that format, names or labels do not fit the data set, or an option does not fit.
    """
    kind, about = find_format(format), find_dataset(dataset)
    paths = [Path(file) for file in files]
    _check_split(kind, format, about, split)
    if kind.prepared and not (centre and turn):
        raise BadInput(format, "is centred and turned already", "leave out --no-centre and --no-turn")
    parts = kind.read(paths)
    settings = Settings(frames=_frames(format, kind, parts, frames), centre=centre, turn=turn)
    columns = _columns(about, parts, split)
    total = len(columns["name"])
    inputs: Mapping[str, Any] = {f"file {number}": path for number, path in enumerate(paths, 1)}
    log.info("%s: %s clips of %s%s", format, f"{total:,}", dataset, f", for {split} only" if split else "")
    log.info("%d frames; centred: %s; turned: %s", settings.frames, settings.centre, settings.turn)
    tell_threads(log, threads)
    said = {"format": format, "dataset": dataset, "split": split, **asdict(settings)}
    with new_folder(clips, "clips", force=force, inputs=inputs, settings=said) as folder:
        kept = {"dataset": dataset, "layout": LAYOUT.name, "columns": list(columns), "imported": format}
        made = store.create_group(folder, "clips", {**kept, **asdict(settings)})
        store.write_columns(made, columns)
        shape = (total, 3, settings.frames, JOINTS, BODIES)
        array = store.create_array(made, "clips", shape, "float32", store.CLIPS_PER_CHUNK)
        length, done = np.zeros(total, np.int32), 0
        for part in parts:
            for block in part.blocks(CLIPS_PER_BLOCK):
                stop = done + len(block)
                array[done:stop], length[done:stop] = _prepared(block, part, settings, threads)
                done = stop
                if progress is not None:
                    progress(done, total)
        store.write_array(made, "length", length)
    return Imported(total, int((length == 0).sum()), split)


def _prepared(block: Any, part: Part, settings: Settings, threads: int | None) -> tuple[Floats, npt.NDArray[np.int32]]:
    if isinstance(block, list):
        ragged = _joined([_as_recordings(clip[None], False) for clip in block])
    elif part.prepared:
        # How long the recordings were is not told; plots go by it.
        return block, np.where(block.any(axis=(1, 2, 3, 4)), settings.frames, 0).astype(np.int32)
    else:
        ragged = _as_recordings(block, part.looped)
    values, length, _ = prepare_clips(ragged, LAYOUT, settings, threads)
    return values, length


def _check_split(kind: Format, format: str, dataset: Dataset, split: str | None) -> None:
    if kind.named:
        if split is not None:
            raise BadInput(
                f"split {split!r}", f"is not asked for: {format} has names, which say it", "leave --split out"
            )
        return
    if split is None:
        raise BadInput(format, "has no names of clips, so the split it divides must be told", "pass --split")
    if find_split(split).datasets[0].name != dataset.name:
        raise BadInput(f"split {split!r}", f"is not a split of {dataset.name}", "correct --split or --dataset")


def _frames(format: str, kind: Format, parts: Sequence[Part], frames: int | None) -> int:
    if not kind.prepared:
        return Settings().frames if frames is None else frames
    found = sorted({part.frames for part in parts})
    if len(found) > 1 or frames not in (None, found[0]):
        what = f"holds clips of {' and '.join(map(str, found))} frames, and they are taken as they are"
        raise BadInput(format, what, "give files of one length, and leave --frames out")
    return found[0]


def _columns(dataset: Dataset, parts: Sequence[Part], split: str | None) -> store.Columns:
    """The data set's columns of all clips; without names, ids are 0 and `train_<split>` is there too."""
    rows: list[dict[str, Any]] = []
    for part in parts:
        odd = part.labels[(part.labels < 0) | (part.labels >= dataset.classes)]
        if len(odd):
            what = f"has class {odd[0] + 1}, and {dataset.name} has {dataset.classes}"
            raise BadInput(part.where, what, "correct --dataset")
        for label, name in zip(part.labels.tolist(), part.names or repeat(None, len(part.labels)), strict=True):
            rows.append(
                _unnamed(dataset, label, split, part, len(rows)) if name is None else _ids(dataset, part, name, label)
            )
    columns = {name: column_array(name, [row[name] for row in rows]) for name in dataset.columns}
    if not rows:
        raise BadInput(parts[0].where, "holds no clips", "give other files")
    if len(np.unique(columns["name"])) < len(rows):
        raise BadInput(parts[0].where, "has clips of the same name, here or in the other files", "give every file once")
    if split is not None:
        columns[RECORDED + split] = np.concatenate([np.full(len(part.labels), part.train) for part in parts])
    return columns


def _unnamed(dataset: Dataset, label: int, split: str | None, part: Part, number: int) -> dict[str, Any]:
    ids = {name: "" if name == "video" else 0 for name in dataset.columns}
    return {**ids, "name": f"{split}-{'train' if part.train else 'test'}-{number:06}", "label": label}


def _ids(dataset: Dataset, part: Part, name: str, label: int) -> dict[str, Any]:
    """One clip's columns, from its name."""
    plain = name.removesuffix(SUFFIX)
    plain = plain.upper() if plain.isascii() else plain
    ids = _pku_ids(dataset, plain) if isinstance(dataset, Pku) else parse_name(plain)
    if ids is None:
        raise BadInput(
            part.where, f"calls a clip {shortened(name, 60)!r}, which is no name of {dataset.name}", "correct --dataset"
        )
    if ids["label"] != label:
        what = f"says class {label + 1} of {plain}, whose name says {int(ids['label']) + 1}"
        raise BadInput(part.where, what, "give every array its own labels")
    return {**ids, "name": plain}


def _pku_ids(dataset: Pku, name: str) -> dict[str, Any] | None:
    match = PKU_NAMES[dataset.name].fullmatch(name)
    if match is None:
        return None
    *video, view, action, _ = map(int, match.groups())
    if not 1 <= view <= len(VIEWS):
        return None
    # The frames of the sequence are not in the name.
    return {
        "label": action - 1,
        "video": dataset.video.format(*video, VIEWS[view - 1]),
        "view": view,
        "start": 0,
        "end": 0,
    }


# Export ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Exported:
    """What `export_arrays` did: how many training and test clips, and the files' names."""

    train: int
    test: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
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
                policy(ragged.joints[own], ragged.row_frame[own], ragged.row_body[own], selected)
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


def export_arrays(
    format: str,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    split: str,
    force: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write the training and test clips of a split as another project reads them; see the table at the top.

    aimclr-npy is written from clips, as they are. The others hold recordings that each project prepares in its own
    way, so they are written from a store: the first two bodies of every frame, neither centred nor resized, in 300
    frames (pyskl-pkl: in as many as there are). sgn-h5's validation part is every 20th training clip.

    Args:
        format: key of `FORMATS`.
        source: a clips folder for aimclr-npy, else a store.
        out: the folder to make (kind "arrays").
        split: key of `datasets.SPLITS`.
        progress: called with (clips done, clips in all) now and then.

    Raises:
        BadInput: the source is of the other kind or cannot be read, the split does not fit, or `out` is taken.
    """
    kind = find_format(format)
    what = "clips" if kind.prepared else "store"
    opened = _open_source(source, what, split)
    counts = {part: len(rows) for part, rows in opened.rows.items()}
    told = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    log.info("%s from %s %s, split %s: %s", format, what, source, split, told)
    tell = _counter(progress, sum(counts.values()))
    with new_folder(
        out, "arrays", force=force, inputs={what: source}, settings={"format": format, "split": split}
    ) as to:
        WRITERS[format](to, opened, tell)
        files = tuple(sorted(path.name for path in to.iterdir()))
    return Exported(counts["train"], counts["val"], files)


def _counter(progress: Progress | None, total: int) -> Callable[[int], None]:
    done = 0

    def tell(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    return tell


def _open_source(path: str | os.PathLike[str], kind: str, split: str) -> _Source:
    group, attributes = store.open_group(os.fspath(path), kind)
    columns = {name: store.read_array(group, name) for name in attributes["columns"]}
    train, test = split_masks(split, attributes["dataset"], columns, attributes.get("split_files"))
    rows = {"train": np.flatnonzero(train), "val": np.flatnonzero(test)}
    if LAYOUTS[attributes["layout"]] is not LAYOUT:
        raise BadInput(path, f"has joints in layout {attributes['layout']!r}", f"these formats have {LAYOUT.name!r}")
    ragged = [
        store.read_array(group, name).astype(np.int64) if kind == "store" else np.zeros(0, np.int64)
        for name in ("clip_offset", "clip_frames")
    ]
    return _Source(group, attributes, columns, rows, find_split(split).classes, split, *ragged)


def _write_labels(to: Path, source: _Source, part: str) -> None:
    names = [name + SUFFIX for name in source.names(part)]
    write_pickle(to / f"{part}_label.pkl", (names, source.labels(part).tolist()))


def _write_npy(file: Any, shape: tuple[int, ...], blocks: Iterable[Floats], tell: Callable[[int], None]) -> None:
    """One float32 array of that shape, block by block."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    for block in blocks:
        file.write(np.ascontiguousarray(block, "<f4").data)
        tell(len(block))


def _write_aimclr(to: Path, source: _Source, tell: Callable[[int], None]) -> None:
    for part, rows in source.rows.items():
        shape = (len(rows), 3, int(source.attributes["frames"]), JOINTS, BODIES)
        with open(to / f"{part}_position.npy", "wb") as file:
            _write_npy(file, shape, source.clips(part), tell)
        _write_labels(to, source, part)


def _write_agcn(to: Path, source: _Source, tell: Callable[[int], None]) -> None:
    for part, rows in source.rows.items():
        with open(to / f"{part}_data_joint.npy", "wb") as file:
            blocks = (block.transpose(0, 4, 1, 3, 2) for block in source.padded(part))
            _write_npy(file, (len(rows), 3, LONGEST, JOINTS, BODIES), blocks, tell)
        _write_labels(to, source, part)


def _write_ctrgcn(to: Path, source: _Source, tell: Callable[[int], None]) -> None:
    with zipfile.ZipFile(to / f"{STEMS[source.split][0]}.npz", "w") as archive:
        for part, name in (("train", "train"), ("val", "test")):
            with archive.open(f"x_{name}.npy", "w", force_zip64=True) as file:
                _write_npy(file, (len(source.rows[part]), LONGEST, FLAT), source.padded(part), tell)
            with archive.open(f"y_{name}.npy", "w") as file:
                np.lib.format.write_array(file, source.one_hot(part), allow_pickle=False)


def _write_sgn(to: Path, source: _Source, tell: Callable[[int], None]) -> None:
    import h5py

    train = source.rows["train"]
    held = np.arange(len(train)) % HELD_OUT == HELD_OUT - 1
    rows = {"train": train[~held], "valid": train[held], "val": source.rows["val"]}
    divided = replace(source, rows=rows)
    with h5py.File(to / f"{STEMS[source.split][1]}.h5", "w") as file:
        for part, x, y in (("train", "x", "y"), ("valid", "valid_x", "valid_y"), ("val", "test_x", "test_y")):
            array = file.create_dataset(x, (len(rows[part]), LONGEST, FLAT), "f4")
            start = 0
            for block in divided.padded(part):
                array[start : start + len(block)] = block.reshape(len(block), LONGEST, FLAT)
                start += len(block)
                tell(len(block))
            file.create_dataset(y, data=divided.one_hot(part))


def _write_pyskl(to: Path, source: _Source, tell: Callable[[int], None]) -> None:
    annotations = []
    for part in source.rows:
        labels = source.labels(part).tolist()
        for name, label, clip in zip(source.names(part), labels, source.recordings(part), strict=True):
            bodies = BODIES if clip[:, 1].any() else 1
            points = np.ascontiguousarray(clip[:, :bodies].transpose(1, 0, 2, 3))
            annotations.append({"frame_dir": name, "label": label, "keypoint": points, "total_frames": len(clip)})
            tell(1)
    key = STEMS[source.split][2]
    split = {f"{key}_{part}": source.names(part) for part in source.rows}
    name = f"{source.attributes['dataset']}_3danno.pkl"
    write_pickle(to / name, {"split": split, "annotations": annotations})


WRITERS: dict[str, Callable[[Path, _Source, Callable[[int], None]], None]] = {
    "aimclr-npy": _write_aimclr,
    "agcn-npy": _write_agcn,
    "ctrgcn-npz": _write_ctrgcn,
    "pyskl-pkl": _write_pyskl,
    "sgn-h5": _write_sgn,
}
