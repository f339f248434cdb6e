"""What columns and keys are called in files of poses, and the names of joints whatever their spelling."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import nearest, shortened
from skelpipe.layouts.base import Layout
from skelpipe.recordings.poses.base import misfit

POINTS = (
    "keypoints", "keypoint", "skeletons", "skeleton", "poses", "pose", "joints", "joint_positions", "pos_img",
    "pos_world", "landmarks", "pose_landmarks", "pose_world_landmarks", "positions", "points", "coordinates", "coords",
    "kpts", "d_skel", "skel", "xyz", "keypoints_3d", "keypoints_2d", "pose_keypoints_3d", "pose_keypoints_2d", "data",
    "x",
)  # fmt: skip
SCORES = ("keypoint_scores", "keypoint_score", "keypoints_scores", "keypoints_score", "scores", "score", "confidence",
          "confidences", "conf", "keypoint_conf", "visibility", "visible")  # fmt: skip
LABELS = ("label", "labels", "action", "action_label", "class", "class_name", "category", "activity", "gt_label", "y",
          "target", "label_index")  # fmt: skip
NAMES = ("name", "names", "clip", "file_name", "filename", "file", "frame_dir", "video", "video_name", "video_id",
         "sample", "sample_name", "sample_id", "recording", "recording_name", "sequence", "sequence_name", "clip_name",
         "clip_id", "path", "file_path", "filepath", "stem", "key", "id")  # fmt: skip
FRAMES = ("frame", "frame_id", "frame_index", "frame_idx", "frame_number", "frame_num", "frame_no", "frames",
          "image_id", "img_id", "t", "timestamp", "time", "time_ms")  # fmt: skip
BODIES = ("body", "body_id", "person", "person_id", "track_id", "track", "tracking_id", "trackingid", "instance_id",
          "instance", "idx", "id", "skeleton_id", "player")  # fmt: skip
PEOPLE = ("people", "persons", "instances", "bodies", "skeletons", "skeleton", "poses", "detections", "predictions",
          "annotations", "players", "results")  # fmt: skip
LISTS = ("instance_info", "frames", "data", "annotations", "predictions", "sequence", "results", "skeletons", "poses")
JOINTS = ("joint", "joint_id", "joint_name", "joint_index", "joint_idx", "keypoint", "keypoint_id", "keypoint_name",
          "landmark", "landmark_id", "landmark_name", "landmark_index", "bodypart", "part", "marker")  # fmt: skip
COLUMNS = ("subject", "subject_id", "camera", "view", "setup", "session", "trial", "replication", "repetition",
           "episode", "scene", "fold", "part", "actor", "person")  # fmt: skip
# Names of columns that a store and clips have themselves.
RESERVED = ("joints", "row_frame", "row_body", "clip_offset", "clip_frames", "dropped", "clips", "length", "valid")
RATES = ("fps", "frame_rate", "framerate")
AXES = {"x": 0, "y": 1, "z": 2}
CONFIDENCE = ("score", "scores", "confidence", "conf", "c", "s", "v", "visibility", "vis", "likelihood", "prob",
              "probability", "p")  # fmt: skip
SPELT = {"l": "left", "r": "right", "lt": "left", "rt": "right", "center": "centre", "centre": "centre"}


def word(text: object) -> str:
    """A column's name or a key in lower case, with _ for blanks, points and dashes, and where aCapitalBegins."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(text).strip())
    return re.sub(r"[\s.:/-]+", "_", apart.lower()).strip("_")


def first_of(table: Mapping[str, Any], names: Sequence[str]) -> str | None:
    """The first of the names that is a key."""
    return next((name for name in names if name in table), None)


def joint_key(name: str) -> tuple[str, ...]:
    """The words of a joint's name in order of the alphabet: LeftShoulder, l_shoulder and shoulder.L are one."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[0-9])(?=[A-Za-z])", " ", name)
    words = [SPELT.get(each, each) for each in re.split(r"[\W_]+", apart.lower()) if each]
    return tuple(sorted(words))


def number_in(name: str) -> int | None:
    """The number that a column of a joint without a name has: 7 of 7, joint7, kp_07 and joint-07."""
    found = re.fullmatch(r"(?:joint|joints|kp|kpt|keypoint|keypoints|landmark|point|marker|j|p|k)?[ _.-]*(\d{1,4})",
                         name.strip(), re.IGNORECASE)  # fmt: skip
    return int(found[1]) if found else None


def joint_places(names: Sequence[str], layout: Layout, where: str) -> tuple[npt.NDArray[np.int64], list[str]]:
    """For each joint of the layout its place among `names`, and the names that are of none.

    Names that are all numbers count from 0, or from 1 if they end at V.

    Raises:
        BadInput: a joint of the layout is not among them, or is so twice.
    """
    found = [number_in(each) for each in names]
    joints = len(layout.joints)
    if all(each is not None for each in found):
        values = [each for each in found if each is not None]
        first = 1 if values and min(values) == 1 and max(values) == joints else 0
        place = {each - first: n for n, each in enumerate(values)}
        if len(values) != joints or sorted(place) != list(range(joints)):
            likely = len(set(values))
            raise misfit(where, f"holds {likely} joints", layout, likely)
        return np.array([place[v] for v in range(joints)]), []
    keys: dict[tuple[str, ...], int] = {}
    for n, name in enumerate(names):
        if keys.setdefault(joint_key(name), n) != n:
            raise misfit(where, f"holds the joint {shortened(name, 60)!r} twice", layout, None)
    wanted = [joint_key(name) for name in layout.joints]
    if lacking := [name for name, key in zip(layout.joints, wanted, strict=True) if key not in keys]:
        near = nearest(lacking[0], names)
        what = f"has no joint called {lacking[0]!r}" + (f", nearest {shortened(near, 40)!r}" if near else "")
        raise misfit(where, what, layout, len(names))
    extra = [name for name in names if joint_key(name) not in set(wanted)]
    return np.array([keys[key] for key in wanted]), extra
