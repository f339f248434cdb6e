"""Several people in a video, by a detector that knows of one: who is who from frame to frame.

A person has a detector of its own. The picture that it is shown has the boxes of all others painted over, except for
what lies in the person's own box, so that it has nobody else to go to. Where there are fewer people than are looked
for, a further detector is shown now and then a picture with everybody painted over: whom it finds is new.

- A person is the same as long as its box stays where it was. If it is at once somewhere else, or of another size, it is
  another person: the old one ends, and the new one gets a new id. No id is given twice.
- Who was not found for a second ends, and until then keeps the box, so that the same person comes back to the same id.
- If two detectors have come upon the same person, which their joints tell, the younger of the two ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from skelpipe.layouts.mediapipe33 import MEDIAPIPE33

Picture = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Box = npt.NDArray[np.float64]  # left, top, right, bottom in pixels

MARGIN, ABOVE = 0.1, 0.15  # around the joints, of the larger side; and above them, as no joint is on top of the head
STEP, GROWTH = 0.5, 3.0  # how far a box moves until it is found again, in larger sides; and how much it grows
TWIN = 0.15  # mean distance of the joints of two that are one, in larger sides
TRUNK = [MEDIAPIPE33.joints.index(f"{side} {joint}") for side in ("left", "right") for joint in ("shoulder", "hip")]
SURE = 0.5  # mean visibility of the trunk's corners, of whom is new


class Found(NamedTuple):
    """One person in one picture, in the 33 joints of layout mediapipe33.

    Attributes:
        world: (33, 3) metres from between the hips: x to the right, y up, z towards the camera.
        image: (33, 2) pixels: x to the right, y down; some may be guessed beyond the edges.
        visibility: (33,) 0 to 1, how likely each is to be seen.
    """

    world: Floats
    image: Floats
    visibility: Floats


class Body(NamedTuple):
    """A person in a frame: an id, from 0, that nobody else in the video has, and the joints as `Found` has them."""

    id: int
    world: Floats
    image: Floats
    visibility: Floats


class Seen(NamedTuple):
    """A frame: its number, from 0, among those that were looked at; and its people, the oldest first."""

    frame: int
    bodies: tuple[Body, ...]


class Detector(Protocol):
    """What finds one person in a picture (H, W, 3) of red, green and blue, and then follows that person."""

    def find(self, picture: Picture) -> Found | None:
        """The person in the next picture, or None."""

    def reset(self) -> None:
        """Forget whom it followed."""

    def close(self) -> None:
        """Give back what it holds; it is not used any more."""


@dataclass(eq=False)
class _Person:
    """Somebody who is followed; `id` is given when it is first told of, `missing` counts frames since it was found."""

    detector: Detector
    found: Found
    box: Box
    id: int | None = None
    missing: int = 0


def follow(
    pictures: Iterable[Picture], make: Callable[[], Detector], *, people: int, look: int, lost: int
) -> Iterator[Seen]:
    """Tell frame by frame who is where.

    Args:
        pictures: (H, W, 3) each.
        make: makes a detector; as many are made as people are there at a time, and one that looks for the next.
        people: the most at a time.
        look: after how many frames somebody new is looked for, while others are there.
        lost: after how many frames without being found a person ends.
    """
    crowd = _Crowd(make, people, look, lost)
    try:
        for frame, picture in enumerate(pictures):
            yield Seen(frame, crowd.next(frame, picture))
    finally:
        crowd.close()


class _Crowd:
    """The people of one video, the oldest first."""

    def __init__(self, make: Callable[[], Detector], most: int, look: int, lost: int) -> None:
        self.make, self.most, self.look, self.lost = make, most, look, lost
        self.people: list[_Person] = []
        self.idle: list[Detector] = []
        self.ids = 0

    def next(self, frame: int, picture: Picture) -> tuple[Body, ...]:
        """Who is in the next picture."""
        for person in list(self.people):
            self._follow(person, picture)
        self._end_twins()
        if not self.people or frame % self.look == 0:
            while len(self.people) < self.most and self._look(picture):
                pass
        return tuple(self._told(person) for person in self.people if not person.missing)

    def close(self) -> None:
        """Close all detectors."""
        for detector in [*self.idle, *(person.detector for person in self.people)]:
            detector.close()

    def _follow(self, person: _Person, picture: Picture) -> None:
        others = [other.box for other in self.people if other is not person]
        found = person.detector.find(painted(picture, others, person.box))
        if found is None:
            person.missing += 1
            if person.missing > self.lost:
                self._end(person)
            return
        box = box_of(found.image)
        if not _near(person.box, box):  # somebody else
            self.people.remove(person)
            person = _Person(person.detector, found, box)
            self.people.append(person)
        person.found, person.box, person.missing = found, box, 0

    def _end_twins(self) -> None:
        there = [person for person in self.people if not person.missing]
        for n, younger in enumerate(there):
            if any(older in self.people and are_one(older.found, younger.found) for older in there[:n]):
                self._end(younger)

    def _look(self, picture: Picture) -> bool:
        """Look for somebody new, and whether there was one."""
        detector = self.idle.pop() if self.idle else self.make()
        found = detector.find(painted(picture, [person.box for person in self.people]))
        known = [person.found for person in self.people]
        if found is None or found.visibility[TRUNK].mean() < SURE or any(are_one(each, found) for each in known):
            if found is not None:
                detector.reset()
            self.idle.append(detector)
            return False
        self.people.append(_Person(detector, found, box_of(found.image)))
        return True

    def _end(self, person: _Person) -> None:
        self.people.remove(person)
        person.detector.reset()
        self.idle.append(person.detector)

    def _told(self, person: _Person) -> Body:
        if person.id is None:
            person.id, self.ids = self.ids, self.ids + 1
        return Body(person.id, *person.found)


def box_of(image: Floats) -> Box:
    """The box around the joints (33, 2) of a person, with a margin."""
    low, high = image.min(axis=0).astype(np.float64), image.max(axis=0).astype(np.float64)
    margin = MARGIN * (high - low).max()
    above = ABOVE * (high - low)[1]
    return np.array([low[0] - margin, low[1] - margin - above, *(high + margin)])


def painted(picture: Picture, boxes: Sequence[Box], own: Box | None = None) -> Picture:
    """The picture with all boxes in its mean colour, but for what lies in the box `own`."""
    if not boxes:
        return picture
    made, paint = picture.copy(), picture[::8, ::8].mean(axis=(0, 1)).astype(np.uint8)
    for box in boxes:
        made[_inside(box, picture)] = paint
    if own is not None:
        made[_inside(own, picture)] = picture[_inside(own, picture)]
    return made


def are_one(a: Found, b: Found) -> bool:
    """Whether two findings are of one person, whichever side of it was taken for the left."""
    size = max(_size(box_of(a.image)), 1.0)
    turned = b.image[list(MEDIAPIPE33.mirror)]
    distance = min(float(np.linalg.norm(a.image - other, axis=1).mean()) for other in (b.image, turned))
    return distance < TWIN * size


def _near(before: Box, now: Box) -> bool:
    """Whether the person of one box can be that of the next."""
    sizes = sorted([max(_size(before), 1.0), max(_size(now), 1.0)])
    moved = np.linalg.norm((before[:2] + before[2:] - now[:2] - now[2:]) / 2)
    return bool(moved <= STEP * sizes[1] and sizes[1] <= GROWTH * sizes[0])


def _size(box: Box) -> float:
    return float((box[2:] - box[:2]).max())


def _inside(box: Box, picture: Picture) -> Any:
    """The part of a picture that a box covers, as an index."""
    height, width = picture.shape[:2]
    left, top = (int(max(0, edge)) for edge in np.floor(box[:2]))
    right, bottom = (int(max(0, edge)) for edge in np.ceil(box[2:]))
    return slice(top, min(bottom, height)), slice(left, min(right, width))
