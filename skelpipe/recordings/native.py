"""Clips that keep the lengths of their recordings: one behind the other, on the disk and in memory.

On the disk the array `clips` is (frames of all clips, C, V, M), and clip n owns its rows clip_offset[n] to
clip_offset[n + 1]. In memory every clip is an array (C, L, V, M) of its own, as those of fixed length are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

FRAMES_AT_ONCE = 32_768  # read together, in whole clips

Index = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Native:
    """Clips of different lengths in memory.

    Attributes:
        values: (C V M times the frames of all clips,) float32 or float16, metres: the clips (C, L, V, M) one behind
            the other.
        offset: (N + 1,) int64, in frames; clip n has L = offset[n + 1] - offset[n] of them.
        channels: C.
        joints: V.
        bodies: M.
    """

    values: npt.NDArray[Any]
    offset: Index
    channels: int
    joints: int
    bodies: int

    def __len__(self) -> int:
        return len(self.offset) - 1

    @property
    def lengths(self) -> Index:
        """(N,) frames of every clip."""
        return np.diff(self.offset)

    def clip(self, n: int) -> npt.NDArray[Any]:
        """Clip n as a view (C, L, V, M), C-contiguous."""
        start, stop = int(self.offset[n]), int(self.offset[n + 1])
        size = self.channels * self.joints * self.bodies
        return self.values[start * size : stop * size].reshape(self.channels, stop - start, self.joints, self.bodies)

    def taken(self, index: Index) -> Native:
        """Clips of an index, in its order."""
        offset = np.concatenate([[0], np.cumsum(self.lengths[index])]).astype(np.int64)
        values = np.concatenate([self.values[:0], *(self.clip(n).reshape(-1) for n in index.tolist())])
        return Native(values, offset, self.channels, self.joints, self.bodies)

    def bodies_kept(self, bodies: int) -> Native:
        """The same clips with their first bodies only; itself where there are no more."""
        if bodies >= self.bodies:
            return self
        values = self.values.reshape(-1, self.bodies)[:, :bodies]
        return Native(np.ascontiguousarray(values).reshape(-1), self.offset, self.channels, self.joints, bodies)


def gather(
    read: Callable[[slice], npt.NDArray[Any]], offset: Index, index: Index, tail: tuple[int, ...], dtype: str
) -> Native:
    """The clips of an index, in its order, out of rows of frames; beside the result, little memory is used.

    Args:
        read: gives rows of the array (frames, C, V, M).
        offset: (N + 1,) where the clips lie in it.
        index: (n,) which of them.
        tail: C, V and M.
        dtype: of the result.
    """
    lengths = np.diff(offset)[index]
    made = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    channels, joints, bodies = tail
    out = Native(np.empty(int(made[-1]) * channels * joints * bodies, dtype), made, channels, joints, bodies)
    order = np.argsort(index, kind="stable")
    for start, stop in blocks(offset):
        low, high = np.searchsorted(index[order], [start, stop])
        if low == high:
            continue
        first = int(offset[start])
        frames = read(slice(first, int(offset[stop])))
        for place in order[low:high].tolist():
            n = int(index[place])
            out.clip(place)[...] = frames[int(offset[n]) - first : int(offset[n + 1]) - first].swapaxes(0, 1)
    return out


def blocks(offset: Index) -> Iterator[tuple[int, int]]:
    """Runs of clips (start, stop) that have about `FRAMES_AT_ONCE` frames together, and at least one clip."""
    marks = np.arange(0, int(offset[-1]) + FRAMES_AT_ONCE, FRAMES_AT_ONCE)
    bounds = np.unique(np.minimum(np.searchsorted(offset, marks), len(offset) - 1))
    yield from pairwise(dict.fromkeys([0, *bounds.tolist(), len(offset) - 1]))
