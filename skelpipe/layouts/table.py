"""A joint layout as a table of plain values, as YAML and the attributes of a folder hold it: read, and checked."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from skelpipe.errors import BadInput, shortened, suggest
from skelpipe.layouts.base import Layout

KEYS = ("name", "joints", "centre", "shoulders", "torso", "parts", "coordinates", "confidence")
NEEDED = ("name", "joints", "centre", "shoulders")
OF_JOINT = ("name", "parent", "mirror")
MOST_JOINTS, LONGEST_NAME = 1000, 64
CONFIDENCE = "+confidence"  # behind the name of a layout: the same, with the detector's confidence behind x, y, z

Where = str | os.PathLike[str]
Joints = tuple[int, ...]


def read_table(table: object, where: Where) -> Layout:
    """Make a layout of its table, the form of which the package's docstring tells.

    Args:
        table: what `load_yaml` gives, or `Layout.as_table`.
        where: what a mistake is reported of.

    Raises:
        BadInput: the first mistake that is found, in one line.
    """
    told = _mapping(table, "the layout", KEYS, NEEDED, where)
    names, parents, mirror = _joints(told["joints"], where)
    find = _Finder({name: v for v, name in enumerate(names)}, where)
    sides = _mapping(told["shoulders"], "shoulders", ("right", "left"), ("right", "left"), where)
    right, left = (find.joints(sides[side], f"shoulders.{side}") for side in ("right", "left"))
    if set(right) == set(left):
        raise BadInput(where, "the right and the left shoulder are the same", "name the joints of each side")
    if {mirror[v] for v in right} != set(left):
        what = f"the mirror of shoulders.right ({', '.join(names[v] for v in right)}) is not shoulders.left"
        raise BadInput(where, what, "name joints on the one side, and their mirrors on the other")
    coordinates, confidence = told.get("coordinates", 3), told.get("confidence", False)
    if coordinates not in (2, 3) or not isinstance(coordinates, int):
        raise BadInput(where, f"coordinates is {shortened(repr(coordinates), 40)}", "give 2 (x, y) or 3 (x, y, z)")
    if not isinstance(confidence, bool):
        raise BadInput(where, f"confidence is {shortened(repr(confidence), 40)}", "give true or false")
    name = _name(told["name"], "the layout's name", where)
    if not re.fullmatch(r"[\w.-]+", name.removesuffix(CONFIDENCE) if confidence else name):
        raise BadInput(where, f"{name!r} is no name for a layout", "use letters, digits, '_', '-' and '.'")
    return Layout(
        name=name,
        joints=names,
        parents=parents,
        mirror=mirror,
        centre=find.joints(told["centre"], "centre"),
        shoulders=(right, left),
        torso=find.joints(told.get("torso", []), "torso", empty=True),
        parts=_parts(told.get("parts", {}), find, where),
        coordinates=coordinates,
        confidence=confidence,
    )


class _Finder:
    """Joint numbers by name."""

    def __init__(self, number: dict[str, int], where: Where) -> None:
        self.number, self.where = number, where

    def joint(self, name: object, role: str) -> int:
        if isinstance(name, str) and name in self.number:
            return self.number[name]
        shown = shortened(str(name), LONGEST_NAME)
        raise BadInput(self.where, f"the {role}, {shown!r}, is no joint", suggest(shown, self.number))

    def joints(self, names: object, role: str, *, empty: bool = False) -> Joints:
        if not isinstance(names, list) or not (names or empty):
            raise BadInput(self.where, f"{role} is no list of joints", "list the names of the joints")
        found = tuple(self.joint(name, f"joint in {role}") for name in names)
        if len(set(found)) < len(found):
            raise BadInput(self.where, f"{role} has a joint twice", "name each joint once")
        return found


def _joints(listed: object, where: Where) -> tuple[tuple[str, ...], Joints, Joints]:
    """Names, parents and mirror of the joints."""
    if not isinstance(listed, list) or not 2 <= len(listed) <= MOST_JOINTS:
        raise BadInput(where, f"joints is no list of 2 to {MOST_JOINTS} joints", "list {name, parent, mirror} of each")
    rows = [_mapping(row, f"joint {n}", OF_JOINT, ("name",), where) for n, row in enumerate(listed, 1)]
    names = tuple(_name(row["name"], f"the name of joint {n}", where) for n, row in enumerate(rows, 1))
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise BadInput(where, f"two joints are called {twice[0]!r}", "give each joint a name of its own")
    find = _Finder({name: v for v, name in enumerate(names)}, where)
    of = list(zip(rows, names, strict=True))
    parents = tuple(find.joint(row.get("parent", name), f"parent of {name!r}") for row, name in of)
    mirror = tuple(find.joint(row.get("mirror", name), f"mirror of {name!r}") for row, name in of)
    _check_tree(parents, names, where)
    for v, w in enumerate(mirror):
        if mirror[w] != v:
            what = f"the mirror of {names[v]!r} is {names[w]!r}, and that of {names[w]!r} is {names[mirror[w]]!r}"
            raise BadInput(where, what, "let the two name each other; a joint on the middle line has no mirror")
    for v, w in enumerate(mirror):
        if mirror[parents[v]] != parents[w]:
            what = f"{names[v]!r} and its mirror {names[w]!r} hang on {names[parents[v]]!r} and {names[parents[w]]!r}"
            raise BadInput(
                where, f"{what}, which do not mirror each other", "let mirrored joints have mirrored parents"
            )
    return names, parents, mirror


def _check_tree(parents: Joints, names: tuple[str, ...], where: Where) -> None:
    roots = [names[v] for v, p in enumerate(parents) if v == p]
    if len(roots) != 1:
        if not roots:
            raise BadInput(where, "the tree of joints has no root", "give one joint without parent")
        what = f"{len(roots)} joints ({', '.join(roots[:3])}) have no parent, and a tree has one root"
        raise BadInput(where, what, "give all joints but one a parent")
    reached = {names.index(roots[0])}
    for start in range(len(parents)):
        v, way = start, []
        while v not in reached and v not in way:
            way.append(v)
            v = parents[v]
        if v not in reached:
            what = f"following the parents of {names[start]!r} leads in a circle through {names[v]!r}"
            raise BadInput(where, what, f"let the parents of all joints lead to the root, {roots[0]!r}")
        reached.update(way)


def _parts(parts: object, find: _Finder, where: Where) -> tuple[tuple[str, Joints], ...]:
    if not isinstance(parts, dict):
        raise BadInput(where, "parts is no mapping", "map the name of each part to the list of its joints")
    made = tuple(
        (_name(key, "a part's name", where), find.joints(some, f"part {key!r}")) for key, some in parts.items()
    )
    times = Counter(v for _, some in made for v in some)
    for name, v in find.number.items():
        if made and times[v] != 1:
            what = f"the joint {name!r} is in {times[v] or 'no'} part{'s' if times[v] else ''}"
            raise BadInput(where, what, "put every joint in one part, or leave out parts")
    return made


def _name(value: object, role: str, where: Where) -> str:
    """Text that a line can show."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > LONGEST_NAME:
        shown = shortened(repr(value), 40)
        raise BadInput(
            where, f"{role} is {shown}", f"give a text of 1 to {LONGEST_NAME} characters, in quotes if need be"
        )
    return value


def _mapping(value: object, role: str, known: tuple[str, ...], needed: tuple[str, ...], where: Where) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise BadInput(where, f"{role} is no mapping of keys to values", f"give it the keys {', '.join(known)}")
    for key in value:
        if key not in known:
            shown = shortened(str(key), LONGEST_NAME)
            raise BadInput(where, f"{role} has an unknown key, {shown!r}", suggest(shown, known))
    missing = [key for key in needed if key not in value]
    if missing:
        raise BadInput(where, f"{role} has no {missing[0]!r}", f"give it the keys {', '.join(needed)}")
    return dict(value)
