"""What the name of an array file, and those of the folders around it, say of what is in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from skelpipe.exchange.arrays.base import has_layout
from skelpipe.recordings.datasets.splits import OWN

TRAIN, VAL = "train", "val"
FOLDERS = 3  # how many of them above a file are looked at

_PART = re.compile(r"(?<![a-z])(train|val|test|eval)(?:ing|id|idation|ing|uation)?(?![a-z])")
_CONTENT = re.compile(r"(?<![a-z])(motion|bone|vel(?:ocity|ocities)?|angles?|accel(?:eration)?)s?(?![a-z])")
# A separator is any of - _ and a blank; NTU's publisher also writes RGB+D.
_NTU = re.compile(r"(?<![a-z])ntu(?:[-_ ]?rgb[-_+ ]*d?)?[-_ ]?(60|120)?(?![0-9])")
_PKU = re.compile(r"(?<![a-z])pku[-_ ]?(?:mmd)?[-_ ]?(?:v|part|phase|p)?[-_ ]?([12]|ii?)?(?![0-9a-z])")
_DIVIDED = re.compile(r"(?<![a-z])(?:x|c|cross)[-_ ]?(sub|view|set)(?:ject|jects|up|s)?[-_ ]?(60|120)?(?![a-z0-9])")
_SHORT = re.compile(r"(?<![a-z0-9])c([sv])(?![a-z0-9])")  # CTR-GCN's and SGN's
# What is taken off a stem so that an array and its labels have the same.
_ROLE = re.compile(r"[-_ .](?:data|labels?|joints?|positions?|names?|frames?|aligned|num)(?![a-z])")
_PKU_PARTS = {"1": {"pku1"}, "i": {"pku1"}, "2": {"pku2"}, "ii": {"pku2"}}


@dataclass(frozen=True)
class Said:
    """What names say; None, or nothing in a set, where they say nothing or contradict themselves.

    Attributes:
        part: "train", or "val" for what is tested on.
        content: "motion", "bone" and the like, where it is not joints.
        datasets: which data sets it may be of.
        divided: "sub", "view" or "set": by what training and testing are told apart.
    """

    part: str | None = None
    content: str | None = None
    datasets: frozenset[str] = frozenset()
    divided: str | None = None

    @property
    def splits(self) -> tuple[str, ...]:
        """The benchmarks that fit; none where nothing is said of either."""
        if self.divided is None:
            return ()
        return tuple(
            name
            for name, split in OWN.items()
            if division_of(name) == self.divided
            and has_layout(split.datasets[0])
            and (not self.datasets or split.datasets[0].name in self.datasets)
        )

    @property
    def whose(self) -> tuple[str, ...]:
        """The benchmarks that fit, or if none does the data sets that are named."""
        return self.splits or tuple(sorted(self.datasets))

    def contradicts(self, other: Said) -> bool:
        """Whether both cannot be true of one data set and benchmark."""
        apart = bool(self.datasets and other.datasets) and not self.datasets & other.datasets
        return apart or (None not in (self.divided, other.divided) and self.divided != other.divided)


def division_of(split: str) -> str | None:
    """ "sub", "view" or "set" of a split's name, None of another's."""
    match = re.search(r"x(sub|view|set)", split)
    return match[1] if match else None


def of_name(name: str) -> Said:
    """What one name says, of a file (without its suffix) or of a folder."""
    text = name.lower()
    parts = {TRAIN if found[1] == "train" else VAL for found in _PART.finditer(text)}
    content = " ".join(dict.fromkeys(found[1] for found in _CONTENT.finditer(text)))
    divided = {found[1] for found in _DIVIDED.finditer(text)}
    divided |= {"sub" if found[1] == "s" else "view" for found in _SHORT.finditer(text)}
    return Said(_only(parts), content or None, _datasets(text), _only(divided))


def _datasets(text: str) -> frozenset[str]:
    sizes = {found[2] for found in _DIVIDED.finditer(text)} - {None}
    ntu = [found[1] for found in _NTU.finditer(text)]
    sizes |= {size for size in ntu if size}
    found: set[str] = {f"ntu{size}" for size in sizes}
    if ntu and not found:
        found = {"ntu60", "ntu120"}
    for match in _PKU.finditer(text):
        found |= _PKU_PARTS.get(match[1] or "", {"pku1", "pku2"})
    return frozenset(found)


def _only(found: set[str]) -> str | None:
    return next(iter(found)) if len(found) == 1 else None


def of_file(path: Path) -> Said:
    """What the file's own name says."""
    return of_name(path.stem)


def of_folders(path: Path) -> Said:
    """What the folders around a file say; of each thing the nearest that speaks of it.

    Of the part only the first can speak, and only if it is called nothing else.

    Links are not followed: what stores data by their digest links to names that say nothing.
    """
    folders = list(_folders(path))
    said = Said(part=of_name(folders[0]).part if folders and _PART.fullmatch(folders[0].lower()) else None)
    for name in folders:
        here = of_name(name)
        said = replace(said, datasets=said.datasets or here.datasets, divided=said.divided or here.divided)
    return said


def _folders(path: Path) -> Iterator[str]:
    for folder, _ in zip(Path(os.path.abspath(path)).parents, range(FOLDERS), strict=False):
        yield folder.name


def of_path(path: Path) -> Said:
    """What a file's name says, and where it says nothing, what its folders say."""
    own, around = of_file(path), of_folders(path)
    return Said(own.part or around.part, own.content, own.datasets or around.datasets, own.divided or around.divided)


def stem_key(path: Path) -> str:
    """The stem without what tells an array from its labels: `train_data_joint` and `train_label` have the same."""
    text = _PART.sub(lambda found: TRAIN if found[1] == "train" else VAL, path.stem.lower())
    return _ROLE.sub("", f"_{text}")


def part_of(key: str) -> tuple[str, str] | None:
    """The word for its part in a list's key, and the rest: `xsub_val` is ("val", "xsub"); None without such a word."""
    found = _PART.search(key.lower())
    if found is None:
        return None
    word = "test" if found[1] == "eval" else found[1]
    return word, (key[: found.start()] + key[found.end() :]).strip("-_ .")
