"""MediaPipe's pose detector, BlazePose, as its wheel brings it, for one person at a time; the optional extra `video`.

The model is "full", the one of three that lies in the wheel: nothing is downloaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from skelpipe import resources
from skelpipe.predict.tracking import Detector, Found, Picture

FULL = 1  # its model_complexity
TURN = np.array([1, -1, -1], np.float32)  # of its world landmarks, which have y down, and z less where nearer


def blazepose(where: str | os.PathLike[str]) -> Callable[[], Detector]:
    """What makes detectors.

    Args:
        where: the video that they are for, of which a lack is told.

    Raises:
        BadInput: MediaPipe is not there, or cannot be loaded.
    """
    pose = extra("mediapipe.python.solutions.pose", where)
    return lambda: BlazePose(pose)


def extra(module: str, where: str | os.PathLike[str]) -> Any:
    """A module that the extra brings along.

    Raises:
        BadInput: it is not there, or cannot be loaded.
    """
    named = "OpenCV, which comes with MediaPipe" if module == "cv2" else "MediaPipe"
    with hushed():
        return resources.extra("video", module, where, f"a video needs {named}: it {{}}")


@contextmanager
def hushed() -> Iterator[None]:
    """Let nothing be written to the stderr of this process, which C++ code does without being asked."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    try:
        sys.stderr.flush()
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class BlazePose:
    """A `tracking.Detector`."""

    def __init__(self, pose: Any) -> None:
        self.solution = pose
        self.pose: Any = None
        self.again = False  # it is to forget whom it followed
        self.silent = False  # its threads have said what they say, of the model they load and of the first pose

    def find(self, picture: Picture) -> Found | None:
        """See `tracking.Detector`."""
        with nullcontext() if self.silent and not self.again else hushed():
            if self.pose is None:
                self.pose = self.solution.Pose(model_complexity=FULL)
            elif self.again:
                self.pose.reset()
                self.silent = False
            self.again = False
            result = self.pose.process(picture)
        self.silent = self.silent or result.pose_landmarks is not None
        if result.pose_landmarks is None or result.pose_world_landmarks is None:
            return None
        size = np.array([picture.shape[1], picture.shape[0]], np.float32)
        image = np.array([(each.x, each.y) for each in result.pose_landmarks.landmark], np.float32) * size
        world = np.array([(each.x, each.y, each.z) for each in result.pose_world_landmarks.landmark], np.float32) * TURN
        sure = np.array([each.visibility for each in result.pose_landmarks.landmark], np.float32)
        return Found(world, image, sure.clip(0, 1))

    def reset(self) -> None:
        """See `tracking.Detector`."""
        self.again = self.pose is not None

    def close(self) -> None:
        """See `tracking.Detector`."""
        if self.pose is not None:
            with hushed():
                self.pose.close()
            self.pose = None
