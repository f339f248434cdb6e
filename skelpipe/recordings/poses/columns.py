"""Tables of coordinates: long, a row a joint; or wide, a row a body, with coordinates in named or nameless columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import SORTED, Poses, as_label, from_rows, misfit
from skelpipe.recordings.poses.words import (
    AXES,
    BODIES,
    COLUMNS,
    CONFIDENCE,
    FRAMES,
    JOINTS,
    LABELS,
    NAMES,
    first_of,
    number_in,
    word,
)

if TYPE_CHECKING:
    import pandas as pd

SCORE = 3  # behind x, y and z
AXIS = {**AXES, **dict.fromkeys(CONFIDENCE, SCORE)}
ENDS = "|".join(sorted(map(re.escape, AXIS), key=len, reverse=True))
BEHIND = re.compile(rf"^(?P<joint>.*?)[\s_.:\-]?(?P<axis>{ENDS})$", re.IGNORECASE)
BEFORE = re.compile(rf"^(?P<axis>{ENDS})[\s_.:\-]?(?P<joint>.+)$", re.IGNORECASE)
LABELLED = tuple(name for name in LABELS if name not in AXIS)
COORDINATES = "name the columns frame, body, joint, x, y and z, or frame and coordinates such as nose_x and nose_y"
INDEX = re.compile(r"(unnamed: ?\d+|index|level_\d+|)", re.IGNORECASE)  # which pandas writes beside the columns
FEWEST = 4  # columns of coordinates in a wide table


@dataclass(frozen=True)
class Header:
    """What the columns of a table are.

    Attributes:
        roles: frame, body, joint, clip and label -> the column, as it is called in the table.
        axes: of a long table: x, y, z and score -> the column.
        places: of a wide table: (joint, axis) -> the column.
        order: of a table without names of coordinates: the columns of numbers in order.
        others: what else stands beside them, as `COLUMNS` has it.
    """

    roles: dict[str, str]
    axes: dict[int, str]
    places: dict[tuple[str, int], str]
    order: tuple[str, ...]
    others: dict[str, str]

    @property
    def has_poses(self) -> bool:
        """Whether the columns are those of poses at all."""
        long = "joint" in self.roles and {0, 1} <= set(self.axes)
        return long or len(self.places) >= FEWEST or len(self.order) >= 2 * FEWEST


def header_of(names: Sequence[str]) -> Header:
    """What columns of these names are."""
    words: dict[str, str] = {}
    for name in names:
        words.setdefault(word(name), str(name))
    roles: dict[str, str] = {}
    for role, called in (("joint", JOINTS), ("frame", FRAMES), ("body", BODIES), ("label", LABELLED), ("clip", NAMES)):
        if (found := first_of(words, called)) is not None and words[found] not in roles.values():
            roles[role] = words[found]
    axes = {AXIS[each]: name for each, name in reversed(words.items()) if each in AXIS}
    if "joint" in roles and {0, 1} <= set(axes):
        return Header(roles, axes, {}, (), _others(words, roles))
    taken = set(roles.values()) - ({roles["joint"]} if "joint" in roles else set())
    roles.pop("joint", None)
    places: dict[tuple[str, int], str] = {}
    for name in map(str, names):
        if name not in taken and (place := _place(name)) is not None:
            places.setdefault(place, name)
    joints = {joint for joint, _ in places}
    if 2 * sum((joint, 0) in places and (joint, 1) in places for joint in joints) < len(joints):
        places = {}
    others = _others(words, roles)
    left = tuple(name for name in map(str, names) if name not in taken and name not in others.values()
                 and not INDEX.fullmatch(name))  # fmt: skip
    return Header(roles, {}, places, () if places else left, others)


def _others(words: dict[str, str], roles: dict[str, str]) -> dict[str, str]:
    return {each: words[each] for each in COLUMNS if each in words and words[each] not in roles.values()}


def _place(name: str) -> tuple[str, int] | None:
    """The joint and the axis that a column is of; None if its name says none."""
    found = BEHIND.match(name.strip())
    if found is not None and found["joint"] and not (found["joint"].isalpha() and name.isalpha() and name.islower()):
        return found["joint"].strip(" _.:-"), AXIS[found["axis"].lower()]
    found = BEFORE.match(name.strip())
    if found is not None and (number_in(found["joint"]) is not None or not name.isalpha()):
        return found["joint"].strip(" _.:-"), AXIS[found["axis"].lower()]
    return None


def clips_of(table: pd.DataFrame, layout: Layout, where: str) -> list[Poses]:
    """The clips of a table: one, or those that its column of names tells apart.

    Raises:
        BadInput: its columns are not those of poses, or do not fit the layout.
    """
    table.columns = [str(name) for name in table.columns]
    header = header_of(list(table.columns))
    if not header.has_poses:
        shown = shortened(", ".join(table.columns), 120)
        raise BadInput(where, f"has no columns of coordinates ({shown})", COORDINATES)
    if not len(table):
        raise BadInput(where, "has no rows", "write the file again")
    clip = header.roles.get("clip")
    if clip is None or clip == header.roles.get("body"):
        return [_clip(table, header, layout, where, "")]
    groups = table.groupby(table[clip].astype(str), sort=True)
    if len(groups) == 1:
        return [_clip(table, header, layout, where, str(table[clip].iloc[0]))]
    return [_clip(part, header, layout, f"{where}, {name}", str(name)) for name, part in groups]


def bodies_in(table: pd.DataFrame, header: Header, layout: Layout, where: str) -> Poses:
    """The bodies of one clip, whatever else its columns say.

    Raises:
        BadInput: they do not fit the layout.
    """
    return (_long if header.axes else _wide)(table, header, layout, where)


def _clip(table: pd.DataFrame, header: Header, layout: Layout, where: str, name: str) -> Poses:
    made = bodies_in(table, header, layout, where)
    label = _alone(table, header.roles.get("label"), where)
    columns = {each: _alone(table, called, where) for each, called in header.others.items()}
    kept = {each: value for each, value in columns.items() if value is not None}
    return replace(made, name=name, label=as_label(label, where), columns=kept)


def _alone(table: pd.DataFrame, column: str | None, where: str) -> Any:
    """The one value of a column of a clip."""
    if column is None:
        return None
    values = table[column].dropna().unique()
    if len(values) > 1:
        raise BadInput(where, f"has {len(values)} values of {column} in one clip", "give each clip one")
    return as_label(values[0], where) if len(values) else None


def _long(table: pd.DataFrame, header: Header, layout: Layout, where: str) -> Poses:
    frames, bodies = _frames(table, header, where), _bodies(table, header)
    names = [str(int(each)) if isinstance(each, float) and each.is_integer() else str(each)
             for each in table[header.roles["joint"]].unique()]  # fmt: skip
    codes = table[header.roles["joint"]].map({each: n for n, each in enumerate(table[header.roles["joint"]].unique())})
    joint = codes.to_numpy()
    if np.isnan(joint.astype(np.float64)).any():
        raise BadInput(where, "has rows without a joint", "name the joint of each row")
    joint = joint.astype(np.int64)
    rows, row = np.unique(np.stack([frames, bodies], axis=1), axis=0, return_inverse=True)
    row = row.reshape(-1)
    place = row * len(names) + joint
    if len(np.unique(place)) != len(place):
        values, counts = np.unique(place, return_counts=True)
        twice = int(values[counts > 1][0])
        what = f"has {names[twice % len(names)]} twice in frame {rows[twice // len(names), 0]} of one body"
        raise BadInput(where, what, "give each joint of a body once a frame")
    axes = [axis for axis in (0, 1, 2) if axis in header.axes]
    values = _numbers(table, [header.axes[axis] for axis in axes], where)
    points = np.full((len(rows), len(names), len(axes)), np.nan)
    points[row, joint] = values
    scores = None
    if SCORE in header.axes:
        scores = np.full((len(rows), len(names)), np.nan)
        scores[row, joint] = _numbers(table, [header.axes[SCORE]], where)[:, 0]
    group = bodies.astype(np.int64) * len(names) + joint  # rows may come joint by joint
    order = np.argsort(group, kind="stable")
    sorted_ = (np.diff(frames[order]) > 0) | (np.diff(group[order]) != 0)
    told = [] if sorted_.all() else [SORTED]
    made = from_rows(where, rows[:, 0], rows[:, 1], points, scores, told=told)
    return replace(made, joints=tuple(names))


def _wide(table: pd.DataFrame, header: Header, layout: Layout, where: str) -> Poses:
    numbers = np.arange(len(table)) if "frame" not in header.roles else _frames(table, header, where)
    bodies = _bodies(table, header)
    if not header.places:
        values, joints = _numbers(table, header.order, where), len(layout.joints)
        channels = next((c for c in (layout.coordinates, layout.coordinates + 1) if values.shape[1] == joints * c), 0)
        if not channels:
            likely, rest = divmod(values.shape[1], layout.coordinates)
            what = f"has {values.shape[1]} columns of numbers"
            raise misfit(where, what, layout, None if rest else likely)
        return from_rows(where, numbers, bodies, values.reshape(len(values), joints, channels))
    names = list(dict.fromkeys(joint for joint, _ in header.places))
    axes = sorted({axis for _, axis in header.places})
    if lacking := [(n, a) for n in names for a in axes if (n, a) not in header.places]:
        missing = {SCORE: "score"}.get(lacking[0][1], "xyz_"[lacking[0][1]])
        raise BadInput(where, f"has no {missing} of {shortened(lacking[0][0], 60)}", COORDINATES)
    values = _numbers(table, [header.places[n, a] for n in names for a in axes], where)
    values = values.reshape(len(values), len(names), len(axes))
    scored = axes[-1] == SCORE
    scores = values[..., -1] if scored else None
    made = from_rows(where, numbers, bodies, values[..., : len(axes) - scored], scores)
    return replace(made, joints=tuple(names))


def _numbers(table: pd.DataFrame, columns: Sequence[str], where: str) -> npt.NDArray[np.float64]:
    import pandas as pd

    made = []
    for name in columns:
        try:
            made.append(pd.to_numeric(table[name]).to_numpy(np.float64, na_value=np.nan))
        except (ValueError, TypeError, OverflowError):
            what = f"has something else than numbers in column {shortened(name, 60)}"
            commas = table[name].astype(str).str.fullmatch(r"-?[\d.]*,\d+").any()
            remedy = "write decimal points" if commas else "give numbers, and leave empty what is not known"
            raise BadInput(where, what, remedy) from None
    return np.stack(made, axis=1)


def _frames(table: pd.DataFrame, header: Header, where: str) -> npt.NDArray[np.int64]:
    """Frame numbers; of times in fractions of a second or with digits in a file's name their order."""
    values = frame_values(table, header, where)
    if (values == np.round(values)).all():
        return values.astype(np.int64)
    found: npt.NDArray[np.int64] = np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)
    return found


def frame_values(table: pd.DataFrame, header: Header, where: str) -> npt.NDArray[np.float64]:
    """The numbers in the column of frames, times in fractions of a second included.

    Raises:
        BadInput: there is no such column, or no number in a row.
    """
    import pandas as pd

    column = table[header.roles["frame"]] if "frame" in header.roles else None
    if column is None:
        raise BadInput(where, "has no column of frames", COORDINATES)
    if column.dtype == object or pd.api.types.is_string_dtype(column):
        column = column.astype(str).str.extract(r"(\d{1,15})\D*$", expand=False)
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if not np.isfinite(values).all() or (np.abs(values) >= 2**53).any():
        raise BadInput(where, "has rows without a frame number", "number the frame of each row")
    return values


def _bodies(table: pd.DataFrame, header: Header) -> npt.NDArray[np.int64]:
    import pandas as pd

    if "body" not in header.roles:
        return np.zeros(len(table), np.int64)
    column = table[header.roles["body"]]
    if pd.api.types.is_integer_dtype(column) and not column.isna().any():
        return column.to_numpy(np.int64)
    return pd.factorize(column.astype(str))[0].astype(np.int64)
