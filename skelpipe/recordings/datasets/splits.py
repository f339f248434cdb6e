"""The benchmarks' splits: masks computed from the ids of the clips, never copies of the data.

Rules and counts as published: NTU RGB+D (Shahroudy et al., CVPR 2016), NTU RGB+D 120 (Liu et al., TPAMI 2019),
PKU-MMD (Liu et al., 2017; its lists as ranges after Adamink/ViewAdaptiveLSTM, scripts/gen_v1.py and gen_v2.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from skelpipe.errors import BadInput, suggest
from skelpipe.recordings.datasets.base import Dataset
from skelpipe.recordings.datasets.ntu import LAST_SETUP_60, NTU60, NTU120
from skelpipe.recordings.datasets.pku import PKU1, PKU2, VIEWS, Pku
from skelpipe.resources import Registry

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Mask: TypeAlias = "npt.NDArray[np.bool_]"
Columns: TypeAlias = "Mapping[str, npt.NDArray[Any]]"

SUBJECTS_60 = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
SUBJECTS_120 = (
    *SUBJECTS_60, 45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
    89, 91, 92, 93, 94, 95, 97, 98, 100, 103,
)  # fmt: skip
PKU1_TEST_VIDEOS = range(291, 335)
PKU2_TEST_PERFORMERS = (2, 3, 7)
RECORDED = "train_"  # + a split: the column of clips without ids that says which of them are for training
# The column of imported clips that says how their files divided them: 1 for training, 0 for testing, -1 for neither.
LISTED = "listed_train"


def _all(columns: Columns) -> Mask:
    import numpy as np

    return np.ones(len(columns["name"]), bool)


def _among(values: npt.NDArray[Any], wanted: Collection[Any]) -> Mask:
    import numpy as np

    return np.isin(values, list(wanted))


def _first_60(columns: Columns) -> Mask:
    """The NTU RGB+D clips of an NTU RGB+D 120 store."""
    return (columns["label"] < NTU60.classes) & (columns["setup"] <= LAST_SETUP_60)


def _numbers(part: Pku, columns: Columns) -> npt.NDArray[np.int64]:
    """(N, 1 or 2): the numbers in each clip's video name."""
    import numpy as np

    videos, index = np.unique(columns["video"], return_inverse=True)
    width = part.video.count("{") - 1
    return np.array([part.numbers(str(v)) for v in videos], np.int64).reshape(len(videos), width)[index]


@dataclass(frozen=True)
class Split:
    """One benchmark: which clips it is about and which of them are for training.

    Attributes:
        name: the key in `SPLITS`.
        title: what it is called in print.
        datasets: whose stores can serve it; the first is its own.
        train: columns -> mask of the training clips.
        among: columns -> mask of the clips that are part of the benchmark at all, in a store of a larger data set.
    """

    name: str
    title: str
    datasets: tuple[Dataset, ...]
    train: Callable[[Columns], Mask]
    among: Callable[[Columns], Mask] = _all

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
    return ~_among(_numbers(PKU1, columns)[:, 0], PKU1_TEST_VIDEOS)


def _pku2_sub(columns: Columns) -> Mask:
    return ~_among(_numbers(PKU2, columns)[:, 1], PKU2_TEST_PERFORMERS)


def _pku_view(columns: Columns) -> Mask:
    beside: Mask = columns["view"] != VIEWS.index("L") + 1
    return beside


def _listed(columns: Columns) -> npt.NDArray[Any]:
    if LISTED not in columns:
        what = "goes by the lists or names of imported files, and these clips have none"
        raise BadInput("a split of listed clips", what, "use the split of a benchmark")
    return columns[LISTED]


