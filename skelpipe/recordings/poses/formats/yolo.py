"""YOLO-pose: a text a frame, a line a person: class, box, keypoints; a folder of these is one clip."""

from __future__ import annotations

import re

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Format, Opened, Poses, misfit
from skelpipe.recordings.poses.people import People

BOX = 5  # the class, and the box as centre, width and height
NUMBERED = re.compile(r"\d+\.txt$", re.IGNORECASE)


def _is_yolo(opened: Opened) -> bool:
    if not NUMBERED.search(opened.where):
        return False
    lines = [line.split() for line in opened.begins.splitlines() if line.strip()][:1]
    return bool(lines) and len(lines[0]) >= BOX + 10 and lines[0][0].isdigit() and all(map(_is_share, lines[0][1:BOX]))


def _is_share(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


def add_yolo(people: People, opened: Opened, number: int) -> None:
    """Take the people of one file: keypoints x, y and, if there are so many numbers, a score each; then the box's
    score and the track, where these are.

    Raises:
        BadInput: a line has other numbers.
    """
    joints = len(people.layout.joints)
    people.seen.append(number)
    for n, line in enumerate(line for line in opened.text.splitlines() if line.strip()):
        try:
            values = [float(each) for each in line.split()]
        except ValueError:
            raise BadInput(opened.where, "has a line of something else than numbers", AGAIN) from None
        rest = len(values) - BOX
        channels = next((c for c in (3, 2) if joints * c <= rest <= joints * c + 2), None)
        if channels is None:
            likely = next((rest // c for c in (3, 2) if rest > 0 and not rest % c), None)
            raise misfit(opened.where, f"has a line of {len(values)} numbers", people.layout, likely)
        end = BOX + joints * channels
        points = np.array(values[BOX:end]).reshape(joints, channels)
        body = int(values[-1]) if len(values) == end + 2 and values[-1].is_integer() else n
        people.add({"people": [{"keypoints": points.tolist(), "track_id": body}]}, number)


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    people = People(layout, opened.where)
    add_yolo(people, opened, 0)
    return [people.made()]


YOLO = Format("YOLO-pose, a text a frame", _is_yolo, _read, ())
