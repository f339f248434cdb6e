"""Joint layouts by name, and those that users bring along.

To add one: a file here with its table, and a line in LAYOUTS. Behind any name there may stand `+confidence`
(`coco17+confidence`): the same layout with a channel more, the detector's confidence.

A layout of your own is a YAML file, and every command that takes the name of a layout takes its path:

    name: stick
    joints:                        # in the order of the arrays
      - {name: pelvis}             # without parent: the root; without mirror: on the middle line of the body
      - {name: head, parent: pelvis}
      - {name: left hand, parent: pelvis, mirror: right hand}
      - {name: right hand, parent: pelvis, mirror: left hand}
    centre: [pelvis]               # bodies are centred in the mean of these
    shoulders: {right: [right hand], left: [left hand]}
    torso: [head]                  # drawn thicker; may be left out
    parts:                         # each joint in one; may be left out, and then part-wise models refuse the layout
      trunk: [pelvis, head]
      arms: [left hand, right hand]
    coordinates: 3                 # or 2: x to the right and y down, in a picture; 3 if left out
    confidence: false              # true: a channel behind the coordinates; false if left out
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from skelpipe.errors import BadInput, suggest
from skelpipe.layouts.base import Layout
from skelpipe.layouts.coco17 import COCO17
from skelpipe.layouts.h36m17 import H36M17
from skelpipe.layouts.kinect_v1 import KINECT_V1
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.layouts.mediapipe33 import MEDIAPIPE33
from skelpipe.layouts.openpose18 import OPENPOSE18
from skelpipe.layouts.openpose25 import OPENPOSE25
from skelpipe.layouts.smpl24 import SMPL24
from skelpipe.layouts.table import CONFIDENCE, read_table
from skelpipe.resources import Registry

LAYOUTS: Registry[Layout] = Registry(
    "layouts",
    {
        layout.name: layout
        for layout in (KINECT_V2, KINECT_V1, COCO17, OPENPOSE18, OPENPOSE25, MEDIAPIPE33, H36M17, SMPL24)
    },
)
SUFFIXES = (".yaml", ".yml")


def find_layout(name_or_path: str | os.PathLike[str]) -> Layout:
    """The layout of that name, or the one that a YAML file tells.

    Raises:
        BadInput: no such name (the nearest is told) or file, or a mistake in the file.
    """
    name = os.fspath(name_or_path)
    try:
        return shipped(name)
    except KeyError:
        pass
    path = Path(name)
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(
            f"layout {name!r}", "is not known", f"{suggest(name, LAYOUTS)} (a layout of your own is a .yaml)"
        )
    from skelpipe.settings import load_yaml

    return _own(load_yaml(path), path)


def layout_of(attributes: Mapping[str, Any], where: str | os.PathLike[str] = "layout_table") -> Layout:
    """The layout of a store, of clips, or of whatever else carries the attributes that `attributes_of` gives.

    Args:
        attributes: `layout`, its name; and `layout_table` if it is none of the shipped ones.
        where: what a damaged table is reported of.

    Raises:
        KeyError: there is no `layout`, or it is not known.
        BadInput: a mistake in the table.
    """
    if "layout_table" not in attributes:
        return shipped(attributes["layout"])
    layout = _own(attributes["layout_table"], where)
    if layout.name != attributes["layout"]:
        raise BadInput(where, f"tells of another layout, {layout.name!r}", f"remake what has {attributes['layout']!r}")
    return layout


def attributes_of(layout: Layout) -> dict[str, Any]:
    """What a folder notes of its layout: the name, and for a user's own its table, so that the folder is complete."""
    try:
        own = shipped(layout.name) != layout
    except KeyError:
        own = True
    return {"layout": layout.name, **({"layout_table": layout.as_table()} if own else {})}


@cache
def shipped(name: str) -> Layout:
    """The shipped layout of that name, one object for one name.

    Raises:
        KeyError: there is none.
    """
    if name not in LAYOUTS and name.endswith(CONFIDENCE):
        return replace(LAYOUTS[name.removesuffix(CONFIDENCE)], name=name, confidence=True)
    return LAYOUTS[name]


def _own(table: object, where: str | os.PathLike[str]) -> Layout:
    layout = read_table(table, where)
    try:
        known = shipped(layout.name)
    except KeyError:
        return layout
    if known != layout:
        raise BadInput(where, f"has the name of another layout, {known.name!r}", "give yours a name of its own")
    return known
