"""Splits that a user states by the values of one column, where a benchmark's do not serve.

subject:1-20           these train, all others test
camera:2,3/1           these train, those after the stroke test, the others do neither
ntu60:subject:1-20     the same of a named data set: its classes, also in a store of NTU RGB+D 120
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skelpipe.errors import BadInput, nearest, shortened
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.known import DATASETS, find_dataset
from skelpipe.recordings.datasets.ntu import LAST_SETUP_60, NTU60, SETUP_SUBJECTS, Ntu
from skelpipe.recordings.datasets.pku import VIEWS, Pku
from skelpipe.recordings.datasets.recording import TEXT_COLUMNS
from skelpipe.recordings.datasets.ucla import CAMERAS, EPISODES, SUBJECTS, Ucla

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MARK = ":"  # no benchmark's name has it
EXAMPLE = "write for example subject:1-20 (these train, the others test) or camera:2,3/1 (2 and 3 train, 1 tests)"
SPAN = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)
NO_IDS = ("label", "start", "end")  # numbers that say nothing about who or where
# How the columns that a video's name holds are called, in the order of its numbers; and those that there are.
VIDEO = {"pku1": {"video": range(2, 365)}, "pku2": {"scene": range(1, 27), "performer": range(1, 14)}}


@dataclass(frozen=True)
class Rule:
    """Which values of a column train, and which test; None: all others.

    Attributes:
        dataset: whose classes are told apart.
    """

    dataset: Dataset
    column: str
    train: tuple[int, ...]
    test: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        """The rule as it is written down: the same rule always has the same name."""
        test = "" if self.test is None else f"/{spans(self.test)}"
        return f"{self.dataset.name}{MARK}{self.column}{MARK}{spans(self.train)}{test}"

    @property
    def title(self) -> str:
        test = "the others test" if self.test is None else f"{spans(self.test)} test"
        return f"{self.dataset.title} by {self.column}, {spans(self.train)} train, {test}"

    def check(self, columns: Mapping[str, npt.NDArray[Any]]) -> None:
        """Raise BadInput if a value is one that the data set has not, and no clip here either."""
        known = dividing(self.dataset)[self.column]
        odd = sorted({*self.train, *(self.test or ())} - set(known))
        if not odd:
            return
        here = set(values_of(self.dataset, self.column, columns).tolist())
        if left := [value for value in odd if value not in here]:
            what = f"names {self.column} {spans(left)}, which no clip here has"
            there = f"{self.dataset.title} has {spans(known)}" if known else f"there are {spans(here)}"
            raise BadInput(f"split {self.name!r}", what, f"correct it: {there}")


def is_stated(split: str) -> bool:
    """Whether this names no benchmark, but states a rule."""
    return MARK in split


def parse(text: str, dataset: str | None = None) -> Rule:
    """The rule that a text states.

    Args:
        dataset: whose clips are divided, where the text names no data set.

    Raises:
        BadInput: it states none, or the data set has no such column, or no data set is named and several have it.
    """
    *named, column, values = text.replace(" ", "").lower().split(MARK)
    if len(named) > 1 or not column or not values:
        raise BadInput(f"split {shortened(text, 60)!r}", "is no column and its values", EXAMPLE)
    about = _dataset(text, column, named[0] if named else dataset)
    train, stroke, test = values.partition("/")
    rule = Rule(
        about, column, _values(text, about, column, train), _values(text, about, column, test) if stroke else None
    )
    if both := sorted({*rule.train} & {*(rule.test or ())}):
        raise BadInput(f"split {text!r}", f"has {column} {spans(both)} on both sides of the stroke", "keep it on one")
    return rule


def check_stated(text: str) -> None:
    """As `parse`, but a column that several data sets have is right: the clips will tell whose it is."""
    named = text.count(MARK) > 1
    column = text.replace(" ", "").lower().partition(MARK)[0]
    having = [] if named else _having(column)
    parse(text, having[0].name if having else None)


def _dataset(text: str, column: str, name: str | None) -> Dataset:
    """The data set that is meant, whose clips have that column."""
    if name is not None:
        about = find_dataset(name)
        if column not in dividing(about):
            raise _no_column(text, f"{about.name} has no column {shortened(column, 40)!r}", column, dividing(about))
        return about
    having = _having(column)
    if not having:
        known = dict.fromkeys(each for dataset in DATASETS.values() for each in dividing(dataset))
        raise _no_column(text, f"no data set has a column {shortened(column, 40)!r}", column, known)
    if len(having) > 1:
        names = [each.name for each in having]
        what = f"does not say whose {column} is meant: that of {', '.join(names[:-1])} or {names[-1]}"
        raise BadInput(f"split {text!r}", what, f"write {names[0]}{MARK}{text}")
    return having[0]


def _having(column: str) -> list[Dataset]:
    """The data sets whose clips have that column."""
    return [each for each in DATASETS.values() if column in dividing(each)]


def _no_column(text: str, what: str, column: str, known: Iterable[str]) -> BadInput:
    near = nearest(column, known)
    remedy = f"did you mean {near!r}?" if near else f"use one of {', '.join(known)}, or a benchmark's split"
    return BadInput(f"split {shortened(text, 60)!r}", f"cannot be made: {what}", remedy)


def _values(text: str, dataset: Dataset, column: str, listed: str) -> tuple[int, ...]:
    """The numbers that "1,2,4-8" lists, in order; of a view of PKU-MMD also its letter."""
    found = set[int]()
    for word in listed.split(","):
        if column == "view" and isinstance(dataset, Pku) and word.upper() in (*VIEWS,):
            found.add(VIEWS.index(word.upper()) + 1)
            continue
        match = SPAN.fullmatch(word)
        if match is None:
            what = f"has {shortened(word, 40)!r} where a number or a range of {column}s such as 1-20 belongs"
            raise BadInput(f"split {shortened(text, 60)!r}", what, EXAMPLE)
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise BadInput(f"split {text!r}", f"has the range {word}, which ends before it begins", "turn it round")
        found |= {*range(first, last + 1)}
    return tuple(sorted(found))


def dividing(dataset: Dataset) -> dict[str, Collection[int]]:
    """The columns by which clips of a data set can be divided, and the values that it has; () where that is not known.

    Of PKU-MMD these are also the numbers in the names of its videos.
    """
    if isinstance(dataset, Ntu):
        last = LAST_SETUP_60 if dataset is NTU60 else max(SETUP_SUBJECTS)
        people = {each for setup, those in SETUP_SUBJECTS.items() if setup <= last for each in those}
        known = {"subject": range(1, max(people) + 1), "camera": range(1, 4), "setup": range(1, last + 1)}
        return {**known, "replication": range(1, 3)}
    if isinstance(dataset, Pku):
        return {"view": range(1, len(VIEWS) + 1), **VIDEO[dataset.name]}
    if isinstance(dataset, Ucla):
        return {"subject": SUBJECTS, "episode": EPISODES, "camera": CAMERAS}
    return {each: () for each in dataset.columns if each not in (*TEXT_COLUMNS, *NO_IDS)}


def values_of(dataset: Dataset, column: str, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """(N,) what each clip has in a column of `dividing`."""
    if isinstance(dataset, Pku) and column in VIDEO[dataset.name]:
        return video_numbers(dataset, columns)[:, [*VIDEO[dataset.name]].index(column)]
    return columns[column]


def video_numbers(part: Pku, columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
    """(N, 1 or 2): the numbers in each clip's video name."""
    import numpy as np

    videos, index = np.unique(columns["video"], return_inverse=True)
    return np.array([part.numbers(str(v)) for v in videos], np.int64).reshape(len(videos), len(VIDEO[part.name]))[index]


def spans(values: Iterable[int], apart: str = ",") -> str:
    """Numbers in short: 1-4,7; two in a row stand for themselves."""
    found: list[list[int]] = []
    for value in sorted({*values}):
        if found and value == found[-1][-1] + 1:
            found[-1].append(value)
        else:
            found.append([value])
    return apart.join(f"{run[0]}-{run[-1]}" if len(run) > 2 else apart.join(map(str, run)) for run in found)


def folder_word(split: str) -> str:
    """A split's name in letters that names of folders and files may have: camera:2,3/1 -> camera=2,3-test=1."""
    *above, values = split.split(MARK)
    return "=".join(filter(None, ["-".join(above), values.replace("/", "-test=")]))
