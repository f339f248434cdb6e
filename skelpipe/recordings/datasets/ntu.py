"""NTU RGB+D and NTU RGB+D 120: one `.skeleton` text file per clip, everything about the clip in its name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from skelpipe.errors import shortened
from skelpipe.recordings.datasets.base import Dataset, Found, Source, accept, unique
from skelpipe.recordings.datasets.files import File, list_files
from skelpipe.recordings.datasets.recording import LONGEST_DETAIL, MISSING, UNKNOWN_NAME, Dropped, Recording
from skelpipe.recordings.datasets.tables import lines, missing_skeletons

NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)
SUFFIX = ".skeleton"
# What a browser or another system makes of the suffix; with these a file is read if the rest is a clip's name.
OTHER_SUFFIXES = (".skeleton.txt", ".txt", "")
WANTED = (
    "is not named like S001C002P003R002A013: set-up, camera, person, repetition, action (from 1), three digits each; "
    "rename it (numbers of your own do for training; a split places its publication's only)"
)

# Who was recorded in which setup. Every subject of a setup did all 60 actions (1-60 up to setup 17, 61-120 after it)
# twice, before three cameras, so this table generates the names of all 56,880 and 114,480 clips.
# Source: the publisher's names, as in CTR-GCN data/ntu120/statistics/skes_available_name.txt with the missing ones.
SETUP_SUBJECTS = {
    1: (1, 2, 3, 4, 5, 6, 7, 8),
    2: (3, 7, 8, 9, 10, 11, 12, 13, 14),
    3: (1, 2, 7, 8, 15, 16, 17, 18, 19),
    4: (3, 7, 8, 20),
    5: (4, 10, 13, 15, 16, 17, 18, 21),
    6: (1, 7, 8, 15, 16, 17, 19, 22, 23, 24),
    7: (1, 7, 8, 15, 16, 17, 18, 19, 25, 26, 27, 28),
    8: (1, 7, 8, 15, 19, 25, 29, 30, 31, 32, 33, 34, 35, 36),
    9: (7, 8, 15, 16, 17, 19, 25),
    10: (7, 8, 13, 15, 16, 17, 18, 19, 21, 25),
    11: (1, 2, 7, 8, 15, 16, 17, 18, 19, 25, 27, 28, 38),
    12: (7, 8, 15, 16, 17, 18, 19, 25, 27, 28, 37),
    13: (7, 8, 15, 16, 17, 18, 19, 25, 27, 28, 37),
    14: (7, 8, 15, 17, 19, 25, 27, 37, 39),
    15: (7, 8, 15, 16, 17, 19, 25, 37),
    16: (7, 8, 19, 21, 25, 39, 40),
    17: (3, 7, 8, 9, 15, 16, 17, 20),
    18: (8, 41, 42, 43, 44, 45),
    19: (8, 41, 42, 46, 47, 48, 49, 50, 51),
    20: (8, 41, 43, 44, 52, 53, 54),
    21: (55, 56, 57, 58, 59, 60),
    22: (61, 62, 63, 64, 65, 66, 67),
    23: (55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68),
    24: (57, 60, 61, 62, 63, 64, 67),
    25: (55, 56, 58, 59, 65, 66, 68),
    26: (8, 41, 44, 49, 50, 51, 69, 70, 71, 72, 74, 75, 76, 77),
    27: (6, 8, 11, 41, 43, 44, 78, 79, 80, 81, 82, 83, 84, 85, 86),
    28: (8, 41, 42, 43, 46, 48, 70, 73, 87),
    29: (6, 8, 41, 43, 44, 48, 49, 51, 67, 74, 75, 80, 88, 89, 90),
    30: (8, 11, 41, 43, 44, 48, 67, 75, 76, 81, 85, 88, 91, 92, 93, 94, 95, 96),
    31: (6, 8, 41, 42, 43, 44, 51, 67, 82, 85, 96, 97, 98, 99, 100, 101),
    32: (8, 41, 43, 44, 67, 102, 103, 104, 105, 106),
}
LAST_SETUP_60 = 17


def nominal_names(dataset: str) -> Iterator[str]:
    """The names of all clips ever recorded, those with missing skeletons included, in order of setup."""
    for setup, subjects in SETUP_SUBJECTS.items():
        if setup > LAST_SETUP_60 and dataset == "ntu60":
            return
        first = 1 if setup <= LAST_SETUP_60 else 61
        for camera in (1, 2, 3):
            for subject in subjects:
                for replication in (1, 2):
                    for action in range(first, first + 60):
                        yield clip_name(setup, camera, subject, replication, action)


def clip_name(setup: int, camera: int, subject: int, replication: int, action: int) -> str:
    """The publisher's name for a clip; all numbers from 1."""
    return f"S{setup:03}C{camera:03}P{subject:03}R{replication:03}A{action:03}"


