"""Names of files and clips, label files and split lists."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from engine import Target

from skelpipe.errors import BadInput, printable
from skelpipe.recordings.datasets import DATASETS, Dropped
from skelpipe.recordings.datasets.base import Source
from skelpipe.recordings.datasets.files import File
from skelpipe.recordings.datasets.ntu import clip_name, parse_name
from skelpipe.recordings.datasets.recording import LONGEST_DETAIL, LONGEST_NAME

PKU = [DATASETS["pku1"], DATASETS["pku2"]]
FRAMES = 12
SEQUENCE = ("1 " * 150 + "\n").encode() * FRAMES
WORDS = [
    b"S001C002P003R002A013", b"S000", b"A061", b"0291-L", b"0291_m", b"A10N08-R", b"a1n8-r", b"0", b"00001-L", b"-", b"_", b"/",
    b"..", b"../", b"\\", b"\0", b"\x1b[31m", b"\r", b"\n", b"\r\n", "\u0663".encode(), "\u017f001".encode(), "\u2028".encode(),
    "\u202e".encode(), b"\xff", b"[red]", b"$x$", b"1,2,3,4", b",", b",,", b"-1", b"+1", b"1_0", b" 1 ", b"1.0", b"1e3", b"nan",
    b"51", b"52", b"99999999999", b"9" * 30, b"9" * 5000, b":", b"Training videos:", b"Validataion videos: ", b"0002-L, ", b"train",
    b"\xef\xbb\xbf", b"\xff\xfe", b"3 1 9 2\n", b"3;1;9\n", b"3,1,9,\n", b"3.0,1e0,9.,\n", b"start;end;class\n", b";", b"\t", b"test\n", b"\x0b", b"\x0c", b"\x1c", b"\xc2\x85",
]  # fmt: skip


@dataclass(frozen=True, order=True)
class Held(File):
    """A file that is held in memory."""

    data: bytes = b""

    def read(self, limit: int = -1) -> bytes:
        return self.data[: limit if limit >= 0 else None]


def held(shown: str, data: bytes) -> Held:
    return Held(shown, "", "", len(data), data)


def check_names(data: bytes, thorough: bool) -> str:
    """A name says nothing, or what is written back the same; only ASCII ones say anything."""
    name = data.decode("utf-8", "surrogateescape")
    assert printable(name).isprintable()
    dropped = Dropped(name, "why", name)
    assert len(dropped.name) <= LONGEST_NAME * 10
    assert len(dropped.detail) <= LONGEST_DETAIL * 10
    ids = parse_name(name)
    twin = re.fullmatch("S([0-9]{3})C([0-9]{3})P([0-9]{3})R([0-9]{3})A([0-9]{3})", name)
    assert (ids is not None) == (twin is not None and "000" not in twin.groups())
    if ids is not None:
        assert name == clip_name(ids["setup"], ids["camera"], ids["subject"], ids["replication"], ids["label"] + 1)
    for part in PKU:
        video = part.video_name(name)
        if video is not None:
            assert name.strip().isascii()
            assert part.video_name(video) == video
            assert [int(n) for n in re.findall("[0-9]+", name)] == list(part.numbers(video))
    known = [ids is not None, *(part.video_name(name) is not None for part in PKU)]
    return f"{'read' if any(known) else 'refused'}: {known}"


def twin_words(line: str) -> list[str]:
    """The words of a line of labels, by hand: semicolons go before commas, and these before blanks."""
    line = line.strip()
    while line.endswith((",", ";", " ", "\t")):
        line = line[:-1]
    if ";" in line:
        return [word.strip().replace(",", ".", 1) for word in line.split(";")]
    return [word.strip() for word in line.split(",")] if "," in line else line.split()


def twin_whole(word: str) -> int | None:
    """The whole number that a word says, exactly, if it says one below 2^53 or of 18 digits at most."""
    if re.fullmatch("[+-]?[0-9]{1,18}", word):
        return int(word)
    if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", word) is None:
        return None
    value = float(word)
    return int(value) if value == value // 1 and abs(value) < 2**53 else None


def twin_text(data: bytes) -> str:
    """As text: UTF-16 by its mark, or where every other byte of the head is zero and not all are."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    for place, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(data) > place and set(data[place:4096:2]) == {0} and set(data[1 - place : 4096 : 2]) - {0}:
            return data.decode(name, "replace")
    return data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")


