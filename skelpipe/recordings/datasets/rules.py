"""Rules by which clips are divided that no benchmark has: by the values of a column, in folds of it, or by a list."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from skelpipe.errors import BadInput, shortened
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.ntu import LAST_SETUP_60, NTU60, SETUP_SUBJECTS, Ntu
from skelpipe.recordings.datasets.own import Own
from skelpipe.recordings.datasets.pku import VIEWS, Pku
from skelpipe.recordings.datasets.ucla import CAMERAS, EPISODES, SUBJECTS, Ucla

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Columns: TypeAlias = "Mapping[str, npt.NDArray[Any]]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"
Value = int | str

MARK = ":"  # no benchmark's name has it
NO_IDS = ("label", "start", "end")  # numbers that say nothing about who or where
# How the columns that a video's name holds are called, in the order of its numbers; and those that there are.
VIDEO = {"pku1": {"video": range(2, 365)}, "pku2": {"scene": range(1, 27), "performer": range(1, 14)}}
PLAIN = re.compile(r"[\w.,=+-]+", re.ASCII)


@dataclass(frozen=True)
class Rule:
    """Which values of a column train, and which test.

    Attributes:
        dataset: whose classes are told apart.
        train: None: all that do not test.
        test: None: all that do not train.
        fold: (k, n) in place of both: the values that clips have here, in order, are dealt to n folds in turn, and
            those of the k-th test.
    """

    dataset: Dataset
    column: str
    train: tuple[Value, ...] | None = None
    test: tuple[Value, ...] | None = None
    fold: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The rule as it is written down: the same rule always has the same name."""
        head = f"{self.dataset.name}{MARK}{self.column}{MARK}"
        if self.fold is not None:
            return f"{head}{self.fold[0]}of{self.fold[1]}"
        return head + spans(self.train or ()) + ("" if self.test is None else f"/{spans(self.test)}")

    @property
    def title(self) -> str:
        how = f"{self.dataset.title} by {self.column}, "
        if self.fold is not None:
            return f"{how}fold {self.fold[0]} of {self.fold[1]} tests, the others train"
        train = "the others train" if self.train is None else f"{spans(self.train)} train"
        test = "the others test" if self.test is None else f"{spans(self.test)} test"
        return f"{how}{test}, {train}" if self.train is None else f"{how}{train}, {test}"

    def masks(self, columns: Columns) -> tuple[Mask, Mask]:
        """Which clips train and which test: two (N,) masks."""
        import numpy as np

        values = values_of(self.dataset, self.column, columns)
        if self.fold is not None:
            found, index = np.unique(values, return_inverse=True)
            tests: Mask = (np.arange(len(found)) % self.fold[1] == self.fold[0] - 1)[index]
            return ~tests, tests
        train = None if self.train is None else np.isin(values, list(self.train))
        test = None if self.test is None else np.isin(values, list(self.test))
        if train is None:
            assert test is not None
            return ~test, test
        return train, ~train if test is None else test

    def as_rule(self) -> dict[str, Any]:
        """The rule in plain values, without whose it is."""
        sides = {"train": self.train, "test": self.test, "fold": self.fold}
        return {"column": self.column, **{key: list(value) for key, value in sides.items() if value is not None}}

    def check(self, columns: Columns) -> None:
        """Raise BadInput if a value is one that the data set has not, and no clip here either."""
        here = {*values_of(self.dataset, self.column, columns).tolist()}
        if self.fold is not None:
            if self.fold[1] > len(here):
                what = f"has more folds than there are {self.column}s here, which are {len(here)}"
                raise BadInput(f"split {self.name!r}", what, "deal them to fewer folds")
            return
        known = dividing(self.dataset)[self.column]
        odd = [value for value in {*(self.train or ()), *(self.test or ())} - {*known} if value not in here]
        if not known and here and not has_words(self.dataset, self.column):
            odd = [value for value in odd if not min(here) < value < max(here)]  # a range may span numbers that are not
        if odd:
            what = f"names {self.column} {spans(odd)}, which no clip here has"
            there = f"{self.dataset.title} has {spans(known)}" if known else f"there are {shortened(spans(here), 200)}"
            raise BadInput(f"split {self.name!r}", what, f"correct it: {there}")


