"""The Zarr schema: what a store (raw, ragged) and a clips group (fixed length) hold, and how they are opened.

Both are folders in Zarr v3 format inside an output folder (`skelpipe.outputs`). The root attributes carry the key
`skelpipe` with everything a reader must know; `FORMAT_VERSION` changes when an old reader would go wrong.

store — everything that was seen, one row per body per frame, in file order
    joints       (rows, V, 3) float32, metres
    row_frame    (rows,) int32, the row's frame in its clip, from 0
    row_body     (rows,) int64, the sensor's id of the body
    clip_offset  (N + 1,) int64: clip n owns rows clip_offset[n] to clip_offset[n + 1]
    clip_frames  (N,) int32, frames in the clip, those without a body included
    + one array per column of the data set (name, label, subject, camera, ...), each (N,)
    dropped/name, dropped/reason, dropped/detail: (D,) strings, the clips and files that were left out

clips — one clip per row, ready to train on
    clips   (N, C=3, T, V, M=2) float32, metres
    length  (N,) int32, how many frames of the recording were resized to T
    + the same columns

A part of either (`skelpipe.parts`) holds the same arrays of its share, and says which in the attribute `part`.

How they lie on the disk is told by Zarr's own metadata, so `zarr.open` reads them as they are listed here: `create_array`
has it in one place. Every chunk is written, one of zeros too, so that a chunk that is missing is damage and not zeros.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.outputs import read_kind, require
from skelpipe.skeleton import LAYOUTS, Layout

if TYPE_CHECKING:
    import zarr

FORMAT_VERSION = 2  # 1 left chunks of zeros out
ROWS_PER_CHUNK = 4096
CLIPS_PER_CHUNK = 128
# Order of the axes inside a chunk, by the number of axes: the bodies one behind the other, so that an absent one is a
# run of zeros, and time last, so that the bytes that change little from frame to frame lie side by side.
ON_DISK = {3: (1, 2, 0), 5: (4, 0, 1, 3, 2)}
REMADE = {
    "store": "skelpipe ingest", "clips": "skelpipe prepare", "streams": "skelpipe streams",
    "store part": "skelpipe ingest --part", "clips part": "skelpipe prepare --part",
}  # fmt: skip

Columns = dict[str, npt.NDArray[Any]]


def create_group(path: Path, kind: str, attributes: Mapping[str, Any]) -> zarr.Group:
    """Start a Zarr group of that kind at `path`; the caller writes inside `outputs.new_folder`."""
    import zarr

    attributes = {"skelpipe": {"kind": kind, "format_version": FORMAT_VERSION, **attributes}}
    return zarr.create_group(path, overwrite=True, zarr_format=3, attributes=attributes)


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


def open_group(path: str | Path, kind: str) -> tuple[zarr.Group, dict[str, Any]]:
    """Open a whole output of that kind for reading; returns the group and its `skelpipe` attributes.

    Raises:
        BadInput: nothing there, not whole, of another kind, or written in another format version.
    """
    import zarr

    part = read_kind(path) == f"{kind} part"
    remedy = "join it with the other parts by 'skelpipe join'" if part else f"make it with {REMADE[kind]!r}"
    path = require(path, kind, remedy)
    try:
        group = zarr.open_group(path, mode="r")
        attributes = dict(group.attrs["skelpipe"])  # type: ignore[arg-type]
        version = attributes["format_version"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise BadInput(
            path, f"its Zarr metadata cannot be read ({error})", f"remake it with {REMADE[kind]!r}"
        ) from None
    if version != FORMAT_VERSION:
        what = f"has format version {version}, this skelpipe reads version {FORMAT_VERSION}"
        raise BadInput(path, what, f"remake it with {REMADE[kind]!r}")
    return group, attributes


def read_array(group: zarr.Group, name: str, rows: slice = slice(None)) -> npt.NDArray[Any]:
    """Read an array, or some rows of it; strings come back as NumPy `U`.

    Raises:
        BadInput: the array is missing, or a chunk of it is damaged.
    """
    where, remedy = f"{group.store_path}/{name}", "remake the folder that holds it"
    try:
        values = np.asarray(group[name][rows])  # type: ignore[index]
    except KeyError:
        raise BadInput(where, "is missing", remedy) from None
    except (OSError, ValueError, RuntimeError) as error:
        raise BadInput(where, f"is damaged ({error})", remedy) from None
    return np.array(values.tolist(), dtype=str) if values.dtype.kind in "OT" else values


class Clips:
    """A clips group opened for reading; the arrays are read when asked for.

    Attributes:
        path: the folder.
        dataset: key of `datasets.DATASETS`.
        layout: the joint layout.
        frames: T.
        attributes: the `skelpipe` attributes (body policy, centring, turn, split lists, ...).
        columns: name, label and the other per-clip columns, each (N,).
    """

    def __init__(self, path: str | Path) -> None:
        self.group, self.attributes = open_group(path, "clips")
        self.path = Path(path)
        self.dataset: str = self.attributes["dataset"]
        self.layout: Layout = LAYOUTS[self.attributes["layout"]]
        self.frames: int = self.attributes["frames"]
        self.columns: Columns = {name: read_array(self.group, name) for name in self.attributes["columns"]}

    def __len__(self) -> int:
        return len(self.columns["name"])

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """(N,) classes, from 0."""
        return self.columns["label"].astype(np.int64)

    def load(self, rows: npt.NDArray[Any] | None = None, dtype: str = "float32") -> npt.NDArray[Any]:
        """Read clips (all, or the rows of a mask or index) into memory: (n, C, T, V, M), C-contiguous."""
        index = np.arange(len(self)) if rows is None else np.arange(len(self))[rows]
        source = self.group["clips"]
        out = np.empty((len(index), *source.shape[1:]), dtype)  # type: ignore[union-attr]
        # Chunk-aligned blocks: the memory needed beside the result stays at a few chunks.
        block = CLIPS_PER_CHUNK * 8
        order = np.argsort(index, kind="stable")
        for start in range(0, len(self), block):
            lo, hi = np.searchsorted(index[order], [start, start + block])
            if lo < hi:
                where = order[lo:hi]
                out[where] = read_array(self.group, "clips", slice(start, start + block))[index[where] - start]
        return out
