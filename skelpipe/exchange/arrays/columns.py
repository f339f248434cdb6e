"""The columns of clips that come from arrays: what their names say, and what their class numbers count from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from skelpipe.errors import BadInput, shortened
from skelpipe.exchange.arrays.base import Part, held_datasets
from skelpipe.exchange.arrays.divisions import Weighed, beside_named, check_division, weigh
from skelpipe.exchange.arrays.labels import OWN_LABELS, Whole
from skelpipe.recordings import store
from skelpipe.recordings.datasets import Dataset
from skelpipe.recordings.datasets.ntu import NTU60, NTU120, parse_name
from skelpipe.recordings.datasets.pku import VIEWS, Pku
from skelpipe.recordings.datasets.splits import LISTED, RECORDED

# AimCLR's names of PKU-MMD clips, which are ours too: video, view, class, line of the label file.
PKU_NAMES = {
    "pku1": re.compile(r"F(\d{3,4})V(\d{3})C(\d{3})L(\d{3,7})", re.ASCII),
    "pku2": re.compile(r"A(\d{3})N(\d{3})V(\d{3})C(\d{3})L(\d{3,7})", re.ASCII),
}
# CMD's, ISC's and PCM3's: the sequence and a row of its label file, from 0 (data_gen/pku_gendata.py). They read it by
# np.loadtxt, which passes over blank lines; the 1,076 genuine files of part I have none before their end.
PKU_ROW = re.compile(r"(.+?)(?:\.txt)?_(\d{1,6})", re.ASCII | re.IGNORECASE)
UNKNOWN = -1
SUFFIXES = re.compile(r"(_(rgb|ir|depth|skeleton))?(\.[A-Za-z]\w{1,9})*", re.ASCII)


@dataclass(frozen=True)
class ColumnsOf:
    """The data set's columns of all clips, and what was found on the way.

    Attributes:
        values: the columns; without names ids are 0 and `train_<split>` is there too, with them perhaps `listed_train`.
        attributes: what the clips note of it: `divisions`.
        conventions: what they note beside the conventions of the coordinates: `labels`, and all that was told.
        told: sentences about what is not as it should be.
    """

    values: store.Columns
    attributes: dict[str, Any]
    conventions: dict[str, Any]
    told: list[str]

    @classmethod
    def parts(cls, dataset: Dataset, parts: Sequence[Part], split: str | None) -> ColumnsOf:
        """Make them of the names and labels of some arrays.

        Raises:
            BadInput: names or labels do not fit the data set or each other, or a file is of another split by its name.
        """
        if not any(len(part.labels) for part in parts):
            raise BadInput(parts[0].where, "holds no clips", "give other files")
        base, sentence = _base(dataset, parts)
        rows = _rows(dataset, parts, split, base)
        columns = {name: dataset.column(name, [row[name] for row in rows]) for name in dataset.columns}
        _check_unique(parts, columns)
        told = [*([sentence] if sentence else []), *(each for part in parts for each in part.told)]
        weighed = Weighed()
        if split is not None:
            columns[RECORDED + split] = np.concatenate([np.full(len(part.labels), part.train) for part in parts])
            train = int(columns[RECORDED + split].sum())
            told += check_division(parts[0].where, dataset, split, train, len(rows) - train)
        else:
            told += [sentence for part in parts for sentence in beside_named(part.where, dataset)]
            weighed = _weighed(dataset, parts, columns)
            told += weighed.told
        if weighed.listed is not None:
            columns[LISTED] = weighed.listed
        if dataset.name == NTU120.name and columns["label"].max() < NTU60.classes:
            what = f"no clip is of a class above {NTU60.classes}: if these are all, it is --dataset {NTU60.name}"
            told.append(f"{parts[0].where}: {what}")
        conventions = {"labels": "from 1, converted" if base else "from 0 or 1, taken as from 0"} if sentence else {}
        kept = {"divisions": weighed.about} if weighed.about else {}
        return cls(columns, kept, conventions | ({"told": told} if told else {}), told)

    def __len__(self) -> int:
        return len(self.values["name"])


def _rows(dataset: Dataset, parts: Sequence[Part], split: str | None, base: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for part in parts:
        labels = part.labels - base
        _check_classes(dataset, part, labels)
        for label, name in zip(labels.tolist(), part.names or repeat(None, len(labels)), strict=True):
            rows.append(
                _unnamed(dataset, label, split, part, len(rows)) if name is None else _ids(dataset, part, name, label)
            )
    return rows


def _weighed(dataset: Dataset, parts: Sequence[Part], columns: store.Columns) -> Weighed:
    names = list(dict.fromkeys(name for part in parts for name in part.divisions))
    silent = [np.full(len(part.labels), -1, np.int8) for part in parts]
    whole = {
        name: np.concatenate([part.divisions.get(name, none) for part, none in zip(parts, silent, strict=True)])
        for name in names
    }
    return weigh(parts[0].where, dataset.name, columns, whole)


def _check_unique(parts: Sequence[Part], columns: store.Columns) -> None:
    names, counts = np.unique(columns["name"], return_counts=True)
    if (counts > 1).any():
        what = f"has clips of the same name, here or in the other files: {shortened(str(names[counts > 1][0]), 60)}"
        raise BadInput(parts[0].where, what, "give every file once")


# Labels ------------------------------------------------------------------------------------------------------------
def _base(dataset: Dataset, parts: Sequence[Part]) -> tuple[int, str]:
    """What the class numbers of all files together count from, 0 or 1, and a sentence if that had to be found out."""
    for part in parts:
        if part.width is not None and part.width != dataset.classes:
            _check_width(dataset, part, parts)
    if len(parts) > 1:
        _check_offset(dataset, parts)
    where, labels = parts[0].where, np.concatenate([part.labels for part in parts])
    widths = {part.width for part in parts} - {None}
    if dataset.classes in widths or (labels <= 0).any():
        return 0, ""
    lowest, highest = int(labels.min()), int(labels.max())
    of_names = [_class_of(dataset, name) for part in parts for name in part.names or ()]
    if (
        of_names and UNKNOWN not in of_names
    ):  # they tell: an offset of 1 throughout is a convention, others are mistakes
        if (labels == np.array(of_names) + 1).all():
            return 1, f"{where}: its class numbers count from 1, as their clips' names do; they are kept from 0"
        return 0, ""
    if highest == dataset.classes or widths == {dataset.classes + 1}:
        return 1, f"{where}: its class numbers go from {lowest} to {highest} and count from 1; they are kept from 0"
    if widths or highest > dataset.classes or any(part.names for part in parts):  # CMD's scripts write them from 0
        return 0, ""
    said = f"its class numbers go from {lowest} to {highest} of {dataset.classes}, so that they may count from 0 or 1"
    return 0, f"{where}: {said}; they are taken as from 0: take 1 from each in the file if they count from 1"


def _check_offset(dataset: Dataset, parts: Sequence[Part]) -> None:
    """Raise BadInput if some files count their classes from 1 and others from 0, by their clips' names."""
    offsets = dict[Path, int]()
    for part in parts:
        said = np.array([_class_of(dataset, name) for name in part.names or ()])
        if len(said) and UNKNOWN not in said and len(distinct := np.unique(part.labels - said)) == 1:
            offsets[part.where] = int(distinct[0])
    off = [where for where, offset in offsets.items() if offset == 1]
    right = [where for where, offset in offsets.items() if offset == 0]
    if off and right:
        what = f"its classes are off by one: they count from 1, and those of {right[0]} from 0"
        raise BadInput(off[0], what, "take 1 from each class number in its labels")


