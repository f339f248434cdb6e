"""The text of NTU RGB+D's .skeleton files, whatever they are called."""

from __future__ import annotations

import re

from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import Format, Opened, Poses, misfit
from skelpipe.recordings.text.ntu import parse_ntu
from skelpipe.recordings.text.numbers import JOINTS

# Frames, bodies, and of the first body an id and nine more; or frames without anybody.
BEGINS = re.compile(
    r"^\d+[ \t]*\r?\n\s*(?:\d+[ \t]*\r?\n\s*(?:\d+[ \t]+(?:[-+.\deE]++[ \t]*+){5,}+\r?\n\s*\d+[ \t]*\r?\n|\d+))"
)


def _is_skeleton(opened: Opened) -> bool:
    return BEGINS.match(opened.begins) is not None


def _read(opened: Opened, layout: Layout) -> list[Poses]:
    if len(layout.joints) != JOINTS or layout.coordinates != 3:
        raise misfit(opened.where, f"holds {JOINTS} joints", layout, JOINTS, 3)
    text = parse_ntu(opened.data, opened.where)
    return [Poses(text.joints, text.row_frame.astype("int64"), text.row_body, text.frames)]


SKELETON = Format("NTU RGB+D's .skeleton text", _is_skeleton, _read, (".skeleton",))
