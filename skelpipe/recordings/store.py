"""The Zarr schema: what a store (raw, ragged) and a clips group (fixed length) hold, and how they are opened.

Both are folders in Zarr v3 format inside an output folder (`skelpipe.outputs`). The root attributes carry the key
`skelpipe` with everything a reader must know; `FORMAT_VERSION` changes when an old reader would go wrong.

V and C are those of the joint layout, which the attribute `layout` names and, where it is a user's own, `layout_table`
holds (`skelpipe.layouts`).

store — everything that was seen, one row per body per frame, in file order
    joints       (rows, V, C) float32, metres (pixels in two dimensions)
    row_frame    (rows,) int32, the row's frame in its clip, from 0
    row_body     (rows,) int64, the sensor's id of the body
    clip_offset  (N + 1,) int64: clip n owns rows clip_offset[n] to clip_offset[n + 1]
    clip_frames  (N,) int32, frames in the clip, those without a body included
    + one array per column of the data set (name, label, subject, camera, ...), each (N,)
    dropped/name, dropped/reason, dropped/detail: (D,) strings, the clips and files that were left out
    dropped/count: (D,) int32, how many files an entry speaks of (absent from older stores: one each)

clips — one clip per row, ready to train on
    clips   (N, C, T, V, M) float32, metres; M is 2, or what the attribute `max_bodies` says
    length  (N,) int32, how many frames of the recording were used
    valid   (N,) int32, how many of the T frames, from the start, are the clip's; only where clips are filled up to T
    + the same columns, and of imported ones `dropped` as above and perhaps listed_train (N,) int8: whether their files
    list a clip for training (1), testing (0) or neither (-1)

clips of their own lengths (attribute `frames` is "native"): in the place of `clips` and `valid`
    clips        (frames of all clips, C, V, M) float32, metres
    clip_offset  (N + 1,) int64: clip n owns rows clip_offset[n] to clip_offset[n + 1]

A part of either (`skelpipe.recordings.parts`) holds the same arrays of its share, and says which in the attribute
`part`.

How they lie on the disk is told by Zarr's own metadata, so `zarr.open` reads them as listed here: `create_array` has it
in one place. Every chunk is written, one of zeros too, so that a chunk that is missing is damage and not zeros.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, refusing
from skelpipe.layouts import layout_of
from skelpipe.layouts.base import Layout
from skelpipe.outputs.checksums import check_files
from skelpipe.outputs.digests import read_kind, require
from skelpipe.recordings import NATIVE
from skelpipe.recordings.datasets import Dataset, dataset_of
from skelpipe.recordings.datasets.recording import Dropped
from skelpipe.recordings.native import gather

if TYPE_CHECKING:
    import zarr

FORMAT_VERSION = 2  # 1 left chunks of zeros out
ROWS_PER_CHUNK = 4096
REPORT = ("name", "reason", "detail")  # of an entry of the drop report, in words
CLIPS_PER_CHUNK = 128
# Order of the axes inside a chunk, by the number of axes: the bodies one behind the other, so that an absent one is a
# run of zeros, and time last, so that the bytes that change little from frame to frame lie side by side.
ON_DISK = {3: (1, 2, 0), 4: (3, 1, 2, 0), 5: (4, 0, 1, 3, 2)}
META = "zarr.json"
REMADE_FOLDER = "remake the folder that holds it"
REMADE = {
    "store": "skelpipe ingest", "clips": "skelpipe prepare", "streams": "skelpipe streams",
    "store part": "skelpipe ingest --part", "clips part": "skelpipe prepare --part",
}  # fmt: skip

Columns = dict[str, npt.NDArray[Any]]


def create_group(path: Path, kind: str, attributes: Mapping[str, Any]) -> zarr.Group:
    """Start a Zarr group of that kind at `path`; the caller writes inside `outputs.new_folder`."""
    import zarr

    attributes = {"skelpipe": {"kind": kind, "format_version": FORMAT_VERSION, **attributes}}
    return zarr.create_group(path, zarr_format=3, attributes=attributes)


def create_array(group: zarr.Group, name: str, shape: tuple[int, ...], dtype: Any, chunk: int) -> zarr.Array[Any]:
    """Add an array chunked along its first axis: `ON_DISK`, Blosc lz4 with byte shuffle, a checksum on every chunk."""
    from zarr.codecs import BloscCodec, Crc32cCodec, TransposeCodec

    return group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=(max(1, min(chunk, shape[0])), *shape[1:]),
        filters=[TransposeCodec(order=ON_DISK[len(shape)])] if len(shape) in ON_DISK else None,
        compressors=[BloscCodec(cname="lz4", shuffle="shuffle", clevel=5), Crc32cCodec()],
        config={"write_empty_chunks": True},
    )


def write_array(group: zarr.Group, name: str, values: npt.NDArray[Any], chunk: int = ROWS_PER_CHUNK) -> None:
    """Add a whole array; strings (dtype kind U, O or T) become Zarr's variable-length UTF-8."""
    dtype: Any = "string" if values.dtype.kind in "UOT" else values.dtype
    array = create_array(group, name, values.shape, dtype, chunk)
    if len(values):
        array[...] = values.astype(object) if dtype == "string" else values


