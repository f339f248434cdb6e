"""The people of one image in a JSON, as MMPose predicts them for a folder of images; a folder of these is one clip."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import AGAIN, Format, Opened, Poses
from skelpipe.recordings.poses.people import People, depth
from skelpipe.recordings.poses.shapes import MOST_BODIES
from skelpipe.recordings.poses.words import FRAMES, LABELS, PEOPLE, POINTS, first_of, word

NUMBERED = re.compile(r"\d\D*\.json$", re.IGNORECASE)
BEGINS = re.compile(
    r'\[\s*(\[\s*)?[\]{]|\{\s*"(meta_info|instance_info|instances|predictions|keypoints|bbox|track_id)"'
)
LISTS = ("instance_info", *PEOPLE)
CHANNELS = 5  # numbers of a joint, at most


def _is_image(opened: Opened) -> bool:
    if not NUMBERED.search(opened.where) or BEGINS.match(opened.begins) is None:
        return False
    try:
        return _people(opened.json) is not None
    except BadInput:
        return False


def _people(content: Any) -> list[Any] | None:
    """The people of a file that is one frame; None where it is none."""
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], list):
        content = content[0]
    if isinstance(content, Mapping):
        table = {word(key): value for key, value in content.items()}
        if first_of(table, FRAMES) is not None:
            return None
        listed = next((table[name] for name in LISTS if isinstance(table.get(name), list) and _all(table[name])), None)
        return (
            listed if listed is not None else [content] if _all([content]) and first_of(table, LABELS) is None else None
        )
    return content if isinstance(content, list) and len(content) <= MOST_BODIES and _all(content) else None


def _all(some: list[Any]) -> bool:
    """Whether all of a list are people, one each, without a frame."""
    for each in some:
        table = {word(key): value for key, value in each.items()} if isinstance(each, Mapping) else {}
        key = first_of(table, POINTS)
        if key is None or first_of(table, FRAMES) is not None or not _one_pose(table[key]):
            return False
    return True


def _one_pose(value: Any) -> bool:
    """Whether this is a list of joints, or of the numbers of joints."""
    deep = depth(value)
    return deep < 2 or (deep == 2 and len(value[0]) <= CHANNELS)


def add_image(people: People, opened: Opened, number: int) -> None:
    """Take the people of one file.

    Raises:
        BadInput: it is damaged.
    """
    found = _people(opened.json)
    if found is None:
        raise BadInput(opened.where, "holds something else than the people of one image", AGAIN)
    people.add({"people": found}, number)


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    people = People(layout, opened.where)
    add_image(people, opened, 0)
    return [people.made()]


IMAGES = Format("people of an image, a JSON a frame", _is_image, _read, ())
