"""The one writer of a store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from skelpipe.layouts import attributes_of, find_layout
from skelpipe.recordings.datasets import Dataset, Dropped, Recording, dataset_attributes
from skelpipe.recordings.store import (
    FORMAT_VERSION,
    ROWS_PER_CHUNK,
    create_array,
    create_group,
    write_array,
    write_dropped,
)

CHUNKS_AT_ONCE = 8  # written together: Zarr compresses the chunks of one write in parallel


class Writer:
    """The one writer of a store; rows are kept back until they fill whole chunks.

    Attributes:
        group: what is written to.
        told: what recordings tell of how they were read -> how many do, and the first.
    """

    def __init__(self, folder: Path, kind: Dataset, dropped: list[Dropped]) -> None:
        self.kind, self.dropped, self.rows = kind, list(dropped), 0
        self.columns: dict[str, list[Any]] = {name: [] for name in kind.columns}
        self.told: dict[str, tuple[int, str]] = {}
        self._frames: list[int] = []
        self._offsets: list[int] = [0]
        self.group = create_group(folder, "store", {})
        self._layout = find_layout(kind.layout)
        joints = (len(self._layout.joints), self._layout.channels)
        shapes = {"joints": (joints, np.float32), "row_frame": ((), np.int32), "row_body": ((), np.int64)}
        self._arrays = {
            name: create_array(self.group, name, (ROWS_PER_CHUNK, *tail), np.dtype(dtype), ROWS_PER_CHUNK)
            for name, (tail, dtype) in shapes.items()
        }
        nothing = {name: np.empty((0, *tail), dtype) for name, (tail, dtype) in shapes.items()}
        self._pending = [_unnamed(nothing)]
        self._waiting = self._written = 0

    def add(self, result: Recording | Dropped) -> None:
        """Take the next clip, or note what was left out."""
        if isinstance(result, Dropped):
            self.dropped.append(result)
            return
        for name, values in self.columns.items():
            values.append(result.name if name == "name" else result.ids[name])
        for said in result.told:
            count, first = self.told.get(said, (0, result.name))
            self.told[said] = (count + 1, first)
        self._frames.append(result.frames)
        self.rows += len(result.joints)
        self._offsets.append(self.rows)
        self._pending.append(result)
        self._waiting += len(result.joints)
        if self._waiting >= CHUNKS_AT_ONCE * ROWS_PER_CHUNK:
            self._write(self._waiting // ROWS_PER_CHUNK * ROWS_PER_CHUNK)

    def _write(self, count: int) -> None:
        """Append the first `count` waiting rows to the arrays; only the last call may end inside a chunk."""
        start, stop = self._written, self._written + count
        rest = {}
        for name, array in self._arrays.items():
            values = np.concatenate([getattr(recording, name) for recording in self._pending])
            array.resize((stop, *array.shape[1:]))
            if count:
                array[start:stop] = values[:count]
            rest[name] = values[count:].copy()
        self._pending = [_unnamed(rest)]
        self._written, self._waiting = stop, self._waiting - count

    def finish(self, attributes: Mapping[str, Any]) -> None:
        """Write what is left, the per-clip arrays, the drop report and the attributes."""
        self._write(self._waiting)
        write_array(self.group, "clip_offset", np.array(self._offsets, np.int64))
        write_array(self.group, "clip_frames", np.array(self._frames, np.int32))
        for name, values in self.columns.items():
            write_array(self.group, name, self.kind.column(name, values))
        write_dropped(self.group, self.dropped)
        about = {
            "kind": "store",
            "format_version": FORMAT_VERSION,
            **dataset_attributes(self.kind),
            **attributes_of(self._layout),
            "columns": list(self.kind.columns),
            "clips": len(self._frames),
            "rows": self.rows,
            "units": "metres" if self._layout.coordinates == 3 else "pixels",
            **self.kind.noted(),
            **attributes,
        }
        self.group.attrs["skelpipe"] = about


def _unnamed(rows: Mapping[str, Any]) -> Recording:
    return Recording("", {}, 0, rows["joints"], rows["row_frame"], rows["row_body"])
