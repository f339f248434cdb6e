"""Frames with people in them, as detectors write them in JSON: whatever they call what, a row per person per frame."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts import LAYOUTS
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Poses, from_rows, misfit
from skelpipe.recordings.poses.shapes import numbers
from skelpipe.recordings.poses.words import (
    AXES,
    BODIES,
    CONFIDENCE,
    FRAMES,
    PEOPLE,
    POINTS,
    SCORES,
    first_of,
    joint_key,
    word,
)

NAMED = ("name", "part", "joint", "keypoint", "bodypart", "label")  # of a joint that is a mapping
NAMED_JOINTS = "joints by name"  # a key that no file has
PLACES = ("position", "pos", "xyz", "xy", "coordinates", "coords", "location", "point")  # of such a joint
NAME_THEM = "call them 'keypoints', or name the joints as the layout does"
IMAGES = ("image_id", "img_id")  # an entry is a person, of which an image may have several
IN_PICTURE = "pose_keypoints_2d"
SPACE = 4  # numbers of a joint with its score
OF_OPENPOSE = ("pose_keypoints_3d", IN_PICTURE)


class People:
    """The people of the frames that are added, and what they make together."""

    def __init__(self, layout: Layout, where: str) -> None:
        self.layout, self.where = layout, where
        self.numbers: list[int] = []
        self.bodies: list[Any] = []
        self.points: list[Any] = []
        self.scores: list[Any] = []
        self.seen: list[int] = []
        self.joints: tuple[str, ...] | None = None
        self.unknown: list[str] = []
        self._known = {joint_key(name) for name in layout.joints}
        self._in_image: Counter[int] = Counter()

    def add(self, frame: Any, place: int) -> None:
        """Take what a frame holds: people, one person, or nobody.

        Args:
            frame: of plain values.
            place: its number, if it does not say one.
        """
        table = {word(key): value for key, value in frame.items()} if isinstance(frame, Mapping) else None
        if table is None:
            self._all(frame, place)
            return
        key = first_of(table, FRAMES)
        number = place if key is None else self._number(table[key])
        if key in IMAGES and (own := _points_key(table)) is not None and number is not None:
            self._person(table, own, number, self._in_image[number])
            self._in_image[number] += 1
            return
        number = place if number is None else number
        own = _points_key(table)
        people = next((each for each in PEOPLE if isinstance(table.get(each), list)
                       and (each != own or _are_people(table[each]))), None)  # fmt: skip
        if people is not None:
            self._all(table[people], number)
        elif own is not None:
            self._person(table, own, number, 0)
        elif (named := self._named(frame)) is not None:
            self._person({**table, NAMED_JOINTS: named}, NAMED_JOINTS, number, 0)
        else:
            self.seen.append(number)
            self.unknown += [str(key) for key, value in frame.items() if value and isinstance(value, (list, Mapping))]

    def _named(self, person: Mapping[str, Any]) -> dict[str, Any] | None:
        """What a mapping has under the names of the layout's joints, where it has most of these."""
        found = {str(name): value for name, value in person.items()
                 if isinstance(value, (list, Mapping)) and joint_key(str(name)) in self._known}  # fmt: skip
        return found if 2 * len(found) > len(self._known) else None

    def _all(self, people: Any, number: int) -> None:
        self.seen.append(number)
        if people is None or (isinstance(people, (list, tuple)) and not people):
            return
        if isinstance(people, (list, tuple)) and _are_people(people):
            for n, each in enumerate(people):
                if isinstance(each, Mapping):
                    table = {word(key): value for key, value in each.items()}
                    own = _points_key(table)
                    if own is None and (named := self._named(each)) is not None:
                        own, table = NAMED_JOINTS, {**table, NAMED_JOINTS: named}
                    if own is not None:
                        self._person(table, own, number, n)
                    else:
                        self.unknown += [str(key) for key in each]
                elif each is not None:
                    self._row(each, None, number, n)
            return
        self._row(people, None, number, 0)

    def _person(self, table: Mapping[str, Any], own: str, number: int, n: int) -> None:
        scores = next((table[name] for name in SCORES if isinstance(table.get(name), list)), None)
        key = first_of(table, BODIES)
        body = table[key] if key is not None else n
        body = body[0] if isinstance(body, list) and len(body) == 1 else body
        if not isinstance(body, (int, str)) or body == -1 or isinstance(body, bool):
            body = n
        if table[own] is None or (isinstance(table[own], (list, dict)) and not table[own]):
            self.seen.append(number)
            return
        if own == IN_PICTURE and depth(table[own]) == 1 and not len(table[own]) % 3:  # x, y and a score of each joint
            flat = table[own]
            self._row([list(joint) for joint in zip(flat[::3], flat[1::3], strict=True)], flat[2::3], number, body)
            return
        if depth(table[own]) == 3:  # the people of a frame in one array
            several: list[Any] = list(scores or ()) if depth(scores) >= 2 else [scores] * len(table[own])
            for m, points in enumerate(table[own]):
                self._row(points, several[m] if m < len(several) else None, number, body if len(table[own]) == 1 else m)
            return
        self._row(table[own], scores, number, body)

    def _row(self, points: Any, scores: Any, number: int, body: Any) -> None:
        if isinstance(points, Mapping) and isinstance(points.get("x"), list):  # an array for each axis
            axes = [axis for axis in AXES if isinstance(points.get(axis), list)]
            scores = next((points[each] for each in SCORES if isinstance(points.get(each), list)), scores)
            points = [list(joint) for joint in zip(*(points[axis] for axis in axes), strict=False)]
        if isinstance(points, Mapping):
            points = [{"name": name, **(each if isinstance(each, Mapping) else _xyz(each))}
                      for name, each in points.items()]  # fmt: skip
        if isinstance(points, list) and points and isinstance(points[0], Mapping):
            points = self._of_joints(points)
        self.numbers.append(number)
        self.bodies.append(body)
        self.points.append(points)
        self.scores.append(scores)

    def _of_joints(self, points: list[Any]) -> list[list[float]]:
        """Joints that are mappings, as lists."""
        tables = [{word(key): value for key, value in each.items()} if isinstance(each, Mapping) else {}
                  for each in points]  # fmt: skip
        if "x" not in tables[0] and (place := first_of(tables[0], PLACES)) is not None:
            tables = [{**table, **(_xyz(inner) if not isinstance(inner := table.get(place), Mapping) else inner)}
                      for table in tables]  # fmt: skip
        axes = [axis for axis in (*AXES, *CONFIDENCE) if axis in tables[0]]
        axes = [*[axis for axis in AXES if axis in axes], *[axis for axis in axes if axis not in AXES][:1]]
        key = first_of(tables[0], NAMED)
        if key is not None and isinstance(tables[0][key], str):
            names = tuple(str(table.get(key)) for table in tables)
            if self.joints not in (None, names):
                raise BadInput(self.where, "names its joints in several orders", "write all in one order")
            self.joints = names
        return [[table.get(axis) for axis in axes] for table in tables]  # type: ignore[misc]

    def _number(self, value: Any) -> int | None:
        if isinstance(value, bool):
            return None
        if isinstance(value, (int, float)):
            number = float(value)
            if abs(number) >= 2**53 or number != number:
                raise BadInput(self.where, f"has a frame number {shortened(str(value), 40)}", AGAIN)
            return int(number) if number.is_integer() else round(number * 1000)
        found = re.findall(r"\d{1,15}", str(value))
        return int(found[-1]) if found else None

    def made(self, **more: Any) -> Poses:
        """The clip that was added.

        Raises:
            BadInput: its people differ in their joints, or a frame is there twice.
        """
        if not self.points and self.unknown:
            names = shortened(", ".join(dict.fromkeys(self.unknown)), 120)
            joints = f"joints of layout {self.layout.name}"
            raise BadInput(self.where, f"has frames of {names}, in which there are no {joints}", NAME_THEM)
        points, scores = self._stacked()
        return from_rows(self.where, self.numbers, self.bodies, points, scores, seen=self.seen, joints=self.joints,
                         **more)  # fmt: skip

    def _stacked(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]:
        joints = len(self.layout.joints) if self.joints is None else len(self.joints)
        if not self.points:
            return np.zeros((0, len(self.layout.joints), self.layout.coordinates)), None
        points = numbers(self.points)
        if points is None:
            sizes = [None if (each := numbers(person)) is None else each.shape for person in self.points]
            (usual, _), *_ = Counter(sizes).most_common(1)
            n = next((n for n, size in enumerate(sizes) if size is None or size != usual), 0)
            what = f"frame {self.numbers[n]} has keypoints unlike the others'"
            raise BadInput(self.where, what, "write all people with the same joints")
        while points.ndim > 3 and points.shape[1] == 1:  # a person in a list of its own
            points = points[:, 0]
        if points.ndim == 2 and points.shape[1] and not points.shape[1] % joints:
            points = points.reshape(len(points), joints, -1)
        if points.ndim != 3 or points.shape[1] != joints or not 1 < points.shape[2] <= 5:
            width = int(np.prod(points.shape[1:]))
            likely = points.shape[1] if points.ndim == 3 else _likely(width, self.layout)
            told = f"{likely} joints" if likely else f"{width} numbers"
            raise misfit(self.where, f"holds people of {told}", self.layout, likely)
        return points, self._scored(points)

    def _scored(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
        if all(each is None for each in self.scores):
            return None
        nothing = [float("nan")] * points.shape[1]
        scores = numbers([nothing if each is None else each for each in self.scores])
        scores = scores[:, 0] if scores is not None and scores.ndim == 3 and scores.shape[1] == 1 else scores
        scores = scores[..., 0] if scores is not None and scores.ndim == 3 and scores.shape[2] == 1 else scores
        if scores is None or scores.shape != points.shape[:2]:
            raise BadInput(self.where, "has scores that are not one for each joint", "give a score for each joint")
        return scores


def is_one_of_several(frame: Mapping[str, Any]) -> bool:
    """Whether this is a person of a numbered frame, of which there may be others beside it."""
    table = {word(key): value for key, value in frame.items()}
    key, own = first_of(table, FRAMES), _points_key(table)
    if key is None or own is None or any(isinstance(table.get(each), list) and each != own for each in PEOPLE):
        return False
    return key in IMAGES or first_of(table, BODIES) is not None


def number_of(frame: Mapping[str, Any]) -> Any:
    """What a frame says is its number; None if nothing."""
    table = {word(key): value for key, value in frame.items()}
    key = first_of(table, FRAMES)
    return None if key is None else table[key]


def _points_key(table: Mapping[str, Any]) -> str | None:
    """Under which key a person's joints are."""
    for key in (*OF_OPENPOSE, *POINTS):
        if isinstance(table.get(key), (list, dict)):
            return key
    return None


def _are_people(some: list[Any] | tuple[Any, ...]) -> bool:
    """Whether the items of a list are people, and not joints or numbers."""
    first = next((each for each in some if each is not None), None)
    if isinstance(first, Mapping):
        table = {word(key) for key in first}
        return not ({"x", "y"} <= table or _is_joint(first))
    deep = depth(first)
    return deep >= 2 or (deep == 1 and isinstance(first[0] if first else None, Mapping))


def _is_joint(value: Mapping[str, Any]) -> bool:
    """Whether this is a joint with its name and where it is, and no person."""
    table = {word(key): each for key, each in value.items()}
    place = next((table[name] for name in PLACES if name in table), None)
    flat = depth(place) == 1 and isinstance(place, (list, tuple)) and len(place) <= SPACE
    return first_of(table, NAMED) is not None and (flat or (isinstance(place, Mapping) and "x" in place))


def depth(value: Any) -> int:
    """How many lists are inside one another, by their first items."""
    deep = 0
    while isinstance(value, (list, tuple)):
        value, deep = (value[0] if value else None), deep + 1
    return deep


def _xyz(value: Any) -> dict[str, Any]:
    """A joint's numbers by axis; that a third in a picture is a score is told later."""
    if not isinstance(value, (list, tuple)):
        return {}
    return dict(zip(("x", "y", "z", "score"), value, strict=False))


def _likely(width: int, layout: Layout) -> int | None:
    """How many joints so many numbers are: as many as a layout has, if they can be."""
    channels = [c for c in (layout.coordinates + 1, layout.coordinates, 3, 2) if width and not width % c]
    known = {len(each.joints) for each in LAYOUTS.values()}
    return next((width // c for c in channels if width // c in known), width // channels[0] if channels else None)
