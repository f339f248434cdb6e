"""Recordings and parts of them on the way to a prediction: whole, person by person, or in windows."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.clips.ragged import Ragged
from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout

FEWEST = 2  # frames of a person that is told apart: of a single frame nothing moves


@dataclass(frozen=True)
class Piece:
    """Some frames of a recording, of which one prediction is made.

    Attributes:
        name: of the recording.
        joints: (R, V, C) float32, a row per body per frame; y up, metres.
        row_frame: (R,) int64, ascending, from 0 in the piece.
        row_body: (R,) int64 ids.
        frames: F, those without a body included.
        start: where its first frame lies in the recording.
        person: whose frames they are; None: of all people.
        label: its class by name, where it is known.
    """

    name: str
    joints: npt.NDArray[np.float32]
    row_frame: npt.NDArray[np.int64]
    row_body: npt.NDArray[np.int64]
    frames: int
    start: int = 0
    person: int | None = None
    label: str | None = None

    @property
    def unseen(self) -> float:
        """Which share of its joints was not seen, in frames without anybody all of them."""
        rows, joints, _ = self.joints.shape
        every = joints * max(rows, self.frames)
        return 1 - int(self.joints.any(axis=2).sum()) / every if every else 0.0

    def cut(self, start: int, stop: int) -> Piece:
        """The frames start to stop of it."""
        first, last = np.searchsorted(self.row_frame, [start, stop])
        rows = slice(int(first), int(last))
        return replace(
            self,
            joints=self.joints[rows],
            row_frame=self.row_frame[rows] - start,
            row_body=self.row_body[rows],
            frames=stop - start,
            start=self.start + start,
        )


@dataclass(frozen=True)
class Windows:
    """Windows of `length` frames that begin `hop` frames apart; the last one ends with the recording."""

    length: int
    hop: int

    def __post_init__(self) -> None:
        for name, value in (("--window", self.length), ("--hop", self.hop)):
            if value < 1:
                raise BadInput(name, f"{value} is not a number of frames", "use 1 or more")

    def starts(self, frames: int) -> list[int]:
        """Where the windows of a recording of so many frames begin; one that is shorter is one window."""
        last = max(0, frames - self.length)
        begun = list(range(0, last + 1, self.hop))
        return begun if begun[-1] == last else [*begun, last]

    def of(self, piece: Piece) -> Iterator[Piece]:
        """The windows of a recording."""
        for start in self.starts(piece.frames):
            yield piece.cut(start, min(start + self.length, piece.frames))


class Rolling:
    """Windows of frames that come one after the other; no more than one window is kept.

    Args:
        name: of the recording.
    """

    def __init__(self, name: str, windows: Windows, joints: int, channels: int) -> None:
        self.name, self.windows, self.shape = name, windows, (0, joints, channels)
        self.held: deque[tuple[int, npt.NDArray[np.float32], npt.NDArray[np.int64]]] = deque()
        self.frames = self.next = 0

    def add(self, number: int, joints: npt.NDArray[np.float32], body: npt.NDArray[np.int64]) -> Iterator[Piece]:
        """Take frame `number`, joints (R, V, C) and ids (R,), and give the windows that are whole before it comes."""
        yield from self._whole(number)
        self.held.append((number, joints, body))
        self.frames = number + 1
        yield from self._whole(self.frames)

    def end(self) -> Iterator[Piece]:
        """What is left at the end: the last window, unless it has been given."""
        start = max(0, self.frames - self.windows.length)
        given = self.next > 0 and self.next - self.windows.hop == start
        if self.frames and not given:
            yield self._piece(start, self.frames)

    def _whole(self, frames: int) -> Iterator[Piece]:
        while self.next + self.windows.length <= frames:
            yield self._piece(self.next, self.next + self.windows.length)
            self.next += self.windows.hop
            # The last window of all may begin a little earlier than the next one.
            kept = min(self.next, self.frames - self.windows.length)
            while self.held and self.held[0][0] < kept:
                self.held.popleft()

    def _piece(self, start: int, stop: int) -> Piece:
        some = [each for each in self.held if start <= each[0] < stop]
        joints = [joints for _, joints, _ in some] or [np.empty(self.shape, np.float32)]
        number = [np.full(len(body), number - start, np.int64) for number, _, body in some]
        body = [body for _, _, body in some]
        none = np.empty(0, np.int64)
        return Piece(
            self.name, np.concatenate(joints), np.concatenate([none, *number]), np.concatenate([none, *body]),
            stop - start, start,
        )  # fmt: skip


def by_person(piece: Piece) -> Iterator[Piece]:
    """A piece for each person in it, in the order in which they come; of one frame only, none."""
    ids, first = np.unique(piece.row_body, return_index=True)
    for person in ids[np.argsort(first)].tolist():
        mine = piece.row_body == person
        row_frame = piece.row_frame[mine]
        if len(row_frame) < FEWEST:
            continue
        begin, end = int(row_frame[0]), int(row_frame[-1]) + 1
        yield replace(
            piece,
            joints=piece.joints[mine],
            row_frame=row_frame - begin,
            row_body=piece.row_body[mine],
            frames=end - begin,
            start=piece.start + begin,
            person=person,
        )


def as_ragged(pieces: Sequence[Piece], layout: Layout) -> Ragged:
    """Pieces of one layout, as recordings are prepared."""
    rows = np.array([len(piece.joints) for piece in pieces], np.int64)
    none: Any = np.empty((0, len(layout.joints), layout.channels), np.float32)
    return Ragged(
        np.ascontiguousarray(np.concatenate([none, *(piece.joints for piece in pieces)]), np.float32),
        _joined(piece.row_frame for piece in pieces),
        _joined(piece.row_body for piece in pieces),
        np.concatenate([[0], np.cumsum(rows)]).astype(np.int64),
        np.array([piece.frames for piece in pieces], np.int64),
    )


def _joined(parts: Iterable[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *parts])
