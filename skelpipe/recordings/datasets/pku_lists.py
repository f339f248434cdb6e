"""The lists of videos by which PKU-MMD is divided, in one file or in two."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.datasets.pku_labels import NEWLINE, decoded

Sides: TypeAlias = dict[str, list[str]]

# cross-subject.txt, pku_cross_view_v2.txt, cross-subject-train.txt, xsub_test.txt
LIST_FILE = re.compile(r"(?:.*[^a-z])?(?:cross[-_ ]?|x)(sub(?:ject)?s?|views?)(?![a-z]).*\.txt", re.IGNORECASE)
SHOWN = 40  # characters of a word that a message quotes


def split_of(path: str) -> str | None:
    """ "sub" or "view" if a file is called like a list of that split."""
    match = LIST_FILE.fullmatch(path.rpartition("/")[2])
    return match and ("sub" if match[1].lower().startswith("sub") else "view")


def side_of(text: str) -> str | None:
    """The part that a heading or a file's name speaks of; None if it names neither part, or both."""
    train, test = "train" in text.lower(), re.search(r"test|val(?!ue)|eval", text.lower()) is not None
    return None if train == test else "train" if train else "test"


def read_list(data: bytes, where: str, video_name: Callable[[str], str | None], told: list[str] | None = None) -> Sides:
    """The videos that a list names for each part: {"train": …, "test": …}, without a part that it does not speak of.

    The publisher's have four lines: a heading, the training videos, a heading (misspelt), the validation videos. A
    heading is what stands before a colon, or a line without numbers, or the words before a line's first video; names
    are separated by commas, semicolons or blanks. Without a heading the file's name says the part.

    Args:
        data: the file.
        where: how messages call it; its last part is its name.
        video_name: the name of the video that a word means, if it means one.
        told: gets a sentence where validation and test videos stand apart, since both become the test part.

    Raises:
        BadInput: a word is no video's name, videos stand under no heading, or one is in both parts and would change
            sides unseen.
    """
    found: Sides = {}
    called = set()
    heard = re.sub(r".*/", "", where)
    side = side_of(heard)
    if side:
        found[side] = []
    for number, line in enumerate(NEWLINE.split(decoded(data)), 1):
        heading, words = _parted(line, video_name)
        if heading:
            side, heard = side_of(heading), heading
        videos = [_named(word, f"{where}, line {number}", video_name) for word in words]
        if videos and side is None:
            what = f"names videos under no heading that says whether they are for training or test: {_short(line)}"
            remedy = "write 'Training videos:' or 'Validation videos:' above them"
            raise BadInput(f"{where}, line {number}", what, remedy)
        if side:
            found.setdefault(side, []).extend(videos)
        if videos and side == "test":
            called.add("test" if "test" in heard.lower() else "validation")
    if len(called) > 1 and told is not None:
        told.append(f"{where}: its validation videos and its test videos together are taken as the test part")
    return found


def _named(word: str, where: str, video_name: Callable[[str], str | None]) -> str:
    """The name of the video that a word means."""
    name = video_name(word)
    if name is None:
        raise BadInput(where, f"{_short(word)} is no video's name", "correct the list, or remove the file")
    return name


def _parted(line: str, video_name: Callable[[str], str | None]) -> tuple[str, list[str]]:
    """A line's heading and the words that should name videos."""
    heading, colon, rest = line.lstrip("#").rpartition(":")
    if colon and not any(map(video_name, _words(heading))):
        return heading.strip() or colon, list(_words(rest))
    words = list(_words(line.lstrip("#")))
    first = next((n for n, word in enumerate(words) if video_name(word) or re.search(r"[0-9]", word)), len(words))
    if first and all(word.isdigit() for word in words[first:]):  # Training videos (944)
        first = len(words)
    return " ".join(words[:first]), words[first:]


def _words(text: str) -> Iterator[str]:
    """The words of a line, without quotes and brackets, folders and suffixes."""
    for word in re.split(r"[\s,;]+", text):
        bare = re.sub(r"\.(?:txt|skeleton)$", "", re.split(r"[/\\]", word.strip("'\"[](){}"))[-1], flags=re.IGNORECASE)
        if bare:
            yield bare


def _short(text: str) -> str:
    return repr(shortened(text.strip(), SHOWN))


def join_lists(known: Sides, more: Sides, where: str, split: str) -> None:
    """Add what another file says of a split to what is known of it.

    Raises:
        BadInput: both speak of the same part and disagree, or name one video for different parts.
    """
    for side, videos in more.items():
        if set(known.setdefault(side, videos)) != set(videos):
            raise BadInput(where, f"disagrees with another list for {split}", "keep only the right one")
    check_sides(known, where)


def check_sides(sides: Sides, where: str) -> None:
    """Raise BadInput if a video is in both parts."""
    if twice := sorted(set(sides.get("train", ())) & set(sides.get("test", ()))):
        raise BadInput(where, f"has {twice[0]} in both lists", "correct the list, or remove the file")
