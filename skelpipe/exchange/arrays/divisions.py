"""How files divide their clips into training and testing, held against how the benchmarks do."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skelpipe.errors import BadInput, printable
from skelpipe.exchange.arrays.file_names import (
    TRAIN,
    Said,
    division_of,
    of_file,
    of_folders,
    of_name,
    of_path,
    part_of,
)
from skelpipe.recordings.datasets import Dataset, find_split, fitting_splits, split_masks

log = logging.getLogger(__name__)
FILES = "files"  # what a division is called that only the files' names tell, as train_ and val_
# Training and test clips of the benchmarks: those that can be used, then all that were recorded. NTU RGB+D: the
# publisher's names and its list of missing skeletons; PKU-MMD I: the publisher's labels and lists, the views by the
# rule; PKU-MMD II: as commonly quoted.
COUNTS = {
    "xsub60": ((40_091, 16_487), (40_320, 16_560)), "xview60": ((37_646, 18_932), (37_920, 18_960)),
    "xsub120": ((63_026, 50_919), (63_360, 51_120)), "xset120": ((54_468, 59_477), (54_720, 59_760)),
    "pku1-xsub": ((18_841, 2_704),), "pku1-xview": ((14_372, 7_173),), "pku2-xsub": ((5_332, 1_613),),
}  # fmt: skip

Listed = npt.NDArray[np.int8]


@dataclass
class Weighed:
    """What became of the divisions that files hold.

    Attributes:
        listed: (N,) the one that is kept, as the column `listed_train`, or None.
        about: by name, how many clips it has on each side, and which benchmarks divide the same clips so.
        told: a sentence for each that is not a benchmark's.
    """

    listed: Listed | None = None
    about: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def divided_by_name(path: Path, clips: int) -> dict[str, Listed]:
    """The division that a file's name tells (train_, val_), called after its benchmark where a name says that too."""
    said = of_path(path)
    if said.part is None:
        return {}
    return {f"x{said.divided}" if said.divided else FILES: np.full(clips, said.part == TRAIN, np.int8)}


def divided_by_lists(lists: Mapping[str, Sequence[str]], names: Sequence[str]) -> dict[str, Listed]:
    """The divisions in lists of names: `xsub_train` and `xsub_val` are one, `xview_train` begins another.

    Where there are val and test, those of val are on neither side.
    """
    place = {name: number for number, name in enumerate(names)}
    divisions: dict[str, Listed] = {}
    words = [(part, key) for key in lists if (part := part_of(key)) is not None]
    tested = {rest for (word, rest), _ in words if word == "test"}
    for (word, rest), key in words:
        if word == "val" and rest in tested:
            continue
        listed = divisions.setdefault(rest or FILES, np.full(len(names), -1, np.int8))
        listed[[place[name] for name in lists[key] if name in place]] = word == TRAIN
    return divisions


# Held against the rules --------------------------------------------------------------------------------------------
def weigh(where: Path, dataset: str, columns: Mapping[str, npt.NDArray[Any]], divisions: dict[str, Listed]) -> Weighed:
    """Hold every division against the benchmarks that the clips can serve.

    Raises:
        BadInput: one is the very reverse of the benchmark after which it is called.
    """
    weighed, odd = Weighed(), list[str]()
    codes = {name: _codes(name, dataset, columns) for name in fitting_splits(dataset, columns)}
    for name, listed in divisions.items():
        among = listed >= 0
        if not among.any():
            continue
        apart = {split: int((code[among] != listed[among]).sum()) for split, code in codes.items()}
        equal = [split for split, count in apart.items() if count == 0]
        named = _named(name, dataset, codes)
        counts = {"train": int((listed == 1).sum()), "test": int((listed == 0).sum()), "neither": int((~among).sum())}
        weighed.about[name] = {**counts, "as": equal}
        log.info("its division %r: %s; as %s", name, counts, ", ".join(equal) or "no benchmark")
        if named not in equal and (named is not None or not equal):
            told = _sentence(where, name, counts, equal, named, apart, codes, listed)
            own = "it is noted alone" if odd else f"--split {dataset}-listed goes by the files"
            weighed.told.append(f"{told}; {own}")
            odd.append(name)
    kept = odd[0] if odd else next(iter(weighed.about)) if len(weighed.about) == 1 else None
    if kept is not None:
        weighed.listed = divisions[kept]
        weighed.about[kept]["kept"] = True
    return weighed


