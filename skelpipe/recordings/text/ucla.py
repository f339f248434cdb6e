"""Parses the JSON of a clip of NW-UCLA, as CTR-GCN keeps it."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts.kinect_v1 import KINECT_V1

JOINTS = len(KINECT_V1.joints)
AGAIN = "check that it is a clip of NW-UCLA, or download it again"


class UclaText(NamedTuple):
    """What a file holds: the clip it says it is and its label, either None where it does not say, and its joints.

    `joints` is (T, 20, 3) float32, metres; a frame of zeros shows nobody.
    """

    clip: str | None
    label: int | None
    joints: npt.NDArray[np.float32]


def parse_ucla(data: bytes, where: str = "file") -> UclaText:
    """Parse one clip: an object with `skeletons`, T frames of 20 joints x, y, z, and perhaps `file_name` and `label`.

    Args:
        data: the whole file.
        where: how messages call the file.

    Raises:
        BadInput: not JSON, no such object, no such shape, or a coordinate that is not a finite number.
    """
    try:
        told = json.loads(data)
    except (ValueError, RecursionError) as error:  # of text that is no JSON, or in no encoding
        raise BadInput(where, f"is not JSON ({error})", AGAIN) from None
    if not isinstance(told, dict) or "skeletons" not in told:
        raise BadInput(where, "has no skeletons: read is an object with skeletons, file_name and label", AGAIN)
    clip, label = told.get("file_name"), told.get("label")
    if label is not None and (not isinstance(label, int) or isinstance(label, bool)):
        raise BadInput(where, f"has the label {shortened(str(label), 40)!r}, which is no whole number", AGAIN)
    return UclaText(clip if isinstance(clip, str) else None, label, _joints(told["skeletons"], where))


def _joints(skeletons: Any, where: str) -> npt.NDArray[np.float32]:
    """(T, 20, 3) of nested lists."""
    wanted = f"T frames of {JOINTS} joints of x, y, z"
    if skeletons == []:
        return np.zeros((0, JOINTS, 3), np.float32)
    try:
        values = np.array(skeletons)
    except (ValueError, OverflowError):
        raise BadInput(where, f"its skeletons are not {wanted}: some have more numbers than others", AGAIN) from None
    if values.ndim != 3 or values.shape[1:] != (JOINTS, 3):
        raise BadInput(where, f"its skeletons have the shape {values.shape}, and are not {wanted}", AGAIN)
    if values.dtype.kind not in "iuf":  # text and null are not made into numbers
        raise BadInput(where, "has a coordinate that is not a number", AGAIN)
    with np.errstate(over="ignore"):
        joints = values.astype(np.float32)
    if not (fine := np.isfinite(joints)).all():
        frame, joint, _ = np.argwhere(~fine)[0].tolist()
        what = f"has a coordinate that is not a finite number, in frame {frame + 1}, {KINECT_V1.joints[joint]}"
        raise BadInput(where, what, AGAIN)
    return joints