def write_columns(group: zarr.Group, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    """Add one (N,) array per column."""
    for name, values in columns.items():
        write_array(group, name, values)


def write_dropped(group: zarr.Group, dropped: Sequence[Dropped]) -> None:
    """Add the drop report: of each entry its name, reason and detail, and how many files it stands for."""
    report = group.create_group("dropped")
    for name in REPORT:
        write_array(report, name, np.array([getattr(entry, name) for entry in dropped], dtype=str))
    write_array(report, "count", np.array([entry.count for entry in dropped], np.int32))


def open_group(path: str | Path, kind: str) -> tuple[zarr.Group, dict[str, Any]]:
    """Open a whole output of that kind for reading; returns the group and its `skelpipe` attributes.

    Raises:
        BadInput: nothing there, not whole, of another kind, written in another format version, or its metadata were
            changed or contradict each other.
    """
    import zarr

    part = read_kind(path) == f"{kind} part"
    remedy = "join it with the other parts by 'skelpipe join'" if part else f"make it with {REMADE[kind]!r}"
    path, remade = require(path, kind, remedy), f"remake it with {REMADE[kind]!r}"
    try:
        group = zarr.open_group(path, mode="r", zarr_format=3)  # format 2 may name codecs that run code
        attributes = dict(group.attrs["skelpipe"])  # type: ignore[arg-type]
        version = attributes["format_version"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BadInput(path / META, f"its Zarr metadata cannot be read ({error})", remade) from None
    if version != FORMAT_VERSION:
        what = f"has format version {version}, this skelpipe reads version {FORMAT_VERSION}"
        raise BadInput(path, what, remade)
    check_files(path, lambda name: name.endswith(META), remade)
    for name, shape in find_shapes(group, attributes, path, remade).items():
        found = open_array(group, name).shape if name in group else shape  # a missing one is named by who needs it
        if found != shape:
            raise BadInput(path / name, f"has shape {found}, and by the other arrays should have {shape}", remade)
    return group, attributes


def find_shapes(group: zarr.Group, attributes: dict[str, Any], path: Path, remedy: str) -> dict[str, tuple[int, ...]]:
    """The name of every array that a group must have, and its shape, by the attributes and the array `name`."""
    if "name" not in group or not {"layout", "columns"} <= attributes.keys():
        return {}
    try:
        columns, layout = list(attributes["columns"]), layout_of(attributes)
        clips = open_array(group, "name").shape[0]
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(columns, (clips,))
        if str(attributes.get("kind")).startswith("store"):
            rows = attributes.get("rows", open_array(group, "joints").shape[0])
            shapes |= {"joints": (rows, len(layout.joints), layout.channels), "row_frame": (rows,), "row_body": (rows,)}
            shapes |= {"clip_offset": (clips + 1,), "clip_frames": (clips,)}
        else:
            fixed: tuple[int, ...]
            fixed = (clips, layout.channels, attributes["frames"], len(layout.joints), attributes.get("max_bodies", 2))
            if attributes["frames"] == NATIVE:
                fixed = (open_array(group, "clips").shape[0], layout.channels, len(layout.joints), fixed[-1])
                shapes["clip_offset"] = (clips + 1,)
            streams = attributes.get("streams")
            shapes |= {"clips": fixed, "length": (clips,)} if streams is None else dict.fromkeys(streams, fixed)
            if "valid" in group:
                shapes["valid"] = (clips,)
        if "dropped" in group:
            dropped = open_array(group, "dropped/name").shape
            counted = ("count",) if "dropped/count" in group else ()
            shapes |= {f"dropped/{name}": dropped for name in (*REPORT, *counted)}
    except (KeyError, TypeError, AttributeError) as error:
        raise BadInput(path / META, f"lacks an attribute, or it is not known ({error})", remedy) from None
    except BadInput as error:
        raise BadInput(path / META, f"its layout_table is damaged: {error.what}", remedy) from None
    return shapes


def open_array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    """An array of a group.

    Raises:
        BadInput: it is missing, or its metadata cannot be read.
    """
    import zarr

    where = group.store_path.store.root / group.store_path.path / name  # type: ignore[attr-defined]
    with refusing(where / META, "cannot be read", REMADE_FOLDER):  # Zarr raises whatever its parsers do
        try:
            array = group[name]
        except KeyError:
            array = None
    if array is None:
        raise BadInput(where, "is missing", REMADE_FOLDER)
    if not isinstance(array, zarr.Array):
        raise BadInput(where, "is no array", REMADE_FOLDER)
    return array


def read_array(group: zarr.Group, name: str, rows: slice = slice(None)) -> npt.NDArray[Any]:
    """Read an array, or some rows of it; strings come back as NumPy `U`.

    Raises:
        BadInput: the array is missing, or a chunk of it is missing or damaged.
    """
    array = open_array(group, name)
    _check_chunks(array, rows)
    with refusing(_folder(array), "is damaged", REMADE_FOLDER):  # a torn chunk makes the codecs raise what they like
        values = np.asarray(array[rows])
    return np.array(values.tolist(), dtype=str) if values.dtype.kind in "OT" else values


class Rows:
    """An array read from its start to its end, some whole chunks at once; the last that were read are kept."""

    def __init__(self, group: zarr.Group, name: str, at_once: int = 1) -> None:
        self.group, self.name, self.at_once = group, name, at_once
        self.chunk = int(open_array(group, name).chunks[0])
        self.start, self.block = 0, read_array(group, name, slice(0, 0))

    def read(self, start: int, stop: int) -> npt.NDArray[Any]:
        """Rows start to stop."""
        if start < self.start or stop > self.start + len(self.block):
            first = start // self.chunk
            self.start = first * self.chunk
            end = max(-(-stop // self.chunk), first + self.at_once) * self.chunk
            self.block = read_array(self.group, self.name, slice(self.start, end))
        return self.block[start - self.start : stop - self.start]


def _folder(array: zarr.Array[Any]) -> Path:
    return Path(array.store_path.store.root) / array.store_path.path  # type: ignore[attr-defined]


def _check_chunks(array: zarr.Array[Any], rows: slice = slice(None)) -> None:
    """Raise BadInput if a chunk that is to be read is missing: Zarr would take it for zeros."""
    start, stop, _ = rows.indices(array.shape[0])
    for chunk in range(start // array.chunks[0], -(-stop // array.chunks[0]) if stop > start else 0):
        path = _folder(array) / array.metadata.encode_chunk_key((chunk, *[0] * (array.ndim - 1)))
        if not path.is_file():
            raise BadInput(path, "is missing", REMADE_FOLDER)


def check_offset(offset: npt.NDArray[Any], rows: int, path: str | Path, remedy: str) -> None:
    """Raise BadInput unless the offsets divide so many rows among clips, one after the other."""
    if not (offset[0] == 0 and offset[-1] == rows and bool((np.diff(offset) >= 0).all())):
        raise BadInput(path, "its rows, frames and clip offsets contradict each other", remedy)


def check_fixed(attributes: Mapping[str, Any], path: str | os.PathLike[str], bodies: int | None = None) -> None:
    """Raise BadInput for clips of their own lengths, where all must have one, or with another number of bodies."""
    if attributes["frames"] == NATIVE:
        raise BadInput(path, "holds clips of their own lengths", "prepare clips of one length, as with --frames 50")
    found = attributes.get("max_bodies", 2)
    if bodies not in (None, found):
        raise BadInput(path, f"has room for {found} bodies in a clip, not {bodies}", "prepare others")


class Clips:
    """A clips group opened for reading; the arrays are read when asked for.

    Attributes:
        path: the folder.
        dataset: the name of the data set.
        layout: the joint layout.
        frames: T, or "native" where every clip has its own.
        attributes: the `skelpipe` attributes (body policy, centring, turn, split lists, ...).
        columns: name, label and the other per-clip columns, each (N,).
    """

    def __init__(self, path: str | Path) -> None:
        self.group, self.attributes = open_group(path, "clips")
        self.path = Path(path)
        self.dataset: str = self.attributes["dataset"]
        self.layout: Layout = layout_of(self.attributes)
        self.frames: int | str = self.attributes["frames"]
        self.columns: Columns = {name: read_array(self.group, name) for name in self.attributes["columns"]}

    def __len__(self) -> int:
        return len(self.columns["name"])

    @cached_property
    def about(self) -> Dataset:
        """The data set; BadInput if it is of a package that is no longer there."""
        return dataset_of(self.attributes, str(self.path))

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(N,) classes, from 0; -1 where nobody has told it."""
        return self.columns["label"].astype(np.int64)

    @property
    def bodies(self) -> int:
        """M, how many bodies there is room for."""
        return int(open_array(self.group, "clips").shape[-1])

    @property
    def valid(self) -> npt.NDArray[np.int32]:
        """(N,) how many frames of each clip, from its start, are its own; the others only fill it up to T."""
        if self.frames == NATIVE:
            return np.diff(self._offset()).astype(np.int32)
        return read_array(self.group, "valid") if "valid" in self.group else np.full(len(self), self.frames, np.int32)

    def _offset(self) -> npt.NDArray[np.int64]:
        offset = read_array(self.group, "clip_offset").astype(np.int64)
        check_offset(offset, open_array(self.group, "clips").shape[0], self.path, f"remake it with {REMADE['clips']!r}")
        return offset

    def load(self, rows: npt.NDArray[Any] | None = None, dtype: str = "float32") -> Any:
        """Read clips (all, or the rows of a mask or index) into memory.

        Returns:
            (n, C, T, V, M), C-contiguous; of clips of their own lengths a `native.Native`.
        """
        if self.frames == NATIVE:
            index, tail = np.arange(len(self)), open_array(self.group, "clips").shape[1:]
            index = index if rows is None else index[rows]
            return gather(lambda part: read_array(self.group, "clips", part), self._offset(), index, (*tail,), dtype)
        index = np.arange(len(self)) if rows is None else np.arange(len(self))[rows]
        out = np.empty((len(index), *open_array(self.group, "clips").shape[1:]), dtype)
        # Chunk-aligned blocks: the memory needed beside the result stays at a few chunks.
        block = CLIPS_PER_CHUNK * 8
        order = np.argsort(index, kind="stable")
        for start in range(0, len(self), block):
            lo, hi = np.searchsorted(index[order], [start, start + block])
            if lo < hi:
                where = order[lo:hi]
                values = read_array(self.group, "clips", slice(start, start + block))
                if rows is None:
                    out[start : start + block] = values
                else:
                    out[where] = values[index[where] - start]
        return out