def _codes(split: str, dataset: str, columns: Mapping[str, npt.NDArray[Any]]) -> Listed:
    train, test = split_masks(split, dataset, columns)
    return np.where(train, 1, np.where(test, 0, -1)).astype(np.int8)


def _named(name: str, dataset: str, codes: Mapping[str, Listed]) -> str | None:
    """The benchmark of the data set after which a division is called, its own before one of a smaller data set."""
    divided = of_name(name).divided
    fitting = [split for split in codes if divided is not None and division_of(split) == divided]
    return min(fitting, key=lambda split: find_split(split).datasets[0].name != dataset, default=None)


def _sentence(
    where: Path, name: str, counts: Mapping[str, int], equal: list[str], named: str | None,
    apart: Mapping[str, int], codes: Mapping[str, Listed], listed: Listed,
) -> str:  # fmt: skip
    shown = f"{counts['train']:,} training and {counts['test']:,} test clips"
    if equal:
        return f"{where}: divides as {', '.join(equal)}, not as {named}, after which it is called: {shown}"
    among = listed >= 0
    turned = [split for split, code in codes.items() if (code[among] == 1 - listed[among]).all()]
    if named in turned:
        what = f"its training clips are the test clips of {named} and the reverse"
        raise BadInput(where, what, "give every array its own labels, or correct the names of the files")
    if turned and len(np.unique(listed[among])) == 2:  # of one part alone nothing is reversed
        return f"{where}: the files divide the reverse of {', '.join(turned)}: {shown}"
    if not apart:
        return f"{where}: divides {shown}"
    beside = named or min(apart, key=lambda split: apart[split])
    called = "" if name == FILES else f" {printable(name)!r}"
    what = f"its own division{called} ({shown}) is no benchmark's; {apart[beside]:,} of them lie elsewhere by {beside}"
    return f"{where}: {what}"


# Files without names -----------------------------------------------------------------------------------------------
def check_division(where: Path, dataset: Dataset, split: str, train: int, test: int) -> list[str]:
    """Hold the name of a file, and how many clips it has, against the split that it is said to divide.

    Returns:
        What speaks against it and is no proof: the names of the folders, or one of the two numbers.

    Raises:
        BadInput: the file is called after another data set or benchmark, or has exactly the clips of another.
    """
    own, around = of_file(where), of_folders(where)
    wanted = Said(datasets=frozenset({dataset.name}), divided=division_of(split))
    if own.contradicts(wanted):
        what = f"is of {' or '.join(own.whose)} by its name, and --dataset {dataset.name} --split {split} was given"
        raise BadInput(where, what, f"pass {_options(own.whose)}, or rename the file if its name is wrong")
    if others := [name for name, counts in COUNTS.items() if (train, test) in counts and name != split]:
        what = f"has {train:,} training and {test:,} test clips, which are those of {others[0]}, not of {split}"
        raise BadInput(where, what, f"pass {_options((others[0],))}")
    told = []
    if around.contradicts(wanted):
        told.append(f"{where}: lies in a folder of {' or '.join(around.whose)} by its name, and is taken for {split}")
    for side, count, what in ((0, train, "training"), (1, test, "test")):
        same = [name for name, counts in COUNTS.items() if count in [each[side] for each in counts]]
        if same and split not in same:
            told.append(
                f"{where}: has {count:,} {what} clips, as many as {' and '.join(same)}, and is taken for {split}"
            )
    return told


def _options(whose: Sequence[str]) -> str:
    """How to say on the command line which benchmark or data set it is."""
    if len(whose) != 1 or whose[0] not in COUNTS:
        return (
            f"--dataset {' or '.join(whose)}" if whose and whose[0] not in COUNTS else f"--split {' or '.join(whose)}"
        )
    return f"--dataset {find_split(whose[0]).datasets[0].name} --split {whose[0]}"


def beside_named(where: Path, dataset: Dataset) -> list[str]:
    """What the name of a file whose clips have names says against the data set; the clips' names win."""
    own = of_file(where)
    if not own.datasets or dataset.name in own.datasets:
        return []
    return [f"{where}: is of {' or '.join(sorted(own.datasets))} by its name, and is taken for {dataset.name}"]