def _check_width(dataset: Dataset, part: Part, parts: Sequence[Part]) -> None:
    """Raise BadInput for one-hot labels of another width, unless they have a column for a class 0 that never occurs."""
    if part.width == dataset.classes + 1 and not any((each.labels == 0).any() for each in parts):
        return
    what = f"has labels of {part.width} columns, one for each class, and {dataset.name} has {dataset.classes} classes"
    raise BadInput(part.where, what, _whose(part.width or 0))


def _check_classes(dataset: Dataset, part: Part, labels: Whole) -> None:
    odd = labels[(labels < 0) | (labels >= dataset.classes)]
    if len(odd):
        what = f"has class {odd[0] + 1}, and {dataset.name} has {dataset.classes}"
        raise BadInput(part.where, what, _whose(int(labels.max()) + 1, at_least=True))


def _whose(classes: int, at_least: bool = False) -> str:
    """The remedy that names the data sets of so many classes."""
    fitting = [d.name for d in held_datasets().values() if (d.classes >= classes if at_least else d.classes == classes)]
    return f"correct --dataset; {' or '.join(fitting)} would fit" if fitting else "correct --dataset"


def says(dataset: Dataset, plain: str) -> int | None:
    """The class, from 0, that a plain name says, -1 if it says none, or None if it is no name of the data set."""
    ids = _parsed(dataset, plain, UNKNOWN)
    return None if ids is None else int(ids["label"])


