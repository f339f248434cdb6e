"""The writer of an array whose rows are frames, of clips that keep their own lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from skelpipe.recordings.store import ROWS_PER_CHUNK, create_array

if TYPE_CHECKING:
    import zarr

CHUNKS_AT_ONCE = 4


class FrameWriter:
    """Appends to an array (frames, C, V, M); rows are kept back until they fill whole chunks."""

    def __init__(self, group: zarr.Group, name: str, tail: tuple[int, ...]) -> None:
        self._array = create_array(group, name, (ROWS_PER_CHUNK, *tail), "float32", ROWS_PER_CHUNK)
        self._pending: list[npt.NDArray[np.float32]] = []
        self._waiting = self._written = 0
        self._tail = tail

    def add(self, frames: npt.NDArray[np.float32]) -> None:
        """Take the next frames (F, C, V, M)."""
        self._pending.append(frames)
        self._waiting += len(frames)
        if self._waiting >= CHUNKS_AT_ONCE * ROWS_PER_CHUNK:
            self._write(self._waiting // ROWS_PER_CHUNK * ROWS_PER_CHUNK)

    def finish(self) -> None:
        """Write what is left; only this may end inside a chunk."""
        self._write(self._waiting)

    def _write(self, count: int) -> None:
        values = np.concatenate([np.empty((0, *self._tail), np.float32), *self._pending])
        self._array.resize((self._written + count, *self._tail))
        if count:
            self._array[self._written : self._written + count] = values[:count]
        self._pending = [values[count:].copy()]
        self._written, self._waiting = self._written + count, self._waiting - count
