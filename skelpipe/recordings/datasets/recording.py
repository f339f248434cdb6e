"""A recording as the sensor delivered it, or the reason why it was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skelpipe.errors import shortened

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


# Columns that hold text; all others are int32.
TEXT_COLUMNS = ("name", "video")

# Why something was left out. Those in FAULTS are mistakes in the files, which `--strict` does not put up with.
MISSING, NO_BODY, NO_FRAMES = "missing skeleton", "no body", "no frames"
UNREADABLE, BAD_LABEL, UNKNOWN_NAME, DUPLICATE = "unreadable", "bad label", "unknown name", "duplicate"
NO_LABELS, NO_SEQUENCE = "no labels", "no sequence"
ARCHIVE, UNFINISHED = "archive not read", "unfinished download"
OTHER, HIDDEN, SYSTEM, OURS = "no recording", "hidden", "of the system", "of skelpipe"
QUIET = (SYSTEM, OURS)  # counted, and told by `inspect` only
FAULTS = (UNREADABLE, BAD_LABEL, ARCHIVE, UNFINISHED)
RATE = "fps"  # the attribute of a store whose frames per second were stated
# In the drop report. NumPy gives every entry of a column the room of its longest.
LONGEST_NAME, LONGEST_DETAIL = 100, 400


@dataclass(frozen=True)
class Recording:
    """One labelled clip as the sensor delivered it: a row per body per frame, in file order.

    Attributes:
        name: the clip's name, unique in its data set.
        ids: the other columns of the data set (label, subject, ...), by name.
        frames: frames in the clip, those without a body included.
        joints: (R, V, C) float32 in the data set's layout, metres (pixels in two dimensions).
        row_frame: (R,) int32, the frame of each row, from 0.
        row_body: (R,) int64, the sensor's id of the body of each row.
        told: how its file was understood where it may mean something else, in words that recordings share.
    """

    name: str
    ids: Mapping[str, int | str]
    frames: int
    joints: npt.NDArray[np.float32]
    row_frame: npt.NDArray[np.int32]
    row_body: npt.NDArray[np.int64]
    told: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dropped:
    """A clip or file that was left out, or `count` files of one kind that are no recordings.

    `reason` is one of a few fixed words, `detail` is for the reader; `first` is the path of the first of such files,
    below the folder that was searched, where these are no recordings. No report keeps it.
    """

    name: str
    reason: str
    detail: str = ""
    count: int = 1
    first: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", shortened(self.name, LONGEST_NAME))
        object.__setattr__(self, "detail", shortened(self.detail, LONGEST_DETAIL))

    @property
    def said(self) -> str:
        """The reason in a few words; of what cannot be read what is wrong with it."""
        return self.detail if self.reason == UNREADABLE and self.detail else self.reason