def _class_of(dataset: Dataset, name: str) -> int:
    """The class, from 0, that a clip's name says, or UNKNOWN."""
    said = says(dataset, plain_name(name))
    return UNKNOWN if said is None else said


# Names -------------------------------------------------------------------------------------------------------------
def plain_name(name: str) -> str:
    """A clip's name without folders, suffixes and what tells of a modality: `raw/S001C001P001R001A001_rgb.avi`."""
    last = re.split(r"[\\/]", name.strip())[-1]
    plain = last.upper() if last.isascii() else last
    for pattern in (r"S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}", *(each.pattern for each in PKU_NAMES.values())):
        found = re.match(pattern, plain, re.ASCII)
        if found and SUFFIXES.fullmatch(last, found.end()):
            return plain[: found.end()]
    return plain


def _unnamed(dataset: Dataset, label: int, split: str | None, part: Part, number: int) -> dict[str, Any]:
    ids = {name: "" if name == "video" else 0 for name in dataset.columns}
    return {**ids, "name": f"{split}-{'train' if part.train else 'test'}-{number:06}", "label": label}


def _ids(dataset: Dataset, part: Part, name: str, label: int) -> dict[str, Any]:
    """One clip's columns, from its name."""
    plain = plain_name(name)
    ids = _parsed(dataset, plain, label)
    if ids is None:
        _refuse_name(dataset, part.where, name, plain)
    if ids["label"] != label:
        what = f"says class {label + 1} of {plain}, whose name says {int(ids['label']) + 1}"
        raise BadInput(part.where, what, OWN_LABELS)
    return {"name": plain, **ids}


def _refuse_name(dataset: Dataset, where: Path, name: str, plain: str) -> NoReturn:
    others = [name for name, other in held_datasets().items() if other is not dataset and _parsed(other, plain, 0)]
    remedy = f"it is one of {' or '.join(others)}: correct --dataset" if others else "correct --dataset"
    raise BadInput(where, f"calls a clip {shortened(name, 60)!r}, which is no name of {dataset.name}", remedy)


def _parsed(dataset: Dataset, plain: str, label: int) -> dict[str, Any] | None:
    """The columns that a plain name says, `name` too where it is another in full; None if it is none of the data set.

    Names of CMD's kind say no class: theirs is the label that is given.
    """
    if not isinstance(dataset, Pku):
        return parse_name(plain)
    match = PKU_NAMES[dataset.name].fullmatch(plain)
    if match is not None:
        *video, view, action, _ = map(int, match.groups())
        return _pku_ids(dataset, video, view, action - 1)
    row = PKU_ROW.fullmatch(plain)
    called = row and dataset.video_name(row[1])
    if not (row and called):
        return None
    numbers, view = dataset.numbers(called), VIEWS.index(called[-1]) + 1
    ids = _pku_ids(dataset, numbers, view, label)
    if ids is None:
        return None
    return {**ids, "name": f"{dataset.clip.format(*numbers)}V{view:03}C{label + 1:03}L{int(row[2]) + 1:03}"}


def _pku_ids(dataset: Pku, video: Sequence[int], view: int, label: int) -> dict[str, Any] | None:
    if not 1 <= view <= len(VIEWS):
        return None
    # The frames of the sequence are not in the name.
    called = dataset.video.format(*video, VIEWS[view - 1])
    return {"label": label, "video": called, "view": view, "start": 0, "end": 0}
