"""The motion of one clip, out of clips or a store."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, printable
from skelpipe.layouts import layout_of
from skelpipe.layouts.base import Layout
from skelpipe.outputs import digests
from skelpipe.recordings import NATIVE
from skelpipe.recordings.conventions import Conversion
from skelpipe.recordings.conventions.folders import NOTED, is_relative
from skelpipe.recordings.datasets.recording import RATE
from skelpipe.recordings.store import Clips, open_group, read_array

Joints = npt.NDArray[np.float32]


# Skeletons
@dataclass(frozen=True)
class Motion:
    """One clip ready to draw.

    Attributes:
        name: of the clip.
        joints: (T, B, V, D) coordinates, two or three, metres or pixels; what was not seen in a frame is nan there.
        layout: which joints hang together.
        seconds: how long a frame lasts.
        note: where it comes from, in words.
        centred: whether each body was centred on itself, so that all stand in the same place.
    """

    name: str
    joints: Joints
    layout: Layout
    seconds: float
    note: str
    centred: bool = False


FRAME_RATE = 30  # of Kinect v2, in which NTU RGB+D and PKU-MMD were recorded


def load_motion(path: str | os.PathLike[str], name: str) -> Motion:
    """Read one clip of a clips folder or of a store.

    Raises:
        BadInput: not such a folder, or no clip of that name.
    """
    path = Path(path)
    return _from_store(path, name) if digests.read_kind(path) == "store" else _from_clips(path, name)


def _find(names: npt.NDArray[Any], name: str, path: Path) -> int:
    row = np.flatnonzero(names == name)
    if len(row):
        return int(row[0])
    near = difflib.get_close_matches(name, names.tolist(), n=3, cutoff=0.5)
    some = ", ".join(names[:3].tolist()) + (", …" if len(names) > 3 else "")
    remedy = f"did you mean {', '.join(near)}?" if near else f"its clips are called {printable(some)}"
    raise BadInput(path, f"holds no clip called {name!r}", remedy)


def _from_clips(path: Path, name: str) -> Motion:
    clips = Clips(path)
    row = _find(clips.columns["name"], name, path)
    loaded, valid = clips.load(np.array([row])), int(clips.valid[row])
    clip = loaded.clip(0) if clips.frames == NATIVE else loaded[0][:, :valid]
    joints = clip.transpose(1, 3, 2, 0).astype(np.float32)
    joints[~joints.any(axis=(2, 3))] = np.nan
    joints = _seen(joints, clips.layout)
    length = int(read_array(clips.group, "length")[row])
    note = f"{valid} frames from {length} recorded"
    return Motion(
        name,
        joints,
        clips.layout,
        max(length, 1) / FRAME_RATE / valid,
        note,
        bool(clips.attributes.get("centre")),
    )


def _from_store(path: Path, name: str) -> Motion:
    group, attributes = open_group(path, "store")
    row = _find(read_array(group, "name"), name, path)
    first, last = (int(v) for v in read_array(group, "clip_offset", slice(row, row + 2)))
    joints, frame, body = (read_array(group, key, slice(first, last)) for key in ("joints", "row_frame", "row_body"))
    joints = Conversion.of(attributes.get(NOTED)).apply(joints)
    frames = int(read_array(group, "clip_frames")[row])
    bodies = list(dict.fromkeys(body.tolist()))  # in order of appearance
    layout = layout_of(attributes)
    dense = np.full((frames, max(1, len(bodies)), len(layout.joints), layout.channels), np.nan, np.float32)
    dense[frame, [bodies.index(b) for b in body.tolist()]] = joints
    if not is_relative(attributes):  # in the sensor's own place, or a picture's corner, nobody was seen
        dense[(dense[..., : layout.coordinates] == 0).all(axis=-1)] = np.nan
    counted = "1 body" if len(bodies) == 1 else f"{len(bodies)} bodies"
    lasting = 1 / float(attributes.get(RATE, FRAME_RATE))
    return Motion(name, _seen(dense, layout), layout, lasting, f"as recorded, {frames} frames, {counted}")


def _seen(joints: Joints, layout: Layout) -> Joints:
    """The coordinates alone, nan where a detector found no joint."""
    if not layout.confidence:
        return joints
    found = joints[..., layout.coordinates :] > 0
    return np.where(found, joints[..., : layout.coordinates], np.float32(np.nan))
