"""PKU-MMD: untrimmed sequences, label files that say where the actions are, and the publisher's split lists."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from skelpipe.errors import BadInput, shortened
from skelpipe.layouts.kinect_v2 import KINECT_V2
from skelpipe.recordings.datasets.base import Dataset, Found, Source, accept, unique
from skelpipe.recordings.datasets.files import File, list_files
from skelpipe.recordings.datasets.pku_labels import HEAD_BYTES, Row, class_zero, decoded, is_label, rows
from skelpipe.recordings.datasets.pku_lists import Sides, check_sides, join_lists, read_list, split_of
from skelpipe.recordings.datasets.recording import (
    BAD_LABEL,
    DUPLICATE,
    LONGEST_DETAIL,
    NO_LABELS,
    NO_SEQUENCE,
    UNKNOWN_NAME,
    Dropped,
    Recording,
)
from skelpipe.recordings.datasets.tables import lines

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

VIEWS = "LMR"
SUFFIXES = (".txt", ".skeleton", ".label")
# Genuine label files and lists have a few kB, and their clips hardly overlap.
MAX_LIST_BYTES, MAX_OVERLAP = 1 << 20, 10
JOINTS = len(KINECT_V2.joints)
ONE_BODY = JOINTS * 3
FROM_ZERO = "class 0: these labels seem to count from 0"
LATEST = 2**31 - 1  # what the columns `start` and `end` can hold


class CutClip(NamedTuple):
    """What the name of a clip says that is in a file of its own."""

    name: str
    video: str
    action: int
    line: int


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

    threads = True
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

    def cut_clip(self, stem: str) -> CutClip | None:
        """What a clip's name says (`FfffVvvvCcccLlll`), or None if it is not such a name."""
        pattern = (self.clip + "V{:03}C{:03}L{:03}").replace("{:03}", r"(\d{3})")
        match = re.fullmatch(pattern, stem, re.IGNORECASE | re.ASCII)
        if match is None:
            return None
        *numbers, view, action, line = map(int, match.groups())
        if not 1 <= view <= len(VIEWS):
            return None
        return CutClip(stem.upper(), self.video.format(*numbers, VIEWS[view - 1]), action, line)

    def find(self, raw: Path, keep_missing: bool = False) -> Found:
        """Pair sequences with label files, whatever their folders are called; see `Dataset.find`.

        Clips that AimCLR or HiCLR have cut into files of their own are read where the whole sequence is not there.

        Raises:
            BadInput: also where a class is 0, since the others are one too low then as well, and nothing shows it.
        """
        files, unread = list_files(raw, lambda shown: shown.lower().endswith(SUFFIXES), f"{', '.join(SUFFIXES)} files")
        sequences, labels, cut, dropped = self._sort_in(files)
        found = Found()
        found.split_files, found.lists = self._split_files(files, dropped, found.told)
        found.dropped = unread + dropped
        sequences, labels, cut = (self._unique(sources, found) for sources in (sequences, labels, cut))
        clips = {source: clip for source in cut if (clip := self.cut_clip(source.name))}
        self._check_classes(labels, clips)
        of_video = {source.name: source.files[0] for source in labels}
        for source in sequences:
            label = of_video.pop(source.name, None)
            if label is None:
                found.dropped.append(Dropped(source.name, NO_LABELS, f"{source.files[0].shown} has no label file"))
            else:
                found.sources.append(Source(source.name, (*source.files, label)))
        whole = {source.name: source.files[0].shown for source in found.sources}
        for source in sorted(cut, key=lambda each: (clips[each].video, clips[each].line, each.name)):
            if (used := whole.get(clips[source].video)) is not None:
                found.dropped.append(Dropped(source.name, DUPLICATE, f"{source.files[0].shown}; used {used}"))
            else:
                found.sources.append(source)
        for video, file in of_video.items():
            found.dropped.append(Dropped(video, NO_SEQUENCE, f"{file.shown} has no sequence"))
        found.dropped.sort(key=lambda d: (d.name, d.reason, d.detail))
        return found

    def _check_classes(self, labels: list[Source], clips: Mapping[Source, CutClip]) -> None:
        """Raise BadInput where a label file or the name of a clip has class 0."""
        for source in labels:
            (file,) = source.files
            try:
                row = class_zero(decoded(file.read(MAX_LIST_BYTES)))  # with a limit, since `read` counts what is read
            except BadInput:  # reported when the whole file is read
                continue
            if row is not None:
                remedy = "add 1 to the classes of all label files, or remove the line if it alone is wrong"
                raise BadInput(f"{file.shown}, line {row.line}: {row.text}", FROM_ZERO, remedy)
        for source, clip in clips.items():
            if clip.action == 0:
                remedy = "cut the clips anew with classes from 1, or remove the file if it alone is wrong"
                raise BadInput(source.files[0].shown, FROM_ZERO, remedy)

    def names(self, stem: str) -> bool:
        """Whether it is called like a video or a clip of this part; see `Dataset.names`."""
        return self.video_name(stem) is not None or self.cut_clip(stem) is not None

    def _unique(self, sources: list[Source], found: Found) -> list[Source]:
        kept, twice = unique(sources)
        found.dropped += twice
        return kept

    def _sort_in(self, files: list[File]) -> tuple[list[Source], list[Source], list[Source], list[Dropped]]:
        """Sequences, label files, clips that are cut already, and what is none of these, nor a list."""
        sequences: list[Source] = []
        labels: list[Source] = []
        cut: list[Source] = []
        dropped: list[Dropped] = []
        for file in files:
            stem = _stem(file)
            if (video := self.video_name(stem)) is not None:
                (labels if _is_label(file) else sequences).append(Source(video, (file,)))
            elif (clip := self.cut_clip(stem)) is not None:
                cut.append(Source(clip.name, (file,)))
            elif any(other.names(stem) for other in (PKU1, PKU2)):
                dropped.append(Dropped(stem, f"not in {self.name}", file.shown))
            elif split_of(file.shown) is None:
                example = self.video.format(*range(1, self.video.count("{")), "L")
                what = f"is not named like {example}, nor like a split list; rename it if it is a recording"
                dropped.append(Dropped(stem, UNKNOWN_NAME, f"{shortened(file.shown, LONGEST_DETAIL // 2)} {what}"))
        return sequences, labels, cut, dropped

    def _split_files(
        self, files: list[File], dropped: list[Dropped], told: list[str]
    ) -> tuple[dict[str, dict[str, list[str]]], int]:
        """{split: {"train": videos, "test": videos}} from the lists that name videos of this part, and their number."""
        splits: dict[str, Sides] = {}
        count = 0
        for file in files:
            kind = split_of(file.shown)
            if kind is None or _any_part(_stem(file)):
                continue
            lists = self._split_lists(file, told)
            if not any(lists.values()):
                what = f"{file.shown}: a list that names no video of {self.title}"
                dropped.append(Dropped(_stem(file), f"not in {self.name}", what))
                continue
            count += 1
            name = f"{self.name}-x{kind}"
            join_lists(splits.setdefault(name, {}), lists, file.shown, name)
        return {
            name: {side: sides.get(side, []) for side in ("train", "test")} for name, sides in splits.items()
        }, count

    def _split_lists(self, file: File, told: list[str]) -> Sides:
        """The videos of this part that a list names for each part of a split; BadInput as `read_list`."""
        lists = read_list(_small(file), file.shown, _any_part, told)
        found = {side: [v for v in videos if self.video_name(v) is not None] for side, videos in lists.items()}
        check_sides(found, file.shown)
        return found

    def read(self, source: Source, keep_missing: bool = False) -> list[Recording | Dropped]:
        """Cut one sequence into its labelled clips, or read a clip that is cut already; see `Dataset.read`.

        Frames start to end of the label file, both included, as AimCLR cuts them; a start of 0 counts as 1. A row with
        the class, start and end of an earlier one is left out. Of clips that others have cut, `start` and `end` are
        not known and 0.
        """
        from skelpipe.recordings.text.pku import parse_pku

        if len(source.files) == 1:
            return [self._read_cut(source, keep_missing)]
        sequence, labels = source.files
        text = decoded(_small(labels))
        frames = parse_pku(_plain(sequence.read()), sequence.shown)
        clips: list[Recording | Dropped] = []
        room = MAX_OVERLAP * len(frames)
        lines: dict[tuple[int, int, int], int] = {}
        for row in rows(text):
            clip = self._clip(source.name, row, frames, labels.shown, room, keep_missing)
            if isinstance(clip, Recording) and (first := lines.setdefault(row.values, row.line)) != row.line:
                clip = Dropped(clip.name, DUPLICATE, f"{labels.shown}, line {row.line}: the same label as line {first}")
            clips.append(clip)
            room -= getattr(clip, "frames", 0)
        return clips or [Dropped(source.name, NO_LABELS, f"{labels.shown}: its label file {_no_row(text)}")]

    def _read_cut(self, source: Source, keep_missing: bool) -> Recording | Dropped:
        from skelpipe.recordings.text.ntu import parse_cut

        (file,) = source.files
        clip = self.cut_clip(source.name)
        assert clip is not None, source.name
        if not 1 <= clip.action <= self.classes:
            return Dropped(clip.name, BAD_LABEL, f"{file.shown}: class {clip.action} is not in 1 to {self.classes}")
        text = parse_cut(_plain(file.read()), file.shown)
        frames = _frames(text.frames, text.joints, text.row_frame, file.shown)
        view = VIEWS.index(clip.video[-1]) + 1
        ids: dict[str, int | str] = {"label": clip.action - 1, "video": clip.video, "view": view, "start": 0, "end": 0}
        return accept(Recording(clip.name, ids, len(frames), *_bodies(frames)), keep_missing)

    def _clip(
        self, video: str, row: Row, frames: npt.NDArray[np.float32], shown: str, room: int, missing: bool
    ) -> Recording | Dropped:
        """The clip that a row of a label file speaks of, if it has at most `room` frames."""
        view = VIEWS.index(video[-1]) + 1
        where = f"{shown}, line {row.line}: {row.text}"
        if row.wrong:
            what = f"should be class,start,end,confidence, and {row.wrong}; correct the line"
            return Dropped(f"{video} L{row.line:03}", BAD_LABEL, f"{where} {what}")
        action, start, end = row.values
        name = f"{self.clip.format(*self.numbers(video))}V{view:03}C{action:03}L{row.line:03}"
        if not 1 <= action <= self.classes:
            return Dropped(name, BAD_LABEL, f"{where}: class {action} is not in 1 to {self.classes}; correct the line")
        first, last = max(start, 1), min(end, len(frames))
        if start < 0:
            what = f"the clip starts at frame {start}, before the sequence"
            return Dropped(name, BAD_LABEL, f"{where}: {what}; correct the line")
        if first > last or end > LATEST:
            what = f"frames {start} to {end} are not in the {len(frames)} frames of the sequence"
            return Dropped(name, BAD_LABEL, f"{where}: {what}; correct the line")
        if last - first >= room:
            what = f"the clips are {MAX_OVERLAP} times as long as their sequence already"
            return Dropped(name, BAD_LABEL, f"{where}: {what}; correct the file")
        ids: dict[str, int | str] = {"label": action - 1, "video": video, "view": view, "start": start, "end": end}
        return accept(Recording(name, ids, last - first + 1, *_bodies(frames[first - 1 : last])), missing)