@dataclass(frozen=True)
class Listed:
    """Names of the clips that train and of those that test.

    Attributes:
        name: what the split is called.
        test: None: all that do not train.
        path: of the file that lists them, if one does.
        told: how the file was understood, in words.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...] | None = None
    path: str = ""
    told: tuple[str, ...] = ()

    def tell(self, columns: Columns) -> list[str]:
        """What to say of it where it divides these clips: how it was understood, and names that no clip here has."""
        names = {*columns["name"].tolist()}
        unknown = [each for each in (*self.train, *(self.test or ())) if not {each, _stem(each)} & names]
        of = "1 name" if len(unknown) == 1 else f"{len(unknown):,} names"
        lacking = [f"{of} of no clip here, as {shortened(unknown[0], 60)}"] if unknown else []
        return [f"{self.path or self.name}: {each}" for each in (*self.told, *lacking)]

    def masks(self, columns: Columns) -> tuple[Mask, Mask]:
        """As of `Rule`."""
        train = self._among(self.train, columns)
        return train, ~train if self.test is None else self._among(self.test, columns)

    def check(self, columns: Columns) -> None:
        """Raise BadInput if none of the names is that of a clip here, or one is on both sides."""
        train, test = self.masks(columns)
        names = columns["name"]
        if len(names) and not train.any() and (self.test is None or not test.any()):
            first = (*self.train, *(self.test or ()))[0]
            what = f"lists {shortened(first, 60)} and others, and no clip here is called so"
            where = self.path or f"split {self.name!r}"
            raise BadInput(where, what, f"list names of clips, such as {shortened(str(names[0]), 60)}")
        if (train & test).any():
            what = f"has {shortened(str(names[train & test][0]), 60)} on both sides"
            raise BadInput(self.path or f"split {self.name!r}", what, "keep it on one")

    def _among(self, listed: Sequence[str], columns: Columns) -> Mask:
        """Clips are called by their name; a path or a suffix that a list has beside it is overlooked."""
        import numpy as np

        names = columns["name"]
        known = {*names.tolist()}
        return np.isin(names, [each if each in known else _stem(each) for each in listed])

    def as_rule(self) -> dict[str, Any]:
        """The lists in plain values."""
        return {"train": list(self.train), "test": None if self.test is None else list(self.test)}


def _stem(name: str) -> str:
    last = name.replace("\\", "/").rpartition("/")[2]
    return last.rpartition(".")[0] or last


def dividing(dataset: Dataset) -> dict[str, Collection[Value]]:
    """The columns by which clips of a data set can be divided, and the values that it has; () where that is not known.

    Of PKU-MMD these are also the numbers in the names of its videos; of recordings of one's own the names themselves
    too, for those of which nothing else is known.
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
    if isinstance(dataset, Own):
        return {each: () for each in (*dataset.columns[1:], dataset.columns[0]) if each not in NO_IDS}
    return {each: () for each in dataset.columns if each not in (*dataset.text, *NO_IDS)}


def has_words(dataset: Dataset, column: str) -> bool:
    """Whether a column of `dividing` holds words, and not numbers."""
    return isinstance(dataset, Own) and column in dataset.text


def values_of(dataset: Dataset, column: str, columns: Columns) -> npt.NDArray[Any]:
    """(N,) what each clip has in a column of `dividing`."""
    if isinstance(dataset, Pku) and column in VIDEO[dataset.name]:
        return video_numbers(dataset, columns)[:, [*VIDEO[dataset.name]].index(column)]
    return columns[column]


def video_numbers(part: Pku, columns: Columns) -> npt.NDArray[np.int64]:
    """(N, 1 or 2): the numbers in each clip's video name."""
    import numpy as np

    videos, index = np.unique(columns["video"], return_inverse=True)
    return np.array([part.numbers(str(v)) for v in videos], np.int64).reshape(len(videos), len(VIDEO[part.name]))[index]


def spans(values: Iterable[Value], apart: str = ",") -> str:
    """Numbers in short: 1-4,7; two in a row stand for themselves. Words stand in their order."""
    found: list[list[int]] = []
    words = [value for value in values if isinstance(value, str)]
    for value in sorted({value for value in values if not isinstance(value, str)}):
        if found and value == found[-1][-1] + 1:
            found[-1].append(value)
        else:
            found.append([value])
    numbers = [f"{run[0]}-{run[-1]}" if len(run) > 2 else apart.join(map(str, run)) for run in found]
    return apart.join([*numbers, *sorted({*words})])


def folder_word(split: str) -> str:
    """A split's name in letters that names of folders and files may have: camera:2,3/1 -> camera=2,3-test=1.

    Where it has others, as names of people have, a digest stands for them.
    """
    *above, values = split.split(MARK)
    word = "=".join(filter(None, ["-".join(above), values.replace("/", "-test=" if values[:1] != "/" else "test=")]))
    if PLAIN.fullmatch(word):
        return word
    import hashlib

    return f"{re.sub(r'[^A-Za-z0-9_.,=+-]', '', word)}-{hashlib.sha256(split.encode()).hexdigest()[:8]}"
