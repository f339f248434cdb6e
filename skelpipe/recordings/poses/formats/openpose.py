"""OpenPose: one JSON a frame; a folder of these is one clip."""

from __future__ import annotations

import re

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Format, Opened, Poses
from skelpipe.recordings.poses.people import People

PEOPLE = re.compile(r'^\{\s*("version"\s*:[^,{\[]*,\s*)?"people"\s*:\s*\[')


def _is_openpose(opened: Opened) -> bool:
    return PEOPLE.match(opened.begins) is not None


def add_openpose(people: People, opened: Opened, number: int) -> None:
    """Take the people of one file.

    Raises:
        BadInput: it is damaged.
    """
    if not isinstance(opened.json, dict) or not isinstance(opened.json.get("people"), list):
        raise BadInput(opened.where, "is no frame of OpenPose", AGAIN)
    people.add({"people": opened.json["people"]}, number)


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    people = People(layout, opened.where)
    add_openpose(people, opened, 0)
    return [people.made()]


OPENPOSE = Format("OpenPose, a JSON a frame", _is_openpose, _read, ())
