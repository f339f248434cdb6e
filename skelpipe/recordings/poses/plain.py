"""Clips in plain values: arrays and the mappings and lists around them, as .npz, pickles and JSON hold them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts.base import Layout
from skelpipe.recordings.datasets.own import COLUMN
from skelpipe.recordings.poses.base import MOST_FRAMES, Poses, as_label, from_bodies, from_rows, misfit
from skelpipe.recordings.poses.shapes import MOST_BODIES, bodies_of, numbers
from skelpipe.recordings.poses.words import COLUMNS, LABELS, NAMES, POINTS, RATES, RESERVED, SCORES, first_of, word

PREPARED = ("x_train", "x_test", "train_x", "test_x", "valid_x")
LENGTHS = ("length", "lengths", "frames", "num_frames", "total_frames")  # of clips one behind the other
ROW_FRAME, ROW_BODY = "row_frame", "row_body"  # of poses as our stores hold them, a row a body in a frame
PART = re.compile(r"(?P<of>.*?)_?(?P<part>train|val|test)")
DEEP = 3  # mappings in mappings
NOTHING = "name the array 'keypoints', and the class 'label'"


def clips_in(content: Any, layout: Layout, where: str, *, columns_first: bool = False) -> list[Poses]:
    """The clips in an array, a mapping or a list of these.

    Args:
        content: an array (F, V, C) or (F, M, V, C); a mapping with one under a name such as `keypoints`, and with
            `label`, `scores` and columns beside it; a mapping of lists of these; a list or a mapping of several; or
            PySKL's pickle.
        layout: whose joints they are.
        where: the file, for messages.
        columns_first: as of `shapes.bodies_of`.

    Raises:
        BadInput: none of these, or it does not fit the layout.
    """
    if isinstance(content, Mapping):
        table = {word(key): value for key, value in content.items()}
        if any(key in table for key in PREPARED):
            raise BadInput(where, "holds prepared arrays of train and test", "read it by 'skelpipe import'")
        if isinstance(table.get("annotations"), list):
            clips, parts = _many(table["annotations"], layout, where), _parts(table.get("split"))
            return [replace(clip, columns={**clip.columns, **parts.get(clip.name, {})}) for clip in clips]
        key = first_of(table, POINTS)
        key = _only_array(table) if key is None else key
        if key is None and len(table) == 1 and isinstance(alone := next(iter(table.values())), (list, Mapping)):
            return clips_in(alone, layout, where, columns_first=columns_first)
        if key is None:
            return _named(content, layout, where)
        if isinstance(table[key], Mapping):  # a struct in a struct
            return clips_in(table[key], layout, where, columns_first=columns_first)
        if (several := _lists(table, key, layout, where)) is not None:
            return several
        return [clip_of(table, key, layout, where, columns_first)]
    if isinstance(content, (list, tuple)) and _are_clips(content):
        return _many(content, layout, where)
    array = numbers(content)
    if array is None:
        raise BadInput(where, f"holds no array of coordinates but {_kind(content)}", NOTHING)
    x, told = bodies_of(array, layout, where, columns_first=columns_first)
    return [from_bodies(x, told=told)]


def clip_of(table: Mapping[str, Any], key: str, layout: Layout, where: str, columns_first: bool = False) -> Poses:
    """The clip that a mapping tells, its coordinates under `key`."""
    array, scores = numbers(table[key]), None
    if array is None:
        raise BadInput(where, f"{key} is no array of numbers", NOTHING)
    if (rows := _by_row(table, array, where)) is not None:
        return rows
    beside = first_of(table, SCORES)
    given = numbers(table[beside]) if beside is not None else None
    if given is not None and given.ndim and given.shape[-1:] == (1,):
        given = given[..., 0]
    if "frame_dir" in table and array.ndim == 4:  # PySKL's, bodies first
        array = array.transpose(1, 0, 2, 3)
        given = given.transpose(1, 0, 2) if given is not None and given.ndim == 3 else given
    if given is not None and given.ndim > 1 and given.shape == array.shape[:-1]:
        x, told = bodies_of(np.concatenate([array, given[..., None]], axis=-1), layout, where)
        x, scores = _apart(x, layout, where)
    elif given is not None and given.ndim > 1:
        shapes = f"{given.shape} beside coordinates {array.shape}"
        raise BadInput(where, f"{beside} has shape {shapes}", "give a score for each joint")
    else:
        x, told = bodies_of(array, layout, where, columns_first=columns_first)
    return from_bodies(x, scores, told=told, **_said(table, where))


def _said(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What a mapping says of its clip, as `Poses` has it: name, label and columns."""
    label = as_label(_text(table[name]), where) if (name := first_of(table, LABELS)) is not None else None
    called = _text(table[name]) if (name := first_of(table, NAMES)) is not None else ""
    return {"name": called if isinstance(called, str) else "", "label": label, "columns": columns_beside(table)}


