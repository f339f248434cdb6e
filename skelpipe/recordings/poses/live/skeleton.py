"""The text of NTU RGB+D's .skeleton files while it is written."""

from __future__ import annotations

from collections.abc import Sequence

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Poses, misfit
from skelpipe.recordings.poses.live.base import WITHIN, Form, Unit
from skelpipe.recordings.text.ntu import parse_frames
from skelpipe.recordings.text.numbers import JOINTS

OF_A_BODY = 2 + JOINTS  # lines: its id, the number of its joints, the joints


class SkeletonText(Form):
    """Frames of a .skeleton text, whose first line says how many they are: 0 or more than are there while it grows."""

    def __init__(self, layout: Layout, where: str) -> None:
        super().__init__(layout, where)
        if len(layout.joints) != JOINTS or layout.coordinates != 3:
            raise misfit(where, f"holds {JOINTS} joints", layout, JOINTS, 3)
        self._said: int | None = None
        self._lines: list[str] = []
        self._first = self._need = 0

    def take(self, line: int, text: str) -> Sequence[Unit]:
        """See `Form.take`."""
        if not text.strip():
            if self._lines:
                self._lines.append("")  # so that messages count it
            return ()
        if self._said is None:
            self._said = int(text)
            return ()
        if self.done():
            raise BadInput(self.at(line), f"there is more text after the last of {self._said} frames", AGAIN)
        if not self._need:
            self._first, self._lines = line, [text]
            bodies = text.strip()
            self._need = int(bodies) * OF_A_BODY if bodies.isdecimal() and len(bodies) < 10 else 0
        else:
            self._lines.append(text)
            self._need -= 1
        if self._need:
            return ()
        whole, self._lines = self._lines, []
        return (self.unit(self._first, "\n".join(whole) + "\n"),)

    def end(self, line: int, cut: str, follow: bool) -> tuple[Sequence[Unit], str]:
        """See `Form.end`; a file that was followed may have fewer frames than its first line says."""
        units: Sequence[Unit] = ()
        if cut.strip() and (follow or self._need > 1 or self._said is None):
            return (), WITHIN
        if cut.strip() and (units := self.take(line, cut)):
            units = [units[0]._replace(content=units[0].content.rstrip("\n"))]
            try:
                self.poses(units)
            except BadInput:  # its last line lacks something
                return (), WITHIN
        if not self._lines and not follow and self._said and self._units < self._said:
            return units, f"is truncated: it ends after {self._units} of {self._said} frames"
        return units, WITHIN if self._need else ""

    def done(self) -> bool:
        """See `Form.done`."""
        return bool(self._said) and self._units == self._said

    def poses(self, units: Sequence[Unit]) -> tuple[list[float | None], Poses]:
        """See `Form.poses`."""
        data = "".join(unit.content for unit in units).encode()
        text = parse_frames(data, len(units), self.where, units[0].line, units[0].order)
        frames = text.row_frame.astype("int64")
        return [None] * len(units), Poses(text.joints, frames, text.row_body, len(units))
