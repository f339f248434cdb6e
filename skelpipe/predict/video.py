"""Videos: their frames one at a time, and the poses of the people in them.

    with open_video("gym.mp4") as video:            # video.fps, video.size, video.frames
        for seen in seen_in(video, people=2):       # a frame: seen.frame, seen.bodies, each with an id
            ids, x = bodies_of(seen, "world")       # (B,) and (B, V, C) in the layout LAYOUT_OF["world"]

Each is read and forgotten, so that memory stays flat however long a video lasts. What is needed beside skelpipe comes
with the extra `skelpipe[video]`, and is imported when a video is opened.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput
from skelpipe.layouts.coco17 import COCO17
from skelpipe.layouts.mediapipe33 import MEDIAPIPE33
from skelpipe.layouts.table import CONFIDENCE
from skelpipe.predict.blazepose import blazepose, extra, hushed
from skelpipe.predict.tracking import Detector, Picture, Seen, follow

WORLD, IMAGE = "world", "image"
# In which layout poses are told: in space in all of the detector's joints; in the picture in those that everybody has.
LAYOUT_OF = {WORLD: MEDIAPIPE33.name + CONFIDENCE, IMAGE: COCO17.name + CONFIDENCE}
IN_PICTURE = [MEDIAPIPE33.joints.index(name) for name in COCO17.joints]
PEOPLE = 2  # that are looked for, if nothing is said
USUAL, FASTEST = 30.0, 1000.0  # frames per second, where a video tells none that can be
LOOK, LOST = 1 / 3, 1.0  # seconds: between two looks for somebody new, and until somebody who is not found has left
ATTEMPTS = 10  # to read a frame: those that are damaged are passed over, and behind the last there is none
GIVE = "give a video such as .mp4, .avi, .mov, .mkv or .webm"


class Video:
    """A video that is open; iterating it gives its frames once, (H, W, 3) uint8 of red, green and blue.

    Attributes:
        path: of the file.
        fps: frames per second, of those that it gives.
        size: (width, height) in pixels.
        frames: how many it says that it gives, or None.
        given: how many it has given so far.
    """

    def __init__(self, path: Path, capture: Any, cv2: Any, every: int) -> None:
        self.path, self.given = path, 0
        self._capture, self._cv2, self._every = capture, cv2, every
        rate, count = float(capture.get(cv2.CAP_PROP_FPS)), float(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.fps = (rate if 0 < rate < FASTEST else USUAL) / every
        self.frames = -int(-count // every) if 0 < count < 2**40 else None
        first = self._read()
        if first is None:
            self.close()
            raise BadInput(path, "is a video without frames that can be read", GIVE)
        self._first: Picture | None = first
        self.size = first.shape[1], first.shape[0]

    def __iter__(self) -> Iterator[Picture]:
        picture, self._first = self._first, None
        while picture is not None:
            self.given += 1
            yield picture
            picture = self._next()

    def __enter__(self) -> Video:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _next(self) -> Picture | None:
        for _ in range(self._every - 1):
            self._capture.grab()
        return self._read()

    def _read(self) -> Picture | None:
        for _ in range(ATTEMPTS):
            there, picture = self._capture.read()
            if there and picture is not None and picture.size:
                turned: Picture = self._cv2.cvtColor(picture, self._cv2.COLOR_BGR2RGB)
                return turned
        return None


def open_video(path: str | os.PathLike[str], every: int = 1) -> Video:
    """Open a video.

    Args:
        path: of a file in any format that OpenCV's FFmpeg reads.
        every: only every n-th frame is given, the first among them.

    Raises:
        BadInput: the extra is not installed; or there is no such file, it is no video, or it has no frame.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise BadInput(path, "is no file", GIVE)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # nothing of frames that are damaged
    cv2 = extra("cv2", path)
    try:
        with open(path, "rb") as file, hushed():
            begins = file.read(4096)
            # By FFmpeg alone: other readers take names with digits for series of pictures.
            capture = cv2.VideoCapture(_name(path, file.fileno()), cv2.CAP_FFMPEG)
    except OSError as error:
        raise BadInput(path, f"cannot be read ({error.strerror})", GIVE) from None
    if _is_text(begins) or not capture.isOpened():  # text would be shown, letter by letter
        capture.release()
        raise BadInput(path, "is no video that can be read", GIVE)
    return Video(path, capture, cv2, every)


def seen_in(video: Video, people: int = PEOPLE, make: Callable[[], Detector] | None = None) -> Iterator[Seen]:
    """Tell frame by frame who is seen in a video, as `tracking` explains; nothing is kept of frames that were told.

    Args:
        video: from where it is.
        people: the most at a time.
        make: makes a detector of one person; MediaPipe's, if left out.

    Raises:
        BadInput: MediaPipe is needed, and not installed.
    """
    make = blazepose(video.path) if make is None else make
    look, lost = (max(1, round(seconds * video.fps)) for seconds in (LOOK, LOST))
    return follow(video, make, people=people, look=look, lost=lost)


def bodies_of(seen: Seen, points: str = WORLD) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The people of a frame as rows of a layout.

    Args:
        seen: the frame.
        points: "world" for layout mediapipe33+confidence: metres from between each body's own hips, so that where
            people stand is not told; or "image" for coco17+confidence: pixels.

    Returns:
        Their ids (B,), and (B, V, C) float32; the last channel is the confidence.
    """
    ids = np.array([body.id for body in seen.bodies], np.int64)
    if points == WORLD:
        rows = [np.column_stack([body.world, body.visibility]) for body in seen.bodies]
    else:
        rows = [np.column_stack([body.image, body.visibility])[IN_PICTURE] for body in seen.bodies]
    shape = (33, 4) if points == WORLD else (len(IN_PICTURE), 3)
    return ids, np.array(rows, np.float32).reshape(-1, *shape)


def _name(path: Path, descriptor: int) -> str:
    """What OpenCV can be given, which ends the process where a name is not UTF-8."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return f"/dev/fd/{descriptor}"
    return os.fspath(path)


def _is_text(begins: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 27 for byte in begins)
