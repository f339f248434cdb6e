"""Tables whose rows come one after the other: CSV with a heading, and JSON with a row a line."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Poses
from skelpipe.recordings.poses.columns import Header, bodies_in, frame_values, header_of
from skelpipe.recordings.poses.formats.table import COMMAS, cells_of, one_header, read_csv, separator_of, with_commas
from skelpipe.recordings.poses.live.base import WITHIN, Form, Unit
from skelpipe.recordings.poses.words import joint_key, number_in

if TYPE_CHECKING:
    import pandas as pd

WHOLE = "give one recording at a time, or ingest the file"


class Rows(Form):
    """Rows of a table, of which those of one frame stand together."""

    def __init__(self, layout: Layout, where: str) -> None:
        super().__init__(layout, where)
        self.header = Header({}, {}, {}, (), {})
        self._rows: list[Any] = []
        self._bodies: list[str] = []
        self._first = 0
        self._frame = self._clip = ""
        self._usual: int | None = None  # rows of a body, -1 if they differ
        self._ids: dict[str, int] = {}
        self._joints: list[str] = []

    @abstractmethod
    def table(self, units: Sequence[Unit]) -> pd.DataFrame:
        """The rows of frames as a table."""

    def add(self, line: int, row: Any, frame: str, body: str, clip: str) -> Sequence[Unit]:
        """Take a row; the frames that are whole now.

        Args:
            line: its number.
            row: what `table` takes.
            frame, body, clip: what stands in these columns; "" if there are none.

        Raises:
            BadInput: it is of another clip.
        """
        if self._clip and clip != self._clip:
            raise BadInput(self.at(line), f"begins another clip, {shortened(clip, 60)}", WHOLE)
        self._clip = clip
        whole: Sequence[Unit] = ()
        if self._rows and frame != self._frame:
            whole = self._whole()
        self._first, self._frame = self._first if self._rows else line, frame
        self._rows.append(row)
        self._bodies.append(body)
        roles = self.header.roles
        alone = not self.header.axes and ("frame" not in roles or "body" not in roles)
        return (*whole, *self._whole()) if alone else whole

    def _whole(self) -> Sequence[Unit]:
        """The frame of the rows that were taken."""
        if not self._rows:
            return ()
        counts = set(Counter(self._bodies).values())
        self._usual = -1 if len(counts) > 1 or self._usual not in (None, *counts) else next(iter(counts))
        rows, self._rows, self._bodies = self._rows, [], []
        return (self.unit(self._first, rows),)

    def last(self, frame: str | None) -> tuple[Sequence[Unit], str]:
        """The last frame, if it is whole.

        Args:
            frame: of a row behind it that is not; None without one, "" if its frame is not known.
        """
        fewer = self._usual is not None and min(Counter(self._bodies).values(), default=self._usual) < self._usual
        if fewer or frame == "" or (self._rows and frame == self._frame):
            self._rows, self._bodies = [], []
            return (), WITHIN
        return self._whole(), "" if frame is None else WITHIN

    def poses(self, units: Sequence[Unit]) -> tuple[list[float | None], Poses]:
        """See `Form.poses`."""
        table, header = self.table(units), self.header
        counts = [len(unit.content) for unit in units]
        numbers: list[float | None] = [None] * len(units)
        if (frame := header.roles.get("frame")) is not None:
            starts = np.cumsum([0, *counts[:-1]])
            numbers = frame_values(table, header, self.where)[starts].tolist()
            table[frame] = np.repeat(np.arange(len(units)), counts)
        if (body := header.roles.get("body")) is not None:
            table[body] = self._known(table[body].tolist())
        made = bodies_in(table, header, self.layout, self.where)
        return numbers, self._all_joints(replace(made, frames=len(units)))

    def _known(self, bodies: list[Any]) -> npt.NDArray[np.int64]:
        """Ids as numbers; texts are counted as they come."""
        found = []
        for each in bodies:
            whole = isinstance(each, (int, float)) and float(each).is_integer()
            found.append(int(each) if whole else self._ids.setdefault(str(each), len(self._ids)))
        return np.array(found, np.int64)

    def _all_joints(self, made: Poses) -> Poses:
        """With the joints that only other frames have, and those of the layout that few frames have, as not seen."""
        if made.joints is None or list(made.joints) == self._joints:
            return made
        self._joints = list(dict.fromkeys([*self._joints, *made.joints]))
        self._joints += _lacking(self._joints, self.layout)
        places = [self._joints.index(name) for name in made.joints]
        points = np.full((len(made.points), len(self._joints), made.points.shape[2]), np.nan)
        points[:, places] = made.points
        scores = None if made.scores is None else np.full(points.shape[:2], np.nan)
        if scores is not None:
            scores[:, places] = made.scores
        return replace(made, points=points, scores=scores, joints=tuple(self._joints))


def _lacking(names: Sequence[str], layout: Layout) -> list[str]:
    """Joints of the layout that are not among the names, if most are; by number where these are numbers."""
    found, joints = [number_in(name) for name in names], len(layout.joints)
    if all(each is not None for each in found):
        first = 0 if 0 in found else 1 if joints in found else None
        lacking = [] if first is None else [str(v) for v in range(first, joints + first) if v not in found]
    else:
        known = {joint_key(name) for name in names}
        lacking = [name for name in layout.joints if joint_key(name) not in known]
    return lacking if 2 * len(lacking) < joints else []


class TableLines(Rows):
    """CSV with a heading, as `formats.table` reads it."""

    def __init__(self, layout: Layout, where: str) -> None:
        super().__init__(layout, where)
        self._heading: list[str] = []
        self._names: list[str] = []
        self._mark = ","
        self._places: tuple[int | None, ...] = ()

    def take(self, line: int, text: str) -> Sequence[Unit]:
        """See `Form.take`."""
        if not text.strip():
            return ()
        if not self._names:
            self._heading.append(text)
            if not self._heading[0].startswith("scorer,") or len(self._heading) == 3:
                self._begin()
            return ()
        cells = self._cells(text)
        if len(cells) != len(self._names):
            what = f"has {len(cells)} cells in the place of {len(self._names)}: {shortened(text, 60)}"
            raise BadInput(self.at(line), what, AGAIN)
        frame, body, clip = (cells[n].strip() if n is not None else "" for n in self._places)
        return self.add(line, text, frame, body, clip)

    def _begin(self) -> None:
        self._heading = [one_header("\n".join(self._heading) + "\n", self.where).strip("\n")]
        self._mark = separator_of(self._heading[0]) or ","
        self._names = [str(name) for name in read_csv(self._heading[0] + "\n", self.where).columns]
        self.header = header_of(self._names)
        self._places = _places(self._names, self.header)

    def _cells(self, text: str) -> list[str]:
        return cells_of(text, self._mark) if '"' in text else text.split(self._mark)

    def end(self, line: int, cut: str, follow: bool) -> tuple[Sequence[Unit], str]:
        """See `Form.end`."""
        cells = self._cells(cut) if cut.strip() else []
        units: Sequence[Unit] = ()
        frame: str | None = None
        if cells and not follow and len(cells) == len(self._names):
            units = self.take(line, cut)
        elif cells:
            place = self._places[0] if self._places else None
            frame = cells[place].strip() if place is not None and len(cells) > place + 1 else ""
        last, ends = self.last(frame)
        return (*units, *last), ends

    def table(self, units: Sequence[Unit]) -> pd.DataFrame:
        """See `Rows.table`."""
        text = "\n".join([*self._heading, *(row for unit in units for row in unit.content)]) + "\n"
        damage = BadInput(self.where, f"is no row of the table: {shortened(units[0].content[0], 60)}", AGAIN)
        try:
            made = read_csv(text, self.where)
        except BadInput:
            raise damage from None
        if len(made) != sum(len(unit.content) for unit in units):  # a quotation mark or a \r joins lines or parts them
            raise damage
        made.columns = [str(name) for name in made.columns]
        self.commas = with_commas(text)
        return made

    def poses(self, units: Sequence[Unit]) -> tuple[list[float | None], Poses]:
        """See `Form.poses`."""
        numbers, made = super().poses(units)
        return numbers, replace(made, told=(*made.told, COMMAS)) if self.commas else made


class Records(Rows):
    """Rows that are mappings, all with the keys of the first."""

    def __init__(self, layout: Layout, where: str, names: Sequence[str]) -> None:
        super().__init__(layout, where)
        self.header, self._names = header_of(names), list(names)

    def row(self, line: int, row: Any) -> Sequence[Unit]:
        """Take a row, as `add`."""
        roles = self.header.roles
        told = (str(row.get(roles[role], "")) if role in roles else "" for role in ("frame", "body", "clip"))
        frame, body, clip = told
        return self.add(line, row, frame, body, "" if roles.get("clip") == roles.get("body") else clip)

    def take(self, line: int, text: str) -> Sequence[Unit]:
        """See `Form.take`; the rows of JSON are given to `row`."""
        raise NotImplementedError

    def end(self, line: int, cut: str, follow: bool) -> tuple[Sequence[Unit], str]:
        """See `Form.end`."""
        return self.last(None)

    def table(self, units: Sequence[Unit]) -> pd.DataFrame:
        """See `Rows.table`."""
        import pandas as pd

        rows = [{str(name): value for name, value in row.items()} for unit in units for row in unit.content]
        return pd.DataFrame(rows, columns=self._names)


def _places(names: Sequence[str], header: Header) -> tuple[int | None, ...]:
    """The places of the columns of frames, bodies and clips."""
    roles = dict(header.roles)
    if roles.get("clip") == roles.get("body"):
        roles.pop("clip", None)
    return tuple(names.index(roles[role]) if role in roles else None for role in ("frame", "body", "clip"))
