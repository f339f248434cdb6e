"""PKU-MMD: untrimmed sequences, label files that say where the actions are, and the publisher's split lists."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.recordings.datasets.base import Dataset, Found, Source, accept, unique
from skelpipe.recordings.datasets.files import File, list_files
from skelpipe.recordings.datasets.recording import BAD_LABEL, NO_LABELS, NO_SEQUENCE, UNKNOWN_NAME, Dropped, Recording
from skelpipe.recordings.datasets.tables import lines

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

VIEWS = "LMR"
SPLIT_FILE = re.compile(r"cross[-_ ]?(subject|view)[^/]*\.txt", re.IGNORECASE)
# class, start, end and perhaps more, as whole numbers. What Python's int() takes beside these (1_0) is a slip.
_WHOLE = r"[ \t]*([+-]?[0-9]{1,18})[ \t]*"
LABEL = re.compile(rf"{_WHOLE},{_WHOLE},{_WHOLE}(?:,[ \t]*[+-]?[0-9]{{1,18}}[ \t]*)*")
NEWLINE = re.compile(r"\r\n?|\n")
# Genuine label files and lists have a few kB, and their clips hardly overlap.
MAX_LIST_BYTES, MAX_OVERLAP = 1 << 20, 10
JOINTS = len(KINECT_V2.joints)
ONE_BODY = JOINTS * 3
LATEST = 2**31 - 1  # what the columns `start` and `end` can hold


@dataclass(frozen=True)
class Pku(Dataset):
    """Part I or part II of PKU-MMD.

    A clip is a row of a label file. Its name is made as AimCLR makes it (tools/pku_part1_skeleton.py and
    pku_part2_skeleton.py): `FfffVvvvCcccLlll` in part I and `AaaaNnnnVvvvCcccLlll` in part II, v being the view
    (1 left, 2 middle, 3 right), c the class and l the row of the label file, from 1.

    Attributes:
        pattern: a video's file name without suffix.
        video: how such a video is written in the store.
        clip: the first part of its clips' names.
    """

    pattern: str = ""
    video: str = ""
    clip: str = ""

    def video_name(self, text: str) -> str | None:
        """The video that a file name or a line of a split list means, in one spelling, or None."""
        match = re.fullmatch(self.pattern, text.strip(), re.IGNORECASE | re.ASCII)
        if match is None:
            return None
        *numbers, view = match.groups()
        return self.video.format(*map(int, numbers), view.upper())

    def numbers(self, video: str) -> tuple[int, ...]:
        """The numbers in a video's name: its own (part I), or scene and performer (part II)."""
        match = re.fullmatch(self.pattern, video, re.IGNORECASE)
        assert match is not None, video
        return tuple(map(int, match.groups()[:-1]))

    def find(self, raw: Path, keep_missing: bool = False) -> Found:
        """Pair sequences with label files, whatever their folders are called; see `Dataset.find`."""
        files, unsafe = list_files(raw, lambda shown: shown.lower().endswith((".txt", ".skeleton", ".label")))
        sequences, labels, dropped = self._sort_in(files)
        sequences, twice = unique(sequences)
        labels, labels_twice = unique(labels)
        of_video = {source.name: source.files[0] for source in labels}
        found = Found(dropped=unsafe + dropped + twice + labels_twice, split_files=self._split_files(files))
        for source in sequences:
            label = of_video.pop(source.name, None)
            if label is None:
                found.dropped.append(Dropped(source.name, NO_LABELS, f"{source.files[0].shown} has no label file"))
            else:
                found.sources.append(Source(source.name, (*source.files, label)))
        for video, file in of_video.items():
            found.dropped.append(Dropped(video, NO_SEQUENCE, f"{file.shown} has no sequence"))
        found.dropped.sort(key=lambda d: (d.name, d.reason, d.detail))
        return found

    def _sort_in(self, files: list[File]) -> tuple[list[Source], list[Source], list[Dropped]]:
        sequences: list[Source] = []
        labels: list[Source] = []
        dropped: list[Dropped] = []
        for file in files:
            video = self.video_name(file.stem)
            if video is not None:
                (labels if _is_label(file) else sequences).append(Source(video, (file,)))
            elif any(other.video_name(file.stem) for other in (PKU1, PKU2)):
                dropped.append(Dropped(file.stem, f"not in {self.name}", file.shown))
            elif _split_of(file) is None:
                example = self.video.format(*range(1, self.video.count("{")), "L")
                dropped.append(Dropped(file.stem, UNKNOWN_NAME, f"{file.shown} is not named like {example}"))
        return sequences, labels, dropped

    def _split_files(self, files: list[File]) -> dict[str, dict[str, list[str]]]:
        """{split: {"train": videos, "test": videos}} from the lists that name videos of this part."""
        splits: dict[str, dict[str, list[str]]] = {}
        for file in files:
            kind = _split_of(file)
            lists = self._split_lists(file) if kind else None
            if lists is None:
                continue
            name = f"{self.name}-x{'sub' if kind == 'subject' else 'view'}"
            if splits.setdefault(name, lists) != lists:
                raise BadInput(file.shown, f"disagrees with another list for {name}", "keep only the right one")
        return splits

    def _split_lists(self, file: File) -> dict[str, list[str]] | None:
        """The two lists of videos, or None if the file names none of this part's videos.

        Four lines: a heading, the training videos, a heading (misspelt by the publisher), the other videos.

        Raises:
            BadInput: a word is no video's name, or a video is in both lists; it would change sides unseen.
        """
        found: dict[str, list[str]] = {"train": [], "test": []}
        part = None
        for number, line in enumerate(NEWLINE.split(_small(file).decode("utf-8-sig", "replace")), 1):
            heading, colon, rest = line.rpartition(":")
            if colon:
                part = "train" if "train" in heading.lower() else "test"
            for word in filter(None, map(str.strip, rest.split(",") if part else ())):
                stem = Path(word).stem
                if not any(each.video_name(stem) for each in (PKU1, PKU2)):
                    what = f"{shortened(word, 40)!r} is no video's name"
                    raise BadInput(f"{file.shown}, line {number}", what, "correct the list, or remove the file")
                if (name := self.video_name(stem)) is not None:
                    found[part or "test"].append(name)
        if twice := sorted(set(found["train"]) & set(found["test"])):
            raise BadInput(file.shown, f"has {twice[0]} in both lists", "correct the list, or remove the file")
        return found if found["train"] else None

    def read(self, source: Source, keep_missing: bool = False) -> list[Recording | Dropped]:
        """Cut one sequence into its labelled clips; see `Dataset.read`.

        Frames start to end of the label file, both included, as AimCLR cuts them; a start of 0 counts as 1.
        """
        from skelpipe.recordings.text.pku import parse_pku

        sequence, labels = source.files
        text = _small(labels).decode("utf-8-sig", "replace")
        frames = parse_pku(sequence.read(), sequence.shown)
        clips: list[Recording | Dropped] = []
        room = MAX_OVERLAP * len(frames)
        for number, row in enumerate(NEWLINE.split(text), 1):
            if row.strip():
                clips.append(self._clip(source.name, number, row, frames, labels.shown, room, keep_missing))
                room -= getattr(clips[-1], "frames", 0)
        return clips

    def _clip(
        self, video: str, number: int, row: str, frames: npt.NDArray[np.float32], shown: str, room: int, missing: bool
    ) -> Recording | Dropped:
        """The clip that line `number` of a label file speaks of, if it has at most `room` frames."""
        view = VIEWS.index(video[-1]) + 1
        where = f"{shown}, line {number}"
        match = LABEL.fullmatch(row)
        if match is None:
            name = f"{video} L{number:03}"
            return Dropped(name, BAD_LABEL, f"{where}: should be class,start,end,confidence; correct the line")
        action, start, end = map(int, match.groups())
        name = f"{self.clip.format(*self.numbers(video))}V{view:03}C{action:03}L{number:03}"
        if not 1 <= action <= self.classes:
            return Dropped(name, BAD_LABEL, f"{where}: class {action} is not in 1 to {self.classes}; correct the line")
        first, last = max(start, 1), min(end, len(frames))
        if first > last or max(end, -start) > LATEST:
            what = f"frames {start} to {end} are not in the {len(frames)} frames of the sequence"
            return Dropped(name, BAD_LABEL, f"{where}: {what}; correct the line")
        if last - first >= room:
            what = f"the clips are {MAX_OVERLAP} times as long as their sequence already"
            return Dropped(name, BAD_LABEL, f"{where}: {what}; correct the file")
        ids: dict[str, int | str] = {"label": action - 1, "video": video, "view": view, "start": start, "end": end}
        return accept(Recording(name, ids, last - first + 1, *_bodies(frames[first - 1 : last])), missing)


