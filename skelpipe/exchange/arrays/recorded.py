"""What lies in single raw files: a `.skeleton` file, a PKU-MMD sequence or a label file, a clip of NW-UCLA."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.exchange.arrays.columns import plain_name
from skelpipe.exchange.arrays.foreign import NTU_FILE, PKU_LABELS, PKU_SEQUENCE, UCLA_FILE, Facts
from skelpipe.layouts.kinect_v1 import KINECT_V1
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.recordings.conventions import ask, lines
from skelpipe.recordings.datasets import ucla
from skelpipe.recordings.datasets.files import File
from skelpipe.recordings.datasets.ntu import NTU60, NTU120, parse_name
from skelpipe.recordings.datasets.pku import PKU1, PKU2
from skelpipe.recordings.text.ntu import parse_ntu
from skelpipe.recordings.text.pku import parse_pku
from skelpipe.recordings.text.ucla import parse_ucla

JOINTS = len(KINECT_V2.joints)


def look_at_text(path: Path, kind: str) -> Facts | None:
    """What a raw file of that kind (`foreign.what_is`) holds; None if it is none.

    Raises:
        BadInput: it is damaged.
    """
    file = File(path.name, str(path), size=path.stat().st_size)
    if kind.startswith(NTU_FILE):
        return _ntu(path, file.read())
    if kind == PKU_SEQUENCE:
        frames = parse_pku(file.read(), str(path)).reshape(-1, 2, JOINTS, 3)
        return [("frames", f"{len(frames):,}"), *_pku_name(path), *_values(frames)]
    if kind == PKU_LABELS:
        return [*_pku_name(path), ("needs", "its sequence: ingest reads both, by their names")]
    if kind == UCLA_FILE:
        return _ucla(path, file.read())
    return None


def _ntu(path: Path, data: bytes) -> Facts:
    text = parse_ntu(data, str(path))
    ids = parse_name(plain_name(path.stem))
    bodies, body = np.unique(text.row_body, return_inverse=True)
    clip = np.zeros((text.frames, max(1, len(bodies)), JOINTS, 3), np.float32)
    clip[text.row_frame, body] = text.joints
    facts: Facts = [("frames", f"{text.frames:,}"), ("bodies", f"{len(bodies):,}, in {len(body):,} rows")]
    if ids is None:
        return [*facts, ("name", "none of NTU RGB+D (as S001C001P001R001A001)"), *_values(clip)]
    dataset = (NTU60 if NTU60.names(plain_name(path.stem)) else NTU120).name
    command = f"skelpipe ingest {dataset} {shlex.quote(str(path.parent))} STORE"
    return [*facts, ("name says", _said(ids)), *_values(clip), ("command", command)]


def _said(ids: Mapping[str, int | str]) -> str:
    """What a name says, in words; the class from 1."""
    said = {**ids, "label": int(ids["label"]) + 1}
    return ", ".join(f"{name} {value}" for name, value in said.items()).replace("label", "class", 1)


def _ucla(path: Path, data: bytes) -> Facts:
    text = parse_ucla(data, str(path))
    if not len(text.joints):
        raise BadInput(path, f"is {UCLA_FILE}, and holds no frames", "download it again")
    facts: Facts = [("frames", f"{len(text.joints):,}")]
    facts += [] if text.label is None else [("label", f"{text.label}")]
    facts += lines(ask([text.joints[None, :, None]], KINECT_V1), KINECT_V1)
    ids = ucla.parse_name(ucla.stem_of(path.name).lower())
    if ids is None:
        return [*facts, ("name", f"none of NW-UCLA (as {ucla.clip_name(1, 2, 3, 1)})")]
    command = f"skelpipe ingest {ucla.UCLA.name} {shlex.quote(str(path.parent))} STORE"
    return [*facts, ("name says", _said(ids)), ("command", command)]


def _pku_name(path: Path) -> Facts:
    for part in (PKU1, PKU2):
        if (video := part.video_name(path.stem)) is not None:
            command = f"skelpipe ingest {part.name} FOLDER STORE, where sequences and labels are"
            return [("name says", f"{part.title}, video {video}"), ("command", command)]
    return [("name", f"none of PKU-MMD (as {PKU1.video.format(2, 'L')})")]


def _values(clip: npt.NDArray[np.float32]) -> Facts:
    return list(lines(ask([[clip]], KINECT_V2), KINECT_V2))
