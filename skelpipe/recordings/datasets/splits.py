"""The benchmarks' splits: masks computed from the ids of the clips, never copies of the data.

Rules and counts as published: NTU RGB+D (Shahroudy et al., CVPR 2016), NTU RGB+D 120 (Liu et al., TPAMI 2019),
PKU-MMD (Liu et al., 2017; its lists as ranges after Adamink/ViewAdaptiveLSTM, scripts/gen_v1.py and gen_v2.py),
NW-UCLA (Wang et al., CVPR 2014).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skelpipe.errors import BadInput, suggest
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.known import DATASETS, SHIPPED, find_dataset
from skelpipe.recordings.datasets.listed import is_list, read_list
from skelpipe.recordings.datasets.ntu import LAST_SETUP_60, NTU60, NTU120
from skelpipe.recordings.datasets.own import Own
from skelpipe.recordings.datasets.pku import PKU1, PKU2, VIEWS
from skelpipe.recordings.datasets.rules import MARK, Columns, Listed, Mask, Rule, dividing, values_of
from skelpipe.recordings.datasets.stated import ALL, EXAMPLE, check_stated, is_stated, parse
from skelpipe.recordings.datasets.ucla import UCLA
from skelpipe.resources import Registry

if TYPE_CHECKING:
    import numpy.typing as npt

SUBJECTS_60 = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
SUBJECTS_120 = (
    *SUBJECTS_60, 45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
    89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
)  # fmt: skip
PKU1_TEST_VIDEOS, PKU2_TEST_PERFORMERS = range(291, 335), (2, 3, 7)
RECORDED = "train_"  # + a split: the column of clips without ids that says which of them are for training
# The column of imported clips that says how their files divided them: 1 for training, 0 for testing, -1 for neither.
LISTED = "listed_train"
LISTED_SPLIT = "split_list"  # in settings, beside `split`: the names that a list has told


def _all(columns: Columns) -> Mask:
    import numpy as np

    return np.ones(len(columns["name"]), bool)


def _among(values: npt.NDArray[Any], wanted: Collection[Any]) -> Mask:
    import numpy as np

    return np.isin(values, list(wanted))


def _first_60(columns: Columns) -> Mask:
    """The NTU RGB+D clips of an NTU RGB+D 120 store."""
    return (columns["label"] < NTU60.classes) & (columns["setup"] <= LAST_SETUP_60)


def _published(own: Dataset, *names: str) -> Callable[[Columns], Mask]:
    """Which clips have numbers that the publication has given out, in these columns of `dividing`.

    Whoever is beyond was not recorded by it, and no rule of its says where he belongs.
    """

    def known(columns: Columns) -> Mask:
        import numpy as np

        numbers = dividing(own)
        mask: Mask = np.logical_and.reduce([_among(values_of(own, name, columns), numbers[name]) for name in names])
        return mask

    return known


def _both(one: Callable[[Columns], Mask], other: Callable[[Columns], Mask]) -> Callable[[Columns], Mask]:
    return lambda columns: one(columns) & other(columns)


@dataclass(frozen=True)
class Split:
    """One benchmark: which clips it is about and which of them are for training.

    Attributes:
        name: the key in `SPLITS`.
        title: what it is called in print.
        datasets: whose stores can serve it; the first is its own.
        train: columns -> mask of the training clips.
        among: columns -> mask of the clips that are part of the benchmark at all; the others are in neither part: those
            of a larger data set, and people, cameras, set-ups and videos that the publication does not have.
        column: what it divides by, of `stated.dividing`, if it is one such column.
        test: columns -> mask of the test clips; None: all that are not for training.
        check: raises BadInput if these columns cannot be divided as was stated.
        listed: the names that it goes by, where its own name does not tell what it is.
    """

    name: str
    title: str
    datasets: tuple[Dataset, ...]
    train: Callable[[Columns], Mask]
    among: Callable[[Columns], Mask] = _all
    column: str | None = None
    test: Callable[[Columns], Mask] | None = None
    check: Callable[[Columns], None] = lambda columns: None
    listed: Listed | None = None

    @property
    def classes(self) -> int:
        """How many outputs a classifier has."""
        return self.datasets[0].classes


def _sub60(columns: Columns) -> Mask:
    return _among(columns["subject"], SUBJECTS_60)


def _sub120(columns: Columns) -> Mask:
    return _among(columns["subject"], SUBJECTS_120)


def _view60(columns: Columns) -> Mask:
    return _among(columns["camera"], (2, 3))


def _set120(columns: Columns) -> Mask:
    even: Mask = columns["setup"] % 2 == 0
    return even


def _pku1_sub(columns: Columns) -> Mask:
    return ~_among(values_of(PKU1, "video", columns), PKU1_TEST_VIDEOS)


def _pku2_sub(columns: Columns) -> Mask:
    return ~_among(values_of(PKU2, "performer", columns), PKU2_TEST_PERFORMERS)


def _pku_view(columns: Columns) -> Mask:
    beside: Mask = columns["view"] != VIEWS.index("L") + 1
    return beside


def _ucla_view(columns: Columns) -> Mask:
    return _among(columns["camera"], (1, 2))


def _listed(columns: Columns) -> npt.NDArray[Any]:
    if LISTED not in columns:
        what = "goes by the lists or names of imported files, and these clips have none"
        raise BadInput("a split of listed clips", what, "use the split of a benchmark")
    return columns[LISTED]


_subjects_60 = _both(_first_60, _published(NTU60, "subject"))
_cameras_60 = _both(_first_60, _published(NTU60, "camera"))
_pku1_videos, _pku2_videos = _published(PKU1, "video"), _published(PKU2, "scene", "performer")
OWN: dict[str, Split] = {
    split.name: split
    for split in (
        Split("xsub60", "NTU-60 cross-subject", (NTU60, NTU120), _sub60, _subjects_60, "subject"),
        Split("xview60", "NTU-60 cross-view", (NTU60, NTU120), _view60, _cameras_60, "camera"),
        Split("xsub120", "NTU-120 cross-subject", (NTU120,), _sub120, _published(NTU120, "subject"), "subject"),
        Split("xset120", "NTU-120 cross-setup", (NTU120,), _set120, _published(NTU120, "setup"), "setup"),
        Split("pku1-xsub", "PKU-MMD I cross-subject", (PKU1,), _pku1_sub, _pku1_videos, "video"),
        Split("pku1-xview", "PKU-MMD I cross-view", (PKU1,), _pku_view, _pku1_videos, "view"),
        Split("pku2-xsub", "PKU-MMD II cross-subject", (PKU2,), _pku2_sub, _pku2_videos, "performer"),
        Split("pku2-xview", "PKU-MMD II cross-view", (PKU2,), _pku_view, _pku2_videos, "view"),
        Split("nw-ucla-xview", "NW-UCLA cross-view", (UCLA,), _ucla_view, _published(UCLA, "camera"), "camera"),
        *(
            Split(
                f"{own.name}-listed",
                f"{own.title} as its files divide it",
                (own,),
                lambda columns: _listed(columns) == 1,
                lambda columns: _listed(columns) >= 0,
            )
            for own in SHIPPED
        ),
    )
}
SPLITS = Registry("splits", OWN)


def find_split(
    name: str | Split, dataset: str | Dataset | None = None, listed: Mapping[str, Any] | None = None
) -> Split:
    """The split of that name, or the one that it states or lists; BadInput names the nearest one.

    Args:
        name: of a benchmark's split, or of one that the data set's user has named; or a rule as `stated` describes it;
            or the path of a list as `listed.read_list` reads it. A split is itself.
        dataset: whose clips are divided; it completes a stated split that names no data set.
        listed: of a split that went by a list, the names in it (`Listed.as_rule`).
    """
    if isinstance(name, Split):
        return name
    if not isinstance(name, str | os.PathLike):
        raise BadInput("split", f"is of type {type(name).__name__}", "give a name, a rule or the path of a list")
    own = None if dataset is None else find_dataset(dataset)
    if own is not None and listed is not None:
        test = listed["test"]
        return _by_list(Listed(name, tuple(listed["train"]), None if test is None else tuple(test)), own)
    if own is not None and is_list(name):
        return _by_list(read_list(name), own)
    if isinstance(own, Own) and (word := name.removeprefix(f"{own.name}{MARK}")) in own.splits:
        return _named(word, own)
    if own is not None and name in (ALL, f"{own.name}{MARK}{ALL}"):
        return Split(
            f"{own.name}{MARK}{ALL}", f"{own.title}, all train", (own,), _all, test=lambda columns: ~_all(columns)
        )
    if is_stated(name):
        return _by_rule(parse(name, own), own)
    if name in SPLITS:
        return SPLITS[name]
    raise _unknown(name, own)


def check_split(name: str) -> str:
    """The name, if it is that of a split, or states one, or may be one that a user has named; else BadInput."""
    if is_list(name):
        return name
    if is_stated(name):
        check_stated(name)
    elif name not in SPLITS and not re.fullmatch(r"[\w.+-]{1,60}", name):
        raise _unknown(name, None)
    return name


def split_of(about: Mapping[str, Any]) -> Split:
    """The split that a run was trained on, by its settings."""
    from skelpipe.recordings.datasets.known import dataset_of

    return find_split(str(about["split"]), dataset_of(about), about.get(LISTED_SPLIT))


def split_attributes(split: Split) -> dict[str, Any]:
    """What is noted of a split: its name, and the names of clips that a list has told."""
    return {"split": split.name, **({} if split.listed is None else {LISTED_SPLIT: split.listed.as_rule()})}


def _unknown(name: str, own: Dataset | None) -> BadInput:
    known = DATASETS.values() if own is None else [own]
    if (column := re.split(r"[^a-z]", name.lower())[0]) in {each for d in known for each in dividing(d)}:
        return BadInput(f"split {name!r}", f"names the column {column}, and no values of it", EXAMPLE)
    own_splits = fitting_splits(own) if isinstance(own, Own) else [*SPLITS]
    remedy = suggest(name, own_splits) if own_splits else "state one"
    more = "" if remedy.startswith("did you mean") else ", such as subject:1-20, or list names of clips in a .txt file"
    if own_splits and more:
        more = ", or state your own" + more
    return BadInput(f"split {name!r}", "is unknown", remedy + more)


def _by_rule(rule: Rule, dataset: Dataset | None) -> Split:
    smaller = rule.dataset is NTU60 and dataset is NTU120
    return Split(
        rule.name,
        rule.title,
        (NTU60, NTU120) if rule.dataset is NTU60 else (rule.dataset,),
        lambda columns: rule.masks(columns)[0],
        _first_60 if smaller else _all,
        rule.column,
        lambda columns: rule.masks(columns)[1],
        rule.check,
    )


def _by_list(listed: Listed, dataset: Dataset) -> Split:
    return Split(
        listed.name,
        f"{dataset.title} as {listed.name} lists it",
        (dataset,),
        lambda columns: listed.masks(columns)[0],
        test=lambda columns: listed.masks(columns)[1],
        check=listed.check,
        listed=listed,
    )


def _named(name: str, own: Own) -> Split:
    """A split that the user has named: its rule is in the description of the data set."""
    from dataclasses import replace

    told, whole = own.splits[name], f"{own.name}{MARK}{name}"
    if "column" not in told:
        test = told["test"]
        made = _by_list(Listed(whole, tuple(told["train"]), None if test is None else tuple(test)), own)
        return replace(made, title=f"{own.title} {name}", listed=None)
    sides = {key: None if told.get(key) is None else tuple(told[key]) for key in ("train", "test", "fold")}
    return replace(_by_rule(Rule(own, told["column"], **sides), own), name=whole, title=f"{own.title} {name}")


def serves(split: str | Split, dataset: str | Dataset, columns: Columns | None = None) -> bool:
    """Whether clips of this data set, or with these columns, can be divided by that split."""
    own = find_dataset(dataset)
    if isinstance(split, str) and not is_stated(split) and not is_list(split):
        return split in fitting_splits(own, columns)
    try:
        found = find_split(split, own)
    except BadInput:  # of another data set, which its user describes
        return False
    if found.name in SPLITS:
        return found.name in fitting_splits(own, columns)
    return own.name in [d.name for d in found.datasets] and not _recorded(columns or {})


def fitting_splits(dataset: str | Dataset, columns: Columns | None = None) -> tuple[str, ...]:
    """The names of the splits that a store of this data set can serve, or that clips with these columns can."""
    own = find_dataset(dataset)
    if isinstance(own, Own):
        return tuple(own.splits)
    fitting = tuple(
        s.name
        for s in SPLITS.values()
        if own.name in [d.name for d in s.datasets]
        and (not s.name.endswith("-listed") or {LISTED, RECORDED + s.name} & set(columns or {}))
    )
    recorded = _recorded(columns or {})
    return tuple(name for name in fitting if name in recorded) if recorded else fitting


def _recorded(columns: Columns) -> tuple[str, ...]:
    """The splits that clips without ids hold, or nothing where ids say all splits."""
    return tuple(name.removeprefix(RECORDED) for name in columns if name.startswith(RECORDED))


def has_names(columns: Columns) -> bool:
    """Whether clips are called by the names of their recordings; those of arrays without names are numbered only."""
    return not _recorded(columns)


def share_names(dataset: str, other: str) -> bool:
    """Whether a name means the same recording in both data sets: NTU RGB+D 120 contains NTU RGB+D 60."""
    served = ({d.name for d in split.datasets} for split in SPLITS.values())
    return dataset == other or any({dataset, other} <= each for each in served)


def split_masks(
    split: str | Split, dataset: str | Dataset, columns: Columns, split_files: Mapping[str, Any] | None = None
) -> tuple[Mask, Mask]:
    """Which clips are for training and which for testing: two (N,) masks, no clip in both; the others are in neither.

    Args:
        split: as for `find_split`.
        dataset: whose clips they are.
        columns: the per-clip columns. Clips without ids have a column `train_<split>` for each split they can serve.
        split_files: {split: {"train": videos, "test": videos}} as the publisher's lists say; they win over the rebuilt
            rule, and what is in neither list is in neither part.

    Raises:
        BadInput: the split is unknown, belongs to another data set, or is not the one that clips without ids hold.
    """
    own = find_dataset(dataset)
    rule = find_split(split, own)
    if own.name not in (d.name for d in rule.datasets):
        fitting = ", ".join(fitting_splits(own)) or "none"
        raise BadInput(f"split {rule.name!r}", f"is not a split of {own.name}", f"its splits are: {fitting}")
    if recorded := _recorded(columns):
        if rule.name not in recorded:
            what = f"cannot be told: these clips have no ids and hold {', '.join(recorded)} only"
            raise BadInput(f"split {rule.name!r}", what, f"use {recorded[0]}, or arrays of the other split")
        told = columns[RECORDED + rule.name]
        return _among(told, (1,)), _among(told, (0,))
    rule.check(columns)
    if (listed := (split_files or {}).get(rule.name)) is not None:
        return _among(columns["video"], listed["train"]), _among(columns["video"], listed["test"])
    train, among = rule.train(columns), rule.among(columns)
    test = ~train if rule.test is None else rule.test(columns)
    return train & among, test & among


def pretrained_on(split: str | Split, dataset: str | Dataset, columns: Columns) -> Mask:
    """Which clips an encoder pretrained on the training part of `split` has seen, by the rule of the split: (N,).

    For runs that do not keep which clips they were trained on. The clips may come from another store than the
    pretraining's: NTU RGB+D 120 contains NTU RGB+D 60.
    """
    name = split if isinstance(split, str) else split.name
    if _recorded(columns):  # without ids, other splits' clips cannot be recognised
        return _among(columns.get(RECORDED + name, ~_all(columns)), (1,))
    own = find_dataset(dataset)
    rule, ntu = find_split(split, own), (NTU60.name, NTU120.name)
    known = {d.name for d in rule.datasets}
    if own.name not in (known | set(ntu) if known & set(ntu) else known):
        return ~_all(columns)
    if name.endswith("-listed") and LISTED not in columns:  # other clips, whose files are not known
        return ~_all(columns)
    return rule.train(columns) & rule.among(columns)
