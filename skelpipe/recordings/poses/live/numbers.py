"""Lines of numbers: a frame a line, of one body or several, or a joint a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Poses, from_bodies
from skelpipe.recordings.poses.formats.text import JOINT, Style, are_frames, matrix, may_be_numbered, style_of
from skelpipe.recordings.poses.live.base import WITHIN, Form, Unit
from skelpipe.recordings.poses.shapes import MOST_BODIES, bodies_of


class NumberLines(Form):
    """Lines of numbers without a heading, as `formats.text` reads them.

    All lines have as many numbers as the first, but for whole bodies, of which a line may have more or fewer.
    """

    def __init__(self, layout: Layout, where: str) -> None:
        super().__init__(layout, where)
        self._style: Style | None = None
        self._ended = False  # each line with what stands between numbers, too
        self._width = 0
        self._joints: list[str] = []
        self._first = 0

    def take(self, line: int, text: str) -> Sequence[Unit]:
        """See `Form.take`."""
        text = text.partition("#")[0].strip(" ")
        if not text.strip():
            return ()
        width = self._count(text)
        if width != self._width and not self._fits(width):
            what = f"has {width} numbers, and those before it {self._width}: {shortened(text, 60)}"
            raise BadInput(self.at(line), what, AGAIN)
        if self._width not in JOINT:
            return (self.unit(line, text, width),)
        self._first = self._first if self._joints else line
        self._joints.append(text)
        if len(self._joints) < len(self.layout.joints):
            return ()
        whole, self._joints = "\n".join(self._joints), []
        return (self.unit(self._first, whole, width),)

    def end(self, line: int, cut: str, follow: bool) -> tuple[Sequence[Unit], str]:
        """See `Form.end`."""
        text = cut.partition("#")[0].strip()
        if text and (follow or (self._style is not None and self._count(text) != self._width)):
            return (), WITHIN
        units = self.take(line, text) if text else ()
        return units, WITHIN if self._joints else ""

    def poses(self, units: Sequence[Unit]) -> tuple[list[float | None], Poses]:
        """See `Form.poses`."""
        text = "\n".join(unit.content for unit in units)
        assert self._style is not None
        if self._style.apart in (";", "\t") and not self._style.commas:
            self._style = style_of(text, text)  # the first numbers may have been whole
        joints, width = len(self.layout.joints), units[0].kind
        damage = BadInput(self.where, f"is no line of numbers: {shortened(text, 60)}", AGAIN)
        try:
            found = matrix(text + "\n", self._style, self.where)[:, :width]
        except BadInput:
            raise damage from None
        if found.shape != (len(units) * (joints if width in JOINT else 1), width):  # a \r may end a line, too
            raise damage
        numbers: list[float | None] = [None] * len(units)
        if width in JOINT:
            found = found.reshape(len(units), joints * width)
        elif may_be_numbered(width, self.layout):
            if not are_frames(found[:, 0]):
                raise BadInput(self.where, f"begins with no frame number: {shortened(text, 60)}", AGAIN)
            numbers, found = found[:, 0].tolist(), found[:, 1:]
        bodies_of(found[:1], self.layout, self.where)  # several lines might pass for other axes
        x, told = bodies_of(found, self.layout, self.where)
        return numbers, replace(from_bodies(np.asarray(x)), told=told)

    def _count(self, text: str) -> int:
        """How many numbers there are in a line."""
        if self._style is None:
            self._style = style_of(text, text)
            self._ended = self._style.apart is not None and text.rstrip().endswith(self._style.apart)
        apart = self._style.apart
        return len(text.split()) if apart is None else text.count(apart) + (not self._ended)

    def _fits(self, width: int) -> bool:
        """Whether a line may have so many numbers."""
        if not self._width:
            self._width = width
            return True
        body = len(self.layout.joints) * self.layout.coordinates
        return not self._width % body and not width % body and 0 < width // body <= MOST_BODIES and width > max(JOINT)
