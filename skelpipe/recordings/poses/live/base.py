"""What a source that is read as it comes gives: frames; and what a form of such a source does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import Poses

READABLE = (
    "give lines of numbers, JSON with a frame a line, .skeleton text, a CSV with a heading, a folder of a JSON a "
    "frame, or an array in a .npy"
)


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """A frame of a recording.

    Attributes:
        number: from 0, ascending without a gap; frames in which nobody is are there, too.
        joints: (R, V, C) float32 of its R bodies in the layout: metres with y up, or pixels, 0 where nothing was seen.
        body: (R,) int64, the ids of the bodies.
    """

    number: int
    joints: npt.NDArray[np.float32]
    body: npt.NDArray[np.int64]


class EndsEarly(BadInput):
    """A source ends within a frame, or before the last; all that are whole were given."""


WITHIN = "ends within frame {}"


class Unit(NamedTuple):
    """What a source says of one frame.

    Attributes:
        line: the number of its first line, from 1.
        order: how many frames came before it.
        content: lines, or what was read of them.
        kind: units of different kinds are not understood together.
    """

    line: int
    order: int
    content: Any
    kind: Any = None


class Form(ABC):
    """A form of text, whose lines are cut into frames, and whose frames are understood as its whole file would be."""

    def __init__(self, layout: Layout, where: str) -> None:
        self.layout, self.where = layout, where
        self._units = 0

    @abstractmethod
    def take(self, line: int, text: str) -> Sequence[Unit]:
        """The frames that a line completes: none, or itself, or those before it.

        Raises:
            BadInput: it cannot be a line of this form; names it.
        """

    @abstractmethod
    def end(self, line: int, cut: str, follow: bool) -> tuple[Sequence[Unit], str]:
        """The last frames; and how the source ends early, {} for the number of the next frame, "" if it does not.

        Args:
            line: the number of the last line.
            cut: what stands there without a line end; "" if all lines have one.
            follow: the source may have been cut off anywhere.
        """

    @abstractmethod
    def poses(self, units: Sequence[Unit]) -> tuple[list[float | None], Poses]:
        """The numbers that frames of one kind have, if any; and their bodies, with `row_frame` their place among these.

        Raises:
            BadInput: as the reader of a whole file.
        """

    def done(self) -> bool:
        """Whether the source says that nothing more is to come."""
        return False

    def unit(self, line: int, content: Any, kind: Any = None) -> Unit:
        """The next frame."""
        self._units += 1
        return Unit(line, self._units - 1, content, kind)

    def at(self, line: int) -> str:
        """A line, for messages."""
        return f"{self.where}, line {line}"