def _frames(
    count: int, joints: npt.NDArray[np.float32], row_frame: npt.NDArray[np.int32], shown: str
) -> npt.NDArray[np.float32]:
    """(T, 150), as in a sequence, of the bodies (R, 25, 3) in T frames."""
    import numpy as np

    place = np.arange(len(row_frame)) - np.searchsorted(row_frame, row_frame)
    if (place > 1).any():
        what = f"has more than two bodies in frame {row_frame[place > 1][0] + 1}"
        raise BadInput(shown, what, "check that it is a clip of PKU-MMD")
    frames = np.zeros((count, 2, JOINTS, 3), np.float32)
    frames[row_frame, place] = joints
    return frames.reshape(count, 2 * ONE_BODY)


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


def _no_row(text: str) -> str:
    """What is wrong with a label file without rows."""
    return "has a heading and no row" if text.strip() else "is empty"


def _plain(data: bytes) -> bytes:
    """The text of a recording in ASCII, if a mark says that it is in another encoding."""
    marked = data.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return decoded(data).encode("ascii", "replace") if marked else data


def _stem(file: File) -> str:
    """A file's name without folder and suffixes: a browser adds one."""
    stem = file.stem
    while stem.lower().endswith(SUFFIXES):
        stem = stem.rpartition(".")[0]
    return stem


def _any_part(text: str) -> str | None:
    return PKU1.video_name(text) or PKU2.video_name(text)


def _is_label(file: File) -> bool:
    """A label file has a few numbers a line, a sequence 150; only an empty file must be told by its folder."""
    try:
        label = is_label(file.read(HEAD_BYTES))
    except BadInput:  # reported when the whole file is read
        label = None
    return label if label is not None else "label" in file.shown.lower()


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
