"""Frames with people in them, in JSON: a frame a line, a person a line, or a file a frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Poses, from_bodies, from_json
from skelpipe.recordings.poses.formats.frames import NO_FRAMES, as_table, clips_of_json
from skelpipe.recordings.poses.live.base import WITHIN, Form, Unit
from skelpipe.recordings.poses.live.table import WHOLE, Records
from skelpipe.recordings.poses.people import People, is_one_of_several, number_of
from skelpipe.recordings.poses.shapes import MOST_BODIES, bodies_of, numbers
from skelpipe.recordings.poses.words import word

NONE = -(1 << 62)  # of a frame without a number; `People` takes no such number from a file
PEOPLE, RECORDING = "people", "recording"  # kinds of units
NAMELESS = 64  # frames that may hold nothing that is known before anybody was seen


class Crowd:
    """The people of frames that come some at a time; ids that are texts and the order of joints stay from the first."""

    def __init__(self, layout: Layout, where: str) -> None:
        self.layout, self.where = layout, where
        self._ids: dict[str, int] = {}
        self._joints: tuple[str, ...] | None = None
        self._frames, self._unknown = 0, list[str]()
        self._somebody = False

    def poses(self, units: Sequence[Unit], add: Callable[[People, Any, int], None]) -> tuple[list[float | None], Poses]:
        """The numbers and the bodies of frames.

        Args:
            units: of frames, each with a list of what `add` takes.
            add: adds it to people, with a number that is used if it has none itself.

        Raises:
            BadInput: as `People`.
        """
        people = People(self.layout, self.where)
        people.joints = self._joints
        found: list[float | None] = []
        for unit in units:
            rows, seen = len(people.numbers), len(people.seen)
            for value in unit.content:
                add(people, value, NONE)
            given = dict.fromkeys([*people.numbers[rows:], *people.seen[seen:]])
            if len(given) > 1:
                frames = ", ".join("none" if each == NONE else str(each) for each in given)
                raise BadInput(self.where, f"has several frame numbers for one frame ({frames})", AGAIN)
            bodies = [self._id(body) for body in people.bodies[rows:]]
            if len(set(bodies)) < len(bodies):
                raise BadInput(self.where, "has one body twice in a frame", "give each body an id of its own")
            people.numbers[rows:] = [unit.order] * len(bodies)
            people.seen[seen:], people.bodies[rows:] = [unit.order], bodies
            found += [None if each == NONE else each for each in given] or [None]
        people.unknown = self._nameless(people, len(units))
        made = people.made()
        self._joints = people.joints
        return found, replace(made, frames=len(units), told=())

    def _id(self, body: Any) -> int:
        return body if isinstance(body, int) else self._ids.setdefault(str(body), len(self._ids))

    def _nameless(self, people: People, frames: int) -> list[str]:
        """What is to be told of keys that are not known: nothing, once somebody was seen, or as yet."""
        self._somebody |= bool(people.points)
        self._frames, self._unknown = self._frames + frames, [*self._unknown, *people.unknown][:NAMELESS]
        return self._unknown if not self._somebody and self._frames >= NAMELESS else []


class JsonLines(Form):
    """JSON with a frame a line: its people, or an array (V, C) or (M, V, C); or with a row of a table a line.

    A file that is there as a whole and has one line is what `formats.frames` takes it for, such as a list of frames.

    Args:
        layout: whose joints they are.
        where: the source, for messages.
        rests: whether it is there as a whole.
    """

    def __init__(self, layout: Layout, where: str, rests: bool) -> None:
        super().__init__(layout, where)
        self._wait = rests
        self._alone: list[tuple[int, Any]] = []
        self._crowd = Crowd(layout, where)
        self._records: Records | None = None
        self._asked = False
        self._group: list[Any] = []
        self._first = 0

    def take(self, line: int, text: str) -> Sequence[Unit]:
        """See `Form.take`."""
        if not text.strip():
            return ()
        try:
            value = from_json(text, self.at(line))
        except BadInput as error:
            several = text.strip() in ("[", "{", "[[", "[{")
            what = "is JSON over several lines" if several else f"{error.what}: {shortened(text, 60)}"
            remedy = "write a frame a line, or leave out that it is followed" if several else error.remedy
            raise BadInput(error.where, what, remedy) from None
        if self._wait and not self._alone:
            self._alone = [(line, value)]
            return ()
        if not self._wait and not self._asked and is_recording(value):
            what = "holds a whole recording in a line, and a pipe must have a frame a line"
            raise BadInput(self.at(line), what, "give it as a file, or write a frame a line")
        return self._begun(line, value)

    def _begun(self, line: int, value: Any) -> Sequence[Unit]:
        """Take a line behind one that was waited with."""
        first, self._alone, self._wait = self._alone, [], False
        return [unit for each in (*first, (line, value)) for unit in self._taken(*each)]

    def _taken(self, line: int, value: Any) -> Sequence[Unit]:
        if not self._asked:
            self._asked = True
            if isinstance(value, Mapping) and as_table([value]) is not None:
                self._records = Records(self.layout, self.where, [str(key) for key in value])
        if self._records is not None:
            if not isinstance(value, Mapping):
                raise BadInput(self.at(line), f"is no row of a table: {value!r:.60}", AGAIN)
            return self._records.row(line, value)
        if value is not None and not isinstance(value, (list, Mapping)):
            raise BadInput(self.at(line), f"holds {value!r:.60} in the place of a frame", NO_FRAMES)
        if isinstance(value, Mapping) and is_one_of_several(value):
            whole: Sequence[Unit] = ()
            if self._group and number_of(self._group[0]) != number_of(value):
                whole = self._whole()
            self._first = self._first if self._group else line
            self._group.append(value)
            return whole
        array = numbers(value) if isinstance(value, list) and value else None
        if array is not None and array.ndim > 2 and len(array) > MOST_BODIES:
            what = f"holds {len(array):,} poses, as a whole recording does and no frame"
            raise BadInput(self.at(line), what, "write a frame a line, or leave out that it is followed")
        if array is not None and array.size:
            return (*self._whole(), self.unit(line, array, array.shape))
        return (*self._whole(), self.unit(line, [value], PEOPLE))

    def _whole(self) -> Sequence[Unit]:
        """The frame of the people that came a line each."""
        group, self._group = self._group, []
        return (self.unit(self._first, group, PEOPLE),) if group else ()

    def end(self, line: int, cut: str, follow: bool) -> tuple[Sequence[Unit], str]:
        """See `Form.end`."""
        units: Sequence[Unit] = ()
        within = ""
        if cut.strip():
            try:
                value = from_json(cut, self.where)
            except BadInput:
                within = WITHIN
            else:
                if self._wait and not self._alone:
                    self._alone = [(line, value)]
                else:
                    units = self._begun(line, value)
        if self._alone:
            units = self._lone(*self._alone[0]) if not within else self._taken(*self._alone[0])
        if self._records is not None:
            rest, ends = self._records.end(line, "", follow)
            return (*units, *rest), within or ends
        return (*units, *self._whole()), within

    def _lone(self, line: int, value: Any) -> Sequence[Unit]:
        """The only line of a file: a whole recording, or a frame of OpenPose's."""
        if isinstance(value, Mapping) and isinstance(value.get("people"), list):
            return self._taken(line, value)
        return (self.unit(line, value, RECORDING),)

    def poses(self, units: Sequence[Unit]) -> tuple[list[float | None], Poses]:
        """See `Form.poses`."""
        if units[0].kind == RECORDING:
            clips = clips_of_json(units[0].content, self.layout, self.where)
            if len(clips) > 1:
                raise BadInput(self.where, f"holds {len(clips)} clips", WHOLE)
            return [None] * clips[0].frames, clips[0]
        if self._records is not None:
            return self._records.poses(units)
        if units[0].kind == PEOPLE:
            return self._crowd.poses(units, People.add)
        bodies_of(units[0].content[None], self.layout, self.where)  # several might pass for other axes
        x, told = bodies_of(np.stack([unit.content for unit in units]), self.layout, self.where)
        return [None] * len(units), replace(from_bodies(x), told=told)


def is_recording(value: Any) -> bool:
    """Whether what JSON says is certainly several frames and not one."""
    if isinstance(value, list):
        first = value[0] if value else None
        if isinstance(first, list) and first and isinstance(first[0], Mapping):
            return True
        return len({str(number_of(each)) for each in value if isinstance(each, Mapping)}) > 1
    if not isinstance(value, Mapping):
        return False
    table = {word(key): each for key, each in value.items()}
    named = any(isinstance(table.get(name), list) for name in ("images", "frames", "instance_info"))
    numbered = len(value) > 1 and all(str(key).isdecimal() for key in value)
    return named or numbered or any(isinstance(each, list) and is_recording(each) for each in value.values())
