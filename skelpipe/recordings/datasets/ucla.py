"""NW-UCLA: one JSON file per clip, as CTR-GCN distributes the skeletons, everything about the clip in its name.

Wang, Nie, Xia, Wu and Zhu, "Cross-view action modeling, learning and recognition", CVPR 2014. Most publications
count 1,494 clips; the files have 1,484, of which 1,020 are of cameras 1 and 2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.datasets.base import Dataset, Found, Source, accept, unique
from skelpipe.recordings.datasets.files import list_files
from skelpipe.recordings.datasets.recording import BAD_LABEL, LONGEST_DETAIL, UNKNOWN_NAME, Dropped, Recording
from skelpipe.recordings.datasets.tables import lines
from skelpipe.recordings.datasets.unread import OUR_FILES

NAME = re.compile(r"a(\d\d)_s(\d\d)_e(\d\d)_v(\d\d)", re.ASCII)
SUFFIXES = (".json", ".json.txt")  # a browser may add the second
# The actions that names speak of; a file's label is the place of its action here, from 1.
ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)
# Genuine files have up to 130 kB; what JSON becomes in memory is tens of times as large.
MAX_BYTES = 1 << 26
SUBJECTS, EPISODES, CAMERAS = range(1, 11), range(11), range(1, 4)
WANTED = (
    "is not named like a01_s02_e03_v01: action (1-6, 8, 9, 11 or 12), subject, episode, view, two digits each; "
    "rename it if it is a recording"
)


def clip_name(action: int, subject: int, episode: int, camera: int) -> str:
    """The publisher's name for a clip; the action is one of `ACTIONS`."""
    return f"a{action:02}_s{subject:02}_e{episode:02}_v{camera:02}"


def parse_name(name: str) -> dict[str, int | str] | None:
    """The columns that a clip's name says (`label` from 0), or None if it is not such a name."""
    match = NAME.fullmatch(name)
    if match is None:
        return None
    action, subject, episode, camera = map(int, match.groups())
    if action not in ACTIONS or min(subject, camera) < 1:
        return None
    return {"label": ACTIONS.index(action), "subject": subject, "episode": episode, "camera": camera}


def stem_of(path: str) -> str:
    """A file's name without folder and suffix, whatever a browser has made of the suffix."""
    name = path.rpartition("/")[2]
    end = next((end for end in reversed(SUFFIXES) if name.lower().endswith(end)), "")
    return name[: len(name) - len(end)]


def _is_wanted(path: str) -> bool:
    return path.lower().endswith(SUFFIXES) and path.rpartition("/")[2] not in OUR_FILES


@dataclass(frozen=True)
class Ucla(Dataset):
    """Northwestern-UCLA Multiview Action 3D: ten actions before three Kinects."""

    @property
    def actions(self) -> Sequence[int]:
        """See `Dataset.actions`."""
        return ACTIONS

    def find(self, raw: Path, keep_missing: bool = False) -> Found:
        """Search for `.json` files; see `Dataset.find`."""
        sources: list[Source] = []
        files, dropped = list_files(raw, _is_wanted, ".json files")
        for file in files:
            stem = stem_of(file.shown)
            name = stem.lower() if stem.isascii() else stem
            if parse_name(name) is None:
                shown = shortened(file.shown, LONGEST_DETAIL - len(WANTED) - 1)
                dropped.append(Dropped(stem, UNKNOWN_NAME, f"{shown} {WANTED}"))
            else:
                sources.append(Source(name, (file,)))
        kept, twice = unique(sources)
        return Found(kept, sorted(dropped + twice, key=lambda d: (d.name, d.detail)))

    def names(self, stem: str) -> bool:
        """Whether it is called like a clip of this data set; see `Dataset.names`."""
        return stem.isascii() and parse_name(stem.lower()) is not None

    def read(self, source: Source, keep_missing: bool = False) -> list[Recording | Dropped]:
        """Parse one file; see `Dataset.read`. Files that say another clip or class than their name are left out."""
        import numpy as np

        from skelpipe.recordings.text.ucla import parse_ucla

        (file,) = source.files
        if file.size > MAX_BYTES:
            raise BadInput(file.shown, f"has {file.size:,} bytes, which no clip of {self.title} has", "remove it")
        text = parse_ucla(file.read(), file.shown)
        ids = parse_name(source.name) or {}
        if wrong := self._contradiction(source.name, text.clip, text.label):
            return [Dropped(source.name, BAD_LABEL, f"{file.shown} {wrong}")]
        seen = text.joints.any(axis=(1, 2))
        row_frame = np.flatnonzero(seen).astype(np.int32)
        row_body = np.zeros(len(row_frame), np.int64)
        recording = Recording(source.name, ids, len(text.joints), text.joints[seen], row_frame, row_body)
        return [accept(recording, keep_missing)]

    def _contradiction(self, name: str, clip: str | None, label: int | None) -> str:
        """What a file says of itself that its name does not; "" if nothing."""
        other = stem_of(clip or "").lower()
        if other != name and parse_name(other) is not None:
            return f"says inside that it is {other}; give it the right name"
        own = int((parse_name(name) or {})["label"]) + 1
        if label is not None and label != own:
            return f"has the label {label}, and its name says {own}, {self.class_names[own - 1]}; correct one of them"
        return ""


COLUMNS = ("name", "label", "subject", "episode", "camera")
UCLA = Ucla("nw-ucla", "NW-UCLA", 10, 1_484, COLUMNS, "subject", lines("ucla_classes.txt"), layout="kinect_v1")