def _by_row(table: Mapping[str, Any], array: npt.NDArray[Any], where: str) -> Poses | None:
    """The clip of an array (R, V, C) with the frame and the body of each row beside it, and how many frames there are.

    None of another array.
    """
    frames, bodies = table.get(ROW_FRAME), table.get(ROW_BODY)
    if not _of_rows(frames, array) or not _of_rows(bodies, array):
        return None
    if len(frames) and (frames.min() < 0 or frames.max() >= MOST_FRAMES):
        raise BadInput(where, f"has in {ROW_FRAME} what is no number of a frame", "number frames from 0")
    told = _scalar(table.get("frames"))
    count = max(int(frames.max(initial=-1)) + 1, min(told, MOST_FRAMES) if isinstance(told, int) else 0)
    called = first_of(table, SCORES)
    scores = numbers(table[called]) if called is not None else None
    if scores is not None and scores.shape != array.shape[:2]:
        raise BadInput(where, f"{called} has shape {scores.shape} beside {array.shape}", "give a score for each joint")
    return from_rows(where, frames, bodies, array, scores, seen=range(count), **_said(table, where))


def _of_rows(values: Any, array: npt.NDArray[Any]) -> TypeGuard[npt.NDArray[Any]]:
    whole = isinstance(values, np.ndarray) and values.dtype.kind in "iu" and values.ndim == 1
    return whole and array.ndim == 3 and len(values) == len(array)


def columns_beside(table: Mapping[str, Any]) -> dict[str, int | str]:
    """What is said of a clip: what people are divided by, its rate, and each number or text that is an array of one."""
    taken = {*LABELS, *NAMES, *LENGTHS, *SCORES, *POINTS}
    others = (name for name, value in table.items()
              if isinstance(value, np.ndarray) and value.size == 1 and name not in taken and COLUMN.fullmatch(name)
              and name not in RESERVED)  # fmt: skip
    found = {each: _scalar(table.get(each)) for each in dict.fromkeys([*COLUMNS, *RATES, *others])}
    return {name: value for name, value in found.items() if value is not None}