def twin_order(line: str) -> list[int]:
    """The places of class, start and end in a heading; none if the line is no heading."""
    cells = [re.findall("[a-z]+", word.lower()) for word in twin_words(line.lstrip("#% "))]
    places = []
    for name in ("class label action", "start begin onset", "end stop offset"):
        places += [n for n, cell in enumerate(cells) if any(word in name.split() for word in cell)] or [0, 0]
    return places if len(places) == len(set(places)) == 3 else []


def twin_labels(data: bytes) -> list[tuple[int, int, int, int] | None]:
    """(line, class, first frame, frames) of each line that says something, or None where it is wrong or said before."""
    rows: list[tuple[int, int, int, int] | None] = []
    said: set[tuple[int | None, ...]] = set()
    room = 10 * FRAMES
    text = twin_text(data).replace("\r\n", "\n").replace("\r", "\n")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    order = twin_order(lines[0][1]) if lines else []
    for number, line in lines[1:] if order else lines:
        words = twin_words(line)
        good = all(
            re.fullmatch(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,4})?", w) for w in words
        )
        enough = len(words) > max(order or [2])
        values = [twin_whole(words[n]) for n in order or (0, 1, 2)] if good and enough else [None]
        row = None
        if None not in values:
            action, start, end = values
            first, last = max(start, 1), min(end, FRAMES)
            if 1 <= action <= 51 and first <= last and start >= 0 and end < 2**31 and last - first < room:
                if tuple(values) not in said:
                    row = (number, action, first, last - first + 1)
                    room -= row[3]
                said.add(tuple(values))
        rows.append(row)
    return rows


def check_labels(data: bytes, thorough: bool) -> str:
    """Every line that says something is a clip or an entry of the drop report with its line."""
    source = Source("0291-L", (held("s/0291-L.txt", SEQUENCE), held("l/0291-L.txt", data)))
    try:
        clips = PKU[0].read(source)
    except BadInput as error:
        assert len(data) > 1 << 20, error
        return "refused: size"
    rows = twin_labels(data)
    if not rows:
        assert [clip.reason for clip in clips if isinstance(clip, Dropped)] == ["no labels"]
        return "refused: empty"
    assert len(clips) == len(rows)
    for clip, row in zip(clips, rows, strict=True):
        if isinstance(clip, Dropped):
            assert row is None, clip
            assert clip.reason in ("bad label", "duplicate")
            assert ", line " in clip.detail
        else:
            assert row is not None, clip.name
            number, action, _, frames = row
            assert clip.name == f"F291V001C{action:03}L{number:03}"
            assert clip.frames == frames
            assert len(clip.joints) == 2 * frames
            assert np.all(clip.joints == 1)
    return f"{'read' if any(rows) else 'refused'}: {len(rows)} {rows.count(None)}"


def check_lists(data: bytes, thorough: bool) -> str:
    """A list names every word in it as a video of one side, or is refused with its line."""
    text = twin_text(data)
    outcomes = []
    for part in PKU:
        try:
            found = part._split_lists(held("cross-subject.txt", data), [])
        except BadInput as error:
            outcomes.append(f"refused {error.what[-20:]}")
            continue
        named = [video for side in found.values() for video in side]
        assert set(found) <= {"train", "test"}
        assert not set(found.get("train", ())) & set(found.get("test", ()))
        assert all(part.video_name(video) == video for video in named)
        assert len(named) <= len(re.split(r"[\s,;:]+", text))
        outcomes.append("read" if named else "none of its videos")
    read = any(outcome == "read" for outcome in outcomes)
    return f"{'read' if read else 'refused'}: {outcomes}"


# A line of two bytes that is wrong becomes an entry of some hundred; the sequence of the labels is in the base.
TARGETS = {
    "names": Target(check_names, WORDS, 200),
    "labels": Target(check_labels, WORDS, 600, 1 << 18),
    "lists": Target(check_lists, WORDS, 60),
}