OWN: dict[str, Split] = {
    split.name: split
    for split in (
        Split("xsub60", "NTU-60 cross-subject", (NTU60, NTU120), _sub60, _first_60),
        Split("xview60", "NTU-60 cross-view", (NTU60, NTU120), _view60, _first_60),
        Split("xsub120", "NTU-120 cross-subject", (NTU120,), _sub120),
        Split("xset120", "NTU-120 cross-setup", (NTU120,), _set120),
        Split("pku1-xsub", "PKU-MMD I cross-subject", (PKU1,), _pku1_sub),
        Split("pku1-xview", "PKU-MMD I cross-view", (PKU1,), _pku_view),
        Split("pku2-xsub", "PKU-MMD II cross-subject", (PKU2,), _pku2_sub),
        Split("pku2-xview", "PKU-MMD II cross-view", (PKU2,), _pku_view),
        *(
            Split(
                f"{own.name}-listed",
                f"{own.title} as its files divide it",
                (own,),
                lambda columns: _listed(columns) == 1,
                lambda columns: _listed(columns) >= 0,
            )
            for own in (NTU60, NTU120, PKU1, PKU2)
        ),
    )
}
SPLITS = Registry("splits", OWN)


def find_split(name: str) -> Split:
    """The split of that name; BadInput names the nearest one."""
    if name in SPLITS:
        return SPLITS[name]
    raise BadInput(f"split {name!r}", "is unknown", suggest(name, SPLITS))


def fitting_splits(dataset: str, columns: Columns | None = None) -> tuple[str, ...]:
    """The names of the splits that a store of this data set can serve, or that clips with these columns can."""
    fitting = tuple(
        s.name
        for s in SPLITS.values()
        if dataset in [d.name for d in s.datasets]
        and (not s.name.endswith("-listed") or {LISTED, RECORDED + s.name} & set(columns or {}))
    )
    recorded = _recorded(columns or {})
    return tuple(name for name in fitting if name in recorded) if recorded else fitting


def _recorded(columns: Columns) -> tuple[str, ...]:
    """The splits that clips without ids hold, or nothing where ids say all splits."""
    return tuple(name.removeprefix(RECORDED) for name in columns if name.startswith(RECORDED))


def split_masks(
    split: str, dataset: str, columns: Columns, split_files: Mapping[str, Any] | None = None
) -> tuple[Mask, Mask]:
    """Which clips are for training and which for testing: two (N,) masks, no clip in both.

    Args:
        split: key of `SPLITS`.
        dataset: whose clips they are, key of `DATASETS`.
        columns: the per-clip columns. Clips without ids have a column `train_<split>` for each split they can serve.
        split_files: {split: {"train": videos, ...}} as the publisher's lists say; they win over the rebuilt rule.

    Raises:
        BadInput: the split is unknown, belongs to another data set, or is not the one that clips without ids hold.
    """
    rule = find_split(split)
    if dataset not in (d.name for d in rule.datasets):
        fitting = ", ".join(fitting_splits(dataset)) or "none"
        raise BadInput(f"split {split!r}", f"is not a split of {dataset}", f"its splits are: {fitting}")
    if recorded := _recorded(columns):
        if split not in recorded:
            what = f"cannot be told: these clips have no ids and hold {', '.join(recorded)} only"
            raise BadInput(f"split {split!r}", what, f"use {recorded[0]}, or arrays of the other split")
        told = columns[RECORDED + split].astype(bool)
        return told, ~told
    listed = (split_files or {}).get(split)
    train = rule.train(columns) if listed is None else _among(columns["video"], listed["train"])
    among = rule.among(columns)
    return train & among, ~train & among


def pretrained_on(split: str, dataset: str, columns: Columns) -> Mask:
    """Which clips an encoder pretrained on the training part of `split` has seen: (N,).

    The clips may come from another store than the pretraining's: NTU RGB+D 120 contains NTU RGB+D 60.
    """
    if _recorded(columns):  # without ids, other splits' clips cannot be recognised
        return columns.get(RECORDED + split, ~_all(columns)).astype(bool)
    rule, ntu = find_split(split), (NTU60.name, NTU120.name)
    known = {d.name for d in rule.datasets}
    if dataset not in (known | set(ntu) if known & set(ntu) else known):
        return ~_all(columns)
    if split.endswith("-listed") and LISTED not in columns:  # other clips, whose files are not known
        return ~_all(columns)
    return rule.train(columns) & rule.among(columns)