def parse_name(name: str) -> dict[str, int | str] | None:
    """The columns that a clip's name says (`label` from 0, all else from 1), or None if it is not such a name."""
    match = NAME.fullmatch(name)
    if match is None:
        return None
    setup, camera, subject, replication, action = map(int, match.groups())
    ids = {"label": action - 1, "subject": subject, "camera": camera, "setup": setup, "replication": replication}
    return {**ids} if min(setup, camera, subject, replication, action) > 0 else None


def stem_of(path: str) -> str:
    """A file's name without folder and suffix, whatever a browser has made of the suffix."""
    name = path.rpartition("/")[2]
    ends = next(end for end in (SUFFIX, *OTHER_SUFFIXES) if name.lower().endswith(end))
    return name[: len(name) - len(ends)]


def is_recording(path: str) -> bool:
    """Whether a file is called like a recording: by its suffix, or with another by all the rest of its name."""
    return path.lower().endswith((SUFFIX, SUFFIX + ".txt")) or parse_name(stem_of(path).upper()) is not None


@dataclass(frozen=True)
class Ntu(Dataset):
    """NTU RGB+D (60 actions) or NTU RGB+D 120."""

    threads = True

    def find(self, raw: Path, keep_missing: bool = False) -> Found:
        """Search for `.skeleton` files, also such as became `.skeleton.txt`; see `Dataset.find`."""
        sources: list[Source] = []
        files, dropped = list_files(raw, is_recording, f"{SUFFIX} files")
        for file in files:
            self._sort_in(file, sources, dropped, keep_missing)
        kept, twice = unique(sources)
        return Found(kept, sorted(dropped + twice, key=lambda d: (d.name, d.detail)))

    def _sort_in(self, file: File, sources: list[Source], dropped: list[Dropped], keep_missing: bool) -> None:
        stem = stem_of(file.shown)
        name = stem.upper() if stem.isascii() else stem  # "ſ" would become "S"
        ids = parse_name(name)
        if ids is None:
            shown = shortened(file.shown, LONGEST_DETAIL - len(WANTED) - 1)
            dropped.append(Dropped(stem, UNKNOWN_NAME, f"{shown} {WANTED}"))
        elif int(ids["label"]) >= self.classes:
            dropped.append(Dropped(name, f"not in {self.name}", file.shown))
        elif not keep_missing and name in missing_skeletons():
            dropped.append(Dropped(name, MISSING, "on the publisher's list"))
        else:
            sources.append(Source(name, (file,)))

    def names(self, stem: str) -> bool:
        """Whether it is called like a clip of this data set; see `Dataset.names`."""
        ids = parse_name(stem.upper()) if stem.isascii() else None
        return ids is not None and int(ids["label"]) < self.classes

    def read(self, source: Source, keep_missing: bool = False) -> list[Recording | Dropped]:
        """Parse one file; see `Dataset.read`."""
        from skelpipe.recordings.text.ntu import parse_ntu

        (file,) = source.files
        text = parse_ntu(file.read(), file.shown)
        ids = parse_name(source.name) or {}
        recording = Recording(source.name, ids, text.frames, text.joints, text.row_frame, text.row_body)
        return [accept(recording, keep_missing)]


COLUMNS = ("name", "label", "subject", "camera", "setup", "replication")
NTU60 = Ntu("ntu60", "NTU RGB+D", 60, 56_578, COLUMNS, "subject", lines("ntu_classes.txt")[:60])
NTU120 = Ntu("ntu120", "NTU RGB+D 120", 120, 113_945, COLUMNS, "subject", lines("ntu_classes.txt"))