def _apart(x: npt.NDArray[Any], layout: Layout, where: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Coordinates and scores that stood behind them."""
    if x.shape[-1] != layout.coordinates + 1:
        joints = len(layout.joints)
        raise misfit(where, f"holds {joints} joints of {x.shape[-1] - 1} coordinates", layout, joints, x.shape[-1] - 1)
    return x[..., :-1], x[..., -1]


def _only_array(table: Mapping[str, Any]) -> str | None:
    """The one array of numbers with two axes and more."""
    found = [key for key, value in table.items()
             if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" and value.ndim > 1]  # fmt: skip
    return found[0] if len(found) == 1 else None


def _lists(table: Mapping[str, Any], key: str, layout: Layout, where: str) -> list[Poses] | None:
    """Several clips, one under the other, with as many labels; None if it is one clip."""
    values, beside = _cut(table, key), first_of(table, LABELS)
    labels = table[beside] if beside is not None else None
    labels = labels.tolist() if isinstance(labels, np.ndarray) else labels
    cut = values is not table[key]
    several = isinstance(labels, (list, tuple)) and hasattr(values, "__len__") and len(labels) == len(values) > 1
    if isinstance(values, np.ndarray) and (not several or values.ndim < 4):
        return None
    if not cut and not several and not (isinstance(values, (list, tuple)) and _are_clips(values)):
        return None
    if labels is not None and not several:
        what = f"has {len(values):,} clips and {len(labels) if isinstance(labels, (list, tuple)) else 1:,} labels"
        raise BadInput(where, what, "give a label for each clip")
    called = first_of(table, NAMES)
    names = table[called] if called is not None else [""] * len(values)
    names = names.tolist() if isinstance(names, np.ndarray) else names
    if not isinstance(names, (list, tuple)) or len(names) != len(values):
        raise BadInput(where, f"{called} does not name {len(values):,} clips", "give a name for each clip")
    wide = len(str(len(values) - 1))
    found = []
    for n, value in enumerate(values):
        one = {key: value, "label": labels[n] if labels is not None else None}
        one["name"] = str(names[n]) or f"{n:0{wide}}"
        found.append(clip_of(one, key, layout, where))
    return found


def _cut(table: Mapping[str, Any], key: str) -> Any:
    """The clips that lie one behind the other in an array, with their lengths beside it; else what is there."""
    values, beside = table[key], first_of(table, LENGTHS)
    lengths = table[beside] if beside is not None else None
    if not isinstance(values, np.ndarray) or not isinstance(lengths, np.ndarray) or lengths.dtype.kind not in "iu":
        return values
    if lengths.ndim != 1 or len(lengths) < 2 or lengths.min() < 0 or int(lengths.sum()) != len(values):
        return values
    return np.split(values, np.cumsum(lengths)[:-1])


def _are_clips(content: Sequence[Any]) -> bool:
    """Whether the items of a list are clips and not frames."""
    first = next((each for each in content if each is not None), None)
    if isinstance(first, np.ndarray):
        arrays = [np.shape(each) for each in content if each is not None]
        return all(len(shape) >= 3 for shape in arrays) and any(shape[0] > MOST_BODIES for shape in arrays)
    if not isinstance(first, Mapping):
        return False
    table = {word(key): value for key, value in first.items()}
    key = first_of(table, POINTS)
    return key is not None and isinstance(table[key], np.ndarray) and table[key].ndim >= 3


def _many(content: Sequence[Any], layout: Layout, where: str) -> list[Poses]:
    wide, found = len(str(max(len(content) - 1, 0))), []
    for n, each in enumerate(content):
        if each is None:  # as PySKL's script leaves a recording without bodies
            continue
        number = f"{n:0{wide}}"
        table = {word(key): value for key, value in each.items()} if isinstance(each, Mapping) else {"keypoints": each}
        key = first_of(table, POINTS)
        if key is None:
            raise BadInput(where, f"number {n} has no coordinates but {_kind(each)}", NOTHING)
        if table[key] is None:
            continue
        clip = clip_of(table, key, layout, where)
        found.append(clip if clip.name else _renamed(clip, number))
    return found


def _parts(split: Any) -> dict[str, dict[str, str]]:
    """By the names of clips what PySKL's lists say of them: {"xsub": "train"} of one that `xsub_train` names."""
    found: dict[str, dict[str, str]] = {}
    for called, names in split.items() if isinstance(split, Mapping) else ():
        part = PART.fullmatch(word(called))
        column = (part["of"] or "part") if part else ""
        if part is None or not COLUMN.fullmatch(column) or column in (*RESERVED, "name", "label"):
            continue
        for name in names if isinstance(names, (list, tuple)) else ():
            found.setdefault(str(name), {})[column] = part["part"]
    return found


def _named(content: Mapping[Any, Any], layout: Layout, where: str, deep: int = 0) -> list[Poses]:
    """Several clips by name, each an array or a mapping; those of a mapping in a mapping by both names."""
    found = []
    for name, value in content.items():
        if isinstance(value, Mapping):
            table = {word(key): each for key, each in value.items()}
            if (key := first_of(table, POINTS)) is not None:
                found.append(_renamed(clip_of(table, key, layout, where), str(name)))
            elif deep < DEEP:
                found += [_renamed(clip, f"{name}/{clip.name}") for clip in _named(value, layout, where, deep + 1)]
        elif isinstance(value, np.ndarray) and value.ndim > 1 and value.dtype.kind in "fiu":
            x, told = bodies_of(value, layout, where)
            found.append(from_bodies(x, told=told, name=str(name)))
    if not found and not deep:
        raise BadInput(where, f"holds no array of coordinates but {_kind(content)}", NOTHING)
    return found


def _renamed(clip: Poses, name: str) -> Poses:
    return replace(clip, name=name)


def _text(value: Any) -> Any:
    """A value that stands alone in an array, or the value itself; bytes as text."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(()).item()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _scalar(value: Any) -> int | str | None:
    value = _text(value)
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None if math.isnan(value) else f"{value:.7g}"
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        return None
    return value


def _kind(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a mapping of {shortened(', '.join(map(str, list(content)[:6])), 80) or 'nothing'}"
    if isinstance(content, (list, tuple)):
        return f"a list of {len(content):,}"
    return f"a {type(content).__name__}"
