"""JSON of frames: arrays, lists of people, CTR-GCN's NW-UCLA, MMPose's predictions, COCO results, Kinetics-skeleton."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from skelpipe.errors import BadInput
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import Format, Opened, Poses, as_label, from_bodies
from skelpipe.recordings.poses.columns import clips_of, header_of
from skelpipe.recordings.poses.people import People, depth
from skelpipe.recordings.poses.plain import clip_of, columns_beside
from skelpipe.recordings.poses.shapes import bodies_of, numbers
from skelpipe.recordings.poses.words import AXES, LABELS, LISTS, NAMES, POINTS, first_of, joint_key, word
from skelpipe.recordings.poses.words import FRAMES as FRAME_KEYS

if TYPE_CHECKING:
    import pandas as pd

NO_FRAMES = "give a list of frames, each with the keypoints of its people, or an array of numbers"


def _is_json(opened: Opened) -> bool:
    begins = opened.begins
    return begins[:1] in ("[", "{") and (begins[1:2].strip() == "" or begins[1] in '[{]}"-0123456789nN')


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    return clips_of_json(opened.json, layout, opened.where)


def clips_of_json(content: Any, layout: Layout, where: str) -> list[Poses]:
    """The clips of what a whole file of JSON says.

    Raises:
        BadInput: it holds no frames, or they do not fit the layout.
    """
    if (written := as_table(content)) is not None:
        return clips_of(written, layout, where)
    if isinstance(content, list) and are_clips(content):
        return clips_of_rows(content, layout, where)
    if isinstance(content, Mapping):
        several = [value for value in content.values() if isinstance(value, list) and are_clips(value)]
        if len(several) == 1:
            return clips_of_rows(several[0], layout, where)
        table = {word(key): value for key, value in content.items()}
        if isinstance(table.get("annotations"), list) and isinstance(table.get("images"), list):
            return [_coco(table, layout, where)]
        key = first_of(table, [*(name for name in LISTS if isinstance(table.get(name), list)), *POINTS])
        if key is None:
            return _by_name(content, layout, where)
        if key == "instance_info" and not any("instances" in each for each in table[key] if isinstance(each, Mapping)):
            table[key] = [{"people": table[key]}]  # MMPose's of a single image
        clip = _frames(table, key, layout, where)
        label = as_label(table[name], where) if (name := first_of(table, LABELS)) is not None else None
        columns = columns_beside(table)
        return [replace(clip, label=label, columns=columns)]
    return [_listed(content, layout, where)]


def as_table(content: Any) -> pd.DataFrame | None:
    """The table that pandas has written as JSON, by its rows or by its columns; None if it is none of coordinates."""
    columns: Sequence[Any] = ()
    if isinstance(content, Mapping):
        if isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):
            rows, called = content["data"], content["columns"]
            whole = all(isinstance(row, list) and len(row) == len(called) for row in rows)
            content = [dict(zip(map(str, called), row, strict=True)) for row in rows] if whole else content
        elif content and all(str(key).isdecimal() for key in content):
            content = [*content.values()]
    if isinstance(content, list) and content and all(isinstance(row, Mapping) for row in content):
        columns = list(content[0])
        plain = not any(isinstance(value, (list, Mapping)) for row in content for value in row.values())
    elif isinstance(content, Mapping) and all(isinstance(value, Mapping) for value in content.values()):
        columns = list(content)
        plain = not any(isinstance(value, (list, Mapping)) for row in content.values() for value in row.values())
    elif isinstance(content, Mapping) and all(depth(value) == 1 for value in content.values()):
        columns, plain = list(content), len({len(value) for value in content.values()}) == 1
    if not columns or not plain:
        return None
    header = header_of(list(map(str, columns)))
    if not header.has_poses or header.order:
        return None
    import pandas as pd

    return pd.DataFrame(content)


def are_clips(rows: Sequence[Any]) -> bool:
    """Whether the items of a list are clips, with a name or a label and all their frames, and not frames."""
    first = rows[0] if rows else None
    if not isinstance(first, Mapping):
        return False
    table = {word(key): value for key, value in first.items()}
    key = first_of(table, POINTS)
    known = first_of(table, (*LABELS, *NAMES)) is not None and first_of(table, FRAME_KEYS) is None
    return known and key is not None and depth(table[key]) >= 3


def clips_of_rows(rows: Sequence[Any], layout: Layout, where: str) -> list[Poses]:
    """The clips of a list of mappings, each with a name or a label."""
    wide, found = len(str(len(rows) - 1)), []
    for n, row in enumerate(rows):
        table = {word(key): value for key, value in row.items()} if isinstance(row, Mapping) else {}
        key = first_of(table, POINTS)
        if key is None:
            raise BadInput(where, f"clip {n} has no keypoints", NO_FRAMES)
        clip = _frames(table, key, layout, where)
        called = table.get(first_of(table, NAMES) or "")
        label = as_label(table[name], where) if (name := first_of(table, LABELS)) is not None else None
        columns = columns_beside(table)
        found.append(replace(clip, name=str(called) if called else f"{n:0{wide}}", label=label, columns=columns))
    return found


def _frames(table: Mapping[str, Any], key: str, layout: Layout, where: str) -> Poses:
    array = numbers(table[key])
    if array is not None and array.ndim > 1:
        return clip_of({**table, "label": None}, key, layout, where)
    return _listed(table[key], layout, where)


def _listed(frames: Any, layout: Layout, where: str) -> Poses:
    """A list of frames, of which each is what `People.add` takes; or an array."""
    if isinstance(frames, Mapping):  # by number
        frames = [{"frame": number, **each} if isinstance(each, Mapping) else {"frame": number, "people": each}
                  for number, each in frames.items()]  # fmt: skip
    if not isinstance(frames, list):
        raise BadInput(where, "holds no frames", NO_FRAMES)
    if frames and (array := numbers(frames)) is not None and array.ndim > 1 and array.size:
        x, told = bodies_of(array, layout, where)
        return from_bodies(x, told=told)
    if (written := as_table(frames)) is not None and len(clips := clips_of(written, layout, where)) == 1:
        return clips[0]
    people = People(layout, where)
    for n, frame in enumerate(frames):
        if frame is not None and not isinstance(frame, (list, Mapping)):
            raise BadInput(where, f"holds {frame!r:.60} in the place of frame {n}", NO_FRAMES)
        people.add(frame, n)
    return people.made()


def _coco(table: Mapping[str, Any], layout: Layout, where: str) -> Poses:
    """A COCO data set of one video: annotations with the id of their image, which may have a frame number."""
    people = People(layout, where)
    images = {}
    for n, image in enumerate(table["images"]):
        if isinstance(image, Mapping):
            images[image.get("id")] = image.get("frame_id", image.get("frame_index", n))
    for each in table["annotations"]:
        if isinstance(each, Mapping):
            people.add({**each, "image_id": images.get(each.get("image_id"), each.get("image_id")), "id": None}, 0)
    people.seen += [number for number in images.values() if isinstance(number, int)]
    return people.made()


def _is_frame(value: Any) -> bool:
    """Whether this is a mapping with a list of people."""
    return isinstance(value, Mapping) and any(
        isinstance(value.get(each), list) for each in ("people", "bodies", "instances")
    )


def _by_name(content: Mapping[str, Any], layout: Layout, where: str) -> list[Poses]:
    """Frames by their numbers, or several clips by name."""
    numbered = [re.fullmatch(r"\D*\d+\D{0,5}", str(key)) is not None for key in content]
    if content and all(str(key).isdecimal() or (each and _is_frame(value))
                       for (key, value), each in zip(content.items(), numbered, strict=True)):  # fmt: skip
        return [_listed(content, layout, where)]
    if (whole := _by_joint(content, layout)) is not None:
        return [whole]
    found = []
    for name, value in content.items():
        if isinstance(value, Mapping):
            table = {word(key): each for key, each in value.items()}
            key = first_of(table, POINTS)
            if key is None:
                continue
            clip = _frames(table, key, layout, where)
            label = as_label(table[each], where) if (each := first_of(table, LABELS)) is not None else None
            found.append(replace(clip, name=str(name), label=label))
        elif isinstance(value, list):
            found.append(replace(_listed(value, layout, where), name=str(name)))
    if not found:
        raise BadInput(where, "holds no frames", NO_FRAMES)
    return found


def _by_joint(content: Mapping[str, Any], layout: Layout) -> Poses | None:
    """The clip of a mapping that has under most of the layout's joints their places in all frames; else None."""
    known = {joint_key(name) for name in layout.joints}
    paths = {}
    for name, value in content.items():
        if joint_key(str(name)) in known:
            axes = [value[axis] for axis in AXES if axis in value] if isinstance(value, Mapping) else None
            array = numbers(value if axes is None else [list(each) for each in zip(*axes, strict=False)])
            if array is not None and array.ndim == 2:
                paths[str(name)] = array
    if 2 * len(paths) <= len(known) or len({array.shape for array in paths.values()}) > 1:
        return None
    return from_bodies(np.stack(list(paths.values()), axis=1)[:, None], joints=tuple(paths))


FRAMES = Format("JSON of frames", _is_json, _read, (".json",), labelled=True)