def _bodies(frames: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], Any, Any]:
    """(T, 150) -> the rows of the bodies that are there: joints (R, 25, 3), row_frame and row_body (R,).

    As in AimCLR (tools/utils/pku_read_skeleton.py) the second body is there unless its 75 values sum to exactly 0;
    the first is there unless they are all 0 and the second is absent, so that a body's place in its frame stays known.
    """
    import numpy as np

    seen = np.empty((len(frames), 2), bool)
    seen[:, 0] = np.any(frames[:, :ONE_BODY] != 0, axis=1)
    seen[:, 1] = frames[:, ONE_BODY:].sum(axis=1, dtype=np.float64) != 0
    seen[:, 0] |= seen[:, 1]
    row_frame, row_body = np.nonzero(seen)
    joints = frames.reshape(len(frames), 2, JOINTS, 3)[seen]
    return joints, row_frame.astype(np.int32), row_body.astype(np.int64)


def _small(file: File) -> bytes:
    """The bytes of a label file or a list of videos."""
    if file.size > MAX_LIST_BYTES:
        raise BadInput(file.shown, f"has {file.size:,} bytes, which no list of labels or videos has", "remove it")
    return file.read()


def _split_of(file: File) -> str | None:
    """ "subject" or "view" if this is a publisher's list of that split."""
    match = SPLIT_FILE.fullmatch(file.shown.rpartition("/")[2])
    return match[1].lower() if match else None


def _is_label(file: File) -> bool:
    """Labels are separated by commas and frames by blanks; only an empty file must be told by its folder."""
    try:
        head = file.read(200)
    except BadInput:  # reported when the whole file is read
        head = b""
    return b"," in head if head.strip() else "label" in file.shown.lower()


COLUMNS = ("name", "label", "video", "view", "start", "end")
CLASS_NAMES = lines("pku_classes.txt")
# Part II has 41 of the 51 actions under the same numbers, so both parts take 51 outputs.
PKU1 = Pku(
    "pku1", "PKU-MMD part I", 51, 21_545, COLUMNS, "video", CLASS_NAMES,
    pattern=r"(\d{1,4})[-_]([LMR])", video="{:04}-{}", clip="F{:03}",
)  # fmt: skip
PKU2 = Pku(
    "pku2", "PKU-MMD part II", 51, 6_945, COLUMNS, "video", CLASS_NAMES,
    pattern=r"A(\d{1,2})N(\d{1,2})[-_]([LMR])", video="A{:02}N{:02}-{}", clip="A{:03}N{:03}",
)  # fmt: skip
