"""Where frames lie in time, by the numbers that a source gives them, while these come."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.recordings.poses.base import APART, SPARSE, TIMES

HELD = 3  # frames behind the first, by which it is told what the numbers are if the second is not the next
FARTHEST = 1 << 20  # frames without anybody: nine hours of video
CLOSER = "frame numbers come closer together later on: from there, frames {} apart are taken for neighbours"
FAR = "a frame number far from that before it was taken for the next"

Placed = list[tuple[int, Any]]


class Places:
    """The places of frames, from 0.

    As in a whole file the first number is place 0, numbers that all are a multiple apart are neighbours, and those that
    are times are the next each. Here this is told by the first few numbers, of which the second to fourth are held back
    if the second is not the first plus 1.

    Args:
        where: the source, for messages.
        told: takes what is said of the numbers.
    """

    def __init__(self, where: str, told: list[str]) -> None:
        self._where, self._told = where, told
        self.next = 0
        self._last: float | None = None  # number, and its place
        self._place = 0
        self._step: int | None = None
        self._times = False
        self._held: list[tuple[float, Any]] = []

    def add(self, number: float | None, frame: Any) -> Placed:
        """Frames that have got their places, in order.

        Args:
            number: of the frame; None if it has none.
            frame: what is to be placed.

        Raises:
            BadInput: it is not above the number before.
        """
        if number is None:
            return [*self._settled(), self._put(self.next, frame)]
        before = self._held[-1][0] if self._held else self._last
        if before is None:
            self._last, self._place = number, self.next
            return [self._put(self.next, frame)]
        if number <= before:
            order = "comes a second time" if number == before else f"comes after frame {before:g}"
            raise BadInput(self._where, f"frame {number:g} {order}", "give each frame once, in order")
        gap = number - before
        self._times |= gap != int(gap)
        if self._times:
            return [*self._settled(), self._next(number, frame)]
        if self._step is None and (self._held or gap > 1):
            self._held.append((number, frame))
            return self._settled() if len(self._held) == HELD else []
        self._step = self._step or 1
        if int(gap) % self._step:
            self._closer(int(gap))
        return [self._next(number, frame)]

    def end(self) -> Placed:
        """The frames that are still held back."""
        return self._settled()

    def _settled(self) -> Placed:
        """Tell by the numbers that are there what they are, and place what was held back."""
        if not self._held:
            return []
        assert self._last is not None
        numbers = [self._last, *(number for number, _ in self._held)]
        gaps = np.diff(np.array(numbers))
        self._step = math.gcd(*(int(gap) for gap in gaps)) if not self._times else 1
        if gaps.min() / self._step > SPARSE:
            self._times = True
            self._tell(TIMES)
        elif self._step > 1:
            self._tell(APART.format(self._step))
        held, self._held = self._held, []
        return [self._next(number, frame) for number, frame in held]

    def _closer(self, gap: int) -> None:
        """Numbers that seemed to be a multiple apart are not."""
        assert self._step is not None
        self._step = math.gcd(self._step, gap)
        if gap / self._step > SPARSE:
            self._times = True
            self._tell(TIMES)
        else:
            self._tell(CLOSER.format(self._step))

    def _next(self, number: float, frame: Any) -> tuple[int, Any]:
        place = self.next
        if not self._times and self._last is not None:
            place = max(place, self._place + int(number - self._last) // (self._step or 1))
        if place - self.next > FARTHEST:
            self._tell(FAR)
            place = self.next
        self._last, self._place = number, place
        return self._put(place, frame)

    def _put(self, place: int, frame: Any) -> tuple[int, Any]:
        self.next = place + 1
        return place, frame

    def _tell(self, said: str) -> None:
        if said not in self._told:
            self._told.append(said)
